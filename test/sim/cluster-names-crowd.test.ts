/** Names that everybody wants at a time: nobody waits for ever, and in the end everything fits together. */
import t from 'tap'
import { EIO } from '../../lib/base/errno.js'
import { NamesCrowd } from './names-crowd.js'
import type { StormOptions } from './names-storm.js'

const SEEDS = Number(process.env['CHFS_TEST_SEEDS'] ?? 4)
const FIRST = Number(process.env['CHFS_TEST_FIRST'] ?? 1)

const CROWDS: Readonly<Record<string, StormOptions['troubles']>> = {
  'nothing goes wrong': [],
  'sessions break': ['break'],
  'processes end': ['process', 'break'],
  'the power goes': ['power', 'process', 'break'],
  'stores fail': ['store', 'process', 'break'],
}

for (const [name, troubles] of Object.entries(CROWDS)) {
  t.test(name, async (t) => {
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const positions = seed % 2 === 0 ? 16 : 2 ** 32
      // A single credit of each rank makes calls wait for each other as much as they can.
      const credits = seed % 2 === 0 ? 1 : 128
      const options = { members: 3 + (seed % 3), storeless: seed % 2, positions, troubles, credits }
      const crowd = new NamesCrowd(seed, options, 2000)
      try {
        crowd.run(6)
        const results = [...crowd.results].sort(([a], [b]) => b - a)
        // Nobody is away for long, so that would be two that wait for each other.
        const isSane = troubles.includes('store') || !crowd.results.has(-EIO)
        t.ok(isSane, `seed ${seed}: ${results.map(([result, count]) => `${count} × ${result}`).join(', ')}`)
      } catch (error) {
        t.fail(`seed ${seed}: ${(error as Error).stack}`)
        return
      }
    }
  })
}
