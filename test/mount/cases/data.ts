/** The data of files: reading, writing, holes, sizes, descriptors. */
import {
  COLLAPSE_RANGE,
  INSERT_RANGE,
  KEEP_SIZE,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_RDONLY,
  O_RDWR,
  O_SYNC,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  PUNCH_HOLE,
  S_IFIFO,
  SEEK_DATA,
  SEEK_HOLE,
} from '../constants.js'
import type { Case } from '../twin.js'

/** Sizes around every border that the store has: inline data, pages, a request's payload, a chunk. */
const SIZES = [0, 1, 511, 3999, 4000, 4001, 4095, 4096, 4097, 65536, 131073, 1048576, 1048577, 4194303, 4194305]

const writing: Case[] = [
  {
    name: 'files of every size',
    run: async ({ sys, note }) => {
      for (const size of SIZES) {
        await sys.fill('f', size, size)
        await sys.stat('f')
        note(`${size} bytes`, await sys.same('f', 0, size + 1, size).catch(() => false))
        await sys.same('f', 0, size, size)
        const fd = await sys.open('f', O_RDWR)
        await sys.pwrite(fd, 'END', size)
        await sys.pread(fd, 10, size)
        await sys.same('f', 0, size, size)
        await sys.pread(fd, 10, size + 3)
        await sys.ftruncate(fd, size)
        await sys.ftruncate(fd, size + 8)
        await sys.pread(fd, 20, size)
        await sys.close(fd)
      }
    },
  },
  {
    name: 'writes and truncations around 4000 bytes',
    run: async ({ sys }) => {
      for (const border of [3998, 3999, 4000, 4001, 4002]) {
        const fd = await sys.open('f', O_RDWR | O_CREAT | O_TRUNC)
        await sys.pwrite(fd, 'x', border - 1)
        await sys.fstat(fd)
        await sys.pwrite(fd, 'abcdef', border - 3)
        await sys.readAll('f')
        await sys.ftruncate(fd, border)
        await sys.ftruncate(fd, 9000)
        await sys.readAll('f')
        await sys.ftruncate(fd, 10)
        await sys.pwrite(fd, 'y', 8999)
        await sys.readAll('f')
        await sys.ftruncate(fd, 0)
        await sys.pwrite(fd, 'z', 5)
        await sys.readAll('f')
        await sys.close(fd)
      }
    },
  },
  {
    name: 'holes',
    run: async ({ sys }) => {
      for (const size of [3000, 1_000_000, 2 ** 33, 2 ** 42]) {
        const fd = await sys.open('f', O_RDWR | O_CREAT | O_TRUNC)
        await sys.pwrite(fd, 'begin', 0)
        await sys.pwrite(fd, 'end', size)
        await sys.fstat(fd)
        await sys.pread(fd, 100, size - 50)
        await sys.pread(fd, 100, Math.floor(size / 2))
        await sys.ftruncate(fd, size / 2)
        await sys.ftruncate(fd, size + 10)
        await sys.pread(fd, 100, size - 50)
        await sys.close(fd)
      }
    },
  },
  {
    name: 'appending',
    run: async ({ sys, as }) => {
      const fd = await sys.open('f', O_WRONLY | O_APPEND | O_CREAT)
      const second = as()
      const other = await second.open('f', O_WRONLY | O_APPEND)
      for (let index = 0; index < 20; index++) {
        await sys.write(fd, `a${index};`)
        await second.write(other, `b${index};`)
        await sys.pwrite(fd, `p${index};`, 0)
      }
      await sys.readAll('f')
      await second.truncate('f', 5)
      await sys.write(fd, 'after')
      await sys.readAll('f')
    },
  },
  {
    name: 'descriptors and what they allow',
    run: async ({ sys }) => {
      await sys.put('f', 'content')
      const [reading, writing] = [await sys.open('f', O_RDONLY), await sys.open('f', O_WRONLY)]
      await sys.write(reading, 'x')
      await sys.read(writing, 1)
      await sys.ftruncate(reading, 0)
      await sys.fallocate(reading, 0, 0, 10)
      await sys.mkdir('d')
      const directory = await sys.open('d', O_DIRECTORY)
      await sys.read(directory, 10)
      await sys.write(directory, 'x')
      await sys.truncate('d', 0)
      await sys.ftruncate(writing, -1)
      await sys.truncate('missing', 0)
      await sys.truncate('f/x', 0)
      await sys.mknod('fifo', S_IFIFO | 0o600)
      await sys.truncate('fifo', 0)
      await sys.pread(reading, 10, -1)
      await sys.seek(reading, -1, 0)
      await sys.seek(reading, 3, 0)
      await sys.read(reading, 100)
      await sys.seek(reading, -2, 2)
      await sys.read(reading, 100)
      await sys.seek(reading, 0, 9)
      await sys.ioctl(reading, 0x1234)
      await sys.ioctl(directory, 0x1234)
      const synchronous = await sys.open('f', O_RDWR | O_SYNC)
      await sys.write(synchronous, 'synchronous')
      await sys.pwrite(synchronous, 'x', 10_000)
      await sys.readAll('f')
    },
  },
  {
    name: 'syncing',
    run: async ({ sys }) => {
      await sys.fill('f', 10_000)
      await sys.mkdir('d')
      const [file, directory] = [await sys.open('f', O_RDWR), await sys.open('d', O_DIRECTORY)]
      for (const fd of [file, directory]) {
        await sys.fsync(fd)
        await sys.fdatasync(fd)
        await sys.syncfs(fd)
      }
      await sys.unlink('f')
      await sys.rmdir('d')
      await sys.fsync(file)
      await sys.fsync(directory)
    },
  },
  {
    name: 'direct I/O',
    run: async ({ sys }) => {
      await sys.direct('f', O_WRONLY | O_CREAT, 8192, 0)
      await sys.direct('f', O_RDONLY, 4096, 4096)
      await sys.direct('f', O_RDONLY, 4096, 8192)
      await sys.direct('f', O_WRONLY, 4096, 1 << 20)
      await sys.stat('f')
      const fd = await sys.open('f', O_RDWR)
      await sys.pwrite(fd, 'cached', 4096)
      await sys.direct('f', O_RDONLY, 4096, 4096)
      await sys.direct('f', O_WRONLY, 4096, 4096)
      await sys.pread(fd, 10, 4096)
      await sys.direct('f', O_WRONLY | O_APPEND, 4096, 0)
      await sys.stat('f')
      await sys.direct('f', O_WRONLY, 3 << 20, 0)
      await sys.direct('f', O_RDONLY, 3 << 20, 0)
    },
  },
]

