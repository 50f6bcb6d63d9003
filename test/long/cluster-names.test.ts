/** As test/sim/cluster-names-crash.test.ts, with every trouble after every event, and nodes at many places. */
import t from 'tap'
import { CASES } from '../sim/names-cases.js'
import { runAll } from '../sim/names-crash.js'

for (const name of Object.keys(CASES)) {
  t.test(name, async (t) => {
    for (const members of [2, 3, 4]) {
      for (let seed = 1; seed <= 5; seed++) {
        const runs = runAll(name, seed, members, 1)
        t.ok(runs > 0, `${members} nodes, seed ${seed}: ${runs} runs`)
      }
    }
  })
}
