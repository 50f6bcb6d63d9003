/** Two nodes: crowds on both, of which one dies meanwhile; each sees what the other does, and both leave. */
import t from 'tap'
import { TestCluster } from './cluster.js'
import type { TestMount } from './harness.js'
import { killing, runStorms, STORMS } from './storms.js'

const SECONDS = 2

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
