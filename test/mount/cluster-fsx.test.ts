/** Random operations on one file, each on one of three nodes: whatever was done, every node has the same contents. */
import t from 'tap'
import { TestCluster } from './cluster.js'
import { twinOf } from './harness.js'

/** Sizes of the file: inline and a bit more, some chunks, more than one request. */
const LARGEST = [6000, 300_000, 2_500_000]
const OPERATIONS = [300, 200, 50]
const SECONDS = 30

t.test('three nodes', async (t) => {
  const cluster = await TestCluster.start(t, 3, { options: ['chunk=64KiB'] })
  const twin = twinOf(cluster.node(0), false)
  const places = cluster.nodes.map(({ mountpoint }) => mountpoint)
  const seed = Number(process.env['CHFS_TEST_SEED'] ?? Date.now() % 1e9)
  t.comment(`CHFS_TEST_SEED=${seed}`)
  const end = Date.now() + SECONDS * 1000
  let operations = 0
  for (let round = 0; round < LARGEST.length || Date.now() < end; round++) {
    const size = (seed + round) % LARGEST.length
    const args = [twin, `fsx${round}`, seed + round, LARGEST[size], OPERATIONS[size], places]
    operations += (await cluster
      .node(round % 3)
      .driver()
      .call('fsx', args, 120_000)) as number
  }
  t.ok(operations > 0, `${operations} operations`)
})
