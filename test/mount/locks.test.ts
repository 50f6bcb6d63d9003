/** Advisory locks between processes, and signals: with the kernel keeping them, and with us keeping them. */
import t from 'tap'
import { O_CREAT, O_RDWR } from './constants.js'
import { type Calls, type Driver, errnoOf } from './driver.js'
import { TestMount, until } from './harness.js'

const [LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN] = [1, 2, 4, 8]

/** What comes of a call, as far as it has come. */
function watch<T>(call: Promise<T>): { outcome: string | undefined; call: Promise<unknown> } {
  const watched: { outcome: string | undefined; call: Promise<unknown> } = { outcome: undefined, call }
  watched.call = errnoOf(call)
    .catch(() => 'the process has ended')
    .then((outcome) => {
      watched.outcome = outcome
    })
  return watched
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const passes: Record<string, Record<string, string>> = {
  'locks kept by the kernel': {},
  'locks kept by the node': { CHFS_TEST_KEEPER: 'node' },
  'locks kept by the node, protocol 7.34': { CHFS_TEST_KEEPER: 'node', CHFS_TEST_FUSE_MINOR: '34' },
}

for (const [pass, environment] of Object.entries(passes)) {
  t.test(pass, async (t) => {
    const mount = await TestMount.start(t, { environment })
    let file = 0

    /** Some processes with the same new file open. */
    const open = async (count: number): Promise<{ driver: Driver; sys: Calls; fd: number }[]> => {
      const name = `f${++file}`
      const openers = Array.from({ length: count }, () => mount.driver())
      return await Promise.all(
        openers.map(async (driver) => ({ driver, sys: driver.sys, fd: await driver.sys.open(name, O_RDWR | O_CREAT) })),
      )
    }
    type Opened = Awaited<ReturnType<typeof open>>
    const pair = async (): Promise<[Opened[0] & object, Opened[0] & object]> => {
      const [a, b] = await open(2)
      return [a as NonNullable<typeof a>, b as NonNullable<typeof b>]
    }

    t.test('ranges are split and merged', async (t) => {
      const [a, b] = await pair()
      const held = async (start: number, length: number): Promise<string> => {
        const found = await b.sys.lock(b.fd, 'get', 'write', start, length)
        return found === null ? 'free' : `${found[0]} ${found[1]}+${found[2]}`
      }
      await a.sys.lock(a.fd, 'set', 'write', 0, 100)
      t.equal(await held(50, 1), 'write 0+100')
      await a.sys.lock(a.fd, 'set', 'unlock', 40, 20)
      t.equal(await held(40, 20), 'free')
      t.equal(await held(0, 50), 'write 0+40')
      t.equal(await held(45, 50), 'write 60+40')
      await a.sys.lock(a.fd, 'set', 'read', 20, 60)
      t.equal(await held(0, 10), 'write 0+20')
      t.equal(await held(20, 1), 'read 20+60')
      t.equal(await held(80, 1), 'write 80+20')
      await a.sys.lock(a.fd, 'set', 'write', 0, 80)
      t.equal(await held(0, 1), 'write 0+100', 'joined again')
      await a.sys.lock(a.fd, 'set', 'write', 1000, 0)
      t.equal(await held(2 ** 40, 1), 'write 1000+0', 'to the end of the file, wherever that is')
      t.equal(await held(100, 900), 'free')
      const [, , , pid] = (await b.sys.lock(b.fd, 'get', 'write', 0, 1)) as [string, number, number, number]
      t.equal(pid, await a.driver.pid)
      t.equal(await a.sys.lock(a.fd, 'get', 'write', 0, 0), null, 'own locks are in nobody’s way')
    })

    t.test('readers share, writers do not', async (t) => {
      const [a, b] = await pair()
      await a.sys.lock(a.fd, 'set', 'read', 0, 10)
      t.equal(await errnoOf(b.sys.lock(b.fd, 'set', 'read', 5, 10)), 'ok')
      t.equal(await errnoOf(b.sys.lock(b.fd, 'set', 'write', 9, 10)), 'EAGAIN')
      t.equal(await errnoOf(b.sys.lock(b.fd, 'set', 'write', 10, 10)), 'ok')
      t.equal(await errnoOf(a.sys.lock(a.fd, 'set', 'write', 0, 10)), 'EAGAIN')
      await b.sys.lock(b.fd, 'set', 'unlock', 0, 0)
      t.equal(await errnoOf(a.sys.lock(a.fd, 'set', 'write', 0, 10)), 'ok')
    })

    t.test('a waiting process gets its lock when the other lets go', async (t) => {
      for (const how of ['unlock', 'close', 'another descriptor closed', 'death'] as const) {
        const [a, b] = await pair()
        const second = how === 'another descriptor closed' ? await a.sys.open(`f${file}`, O_RDWR) : 0
        await a.sys.lock(a.fd, 'set', 'write', 10, 10)
        const waiting = watch(b.sys.lock(b.fd, 'wait', 'write', 0, 0))
        await sleep(50)
        t.equal(waiting.outcome, undefined, `${how}: waits`)
        if (how === 'unlock') await a.sys.lock(a.fd, 'set', 'unlock', 0, 0)
        else if (how === 'close') await a.sys.close(a.fd)
        else if (how === 'death') await a.driver.kill()
        else await a.sys.close(second)
        await until(() => waiting.outcome !== undefined, `the lock after ${how}`)
        t.equal(waiting.outcome, 'ok', how)
      }
    })

    t.test('a circle of waits is EDEADLK', async (t) => {
      const [a, b, c] = (await open(3)) as [Opened[0] & object, Opened[0] & object, Opened[0] & object]
      await a.sys.lock(a.fd, 'set', 'write', 0, 1)
      await b.sys.lock(b.fd, 'set', 'write', 1, 1)
      await c.sys.lock(c.fd, 'set', 'write', 2, 1)
      const first = watch(a.sys.lock(a.fd, 'wait', 'write', 1, 1))
      const second = watch(b.sys.lock(b.fd, 'wait', 'write', 2, 1))
      await sleep(100)
      t.equal(await errnoOf(c.sys.lock(c.fd, 'wait', 'write', 0, 1)), 'EDEADLK')
      await c.sys.lock(c.fd, 'set', 'unlock', 0, 0)
      await until(() => second.outcome === 'ok', 'the second lock')
      t.equal(first.outcome, undefined)
      await b.sys.lock(b.fd, 'set', 'unlock', 0, 0)
      await until(() => first.outcome === 'ok', 'the first lock')
    })

    t.test('locks of open file descriptions', async (t) => {
      const [a, b] = await pair()
      await a.sys.lock(a.fd, 'set', 'write', 0, 10, true)
      t.equal(await errnoOf(b.sys.lock(b.fd, 'set', 'write', 0, 10, true)), 'EAGAIN')
      t.equal(await errnoOf(b.sys.lock(b.fd, 'set', 'write', 5, 10)), 'EAGAIN', 'also in the way of record locks')
      const second = await a.sys.open(`f${file}`, O_RDWR)
      t.equal(await errnoOf(a.sys.lock(second, 'set', 'write', 0, 10, true)), 'EAGAIN', 'even of the same process')
      await a.sys.close(second)
      t.equal(await errnoOf(b.sys.lock(b.fd, 'set', 'write', 0, 10, true)), 'EAGAIN', 'another close leaves it')
      const waiting = watch(b.sys.lock(b.fd, 'wait', 'write', 0, 10, true))
      await sleep(50)
      t.equal(waiting.outcome, undefined)
      await a.sys.close(a.fd)
      await until(() => waiting.outcome === 'ok', 'the lock of the other')
    })

    t.test('flock', async (t) => {
      const [a, b] = await pair()
      await a.sys.flock(a.fd, LOCK_SH)
      t.equal(await errnoOf(b.sys.flock(b.fd, LOCK_SH | LOCK_NB)), 'ok')
      t.equal(await errnoOf(b.sys.flock(b.fd, LOCK_EX | LOCK_NB)), 'EAGAIN')
      t.equal(await errnoOf(b.sys.lock(b.fd, 'set', 'write', 0, 0)), 'ok', 'record locks are others')
      await b.sys.flock(b.fd, LOCK_UN)
      await a.sys.flock(a.fd, LOCK_EX)
      for (const how of ['unlock', 'close', 'death']) {
        const waiting = watch(b.sys.flock(b.fd, LOCK_EX))
        await sleep(50)
        t.equal(waiting.outcome, undefined, `${how}: waits`)
        if (how === 'unlock') await a.sys.flock(a.fd, LOCK_UN)
        else if (how === 'close') await a.sys.close(a.fd)
        else await a.driver.kill()
        await until(() => waiting.outcome !== undefined, `the lock after ${how}`)
        t.equal(waiting.outcome, 'ok')
        await b.sys.flock(b.fd, LOCK_UN)
        if (how === 'close') a.fd = await a.sys.open(`f${file}`, O_RDWR)
        if (how !== 'death') await a.sys.flock(a.fd, LOCK_EX)
      }
    })

    t.test('a signal ends the wait for a lock, and nothing else', async (t) => {
      const [a, b] = await pair()
      await a.sys.lock(a.fd, 'set', 'write', 0, 0)
      t.equal(await errnoOf(b.sys.waitWithSignals(b.fd, 'write', 0.1)), 'EINTR')
      t.equal(await errnoOf(b.sys.lock(b.fd, 'set', 'write', 0, 0)), 'EAGAIN')
      const waiting = watch(b.sys.lock(b.fd, 'wait', 'write', 0, 0))
      await sleep(50)
      await b.driver.kill()
      await waiting.call
      const third = mount.driver().sys
      const fd = await third.open(`f${file}`, O_RDWR)
      await a.sys.lock(a.fd, 'set', 'unlock', 0, 0)
      t.equal(await errnoOf(third.lock(fd, 'set', 'write', 0, 0)), 'ok', 'one who died while waiting holds nothing')
    })

    t.test('a storm of signals never interrupts open, mkdir, write or unlink', async (t) => {
      const { sys } = mount.driver()
      await sys.mkdir('storm')
      t.strictSame(await sys.alarmStorm('storm', 1000), {})
      t.strictSame(await sys.list('storm'), [])
    })
  })
}
