/** A node that dies, stands still or comes back: the others go on, nothing is lost, and nothing is hidden. */
import { rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import { FENCE_MS } from '../../lib/node/leases.js'
import { TestCluster } from './cluster.js'
import { O_RDWR } from './constants.js'
import { type Calls, type Driver, errnoOf } from './driver.js'
import { type TestMount, until } from './harness.js'

const FILES = 60
const CHUNK = 64 * 1024
const CHUNKS = 30
const names = Array.from({ length: FILES }, (_, index) => `f${index}`)
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

interface Scene {
  readonly cluster: TestCluster
  readonly alive: TestMount
  /** It has neither the root directory nor {@link directory}: the way to all files leads past it. */
  readonly victim: TestMount
  readonly directory: string
}

/** Which files can be looked at, as "ok" or an errno. */
async function look(sys: Calls, directory: string): Promise<string[]> {
  const outcomes = await Promise.all(names.map(async (name) => await errnoOf(sys.stat(`${directory}/${name}`))))
  return [...new Set(outcomes)].sort()
}

async function populated(t: Test, options: readonly string[]): Promise<Scene> {
  const cluster = await TestCluster.start(t, 3, { options: ['chunk=64KiB', ...options], mayFail: true })
  const ofRoot = await cluster.ownerOf(1)
  const [victim, other] = cluster.nodes.filter((node) => node !== ofRoot) as [TestMount, TestMount]
  const { sys } = other.driver()
  for (let attempt = 0; ; attempt++) {
    const directory = `d${attempt}`
    await sys.mkdir(directory)
    if ((await cluster.ownerOf(await sys.inode(directory))) === victim) continue
    for (const name of names) await sys.put(`${directory}/${name}`, `${name} `.repeat(20))
    return { cluster, alive: other, victim, directory }
  }
}

/** Processes in the mount, all of them there: they begin by going into it. */
async function processes(mount: TestMount, count: number): Promise<Driver[]> {
  const drivers: Driver[] = []
  for (let made = 0; made < count; made++) {
    const driver = mount.driver()
    await driver.pid
    drivers.push(driver)
  }
  return drivers
}

t.test('killed: its share is EIO after timeo, never ENOENT and never a short listing; then all is there', async (t) => {
  const { cluster, alive, victim, directory } = await populated(t, ['timeo=2'])
  const drivers = await processes(alive, FILES)
  const [{ sys }] = drivers as [Driver]
  await victim.kill()
  const outcomes = await Promise.all(
    drivers.map(async (driver, index) => await errnoOf(driver.sys.stat(`${directory}/${names[index]}`))),
  )
  t.strictSame([...new Set(outcomes)].sort(), ['EIO', 'ok'], 'some lie with it, and some do not')
  t.equal(await errnoOf(sys.list(directory)), 'EIO')
  await victim.mount()
  t.strictSame(await look(sys, directory), ['ok'])
  t.equal((await sys.list(directory)).length, FILES)
  for (const name of names) t.equal(await victim.driver().sys.readAll(`${directory}/${name}`), `${name} `.repeat(20))
  await cluster.all(async (node) => t.equal((await node.driver().sys.list(directory)).length, FILES))
})

t.test('killed and back in time: calls have waited, and are answered', async (t) => {
  const { alive, victim, directory } = await populated(t, ['timeo=30'])
  const writers = await processes(alive, FILES)
  await victim.kill()
  const writes = writers.map(
    async ({ sys }, index) => await errnoOf(sys.put(`${directory}/${names[index]}.new`, names[index] as string)),
  )
  await sleep(500)
  await victim.mount()
  t.strictSame([...new Set(await Promise.all(writes))], ['ok'])
  const { sys } = victim.driver()
  for (const name of names) t.equal(await sys.readAll(`${directory}/${name}.new`), name)
  t.equal((await sys.list(directory)).length, 2 * FILES)
})

t.test('killed: what else is written to a file whose chunks lie there too goes on', async (t) => {
  const { cluster, alive, victim } = await populated(t, ['timeo=600'])
  const path = await cluster.fileOn(alive, alive.driver().sys)
  await alive.driver().sys.fill(path, CHUNKS * CHUNK)
  const writers = await processes(alive, CHUNKS)
  const files = await Promise.all(writers.map(({ sys }) => sys.open(path, O_RDWR)))
  await victim.kill()
  let written = 0
  const writes = writers.map(async ({ sys }, chunk) => {
    await sys.pwrite(files[chunk] as number, 'new', chunk * CHUNK)
    written++
  })
  await until(() => written > CHUNKS / 3, 'the writes of chunks that lie elsewhere')
  await sleep(500)
  t.ok(written < CHUNKS, `${written} writes of ${CHUNKS} have returned`)
  await victim.mount()
  await Promise.all(writes)
  const { sys } = victim.driver()
  const fd = await sys.open(path)
  for (const [chunk] of writers.entries()) t.equal(await sys.pread(fd, 3, chunk * CHUNK), 'new')
})

t.test('stopped, and going on', async (t) => {
  const { alive, victim, directory } = await populated(t, ['timeo=30'])
  const writers = await processes(alive, FILES)
  process.kill(victim.pid, 'SIGSTOP')
  const writes = writers.map(
    async ({ sys }, index) => await errnoOf(sys.put(`${directory}/${names[index]}`, `after ${names[index]}`)),
  )
  await sleep(8000)
  process.kill(victim.pid, 'SIGCONT')
  t.strictSame([...new Set(await Promise.all(writes))], ['ok'])
  for (const name of names) t.equal(await victim.driver().sys.readAll(`${directory}/${name}`), `after ${name}`)
})

t.test('stopped for longer than its lock lasts: nothing is read or written through it any more', async (t) => {
  const { cluster, alive, victim, directory } = await populated(t, ['timeo=60'])
  const [[holder], [other]] = (await Promise.all([processes(victim, 1), processes(alive, 1)])) as [[Driver], [Driver]]
  const path = await cluster.fileOn(alive, other.sys, directory)
  const [held, waited] = [await holder.sys.open(path, O_RDWR), await other.sys.open(path, O_RDWR)]
  await holder.sys.pwrite(held, 'mine', 0)
  await holder.sys.lock(held, 'set', 'write')
  process.kill(victim.pid, 'SIGSTOP')
  const started = Date.now()
  await other.call('lock', [waited, 'wait', 'write'], 60_000)
  t.ok(Date.now() - started > FENCE_MS, 'it got the lock, but not before the holder would have noticed')
  await other.sys.pwrite(waited, 'ours', 0)
  process.kill(victim.pid, 'SIGCONT')
  t.equal(await errnoOf(holder.sys.pwrite(held, 'late', 0)), 'EIO')
  t.equal(await other.sys.pread(waited, 9, 0), 'ours')
})

t.test('a process that waits for a dead node can be killed', async (t) => {
  const { alive, victim, directory } = await populated(t, ['hard'])
  const drivers = await processes(alive, FILES)
  const pids = await Promise.all(drivers.map(({ pid }) => pid))
  await victim.kill()
  const calls = drivers.map(async ({ sys }, index) => {
    return await errnoOf(sys.stat(`${directory}/${names[index]}`)).catch(() => 'ended')
  })
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
  const { alive, victim, directory } = await populated(t, ['timeo=2', 'wait=5'])
  const [{ sys }] = (await processes(alive, 1)) as [Driver]
  await victim.kill()
  rmSync(victim.store, { recursive: true })
  await t.rejects(victim.mount())
  t.equal(await errnoOf(sys.list(directory)), 'EIO')
})
