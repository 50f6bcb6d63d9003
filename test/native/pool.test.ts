import { execFile } from 'node:child_process'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { addon } from '../../lib/native/addon.js'
import { MappedPool } from '../../lib/native/pool.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const POOL_MODULE = new URL('../../lib/native/pool.js', import.meta.url).href

/** Runs a script with a pool of eight slots in a process of its own; its signal and standard error. */
function inChild(script: string): Promise<{ signal: string | undefined; stderr: string }> {
  const source = `import { MappedPool } from '${POOL_MODULE}'
    const pool = new MappedPool({ count: 8, payloadBytes: 8192 }); ${script}`
  return new Promise((resolve) => {
    // Without a core file: an abort is what is expected.
    const shell = ['-c', 'ulimit -c 0; exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', source]
    execFile('sh', shell, (error, _stdout, stderr) => {
      resolve({ signal: (error as { signal?: string } | null)?.signal ?? undefined, stderr })
    })
  })
}

t.test('the layout', async (t) => {
  const pool = new MappedPool({ count: 8, payloadBytes: 8192 })
  t.equal(pool.stride, 4096 + 8192)
  t.equal(pool.memory.length, 8 * pool.stride)
  t.equal(pool.words.length * 4, pool.memory.length)
  pool.words[1024] = 0x04030201
  t.strictSame([...pool.memory.subarray(4096, 4100)], [1, 2, 3, 4], 'words are little-endian')
  t.equal(pool.native.memory, pool.native.memory, 'there is one array buffer')
})

t.test('slots come back last in, first out', async (t) => {
  const pool = new MappedPool({ count: 8, payloadBytes: 8192 })
  t.strictSame([pool.acquire(), pool.acquire(), pool.acquire()], [0, 1, 2])
  pool.release(0)
  pool.release(2)
  t.strictSame([pool.acquire(), pool.acquire(), pool.acquire()], [2, 0, 3])
})

t.test('four slots are out of reach, for the reading of requests', async (t) => {
  const pool = new MappedPool({ count: 8, payloadBytes: 8192 })
  const slots = [pool.acquire(), pool.acquire(), pool.acquire(), pool.acquire()]
  t.strictSame(slots, [0, 1, 2, 3])
  t.equal(pool.acquire(), -1)
  t.equal(pool.acquire(), -1)
  pool.release(1)
  t.equal(pool.acquire(), 1)
  t.equal(new MappedPool({ count: 4, payloadBytes: 8192 }).acquire(), -1)
})

t.test('slots for peers and for clients never lend to each other', async (t) => {
  const pool = new MappedPool({ count: 8, payloadBytes: 8192, forPeers: 2 })
  t.strictSame([pool.acquireForPeer(), pool.acquireForPeer(), pool.acquireForPeer()], [6, 7, -1])
  t.strictSame([pool.acquire(), pool.acquire(), pool.acquire()], [0, 1, -1])
  pool.release(6)
  t.equal(pool.acquire(), -1)
  t.equal(pool.acquireForPeer(), 6)
  pool.release(1)
  t.equal(pool.acquireForPeer(), -1)
  t.equal(pool.acquire(), 1)
  t.equal(new MappedPool({ count: 8, payloadBytes: 8192 }).acquireForPeer(), -1, 'there are none unless asked for')
})

t.test('the memory outlives the pool', async (t) => {
  const memory = (() => {
    const pool = new MappedPool({ count: 8, payloadBytes: 8192 })
    return pool.memory
  })()
  for (let round = 0; round < 5; round++) {
    collectGarbage()
    await new Promise((resolve) => setImmediate(resolve))
  }
  memory.fill(7)
  t.equal(memory[memory.length - 1], 7)
})

t.test('memory grows with use only', async (t) => {
  const before = process.memoryUsage().rss
  const pool = new MappedPool({ count: 256, payloadBytes: 1048576 })
  const grown = process.memoryUsage().rss - before
  t.ok(grown < 16 * 1048576, `${grown} bytes`)
  t.equal(pool.acquire(), 0)
})

t.test('what the constructor refuses', async (t) => {
  for (const options of [
    { count: 0, payloadBytes: 8192 },
    { count: 8, payloadBytes: 4096 },
    { count: 8, payloadBytes: 10000 },
    { count: 5000, payloadBytes: 1048576 },
  ]) {
    t.throws(() => new MappedPool(options), RangeError)
  }
  t.throws(() => new (addon.BufferPool as unknown as new () => unknown)(), TypeError)
  for (const impostor of [{}, null, 7, new Uint8Array(8)]) {
    t.throws(() => new addon.Files(impostor as never), TypeError, 'a device wants a true pool')
    t.throws(() => new addon.Uring(impostor as never, { entries: 8 }, () => undefined), TypeError)
    t.throws(() => new addon.FuseSession(impostor as never, 0, () => undefined), TypeError)
  }
})

t.test('a broken invariant aborts', async (t) => {
  t.match(await inChild('const slot = pool.acquire(); pool.release(slot); pool.release(slot)'), {
    signal: 'SIGABRT',
    stderr: /broken invariant: a slot is released once/,
  })
  t.match(await inChild('pool.release(8)'), { signal: 'SIGABRT', stderr: /lies in the pool/ })
  t.match(await inChild('pool.release(-1)'), { signal: 'SIGABRT', stderr: /lies in the pool/ })
  t.match(await inChild('pool.release(pool.acquire())'), { signal: undefined, stderr: '' })
})
