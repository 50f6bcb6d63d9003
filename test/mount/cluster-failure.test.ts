/** A node that dies, stands still or comes back: the others go on, nothing is lost, and nothing is hidden. */
import { rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import { TestCluster } from './cluster.js'
import { type Calls, errnoOf } from './driver.js'
import type { TestMount } from './harness.js'

const FILES = 60
const names = Array.from({ length: FILES }, (_, index) => `f${index}`)
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Which files can be looked at, as "ok" or an errno, by name. */
async function look(sys: Calls): Promise<Map<string, string>> {
  const outcomes = await Promise.all(names.map(async (name) => [name, await errnoOf(sys.stat(`d/${name}`))] as const))
  return new Map(outcomes)
}

async function populated(t: Test, options: readonly string[]): Promise<[TestCluster, TestMount, TestMount]> {
  const cluster = await TestCluster.start(t, 3, { options: ['chunk=64KiB', ...options], mayFail: true })
  const { sys } = cluster.node(0).driver()
  await sys.mkdir('d')
  for (const name of names) await sys.put(`d/${name}`, `${name} `.repeat(20))
  return [cluster, cluster.node(0), cluster.node(2)]
}

t.test('killed: its share is EIO after timeo, never ENOENT and never a short listing; then all is there', async (t) => {
  const [cluster, alive, victim] = await populated(t, ['timeo=2'])
  const drivers = names.map(() => alive.driver())
  await victim.kill()
  const outcomes = await Promise.all(
    drivers.map(async ({ sys }, index) => await errnoOf(sys.stat(`d/${names[index]}`))),
  )
  t.strictSame([...new Set(outcomes)].sort(), ['EIO', 'ok'], 'some lie with it, and some do not')
  t.equal(await errnoOf(alive.driver().sys.list('d')), 'EIO')
  await victim.mount()
  const { sys } = alive.driver()
  t.strictSame([...new Set((await look(sys)).values())], ['ok'])
  t.equal((await sys.list('d')).length, FILES)
  for (const name of names) t.equal(await victim.driver().sys.readAll(`d/${name}`), `${name} `.repeat(20))
  await cluster.all(async (node) => t.equal((await node.driver().sys.list('d')).length, FILES))
})

t.test('killed and back in time: calls have waited, and are answered', async (t) => {
  const [, alive, victim] = await populated(t, ['timeo=30'])
  const writers = names.map((name) => [alive.driver().sys, name] as const)
  await victim.kill()
  const writes = writers.map(async ([sys, name]) => await errnoOf(sys.put(`d/${name}.new`, name)))
  await sleep(500)
  await victim.mount()
  t.strictSame([...new Set(await Promise.all(writes))], ['ok'])
  const { sys } = victim.driver()
  for (const name of names) t.equal(await sys.readAll(`d/${name}.new`), name)
  t.equal((await sys.list('d')).length, 2 * FILES)
})

t.test('stopped, and going on', async (t) => {
  const [, alive, victim] = await populated(t, ['timeo=30'])
  process.kill(victim.pid, 'SIGSTOP')
  const writers = names.map((name) => [alive.driver().sys, name] as const)
  const writes = writers.map(async ([sys, name]) => await errnoOf(sys.put(`d/${name}`, `after ${name}`)))
  await sleep(8000)
  process.kill(victim.pid, 'SIGCONT')
  t.strictSame([...new Set(await Promise.all(writes))], ['ok'])
  for (const name of names) t.equal(await victim.driver().sys.readAll(`d/${name}`), `after ${name}`)
})

t.test('a process that waits for a dead node can be killed', async (t) => {
  const [, alive, victim] = await populated(t, ['hard'])
  const drivers = names.map(() => alive.driver())
  const pids = await Promise.all(drivers.map(({ pid }) => pid))
  await victim.kill()
  const calls = drivers.map(async ({ sys }, index) => await errnoOf(sys.stat(`d/${names[index]}`)).catch(() => 'ended'))
  await sleep(500)
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  const outcomes = new Set(await Promise.all(calls))
  t.ok(outcomes.has('ended'))
  const isGone = async (pid: number): Promise<boolean> => {
    for (let attempt = 0; attempt < 100; attempt++) {
      try {
        process.kill(pid, 0)
      } catch {
        return true
      }
      await sleep(100)
    }
    return false
  }
  for (const pid of pids) t.ok(await isGone(pid), 'nobody hangs in the kernel')
  await victim.mount()
})

t.test('back with an empty store: refused, and the others say so', async (t) => {
  const [, alive, victim] = await populated(t, ['timeo=2', 'wait=5'])
  await victim.kill()
  rmSync(victim.store, { recursive: true })
  await t.rejects(victim.mount())
  t.equal(await errnoOf(alive.driver().sys.list('d')), 'EIO')
})
