/** Every case of one node, on a node among peers. */
import t from 'tap'
import { allCases } from './cases/all.js'
import { TestCluster } from './cluster.js'
import { runTwinsOn } from './twin.js'

t.test('one of three nodes', async (t) => {
  const cluster = await TestCluster.start(t, 3, { options: ['chunk=64KiB'] })
  await runTwinsOn(t, cluster.node(1), allCases)
})
