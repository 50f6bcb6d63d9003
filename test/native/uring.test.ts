import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { addon } from '../../lib/native/addon.js'
import { MappedPool } from '../../lib/native/pool.js'
import { FSYNC_DATASYNC, IOSQE_ASYNC, Ring } from '../../lib/native/uring.js'
import type { Done } from '../../lib/ports.js'

const { EBADF } = constants.errno

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const directory = mkdtempSync('/dev/shm/chfs-test-')
t.teardown(() => rmSync(directory, { recursive: true }))
const path = join(directory, 'file')
const pool = new MappedPool({ count: 16, payloadBytes: 131072 })
const at = pool.acquire() * pool.stride + 4096

function result(start: (done: Done) => void): Promise<number> {
  return new Promise(start)
}

function close(ring: Ring): Promise<void> {
  return new Promise((resolve) => ring.close(resolve))
}

t.test('a write, its sync, and reading it back', async (t) => {
  const ring = new Ring(pool, 8)
  const file = openSync(path, 'w+')
  pool.memory.fill(0x61, at, at + 10000)
  t.equal(await result((done) => ring.write(file, at, 10000, 0, 0, done)), 10000)
  t.equal(await result((done) => ring.fsync(file, FSYNC_DATASYNC, done)), 0)
  t.equal(await result((done) => ring.fsync(file, 0, done)), 0)
  t.equal(readFileSync(path, 'latin1'), 'a'.repeat(10000))
  pool.memory.fill(0, at, at + 10000)
  t.equal(await result((done) => ring.read(file, at, 131072, 9000, IOSQE_ASYNC, done)), 1000, 'short at the end')
  t.equal(Buffer.from(pool.memory.subarray(at, at + 1001)).toString('latin1'), `${'a'.repeat(1000)}\0`)
  t.equal(await result((done) => ring.read(file, at, 100, 10000, 0, done)), 0, 'nothing beyond it')
  closeSync(file)
  await close(ring)
})

t.test('offsets and lengths beyond 32 bits', async (t) => {
  const ring = new Ring(pool, 8)
  const file = openSync(path, 'w+')
  const far = 5 * 2 ** 32 + 4096
  pool.memory.fill(0x62, at, at + 10)
  t.equal(await result((done) => ring.write(file, at, 10, far, 0, done)), 10)
  t.equal(statSync(path).size, far + 10)
  pool.memory.fill(0, at, at + 10)
  t.equal(await result((done) => ring.read(file, at, 10, far, 0, done)), 10)
  t.equal(pool.memory[at + 9], 0x62)
  t.equal(await result((done) => ring.fallocate(file, 3, 0, far + 4096, done)), 0, 'a hole of 20 GiB')
  t.equal(await result((done) => ring.read(file, at, 10, far, 0, done)), 10)
  t.equal(pool.memory[at + 9], 0)
  closeSync(file)
  await close(ring)
})

t.test('an error is a negative errno and does not hold up those behind it', async (t) => {
  const ring = new Ring(pool, 8)
  const file = openSync(path, 'w+')
  const results = await Promise.all([
    result((done) => ring.read(-1, at, 10, 0, 0, done)),
    result((done) => ring.write(file, at, 10, 0, 0, done)),
    result((done) => ring.fsync(9999, 0, done)),
    result((done) => ring.write(file, at, 20, 0, 0, done)),
  ])
  t.strictSame(results, [-EBADF, 10, -EBADF, 20])
  closeSync(file)
  await close(ring)
})

t.test('a thousand in flight, far more than the ring has entries', async (t) => {
  const ring = new Ring(pool, 16)
  writeFileSync(path, Buffer.from(Array.from({ length: 1000 }, (_, index) => index & 255)))
  const file = openSync(path, 'r')
  const order: number[] = []
  const all = Array.from({ length: 1000 }, (_, index) =>
    result((done) => ring.read(file, at + index, 1, index, index % 3 === 0 ? IOSQE_ASYNC : 0, done)).then((read) => {
      order.push(index)
      return read
    }),
  )
  t.equal(ring.inFlight, 1000)
  collectGarbage()
  t.strictSame(await Promise.all(all), new Array(1000).fill(1))
  t.equal(new Set(order).size, 1000, 'each calls back once')
  t.ok(pool.memory.subarray(at, at + 1000).every((byte, index) => byte === (index & 255)))
  t.equal(ring.inFlight, 0)
  closeSync(file)
  await close(ring)
})

t.test('nobody is called back inside of submitting', async (t) => {
  const ring = new Ring(pool, 4)
  const file = openSync(path, 'r')
  let called = 0
  const finished = new Promise<void>((resolve) => {
    for (let index = 0; index < 20; index++) {
      ring.read(file, at, 1, 0, 0, () => {
        if (++called === 20) resolve()
      })
    }
  })
  ring.submit()
  t.equal(called, 0)
  await finished
  closeSync(file)
  await close(ring)
})

t.test('completions may start operations', async (t) => {
  const ring = new Ring(pool, 4)
  const file = openSync(path, 'r')
  let left = 500
  await new Promise<void>((resolve) => {
    const next = (): void => {
      if (left-- === 0) resolve()
      else ring.read(file, at, 1, 0, 0, next)
    }
    next()
  })
  t.equal(left, -1)
  closeSync(file)
  await close(ring)
})

t.test('closing waits for what is in flight, and then takes nothing', async (t) => {
  const ring = new Ring(pool, 4)
  const file = openSync(path, 'w+')
  let written = 0
  for (let index = 0; index < 50; index++) {
    ring.write(file, at, 4096, index * 4096, IOSQE_ASYNC, () => {
      written++
    })
  }
  await close(ring)
  t.equal(written, 50)
  t.throws(() => ring.read(file, at, 1, 0, 0, () => undefined), /closed/)
  ring.submit()
  t.equal(ring.inFlight, 0)
  closeSync(file)
})

t.test('what is in flight may go on while the ring closes', async (t) => {
  const ring = new Ring(pool, 4)
  const file = openSync(path, 'w+')
  let result = 0
  ring.write(file, at, 4096, 0, IOSQE_ASYNC, () => {
    ring.write(file, at, 100, 4096, IOSQE_ASYNC, (wrote) => {
      result = wrote
    })
  })
  await close(ring)
  t.equal(result, 100)
  closeSync(file)
})

t.test('the native ring closed with operations in flight', async (t) => {
  const native = new addon.Uring(pool.native, { entries: 8 }, () => t.fail('nobody is called any more'))
  const file = openSync(path, 'w+')
  for (let index = 0; index < 8; index++) native.descriptors.set([2, IOSQE_ASYNC, file, index, at, 4096], index * 16)
  native.pending[0] = 8
  native.submit()
  native.close()
  native.close()
  native.arm()
  native.submit()
  t.equal(statSync(path).size, 4096, 'what was submitted has happened')
  closeSync(file)
  await new Promise((resolve) => setTimeout(resolve, 20))
})

t.test('what the constructor refuses', async (t) => {
  for (const entries of [0, 5000]) t.throws(() => new Ring(pool, entries), RangeError)
})
