/** Five nodes: they meet in any order, crowds are at work on all of them, two die meanwhile, and all leave. */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { TestCluster } from './cluster.js'
import { O_RDWR } from './constants.js'
import { errnoOf } from './driver.js'
import type { TestMount } from './harness.js'
import { killing, runStorms, STORMS } from './storms.js'

const NODES = 5
/** Together 10 000. */
const FILES_EACH = 2000
const SECONDS = 2
const [LOCK_EX, LOCK_NB] = [2, 4]
/** Locks of a node that has died go with its lease, of 15 s; this is for a busy machine. */
const LEASE_LIMIT_MS = 40_000

const shuffled = (nodes: readonly TestMount[]): TestMount[] =>
  nodes
    .map((node) => ({ node, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ node }) => node)

/** Starts them one after the other; none may be ready before all are there. */
async function formInAnyOrder(t: Test, cluster: TestCluster): Promise<void> {
  const order = shuffled(cluster.nodes)
  let ready = 0
  const mounts: Promise<void>[] = []
  for (const node of order) {
    t.equal(ready, 0, 'nobody is ready before all are there')
    mounts.push(node.mount().then(() => void ready++))
    await sleep(400)
  }
  await Promise.all(mounts)
}

t.test('five nodes', async (t) => {
  const cluster = await TestCluster.prepare(t, NODES, { options: ['chunk=64KiB', 'timeo=120'], mayFail: true })
  await formInAnyOrder(t, cluster)

  t.test('10 000 files, made on all nodes at once, are listed on each', async (t) => {
    await cluster.node(0).driver().sys.mkdir('many')
    await Promise.all(
      cluster.nodes.map((node, index) => node.driver().call('makeMany', ['many', FILES_EACH, `n${index}-`])),
    )
    for (const node of cluster.nodes) {
      const names = await node.driver().sys.list('many')
      t.equal(names.length, NODES * FILES_EACH)
      t.equal(new Set(names).size, NODES * FILES_EACH)
    }
  })

  t.test('crowds on all of them', (t) => runStorms(t, cluster.nodes, Object.keys(STORMS), { seconds: SECONDS }))

  t.test('two die in the midst of it, and come back', async (t) => {
    const victims = shuffled(cluster.nodes).slice(0, 2)
    await runStorms(t, cluster.nodes, Object.keys(STORMS), { seconds: SECONDS, ...killing(victims) })
  })

  t.test('the locks of a node that dies go to the next', async (t) => {
    const [holding, waiting] = shuffled(cluster.nodes) as [TestMount, TestMount]
    const [holder, next, { sys }] = [holding.driver(), [waiting.driver(), waiting.driver()], waiting.driver()] as const
    const path = await cluster.fileOn(waiting, sys)
    const held = await holder.sys.open(path, O_RDWR)
    await holder.sys.flock(held, LOCK_EX)
    await holder.sys.lock(held, 'set', 'write', 0, 0)
    const files = await Promise.all(next.map((driver) => driver.sys.open(path, O_RDWR)))
    const taken = [
      next[0].call('flock', [files[0], LOCK_EX], LEASE_LIMIT_MS),
      next[1].call('lock', [files[1], 'wait', 'write', 0, 0], LEASE_LIMIT_MS),
    ]
    const fd = await sys.open(path, O_RDWR)
    t.equal(await errnoOf(sys.flock(fd, LOCK_EX | LOCK_NB)), 'EAGAIN')
    t.equal(await errnoOf(sys.lock(fd, 'set', 'write', 0, 0)), 'EAGAIN')
    await holding.kill()
    t.strictSame(await Promise.all(taken.map((call) => errnoOf(call))), ['ok', 'ok'])
    await holding.mount()
    t.equal(await errnoOf(sys.flock(fd, LOCK_EX | LOCK_NB)), 'EAGAIN')
  })

  t.test('they unmount in any order', async (t) => {
    const ends: Promise<number | string>[] = []
    for (const node of shuffled(cluster.nodes)) {
      ends.push(node.unmount())
      await sleep(200)
    }
    t.strictSame(await Promise.all(ends), [0, 0, 0, 0, 0])
    await cluster.fsck()
  })

  t.test('and find everything again, started all at once', async (t) => {
    await cluster.all((node) => node.mount())
    t.equal((await cluster.node(2).driver().sys.list('many')).length, NODES * FILES_EACH)
  })
})