const limits: Case[] = [
  {
    name: 'RLIMIT_FSIZE',
    run: async ({ as, known }) => {
      const limited = as()
      await limited.sizeLimit(10_000)
      const fd = await limited.open('f', O_RDWR | O_CREAT)
      await limited.pwrite(fd, 'x'.repeat(6000), 6000)
      await limited.pwrite(fd, 'x', 10_000)
      await limited.fstat(fd)
      await limited.ftruncate(fd, 10_001)
      await limited.ftruncate(fd, 10_000)
      await limited.fallocate(fd, 0, 0, 10_001)
      known('the size stays, so the limit of sizes is not met; tmpfs sees it otherwise', null)
      await limited.fallocate(fd, KEEP_SIZE, 0, 10_001)
      await limited.fstat(fd)
    },
  },
]

const ranges: Case[] = [
  {
    name: 'fallocate',
    run: async ({ sys }) => {
      for (const size of [3000, 20_000]) {
        await sys.fill('f', size)
        const fd = await sys.open('f', O_RDWR)
        await sys.fallocate(fd, 0, 0, 100)
        await sys.fallocate(fd, KEEP_SIZE, 0, size * 3)
        await sys.fstat(fd)
        await sys.same('f', 0, size)
        await sys.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 500, 1500)
        await sys.readAll('f')
        await sys.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, size - 10, 100_000)
        await sys.fstat(fd)
        await sys.readAll('f')
        await sys.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, size * 10, 100_000)
        await sys.fallocate(fd, 0, size - 100, 1000)
        await sys.fstat(fd)
        await sys.readAll('f')
        await sys.fallocate(fd, PUNCH_HOLE, 0, 100)
        await sys.fallocate(fd, 0, 0, 0)
        await sys.fallocate(fd, 0, -1, 10)
        await sys.fallocate(fd, 0, 0, -1)
        await sys.fallocate(fd, COLLAPSE_RANGE, 0, 4096)
        await sys.fallocate(fd, INSERT_RANGE, 0, 4096)
        await sys.fallocate(fd, 64, 0, 4096)
        await sys.close(fd)
      }
    },
  },
  {
    name: 'holes are found',
    run: async ({ sys }) => {
      const fd = await sys.open('f', O_RDWR | O_CREAT)
      await sys.seek(fd, 0, SEEK_DATA)
      await sys.seek(fd, 0, SEEK_HOLE)
      await sys.pwrite(fd, 'x'.repeat(65536), 0)
      await sys.pwrite(fd, 'x'.repeat(65536), 1 << 20)
      await sys.ftruncate(fd, 4 << 20)
      for (const at of [0, 1, 65535, 65536, 100_000, (1 << 20) + 1, (1 << 20) + 65536, 4 << 20, 5 << 20, -1]) {
        await sys.seek(fd, at, SEEK_DATA)
        await sys.seek(fd, at, SEEK_HOLE)
      }
      await sys.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 4096, 8192)
      await sys.seek(fd, 0, SEEK_HOLE)
      await sys.seek(fd, 4096, SEEK_DATA)
      await sys.close(fd)
    },
  },
  {
    name: 'copy_file_range',
    run: async ({ sys }) => {
      for (const size of [100, 5000, 300_000]) {
        await sys.fill('from', size)
        await sys.put('to', 'T'.repeat(10_000))
        const [from, to] = [await sys.open('from', O_RDWR), await sys.open('to', O_RDWR)]
        await sys.copy(from, to, size, 0, 0)
        await sys.same('to', 0, size)
        await sys.stat('to')
        await sys.copy(from, to, 1000, 10, 20_000)
        await sys.readAll('to')
        await sys.copy(from, to, 100, size, 0)
        await sys.copy(from, to, 100, size - 10, 50_000)
        await sys.fstat(to)
        await sys.copy(from, from, 10, 0, 5)
        await sys.copy(from, from, 10, 0, 50)
        await sys.copy(from, to, 50)
        await sys.copy(from, to, 50)
        await sys.readAll('to')
        const reading = await sys.open('to', O_RDONLY)
        await sys.copy(from, reading, 10, 0, 0)
        const appending = await sys.open('to', O_WRONLY | O_APPEND)
        await sys.copy(from, appending, 10, 0, 0)
        for (const fd of [from, to, reading, appending]) await sys.close(fd)
      }
    },
  },
]

