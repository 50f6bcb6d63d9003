/** Two nodes: crowds on both, of which one dies meanwhile; each sees what the other does, and both leave. */
import t from 'tap'
import { TestCluster } from './cluster.js'
import type { TestMount } from './harness.js'
import { dataBytes } from './owners.js'
import { killing, runStorms, STORMS } from './storms.js'

const SECONDS = 2
const MIB = 2 ** 20

t.test('two nodes', async (t) => {
  const cluster = await TestCluster.start(t, 2, { options: ['chunk=64KiB', 'timeo=120'], mayFail: true })
  const [first, second] = cluster.nodes as [TestMount, TestMount]

  t.test('crowds on both', (t) => runStorms(t, cluster.nodes, Object.keys(STORMS), { seconds: SECONDS, workers: 2 }))

  for (const victim of [first, second]) {
    t.test('one dies in the midst of it, and comes back', async (t) => {
      await runStorms(t, cluster.nodes, Object.keys(STORMS), { seconds: SECONDS, ...killing([victim]) })
    })
  }

  t.test('one leaves first: the other goes on, and finds everything when both are back', async (t) => {
    await first.driver().sys.mkdir('left')
    await first.driver().sys.makeMany('left', 50)
    const left = first.unmount()
    t.equal((await second.driver().sys.list('left')).length, 50, 'its share is served while the other is mounted')
    t.strictSame(await Promise.all([left, second.unmount()]), [0, 0])
    await cluster.all((node) => node.mount())
    for (const node of cluster.nodes) t.equal((await node.driver().sys.list('left')).length, 50)
  })
})

t.test('layout=local: what a node writes lies with it', async (t) => {
  const { nodes } = await TestCluster.start(t, 2, { options: ['chunk=64KiB', 'layout=local'] })
  const sizes = (): number[] => nodes.map(({ store }) => dataBytes(store))
  for (const [index, node] of nodes.entries()) {
    const before = sizes()
    for (let file = 0; file < 4; file++) await node.driver().sys.fill(`by${index}-${file}`, MIB)
    const more = sizes().map((bytes, store) => bytes - (before[store] as number))
    t.strictSame(more, [index === 0 ? 4 * MIB : 0, index === 1 ? 4 * MIB : 0], `node ${index}`)
  }
})
