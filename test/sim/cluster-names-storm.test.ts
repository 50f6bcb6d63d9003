/** Names under many hands: concurrent operations of all nodes, without and with crashes, have an order. */
import t from 'tap'
import { NamesStorm, type StormOptions } from './names-storm.js'

const SEEDS = Number(process.env['CHFS_TEST_SEEDS'] ?? 10)
const FIRST = Number(process.env['CHFS_TEST_FIRST'] ?? 1)

const STORMS: Readonly<Record<string, StormOptions['troubles']>> = {
  'nothing goes wrong': [],
  'sessions break': ['break'],
  'processes end': ['process', 'break'],
  'the power goes': ['power', 'process', 'break'],
  'stores fail': ['store', 'process', 'break'],
}

for (const [name, troubles] of Object.entries(STORMS)) {
  t.test(name, async (t) => {
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const lines: string[] = []
      const positions = seed % 2 === 0 ? 16 : 2 ** 32
      const options = { members: 3 + (seed % 3), positions, delayMsMax: seed % 5, troubles }
      try {
        new NamesStorm(seed, options, (line) => lines.push(line)).run(30)
        t.pass(`seed ${seed}`)
      } catch (error) {
        const start = lines.lastIndexOf('round')
        t.fail(`seed ${seed}: ${(error as Error).stack}`, { lines: lines.slice(Math.max(0, start)) })
        return
      }
    }
  })
}
