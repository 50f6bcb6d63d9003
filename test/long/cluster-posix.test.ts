/** As test/mount/cluster-posix.test.ts, on clusters of several kinds. */
import t from 'tap'
import { allCases } from '../mount/cases/all.js'
import { type ClusterSettings, TestCluster } from '../mount/cluster.js'
import { runTwinsOn } from '../mount/twin.js'

interface Kind extends ClusterSettings {
  readonly nodes: number
  /** Where the cases run. */
  readonly node: number
}

const kinds: Record<string, Kind> = {
  'two nodes, on one': { nodes: 2, node: 0 },
  'two nodes, on the other': { nodes: 2, node: 1 },
  'five nodes': { nodes: 5, node: 3, options: ['chunk=64KiB', 'hard'] },
  'open files and locks kept by the node': { nodes: 3, node: 2, environment: { CHFS_TEST_KEEPER: 'node' } },
}

for (const [name, { nodes, node, ...settings }] of Object.entries(kinds)) {
  t.test(name, async (t) => {
    const cluster = await TestCluster.start(t, nodes, settings)
    await runTwinsOn(t, cluster.node(node), allCases, settings)
  })
}
