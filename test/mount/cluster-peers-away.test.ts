/**
 * What other parallel file systems get wrong when one of their nodes dies, a case each; test/README.md lists them all,
 * with those that cluster-failure.test.ts shows.
 */
import t, { type Test } from 'tap'
import { TestCluster } from './cluster.js'
import { O_CREAT, O_EXCL, O_RDWR, O_WRONLY } from './constants.js'
import { type Calls, callsBy, type Driver, errnoOf } from './driver.js'
import type { TestMount } from './harness.js'

const CHUNK = 64 * 1024
const CHUNKS = 24
const NEW = O_WRONLY | O_CREAT | O_EXCL
/** Of a call that is to fail after `timeo`, which is 2 s: MooseFS needs 31 s and more for one. */
const LIMIT_MS = 20_000

interface Scene {
  readonly cluster: TestCluster
  readonly alive: TestMount
  /** It does not have the root directory. */
  readonly victim: TestMount
}

async function start(t: Test, count: number, timeo = 2): Promise<Scene> {
  const cluster = await TestCluster.start(t, count, { options: ['chunk=64KiB', `timeo=${timeo}`], mayFail: true })
  const ofRoot = await cluster.ownerOf(1)
  const victim = cluster.nodes.find((node) => node !== ofRoot) as TestMount
  const alive = cluster.nodes.find((node) => node !== victim) as TestMount
  return { cluster, alive, victim }
}

/** Calls that may not take longer than that. */
const limited = (driver: Driver): Calls => callsBy((name, args) => driver.call(name, args, LIMIT_MS))

/** The outcome for each chunk, each in a process of its own. */
async function ofChunks(mount: TestMount, call: (sys: Calls, chunk: number) => Promise<unknown>): Promise<string[]> {
  const drivers = Array.from({ length: CHUNKS }, () => mount.driver())
  const outcomes = await Promise.all(drivers.map((driver, chunk) => errnoOf(call(limited(driver), chunk))))
  for (const driver of drivers) driver.end()
  return outcomes
}

const content = (chunk: number, round: number): string => `${chunk} ${round} `.repeat(2000)

t.test('CHFS: after the death of one of two servers a mount hangs, and never recovers', async (t) => {
  const { cluster, alive, victim } = await start(t, 2)
  const sys = limited(alive.driver())
  const [mine, theirs] = [await cluster.fileOn(alive, sys), await cluster.fileOn(victim, sys)]
  const [open, lost] = [await sys.open(mine, O_RDWR), await sys.open(theirs, O_RDWR)]
  await sys.pwrite(lost, 'before', 0)
  await victim.kill()
  for (let round = 0; round < 3; round++) {
    t.equal(await errnoOf(sys.pwrite(open, `alone ${round}`, 0)), 'ok', 'what lies here goes on')
    t.equal(await errnoOf(sys.pwrite(lost, 'x', 0)), 'EIO')
  }
  t.equal(await sys.readAll(mine), 'alone 2')
  await victim.mount()
  t.equal(await sys.pread(lost, 10, 0), 'before', 'what was open goes on, with no other mount')
  t.equal(await errnoOf(sys.pwrite(lost, 'behind', 0)), 'ok')
  t.equal(await victim.driver().sys.readAll(theirs), 'behind')
  t.equal(await victim.driver().sys.readAll(mine), 'alone 2')
})

t.test('CHFS: files made during an outage vanish when the node returns', async (t) => {
  const { cluster, alive, victim } = await start(t, 3)
  const { sys } = alive.driver()
  // In one directory the kernel would let one wait for the other.
  const files = Array.from({ length: 40 }, (_, index) => `d${index}/file`)
  for (const path of files) await sys.mkdir(path.slice(0, -'/file'.length))
  const drivers = files.map(() => alive.driver())
  await Promise.all(drivers.map(({ pid }) => pid))
  await victim.kill()
  const outcomes = await Promise.all(
    drivers.map((driver, index) => errnoOf(limited(driver).put(files[index] as string, `file ${index}`, NEW))),
  )
  const made = outcomes.flatMap((outcome, index) => (outcome === 'ok' ? [index] : []))
  t.ok(made.length > 0, `${made.length} files could be made`)
  t.strictSame(
    [...new Set(outcomes)].filter((outcome) => outcome !== 'ok' && outcome !== 'EIO'),
    [],
  )
  await victim.mount()
  for (const node of cluster.nodes) {
    const { sys } = node.driver()
    for (const index of made) {
      t.strictSame(await sys.list(`d${index}`), ['file'])
      t.equal(await sys.readAll(files[index] as string), `file ${index}`)
    }
  }
})

t.test('MooseFS: reads and writes hang for half a minute and more, and then say ENXIO', async (t) => {
  const { cluster, alive, victim } = await start(t, 3)
  const { sys } = alive.driver()
  const path = await cluster.fileOn(alive, sys)
  await sys.fill(path, CHUNKS * CHUNK, 1)
  const read = (sys: Calls, chunk: number) => sys.same(path, chunk * CHUNK, CHUNK, 1)
  const write = async (sys: Calls, chunk: number) =>
    await sys.pwrite(await sys.open(path, O_RDWR), 'new', chunk * CHUNK)
  t.strictSame([...new Set(await ofChunks(alive, read))], ['ok'])
  await victim.kill()
  const reads = await ofChunks(alive, read)
  t.strictSame([...new Set(reads)].sort(), ['EIO', 'ok'], 'some chunks lie there, and some do not')
  t.strictSame(await ofChunks(alive, write), reads, 'and so with writing')
  await victim.mount()
  const seen = victim.driver().sys
  const fd = await seen.open(path)
  for (const [chunk, outcome] of reads.entries()) {
    if (outcome === 'ok') t.equal(await seen.pread(fd, 3, chunk * CHUNK), 'new')
    t.ok(await seen.same(path, chunk * CHUNK + 3, CHUNK - 3, 1))
  }
})

t.test('GlusterFS: ENOTCONN at once, and writes that were acknowledged after the death are lost', async (t) => {
  const { cluster, alive, victim } = await start(t, 3, 30)
  const drivers = Array.from({ length: CHUNKS }, () => alive.driver())
  const path = await cluster.fileOn(alive, alive.driver().sys)
  await alive.driver().sys.fill(path, CHUNKS * CHUNK, 1)
  await Promise.all(drivers.map(({ pid }) => pid))
  let isOver = false
  const acknowledged = await Promise.all([
    ...drivers.map((driver, chunk) => keepWriting(driver.sys, path, chunk, () => isOver)),
    (async () => {
      await victim.kill()
      await victim.mount()
      isOver = true
      return 0
    })(),
  ])
  for (const node of cluster.nodes) {
    const { sys } = node.driver()
    const fd = await sys.open(path)
    for (const [chunk, round] of acknowledged.slice(0, CHUNKS).entries()) {
      const expected = content(chunk, round)
      t.ok((await sys.pread(fd, expected.length, chunk * CHUNK)) === expected, `chunk ${chunk}, write ${round}`)
    }
  }
})

/** Writes the same chunk over and over; the number of the last write, all of which must go well. */
async function keepWriting(sys: Calls, path: string, chunk: number, isOver: () => boolean): Promise<number> {
  const fd = await sys.open(path, O_RDWR)
  for (let round = 1; ; round++) {
    await sys.pwrite(fd, content(chunk, round), chunk * CHUNK)
    if (isOver()) return round
  }
}
