/**
 * Seeds of the simulation of a whole cluster. `npm run sim -- SEED` runs one of them with a trace;
 * `CHFS_SIM_SECONDS=s` runs new ones for so long.
 */
import t, { type Test } from 'tap'
import { ClusterDriver, type ClusterRunOptions } from './cluster-driver.js'
import { clusterPlants } from './cluster-plants.js'

/** Seeds that once failed, with the fault that they found; a later change of the driver may lead them elsewhere. */
const FORMER_SEEDS: readonly (readonly [seed: number, fault: string])[] = [
  [46, 'a file without a name that only a client had open was freed when its member started anew'],
  [661504386, 'a lock of a client was given to somebody else when its member started anew'],
  [39, 'a change time ran back where a clock had been ahead before a restart'],
  [280552013, 'a file that was made was gone when that was answered, as its maker had lost the session over it'],
  [662744170, 'a lock was given to a process that had died while it was waited to know who has which'],
  [662940694, 'the node of an inode read up to a size that its own store had failed to commit'],
  [662744204, 'a file that was made by a call that gave EIO stayed open for ever'],
  [664834495, 'a file that was to be emptied as it was opened stayed open where that failed'],
]
const FIXED_SEEDS = 12
const SECONDS = Number(process.env['CHFS_SIM_SECONDS'] ?? 25)

/** The failure of a seed, or null. */
function failureOf(seed: number, options: ClusterRunOptions = {}): string | null {
  try {
    new ClusterDriver(seed, options).run()
    return null
  } catch (error) {
    return `npm run sim -- ${seed}: ${(error as Error).stack}`
  }
}

t.test('fixed seeds', async (t) => {
  for (const [seed, fault] of FORMER_SEEDS) t.equal(failureOf(seed), null, `${seed}: ${fault}`)
  for (let seed = 1; seed <= FIXED_SEEDS; seed++) t.equal(failureOf(seed), null, `seed ${seed}`)
})

t.test('a seed gives the same run again', async (t: Test) => {
  const [first, second, other] = [42, 42, 43].map((seed) => {
    let lines = 0
    const driver = new ClusterDriver(seed, { trace: () => lines++ })
    driver.run()
    t.ok(lines > 200, `${lines} lines`)
    return driver.hash
  })
  t.equal(first, second)
  t.not(first, other)
})

t.test('each of these mistakes is found', async (t) => {
  for (const { what, seeds, ports, change, run } of clusterPlants) {
    const undo = change?.()
    let found: string | null = null
    try {
      for (let seed = 1; found === null && seed <= seeds; seed++) {
        found = failureOf(seed, { ...run, ...(ports === undefined ? {} : { plant: ports }) })
      }
    } finally {
      undo?.()
    }
    t.match(found, /^npm run sim -- \d+:/, what)
    t.comment(`${what}: ${found?.split('\n')[0]}`)
  }
})

t.test('new seeds', async (t) => {
  const first = (Date.now() % 1_000_000) * 1000
  const end = performance.now() + SECONDS * 1000
  let seed = first
  for (; performance.now() < end; seed++) {
    const failure = failureOf(seed)
    t.comment(`seed ${seed}`)
    if (failure === null) continue
    t.fail(failure)
    break
  }
  t.ok(seed > first)
})
