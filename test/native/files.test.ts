import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { addon, FILE_WORK } from '../../lib/native/addon.js'
import { MappedPool } from '../../lib/native/pool.js'

const { EAGAIN, EBADF, EEXIST, EINVAL, ENOENT, ENXIO, EOPNOTSUPP } = constants.errno
const O_RDWR_CREAT = 0o102
const O_DIRECTORY = 0o200000

const pool = new MappedPool({ count: 16, payloadBytes: 131072 })
const files = new addon.Files(pool.native)
const at = pool.acquire() * pool.stride + 4096

/** The file system in memory and the one on a device answer differently to RWF_NOWAIT and copy_file_range. */
for (const parent of ['/dev/shm', tmpdir()]) {
  t.test(parent, async (t) => {
    const path = mkdtempSync(join(parent, 'chfs-test-'))
    t.teardown(() => rmSync(path, { recursive: true }))
    const directory = files.open(-1, path, O_DIRECTORY, 0)
    const work = (operation: number, fd: number, ...numbers: number[]): Promise<number> => {
      const [a = 0, b = 0, c = 0, d = 0] = numbers
      return new Promise((resolve) => files.work(operation, fd, a, b, c, d, resolve))
    }

    t.test('reading and writing', async (t) => {
      const fd = files.open(directory, 'a', O_RDWR_CREAT, 0o600)
      t.ok(fd >= 0)
      pool.memory.fill(0x61, at, at + 100)
      t.equal(files.pwrite(fd, at, 100, 0, false), 100)
      t.ok([100, -EOPNOTSUPP, -EAGAIN].includes(files.pwrite(fd, at, 100, 0, true)))
      t.equal(files.pread(fd, at, 1000, 50, false), 50)
      t.ok([50, -EOPNOTSUPP].includes(files.pread(fd, at, 1000, 50, true)))
      t.equal(files.pread(fd, at, 10, 100, false), 0)
      t.equal(files.pread(-1, at, 10, 100, false), -EBADF)
      t.equal(files.fdatasync(fd), 0)
      t.equal(files.close(fd), 0)
      t.equal(files.close(fd), -EBADF)
    })

    t.test('size, holes and figures', async (t) => {
      const fd = files.open(directory, 'b', O_RDWR_CREAT, 0o600)
      const out = new Float64Array(8)
      t.equal(files.ftruncate(fd, 10 * 2 ** 32), 0)
      t.equal(files.fstat(fd, out), 0)
      t.equal(out[0], 10 * 2 ** 32)
      t.ok((out[2] as number) > 1.7e9 && (out[5] as number) > 0)
      t.equal(files.lseek(fd, 0, 3), -ENXIO, 'no data')
      t.equal(files.pwrite(fd, at, 10, 2 ** 33, false), 10)
      t.equal(files.lseek(fd, 0, 3), 2 ** 33)
      t.equal(files.lseek(fd, 2 ** 33, 4), 2 ** 33 + 4096)
      t.equal(files.fallocate(fd, 3, 2 ** 33, 4096), 0)
      t.equal(files.lseek(fd, 0, 3), -ENXIO)
      t.equal(files.fstatfs(directory, out), 0)
      t.ok((out[0] as number) >= 4096 && (out[1] as number) > 0)
      t.equal(files.fstat(-1, out), -EBADF)
      t.equal(files.fstatfs(-1, out), -EBADF)
      files.close(fd)
    })

    t.test('names', async (t) => {
      t.equal(files.mkdirat(directory, 'd', 0o700), 0)
      t.equal(files.mkdirat(directory, 'd', 0o700), -EEXIST)
      t.equal(files.renameat(directory, 'a', directory, 'd/ä'), 0)
      t.equal(files.open(directory, 'a', 0, 0), -ENOENT)
      t.equal(files.unlinkat(directory, 'd/ä', 0), 0)
      t.equal(files.unlinkat(directory, 'd/ä', 0), -ENOENT)
      t.equal(files.unlinkat(directory, 'd', 0x200), 0)
      t.equal(await new Promise((resolve) => files.workUnlink(directory, 'b', resolve)), 0)
      t.equal(await new Promise((resolve) => files.workUnlink(directory, 'b', resolve)), -ENOENT)
    })

    t.test('a lock excludes a second descriptor', async (t) => {
      const one = files.open(directory, 'lock', O_RDWR_CREAT, 0o600)
      const other = files.open(directory, 'lock', O_RDWR_CREAT, 0o600)
      t.equal(files.flock(one, 2 | 4), 0)
      t.equal(files.flock(other, 2 | 4), -EAGAIN)
      t.equal(files.flock(one, 8), 0)
      t.equal(files.flock(other, 2 | 4), 0)
      files.close(one)
      files.close(other)
    })

    t.test('long calls', async (t) => {
      const fd = files.open(directory, 'long', O_RDWR_CREAT, 0o600)
      const other = files.open(directory, 'copy', O_RDWR_CREAT, 0o600)
      t.equal(await work(FILE_WORK.FTRUNCATE, fd, 5_000_000), 0)
      t.equal(await work(FILE_WORK.FALLOCATE, fd, 0, 0, 5_000_000), 0)
      for (let offset = 0; offset < 5_000_000; offset += 100_000) {
        pool.memory.fill(offset / 100_000, at, at + 100_000)
        files.pwrite(fd, at, 100_000, offset, false)
      }
      t.equal(await work(FILE_WORK.COPY_FILE_RANGE, fd, 0, other, 7, 4_000_000), 4_000_000)
      t.equal(
        await work(FILE_WORK.COPY_FILE_RANGE, fd, 4_000_000, other, 4_000_007, 4_000_000),
        1_000_000,
        'to the end',
      )
      const source = readFileSync(join(path, 'long'))
      t.ok(readFileSync(join(path, 'copy')).subarray(7).equals(source))
      t.equal(await work(FILE_WORK.COPY_FILE_RANGE, fd, 0, fd, 100, 1000), -EINVAL, 'overlapping')
      t.equal(await work(FILE_WORK.COPY_FILE_RANGE, fd, 0, -1, 0, 1000), -EBADF)
      t.equal(await work(FILE_WORK.FDATASYNC, fd), 0)
      t.equal(await work(FILE_WORK.SYNCFS, fd), 0)
      t.equal(await work(FILE_WORK.FTRUNCATE, -1), -EBADF)
      files.close(fd)
      files.close(other)
    })
    t.teardown(() => files.close(directory))
  })
}

t.test('a copy between file systems', async (t) => {
  const here = mkdtempSync('/dev/shm/chfs-test-')
  const there = mkdtempSync(join(tmpdir(), 'chfs-test-'))
  t.teardown(() => {
    rmSync(here, { recursive: true })
    rmSync(there, { recursive: true })
  })
  const from = files.open(-1, join(here, 'f'), O_RDWR_CREAT, 0o600)
  const to = files.open(-1, join(there, 'f'), O_RDWR_CREAT, 0o600)
  pool.memory.fill(0x63, at, at + 131072)
  for (let index = 0; index < 20; index++) files.pwrite(from, at, 131072, index * 131072, false)
  const copied = await new Promise((resolve) => {
    files.work(FILE_WORK.COPY_FILE_RANGE, from, 0, to, 0, 2 ** 40, resolve)
  })
  t.equal(copied, 20 * 131072)
  t.ok(readFileSync(join(there, 'f')).equals(readFileSync(join(here, 'f'))))
  files.close(from)
  files.close(to)
})