const lives: Case[] = [
  {
    name: 'unlinked files live on while they are open',
    run: async ({ sys, as }) => {
      for (const size of [10, 10_000]) {
        await sys.fill('f', size)
        const fd = await sys.open('f', O_RDWR)
        await sys.unlink('f')
        await sys.fstat(fd)
        await sys.put('f', 'another')
        await sys.pread(fd, 10, 0)
        await sys.pwrite(fd, 'written after the end', 20_000)
        await sys.fchmod(fd, 0o600)
        await sys.ftruncate(fd, 15_000)
        await sys.fstat(fd)
        await sys.pread(fd, 100, 14_900)
        await as().stat(`/proc/self/fd/${fd}`)
        await sys.put('g', 'replaced by rename')
        const replaced = await sys.open('g', O_RDWR)
        await sys.rename('f', 'g')
        await sys.pread(replaced, 100, 0)
        await sys.fstat(replaced)
        await sys.readAll('g')
        await sys.close(fd)
        await sys.close(replaced)
      }
    },
  },
  {
    name: 'O_TMPFILE',
    run: async ({ sys, known, protocolMinor }) => {
      await sys.mkdir('d')
      if (protocolMinor < 37) {
        known('older kernels cannot ask for it', 'EOPNOTSUPP')
        await sys.open('d', O_TMPFILE | O_RDWR, 0o640)
        return
      }
      const fd = await sys.open('d', O_TMPFILE | O_RDWR, 0o640)
      await sys.fstat(fd)
      await sys.write(fd, 'without a name')
      await sys.list('d')
      await sys.link(`/proc/self/fd/${fd}`, 'd/no')
      await sys.linkFd(fd, 'd/named')
      await sys.fstat(fd)
      await sys.readAll('d/named')
      await sys.linkFd(fd, 'd/named')
      await sys.linkFd(fd, 'd/second')
      await sys.stat('d/second')
      await sys.close(fd)
      await sys.readAll('d/named')
      const never = await sys.open('d', O_TMPFILE | O_RDWR | 0o200)
      await sys.linkFd(never, 'd/never')
      await sys.close(never)
      await sys.open('d', O_TMPFILE | O_RDONLY)
      await sys.open('d/named', O_TMPFILE | O_RDWR)
      await sys.list('d')
    },
  },
]

