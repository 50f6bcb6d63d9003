/**
 * Nodes whose link is cut, and is there again. What goes on, what fails or waits, and that in the end nothing is lost,
 * nothing done twice, and nobody has to mount again. As root.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { O_RDWR } from './constants.js'
import { type Calls, callsBy, type Driver, errnoOf } from './driver.js'
import { until } from './harness.js'
import { SpaceCluster, type SpaceNode } from './spaces.js'
import { runStorms, STORMS } from './storms.js'

const FILES = 40
const LOCK_EX = 2
const SECONDS = 2
/** Of a call that fails after `timeo`, and after it has been noticed that a node is away. */
const LIMIT_MS = 40_000
/** One cut that is over before anybody takes notice, and one that is not. */
const CUTS_MS = [1000, 8000]

interface Scene {
  readonly cluster: SpaceCluster
  readonly alive: SpaceNode
  /** It does not have the root directory. */
  readonly victim: SpaceNode
}

async function start(t: Test, options: string): Promise<Scene> {
  const cluster = await SpaceCluster.start(t, 3, `chunk=64KiB,${options}`)
  const ofRoot = await cluster.ownerOf(1)
  const victim = cluster.nodes.find((node) => node !== ofRoot) as SpaceNode
  const alive = cluster.nodes.find((node) => node !== victim && node !== ofRoot) as SpaceNode
  return { cluster, alive, victim }
}

const limited = (driver: Driver): Calls => callsBy((name, args) => driver.call(name, args, LIMIT_MS))

t.test('soft: what lies there is EIO, everything else goes on, and with the link all is back', async (t) => {
  const { cluster, alive, victim } = await start(t, 'timeo=3')
  const outside = limited(alive.driver())
  const inside = limited(victim.driver())
  await outside.mkdir('d')
  for (let index = 0; index < FILES; index++) await outside.put(`d/f${index}`, `file ${index}`)
  const everywhere = cluster.nodes.map((node) => limited(node.driver()))
  // They go into the mount now: its root may be out of reach for a moment longer than what is waited for below.
  for (const sys of everywhere) t.equal((await sys.list('d')).length, FILES)
  const [there, here] = [await cluster.fileOn(victim), await cluster.fileOn(alive)]
  const seen = { there: await outside.open(there, O_RDWR), here: await outside.open(here, O_RDWR) }
  const cutOff = { there: await inside.open(there, O_RDWR), here: await inside.open(here, O_RDWR) }
  const locked = await inside.open(here, O_RDWR)
  await inside.flock(locked, LOCK_EX)
  await cluster.cut(victim)
  const next = alive.driver()
  const taken = errnoOf(next.call('flock', [await next.sys.open(here, O_RDWR), LOCK_EX], LIMIT_MS))
  t.equal(await errnoOf(outside.pwrite(seen.there, 'lost', 0)), 'EIO')
  t.equal(await errnoOf(outside.pwrite(seen.here, 'outside', 0)), 'ok')
  t.equal(await errnoOf(outside.list('d')), 'EIO', 'a listing never comes out short')
  t.equal(await errnoOf(inside.pwrite(cutOff.here, 'lost', 0)), 'EIO')
  t.equal(await errnoOf(inside.pwrite(cutOff.there, 'inside', 0)), 'ok', 'a node that is alone serves what it has')
  t.equal(await inside.pread(cutOff.there, 10, 0), 'inside')
  t.equal(await errnoOf(inside.list('d')), 'EIO')
  const outcomes = await Promise.all(
    Array.from({ length: FILES }, (_, index) => errnoOf(limited(alive.driver()).stat(`d/f${index}`))),
  )
  t.strictSame(
    [...new Set(outcomes)].filter((outcome) => outcome !== 'ok' && outcome !== 'EIO'),
    [],
  )
  t.equal(await taken, 'ok', 'its lock goes to the next')
  await cluster.mend(victim)
  t.equal(await errnoOf(inside.pread(locked, 1, 0)), 'EIO', 'and it knows that it has lost it')
  await until(async () => (await errnoOf(outside.pread(seen.there, 1, 0))) === 'ok', 'it is there again')
  await until(async () => (await errnoOf(inside.pread(cutOff.here, 1, 0))) === 'ok', 'and so are the others for it')
  t.equal(await outside.pread(seen.there, 10, 0), 'inside', 'what failed was not done')
  t.equal(await inside.pread(cutOff.here, 10, 0), 'outside')
  for (const sys of everywhere) {
    await until(async () => (await errnoOf(sys.list('d'))) === 'ok', 'a listing')
    t.equal((await sys.list('d')).length, FILES)
    for (let index = 0; index < FILES; index++) t.equal(await sys.readAll(`d/f${index}`), `file ${index}`)
  }
})

t.test('hard: calls wait, can be killed, and all is done once', async (t) => {
  const { cluster, alive, victim } = await start(t, 'hard')

  await t.test('who waits can be killed', async (t) => {
    const there = await cluster.fileOn(victim)
    const drivers = Array.from({ length: 6 }, () => alive.driver())
    const files = await Promise.all(drivers.map(({ sys }) => sys.open(there, O_RDWR)))
    await cluster.cut(victim)
    const calls = drivers.map(({ sys }, index) =>
      errnoOf(index % 2 === 0 ? sys.pread(files[index] as number, 1, 0) : sys.stat(there)).catch(() => 'ended'),
    )
    await sleep(2000)
    const pids = await Promise.all(drivers.map(({ pid }) => pid))
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    t.strictSame([...new Set(await Promise.all(calls))], ['ended'])
    for (const pid of pids) await until(() => !isThere(pid), 'nobody hangs in the kernel')
    await cluster.mend(victim)
  })

  for (const ms of CUTS_MS) {
    await t.test(`crowds on all nodes, and ${ms} ms without the link`, async (t) => {
      const trouble = async (): Promise<void> => {
        await cluster.cut(victim)
        await sleep(ms)
        await cluster.mend(victim)
      }
      await runStorms(t, cluster.nodes, Object.keys(STORMS), { seconds: SECONDS, trouble })
    })
  }
})

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
