/**
 * Random calls on files of a simulated cluster. `CHFS_SIM_SEED=n` with `CHFS_SIM_TROUBLE=…` and `CHFS_SIM_CALLS=n` runs one
 * of them with a trace; `CHFS_SIM_SECONDS=s` runs new seeds for so long in all.
 */
import t, { type Test } from 'tap'
import { DataDriver, type DataRunOptions, TROUBLES, type Trouble } from './cluster-data-driver.js'

/** Seeds that once failed, with the fault that they found; a later change of the driver may lead them elsewhere. */
const FORMER_SEEDS: readonly (readonly [seed: number, trouble: Trouble, fault: string, concurrency?: number])[] = [
  [21, 'none', 'a truncation waited for a commit that nobody made'],
  [5, 'none', 'an answer that was to wait for a truncation was sent at once'],
  [303, 'kill', 'a truncation’s epoch was used before it was committed, and what was written under it stayed'],
  [66, 'power', 'what a lost write had left beyond the size was seen, as the one over it was lost, too'],
  [703089032, 'sessions', 'an append and a write over a gap made each other begin again for ever', 6],
]

const SECONDS = Number(process.env['CHFS_SIM_SECONDS'] ?? 40)

/** The failure of a seed, or null. */
function failureOf(seed: number, options: DataRunOptions): unknown {
  try {
    new DataDriver(seed, options).run()
    return null
  } catch (error) {
    return error
  }
}

/** One at a time everything is known exactly; many at once is what is hard. */
const concurrencyOf = (seed: number): number => [1, 3, 6][seed % 3] as number

async function newSeeds(t: Test, trouble: Trouble): Promise<void> {
  const first = (Date.now() % 1_000_000) * 1000
  t.comment(`from seed ${first} on`)
  const end = Date.now() + (SECONDS * 1000) / TROUBLES.length
  let seed = first
  for (; Date.now() < end; seed++) {
    const concurrency = concurrencyOf(seed)
    const failure = failureOf(seed, { concurrency, trouble })
    if (failure === null) continue
    t.fail(`CHFS_SIM_SEED=${seed} CHFS_SIM_TROUBLE=${trouble} CHFS_SIM_CALLS=${concurrency}: ${failure}`)
    break
  }
  t.comment(`${seed - first} seeds`)
  t.ok(seed > first)
}

async function sameAgain(t: Test): Promise<void> {
  const traces = [1, 2].map(() => {
    const lines: string[] = []
    new DataDriver(42, { concurrency: 4, trouble: 'kill', trace: (line) => lines.push(line) }).run()
    return lines
  })
  t.strictSame(traces[0], traces[1])
  t.ok((traces[0]?.length ?? 0) > 50)
}

const seed = process.env['CHFS_SIM_SEED']
if (seed !== undefined) {
  const trouble = (process.env['CHFS_SIM_TROUBLE'] ?? 'none') as Trouble
  const concurrency = Number(process.env['CHFS_SIM_CALLS'] ?? concurrencyOf(Number(seed)))
  const trace = (line: string): void => void process.stderr.write(`${line}\n`)
  new DataDriver(Number(seed), { concurrency, trouble, trace }).run()
  t.pass(`seed ${seed}`)
} else {
  t.test('former seeds', async (t) => {
    for (const [seed, trouble, fault, concurrency = 4] of FORMER_SEEDS)
      t.equal(failureOf(seed, { concurrency, trouble }), null, `${seed}: ${fault}`)
  })
  for (const trouble of TROUBLES) t.test(`new seeds, trouble: ${trouble}`, (t) => newSeeds(t, trouble))
  t.test('a seed gives the same run again', sameAgain)
}
