/**
 * Random runs of the file system against the model. `CHFS_SIM_SEED=n` runs that one with a trace, `CHFS_SIM_SECONDS=s`
 * runs new ones for so long.
 */
import t, { type Test } from 'tap'
import { Driver } from './driver.js'
import { plants } from './plants.js'
import type { Plant } from './world.js'

/** Seeds that once failed, with the fault that they found (the product's or the checker's); a later change of the driver may lead them elsewhere. */
const FORMER_SEEDS: Readonly<Record<number, string>> = {
  1: 'a backing file of a lost transaction was nobody’s',
  17: 'set-id bits went although the write had failed',
  54: 'a file that was never synced was gone after a power cut, and reading failed',
  75: 'what was begun before a failed commit went on after it',
  152: 'an inode without a name was forgotten when its turn was undone',
  208: 'the hidden tail of a failed write came back',
  217: 'an operation that had waited at the gate and failed ended the process',
  853: 'a write went into a file that an undone batch had claimed',
  977: 'a file was closed for want of room while somebody used it',
  3270: 'the tail beyond a size that was undone came back',
  325015610: 'the checker forgot that a truncation of the source of a copy was undone before it began',
  324804486: 'the checker forgot what a failed write had left, once something else was there',
  930955964: 'the checker forgot what a read had overlapped, once that was synced',
}

const SECONDS = Number(process.env['CHFS_SIM_SECONDS'] ?? 20)
const SEEDS_TO_FIND = 400

/** The failure of a seed, or null. */
function failureOf(seed: number, plant: Plant = {}): unknown {
  try {
    new Driver(seed, { plant }).run()
    return null
  } catch (error) {
    return error
  }
}

async function formerSeeds(t: Test): Promise<void> {
  for (const [seed, fault] of Object.entries(FORMER_SEEDS)) t.equal(failureOf(Number(seed)), null, `${seed}: ${fault}`)
}

async function newSeeds(t: Test): Promise<void> {
  const first = (Date.now() % 1_000_000) * 1000
  t.comment(`from seed ${first} on`)
  const end = Date.now() + SECONDS * 1000
  let seed = first
  for (; Date.now() < end; seed++) {
    const failure = failureOf(seed)
    if (failure === null) continue
    t.fail(`CHFS_SIM_SEED=${seed}: ${failure}`)
    break
  }
  t.comment(`${seed - first} seeds`)
  t.ok(seed > first)
}

async function sameAgain(t: Test): Promise<void> {
  const traces = [1, 2].map(() => {
    const lines: string[] = []
    new Driver(42, { trace: (line) => lines.push(line) }).run()
    return lines
  })
  t.strictSame(traces[0], traces[1])
  t.ok((traces[0]?.length ?? 0) > 50)
}

async function finds(t: Test, plant: Plant): Promise<void> {
  let seed = 0
  let failure: unknown = null
  while (failure === null && seed < SEEDS_TO_FIND) failure = failureOf(++seed, plant)
  t.comment(`seed ${seed}: ${failure}`)
  t.not(failure, null)
}

const seed = process.env['CHFS_SIM_SEED']
if (seed !== undefined) {
  new Driver(Number(seed), { trace: (line) => process.stderr.write(`${line}\n`) }).run()
  t.pass(`seed ${seed}`)
} else {
  t.test('former seeds', formerSeeds)
  t.test('new seeds', newSeeds)
  t.test('a seed gives the same run again', sameAgain)
  for (const [fault, plant] of Object.entries(plants)) t.test(`finds that ${fault}`, (t) => finds(t, plant))
}
