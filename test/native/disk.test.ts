import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { FileDisk } from '../../lib/native/disk.js'
import { MappedPool } from '../../lib/native/pool.js'
import { Ring } from '../../lib/native/uring.js'
import { type DiskUnderTest, diskConformance } from '../conformance/disk.js'

function make(parent: string): () => Promise<DiskUnderTest & { directory: string }> {
  return async () => {
    const directory = mkdtempSync(join(parent, 'chfs-test-'))
    const pool = new MappedPool({ count: 16, payloadBytes: 1048576 })
    const ring = new Ring(pool, 8)
    const disk = new FileDisk(pool, ring, directory)
    const end = async (): Promise<void> => {
      await new Promise<void>((resolve) => ring.close(resolve))
      disk.end()
      rmSync(directory, { recursive: true })
    }
    return { disk, pool, end, directory }
  }
}

t.test('in memory', async (t) => diskConformance(t, make('/dev/shm')))
t.test('on a device', async (t) => diskConformance(t, make(tmpdir())))

t.test('where a file lies', async (t) => {
  const { disk, directory, end } = await make('/dev/shm')()
  t.teardown(end)
  disk.close(disk.open(0x12345, true))
  t.strictSame(readdirSync(join(directory, 'data')), ['12'])
  t.strictSame(readdirSync(join(directory, 'data', '12')), ['345'])
})

t.test('descriptors do not leak', async (t) => {
  const { disk, pool, end } = await make('/dev/shm')()
  t.teardown(end)
  const count = (): number => readdirSync('/proc/self/fd').length
  const before = count()
  const at = pool.acquire() * pool.stride + 4096
  let left = 50
  await new Promise<void>((resolve) => {
    for (let id = 0; id < 50; id++) {
      const file = disk.open(id, true)
      disk.write(file, at, 1048576, 0, () => {
        if (--left === 0) setImmediate(resolve)
      })
      disk.close(file)
    }
  })
  t.equal(count(), before)
})

t.test('a directory that cannot be made', async (t) => {
  const pool = new MappedPool({ count: 16, payloadBytes: 8192 })
  const ring = new Ring(pool, 8)
  t.throws(() => new FileDisk(pool, ring, '/dev/null/store'))
  await new Promise<void>((resolve) => ring.close(resolve))
})
