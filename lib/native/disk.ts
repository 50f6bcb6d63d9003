/**
 * The backing files of a store, in the directory `data` below the store's own. File id i lies at
 * `data/<i div 4096, hex>/<i mod 4096, 3 hex digits>`, so that no directory grows beyond 4096 names.
 *
 * What memory can answer is answered at once; what may wait for a device goes to the ring or to the thread pool. A
 * handle is a file descriptor, and is closed only when nothing in flight uses it.
 */
import { mkdirSync, readdirSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { type Disk, type DiskFigures, type Done, type FileStat, PENDING } from '../ports.js'
import { addon, FILE_WORK, type NativeFiles } from './addon.js'
import type { MappedPool } from './pool.js'
import { FSYNC_DATASYNC, IOSQE_ASYNC, type Ring } from './uring.js'

const { EAGAIN, EINTR, EIO, ENOENT, EEXIST, EOPNOTSUPP } = constants.errno

const O_RDONLY = 0
const O_RDWR = 2
const O_CREAT = 0o100
const O_DIRECTORY = 0o200000
const TMPFS_MAGIC = 0x01021994
const FALLOC_FL_KEEP_SIZE = 1

export const FILES_PER_DIRECTORY = 4096
/**
 * Up to here data is copied from and to the page cache on the loop, beyond it by a worker of the ring. Measured on
 * tmpfs on two cores, p50 of plain call / worker in µs: write 128 KiB 16/26, 1 MiB 134/126; read 128 KiB 13/22, 1
 * MiB 107/104. On one core, or from ext4's cache, the worker is at 1 MiB at most 5 % slower too. So there it costs
 * nothing, and the loop serves others meanwhile: a first write of 1 MiB to tmpfs, which had no memory yet, took 2.8 ms.
 */
const COPY_BYTES_ON_LOOP = 128 * 1024
/** Up to here blocks are freed or reserved on the loop. */
const DIRECT_SPACE_BYTES = 1024 * 1024

export class FileDisk implements Disk {
  readonly #files: NativeFiles
  readonly #ring: Ring
  readonly #path: string
  readonly #directory: number
  /** On a file system in memory nothing waits for a device; and it refuses RWF_NOWAIT. */
  readonly #inMemory: boolean
  /** Until a write with RWF_NOWAIT is refused, as ext4 does. */
  #nowaitWrites: boolean
  readonly #numbers = new Float64Array(8)
  /** Operations in flight by handle. */
  readonly #busy: number[] = []
  /** Handles to be closed when nothing is in flight on them. */
  readonly #closing = new Set<number>()

  /** @throws {Error} where `storeDirectory` is not a directory that can be written */
  constructor(pool: MappedPool, ring: Ring, storeDirectory: string) {
    this.#files = new addon.Files(pool.native)
    this.#ring = ring
    this.#path = join(storeDirectory, 'data')
    mkdirSync(this.#path, { recursive: true, mode: 0o700 })
    this.#directory = this.#files.open(-1, this.#path, O_RDONLY | O_DIRECTORY, 0)
    if (this.#directory < 0) throw new Error(`${this.#path}: errno ${-this.#directory}`)
    this.#files.fstatfs(this.#directory, this.#numbers)
    this.#inMemory = this.#numbers[6] === TMPFS_MAGIC
    this.#nowaitWrites = !this.#inMemory
  }

  /** Gives up the store's directory; handles stay open until they are closed. */
  end(): void {
    this.#files.close(this.#directory)
  }

  open(id: number, create: boolean): number {
    const path = pathOf(id)
    const flags = create ? O_RDWR | O_CREAT : O_RDWR
    const file = this.#files.open(this.#directory, path, flags, 0o600)
    if (file !== -ENOENT || !create) return file
    const made = this.#files.mkdirat(this.#directory, directoryOf(id), 0o700)
    if (made < 0 && made !== -EEXIST) return made
    return this.#files.open(this.#directory, path, flags, 0o600)
  }

  close(file: number): void {
    if (this.#isBusy(file)) this.#closing.add(file)
    else this.#files.close(file)
  }

  read(file: number, to: number, bytes: number, offset: number, done: Done): number {
    let filled = 0
    if (bytes > COPY_BYTES_ON_LOOP) {
      this.#begin(file)
      this.#readByRing(file, to, bytes, offset, filled, IOSQE_ASYNC, done)
      return PENDING
    }
    while (filled < bytes) {
      const read = this.#files.pread(file, to + filled, bytes - filled, offset + filled, !this.#inMemory)
      if (read === 0) return filled
      if (read === -EAGAIN || read === -EOPNOTSUPP) {
        this.#begin(file)
        this.#readByRing(file, to, bytes, offset, filled, 0, done)
        return PENDING
      }
      if (read < 0) return read
      filled += read
    }
    return filled
  }

  write(file: number, at: number, bytes: number, offset: number, done: Done): number {
    let written = 0
    while (written < bytes && bytes <= COPY_BYTES_ON_LOOP) {
      const wrote = this.#files.pwrite(file, at + written, bytes - written, offset + written, this.#nowaitWrites)
      if (wrote === -EAGAIN) break
      if (wrote === -EOPNOTSUPP && this.#nowaitWrites) this.#nowaitWrites = false
      else if (wrote < 0) return wrote
      else if (wrote === 0) return -EIO
      else written += wrote
    }
    if (written === bytes) return bytes
    this.#begin(file)
    this.#writeByRing(file, at, bytes, offset, written, done)
    return PENDING
  }

  truncate(file: number, sizeBytes: number, done: Done): number {
    const error = this.#files.fstat(file, this.#numbers)
    if (error < 0) return error
    // Freeing blocks takes time by their number; growing takes none.
    const freed = (this.#numbers[0] as number) - sizeBytes
    if (freed <= DIRECT_SPACE_BYTES) return this.#files.ftruncate(file, sizeBytes)
    this.#begin(file)
    this.#files.work(FILE_WORK.FTRUNCATE, file, sizeBytes, 0, 0, 0, this.#ending(file, done))
    return PENDING
  }

  allocate(file: number, mode: number, offset: number, bytes: number, done: Done): number {
    // Punching and zeroing may first write back the range, so on a device they never run on the loop.
    const quick = this.#inMemory || (mode & ~FALLOC_FL_KEEP_SIZE) === 0
    if (quick && bytes <= DIRECT_SPACE_BYTES) return this.#files.fallocate(file, mode, offset, bytes)
    this.#begin(file)
    this.#files.work(FILE_WORK.FALLOCATE, file, mode, offset, bytes, 0, this.#ending(file, done))
    return PENDING
  }

  copy(from: number, fromOffset: number, to: number, toOffset: number, bytes: number, done: Done): number {
    this.#begin(from)
    this.#begin(to)
    this.#files.work(FILE_WORK.COPY_FILE_RANGE, from, fromOffset, to, toOffset, bytes, (result) => {
      this.#end(from)
      this.#end(to)
      done(result)
    })
    return PENDING
  }

  seek(file: number, offset: number, whence: number): number {
    return this.#files.lseek(file, offset, whence)
  }

  stat(file: number, out: FileStat): number {
    const error = this.#files.fstat(file, this.#numbers)
    if (error < 0) return error
    out.sizeBytes = this.#numbers[0] as number
    out.blocks = this.#numbers[1] as number
    return 0
  }

  /** The journaling file systems make a new file's name durable with its data, so its directory needs no sync. */
  sync(file: number, done: Done): number {
    this.#begin(file)
    this.#ring.fsync(file, FSYNC_DATASYNC, this.#ending(file, done))
    return PENDING
  }

  syncAll(done: Done): number {
    this.#files.work(FILE_WORK.SYNCFS, this.#directory, 0, 0, 0, 0, done)
    return PENDING
  }

  remove(id: number, done: Done): number {
    this.#files.workUnlink(this.#directory, pathOf(id), done)
    return PENDING
  }

  list(first: number, end: number): number[] {
    const ids: number[] = []
    for (const directory of readdirSync(this.#path)) {
      const base = parseHex(directory) * FILES_PER_DIRECTORY
      if (!(base < end && base + FILES_PER_DIRECTORY > first)) continue
      for (const name of readdirSync(join(this.#path, directory))) {
        const id = base + parseHex(name)
        if (id >= first && id < end) ids.push(id)
      }
    }
    return ids.sort((a, b) => a - b)
  }

  statfs(out: DiskFigures): number {
    const error = this.#files.fstatfs(this.#directory, this.#numbers)
    if (error < 0) return error
    out.blockBytes = this.#numbers[0] as number
    out.blocks = this.#numbers[1] as number
    out.blocksFree = this.#numbers[2] as number
    out.blocksAvailable = this.#numbers[3] as number
    return 0
  }

  #readByRing(
    file: number,
    to: number,
    bytes: number,
    offset: number,
    filled: number,
    flags: number,
    done: Done,
  ): void {
    this.#ring.read(file, to + filled, bytes - filled, offset + filled, flags, (read) => {
      const more = read === -EAGAIN || read === -EINTR ? 0 : read
      if (read === 0 || more < 0 || filled + more === bytes) {
        this.#end(file)
        done(more < 0 ? more : filled + more)
      } else {
        this.#readByRing(file, to, bytes, offset, filled + more, flags, done)
      }
    })
  }

  #writeByRing(file: number, at: number, bytes: number, offset: number, written: number, done: Done): void {
    this.#ring.write(file, at + written, bytes - written, offset + written, IOSQE_ASYNC, (wrote) => {
      const more = wrote === -EAGAIN || wrote === -EINTR ? 0 : wrote === 0 ? -EIO : wrote
      if (more < 0 || written + more === bytes) {
        this.#end(file)
        done(more < 0 ? more : bytes)
      } else {
        this.#writeByRing(file, at, bytes, offset, written + more, done)
      }
    })
  }

  #ending(file: number, done: Done): Done {
    return (result) => {
      this.#end(file)
      done(result)
    }
  }

  #isBusy(file: number): boolean {
    return (this.#busy[file] ?? 0) > 0
  }

  #begin(file: number): void {
    this.#busy[file] = (this.#busy[file] ?? 0) + 1
  }

  #end(file: number): void {
    this.#busy[file] = (this.#busy[file] as number) - 1
    if (!this.#isBusy(file) && this.#closing.delete(file)) this.#files.close(file)
  }
}

function directoryOf(id: number): string {
  return Math.floor(id / FILES_PER_DIRECTORY).toString(16)
}

function pathOf(id: number): string {
  return `${directoryOf(id)}/${(id % FILES_PER_DIRECTORY).toString(16).padStart(3, '0')}`
}

/** NaN where it is not a hexadecimal number, as for a file that is not ours. */
function parseHex(name: string): number {
  return /^[0-9a-f]+$/.test(name) ? Number.parseInt(name, 16) : Number.NaN
}
