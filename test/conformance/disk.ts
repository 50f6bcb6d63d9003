/**
 * What every Disk promises. `make` gives a disk that is new and empty, over a pool of at least 16 slots of at least
 * 1 MiB, and how to take it down again.
 */
import { constants } from 'node:os'
import type { Test } from 'tap'
import { type BufferPool, type Disk, type Done, PENDING } from '../../lib/ports.js'

const { ENOENT, ENXIO } = constants.errno
const SEEK_DATA = 3
const SEEK_HOLE = 4
const KEEP_SIZE = 1
const PUNCH_HOLE = 2
const MIB = 1048576

export interface DiskUnderTest {
  disk: Disk
  pool: BufferPool
  end(): Promise<void>
}

class Bench {
  readonly disk: Disk
  readonly #pool: BufferPool
  readonly #at: number

  constructor({ disk, pool }: DiskUnderTest) {
    this.disk = disk
    this.#pool = pool
    this.#at = pool.acquire() * pool.stride + 4096
  }

  /** The result of an operation, and that it calls back once if and only if it was pending. */
  async run(operation: (done: Done) => number): Promise<number> {
    let calls = 0
    const result = await new Promise<number>((resolve) => {
      let returned = false
      const immediate = operation((late) => {
        if (!returned) throw new Error('called back before it returned')
        if (++calls > 1) throw new Error('called back twice')
        resolve(late)
      })
      returned = true
      if (immediate !== PENDING) resolve(immediate)
      if (immediate !== PENDING) calls++
    })
    return result
  }

