/** As test/mount/cluster-five.test.ts and cluster-two.test.ts: for longer, each storm by itself too, and nodes die again and again. */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { TestCluster } from '../mount/cluster.js'
import { SpaceCluster, type SpaceNode } from '../mount/spaces.js'
import { killing, runStorms, STORMS } from '../mount/storms.js'
import { Prng } from '../sim/prng.js'
import { long } from './length.js'

const ROUNDS = long(10)
const SECONDS = 8

for (const count of [2, 3, 5]) {
  t.test(`${count} nodes`, async (t) => {
    const seed = Number(process.env['CHFS_TEST_SEED'] ?? Date.now() % 1e9)
    t.comment(`CHFS_TEST_SEED=${seed}`)
    const prng = new Prng(seed)
    const cluster = await TestCluster.start(t, count, { options: ['chunk=64KiB', 'timeo=300'], mayFail: true })
    const all = Object.keys(STORMS)
    for (let round = 0; round < ROUNDS; round++) {
      const kinds = round % (all.length + 1) === all.length ? all : [all[round % (all.length + 1)] as string]
      // One is left that does not die.
      const mortal = cluster.nodes.filter((_, index) => index !== round % count)
      const victims = mortal.filter(() => prng.oneIn(2))
      t.comment(`round ${round}: ${kinds}, ${victims.length} die`)
      await runStorms(t, cluster.nodes, kinds, { seconds: SECONDS, workers: 2, ...killing(victims) })
    }
  })
}

t.test('a link is cut again and again', async (t) => {
  const cluster = await SpaceCluster.start(t, 3, 'chunk=64KiB,hard')
  for (let round = 0; round < ROUNDS; round++) {
    const victim = cluster.nodes[round % 3] as SpaceNode
    const trouble = async (): Promise<void> => {
      await cluster.cut(victim)
      await sleep(500 * (round % 20))
      await cluster.mend(victim)
    }
    await runStorms(t, cluster.nodes, Object.keys(STORMS), { seconds: SECONDS, trouble })
  }
})