const memory: Case[] = [
  {
    name: 'shared memory',
    run: async ({ sys, as }) => {
      for (const size of [3000, 20_000]) {
        await sys.fill('f', size)
        const fd = await sys.open('f', O_RDWR)
        await sys.map(fd, size)
        await sys.mapRead(fd, 100, 20)
        await sys.mapWrite(fd, 100, 'by memory')
        await sys.pread(fd, 20, 95)
        await sys.pwrite(fd, 'by write', 200)
        await sys.mapRead(fd, 195, 20)
        const second = as()
        const other = await second.open('f', O_RDWR)
        await second.map(other, size)
        await second.mapRead(other, 95, 20)
        await second.mapWrite(other, 300, 'from another process')
        await sys.mapRead(fd, 295, 30)
        await sys.mapSync(fd)
        await sys.mapWrite(fd, size - 5, 'EDGE')
        await sys.unmap(fd)
        await second.unmap(other)
        await sys.readAll('f')
        await sys.stat('f')
        await sys.close(fd)
      }
    },
  },
  {
    name: 'truncation under shared memory',
    run: async ({ sys }) => {
      await sys.fill('f', 20_000)
      const fd = await sys.open('f', O_RDWR)
      await sys.map(fd, 20_000)
      await sys.mapTouch(fd, 19_999)
      await sys.ftruncate(fd, 5000)
      await sys.mapTouch(fd, 4999)
      await sys.mapRead(fd, 4990, 100)
      await sys.mapTouch(fd, 8191)
      await sys.mapTouch(fd, 8192)
      await sys.mapTouch(fd, 19_999)
      await sys.ftruncate(fd, 20_000)
      await sys.mapRead(fd, 4990, 100)
      await sys.mapWrite(fd, 10_000, 'again')
      await sys.mapSync(fd)
      await sys.readAll('f')
    },
  },
  {
    name: 'what was written through memory is there after fsync and for others',
    run: async ({ sys, as }) => {
      await sys.put('f', 'x'.repeat(50))
      const fd = await sys.open('f', O_RDWR)
      await sys.map(fd, 50)
      await sys.mapWrite(fd, 0, 'mapped')
      await sys.fsync(fd)
      await as().readAll('f')
      await sys.moved(['f'], 'mapSync', fd)
    },
  },
]

export const dataCases: readonly Case[] = [...writing, ...limits, ...ranges, ...lives, ...memory]