  async write(file: number, text: Uint8Array, offset: number): Promise<number> {
    this.#pool.memory.set(text, this.#at)
    return await this.run((done) => this.disk.write(file, this.#at, text.length, offset, done))
  }

  /** The bytes read, or the errno. */
  async read(file: number, bytes: number, offset: number): Promise<Buffer | number> {
    this.#pool.memory.fill(0xee, this.#at, this.#at + bytes)
    const read = await this.run((done) => this.disk.read(file, this.#at, bytes, offset, done))
    return read < 0 ? read : Buffer.from(this.#pool.memory.subarray(this.#at, this.#at + read))
  }

  size(file: number): number {
    const out = { sizeBytes: 0, blocks: 0 }
    return this.disk.stat(file, out) === 0 ? out.sizeBytes : -1
  }
}

function pattern(bytes: number, seed: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: bytes }, (_, index) => (index * 7 + (index >> 8) + seed) & 255))
}

export function diskConformance(t: Test, make: () => Promise<DiskUnderTest>): void {
  const test = (name: string, body: (t: Test, bench: Bench) => Promise<void>): void => {
    t.test(name, async (t) => {
      const made = await make()
      t.teardown(() => made.end())
      await body(t, new Bench(made))
    })
  }

  test('a file is made, written, read and removed', async (t, bench) => {
    const { disk } = bench
    t.equal(disk.open(7, false), -ENOENT)
    const file = disk.open(7, true)
    t.ok(file >= 0)
    t.equal(await bench.write(file, pattern(5000, 1), 0), 5000)
    t.ok(pattern(5000, 1).equals((await bench.read(file, 5000, 0)) as Buffer))
    t.equal(await bench.run((done) => disk.sync(file, done)), 0)
    disk.close(file)
    const again = disk.open(7, true)
    t.equal(bench.size(again), 5000, 'creating what is there keeps it')
    disk.close(again)
    t.equal(await bench.run((done) => disk.remove(7, done)), 0)
    t.equal(await bench.run((done) => disk.remove(7, done)), -ENOENT)
    t.equal(disk.open(7, false), -ENOENT)
  })

  test('reads stop at the end of the file', async (t, bench) => {
    const file = bench.disk.open(1, true)
    t.equal(((await bench.read(file, 100, 0)) as Buffer).length, 0)
    await bench.write(file, pattern(1000, 2), 0)
    t.equal(((await bench.read(file, 100, 950)) as Buffer).length, 50)
    t.equal(((await bench.read(file, MIB, 1)) as Buffer).length, 999)
    t.equal(((await bench.read(file, 100, 1000)) as Buffer).length, 0)
    t.equal(((await bench.read(file, 100, 5000)) as Buffer).length, 0)
    bench.disk.close(file)
  })

  test('all sizes around pages and around the limits of copying at once', async (t, bench) => {
    const file = bench.disk.open(1, true)
    for (const bytes of [1, 4095, 4096, 4097, 131071, 131072, 131073, MIB]) {
      for (const offset of [0, 1, 4096, 2 ** 32 + 5]) {
        const data = pattern(bytes, offset & 255)
        t.equal(await bench.write(file, data, offset), bytes)
        t.ok(data.equals((await bench.read(file, bytes, offset)) as Buffer), `${bytes} at ${offset}`)
      }
    }
    bench.disk.close(file)
  })

  test('holes read as zeros and are found', async (t, bench) => {
    const { disk } = bench
    const file = disk.open(1, true)
    await bench.write(file, pattern(4096, 3), 8 * MIB)
    t.ok(Buffer.alloc(4096).equals((await bench.read(file, 4096, 4 * MIB)) as Buffer))
    t.equal(disk.seek(file, 0, SEEK_DATA), 8 * MIB)
    t.equal(disk.seek(file, 0, SEEK_HOLE), 0)
    t.equal(disk.seek(file, 8 * MIB, SEEK_HOLE), 8 * MIB + 4096)
    t.equal(disk.seek(file, 9 * MIB, SEEK_DATA), -ENXIO)
    const out = { sizeBytes: 0, blocks: 0 }
    t.equal(disk.stat(file, out), 0)
    t.equal(out.sizeBytes, 8 * MIB + 4096)
    t.ok(out.blocks >= 8 && out.blocks < 4096, 'a sparse file takes few blocks')
    disk.close(file)
  })

  test('truncating, small and large, and growing again', async (t, bench) => {
    const { disk } = bench
    const file = disk.open(1, true)
    for (let index = 0; index < 8; index++) await bench.write(file, pattern(MIB, index), index * MIB)
    t.equal(await bench.run((done) => disk.truncate(file, 8 * MIB - 10, done)), 0)
    t.equal(bench.size(file), 8 * MIB - 10)
    t.equal(await bench.run((done) => disk.truncate(file, 100, done)), 0)
    t.equal(bench.size(file), 100)
    t.equal(await bench.run((done) => disk.truncate(file, 300, done)), 0)
    const expected = Buffer.concat([pattern(100, 0), Buffer.alloc(200)])
    t.ok(expected.equals((await bench.read(file, 1000, 0)) as Buffer), 'what was cut off does not come back')
    disk.close(file)
  })

  test('reserving and punching', async (t, bench) => {
    const { disk } = bench
    const file = disk.open(1, true)
    t.equal(await bench.run((done) => disk.allocate(file, KEEP_SIZE, 0, 4096, done)), 0)
    t.equal(bench.size(file), 0)
    t.equal(await bench.run((done) => disk.allocate(file, 0, 0, 3 * MIB, done)), 0)
    t.equal(bench.size(file), 3 * MIB)
    for (let index = 0; index < 3; index++) await bench.write(file, pattern(MIB, 9), index * MIB)
    const punch = KEEP_SIZE | PUNCH_HOLE
    t.equal(await bench.run((done) => disk.allocate(file, punch, 4096, 4096, done)), 0)
    t.equal(await bench.run((done) => disk.allocate(file, punch, MIB, 2 * MIB, done)), 0)
    const expected = pattern(MIB, 9)
    expected.fill(0, 4096, 8192)
    t.ok(expected.equals((await bench.read(file, MIB, 0)) as Buffer))
    t.ok(Buffer.alloc(MIB).equals((await bench.read(file, MIB, MIB)) as Buffer))
    t.equal(bench.size(file), 3 * MIB)
    disk.close(file)
  })

  test('copying between files and within one', async (t, bench) => {
    const { disk } = bench
    const from = disk.open(1, true)
    const to = disk.open(2, true)
    await bench.write(from, pattern(300_000, 4), 0)
    const copy = async (target: number, targetOffset: number, offset: number, bytes: number): Promise<number> => {
      let copied = 0
      while (copied < bytes) {
        const part = await bench.run((done) =>
          disk.copy(from, offset + copied, target, targetOffset + copied, bytes - copied, done),
        )
        if (part <= 0) return copied > 0 ? copied : part
        copied += part
      }
      return copied
    }
    t.equal(await copy(to, 77, 100_000, 200_000), 200_000)
    t.ok(
      pattern(300_000, 4)
        .subarray(100_000)
        .equals((await bench.read(to, 200_000, 77)) as Buffer),
    )
    t.equal(await copy(to, 0, 299_000, 5000), 1000, 'to the end of the source')
    t.equal(await copy(to, 0, 300_000, 5000), 0)
    t.equal(await copy(from, 400_000, 0, 1000), 1000)
    t.ok(
      pattern(300_000, 4)
        .subarray(0, 1000)
        .equals((await bench.read(from, 1000, 400_000)) as Buffer),
    )
    disk.close(from)
    disk.close(to)
  })

  test('ids are listed in order', async (t, bench) => {
    const { disk } = bench
    const ids = [0, 1, 15, 16, 4095, 4096, 4097, 1_000_000, 2 ** 40 + 3]
    for (const id of [...ids].reverse()) disk.close(disk.open(id, true))
    t.strictSame(disk.list(0, Number.MAX_SAFE_INTEGER), ids)
    t.strictSame(disk.list(1, 4096), [1, 15, 16, 4095])
    t.strictSame(disk.list(4096, 4097), [4096])
    t.strictSame(disk.list(5000, 6000), [])
  })

  test('operations in flight survive the closing of their file', async (t, bench) => {
    const { disk } = bench
    const file = disk.open(1, true)
    const writing = bench.write(file, pattern(MIB, 5), 0)
    disk.close(file)
    t.equal(await writing, MIB)
    const again = disk.open(1, false)
    const truncating = bench.run((done) => disk.truncate(again, 0, done))
    const syncing = bench.run((done) => disk.sync(again, done))
    disk.close(again)
    t.strictSame(await Promise.all([truncating, syncing]), [0, 0])
    const last = disk.open(1, false)
    t.equal(bench.size(last), 0)
    disk.close(last)
  })

  test('a removed file lives until it is closed', async (t, bench) => {
    const { disk } = bench
    const file = disk.open(1, true)
    await bench.write(file, pattern(100, 6), 0)
    t.equal(await bench.run((done) => disk.remove(1, done)), 0)
    t.ok(pattern(100, 6).equals((await bench.read(file, 100, 0)) as Buffer))
    const fresh = disk.open(1, true)
    t.equal(bench.size(fresh), 0)
    disk.close(file)
    disk.close(fresh)
  })

  test('the figures of the file system', async (t, bench) => {
    const out = { blockBytes: 0, blocks: 0, blocksFree: 0, blocksAvailable: 0 }
    t.equal(bench.disk.statfs(out), 0)
    t.ok(out.blockBytes > 0 && out.blocks >= out.blocksFree && out.blocksFree >= out.blocksAvailable)
    t.ok(out.blocksAvailable > 0)
  })
}
