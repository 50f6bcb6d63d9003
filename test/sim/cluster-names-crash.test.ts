/** A crash, a power cut or the end of a session at every event of every kind of change, on every node. */
import t from 'tap'
import { CASES } from './names-cases.js'
import { eventsOf, runWith, type Trouble } from './names-crash.js'

const MEMBERS = 3
const SEEDS = Number(process.env['CHFS_TEST_SEEDS'] ?? 1)
const FIRST = Number(process.env['CHFS_TEST_FIRST'] ?? 1)
const ONLY = process.env['CHFS_TEST_CASE']

function* troubles(): Generator<Trouble> {
  for (let node = 0; node < MEMBERS; node++) {
    yield { kind: 'crash', node, how: 'process', backAfterMs: 40 }
    yield { kind: 'crash', node, how: 'power', backAfterMs: 10 }
    for (let b = node + 1; b < MEMBERS; b++) yield { kind: 'break', a: node, b, awayMs: 0 }
  }
}

for (const name of Object.keys(CASES)) {
  if (ONLY !== undefined && !name.includes(ONLY)) continue
  t.test(name, async (t) => {
    let runs = 0
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const events = eventsOf(name, seed, MEMBERS)
      for (let at = 0; at <= events; at++) {
        for (const trouble of troubles()) {
          runs++
          try {
            runWith(name, seed, MEMBERS, at, trouble)
          } catch (error) {
            t.fail(`seed ${seed}, event ${at}, ${JSON.stringify(trouble)}: ${(error as Error).stack}`)
            return
          }
        }
      }
    }
    t.pass(`${runs} runs`)
  })
}
