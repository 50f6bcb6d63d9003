import { EFBIG, ENXIO, EOPNOTSUPP } from '../base/errno.js'
import { FILE_BYTES_MAX, INLINE_BYTES_MAX } from '../base/limits.js'
import type { Inode } from '../meta/inode.js'
import type { MetaStore } from '../meta/store.js'
import type { BufferPool, Clock, Disk, Done, Kv, Log } from '../ports.js'
import { BackingFiles, type OpenFile } from './files.js'
import { Gate } from './gate.js'
import { type FileChange, LargeFiles } from './large.js'
import { Reaper } from './reaper.js'
import { inlineBlocks, SmallFiles } from './small.js'
import { Staging } from './staging.js'
import { Stock } from './stock.js'
import { synced } from './synced.js'
import { ending, type Step, then } from './then.js'

export const SEEK_DATA = 3
export const SEEK_HOLE = 4

const KEEP_SIZE = 1
const PUNCH_HOLE = 2
const ZERO_RANGE = 16

/** Bytes from the pool at `at` for a file at `offset`. */
export interface Run {
  readonly at: number
  readonly offset: number
  readonly bytes: number
}

/** Runs that are to be written, ascending, and how long the file is then at least. */
export interface Extension {
  readonly runs: readonly Run[]
  readonly end: number
}

/** Backing files kept open. */
const OPEN_FILES_MAX = 512

/** What a chunk store is made of. */
export interface ChunkPorts {
  readonly meta: MetaStore
  readonly kv: Kv
  readonly disk: Disk
  readonly pool: BufferPool
  readonly clock: Clock
  readonly log: Log
  /** Backing files kept open, and ids kept ready for new ones. Tests make them small. */
  readonly openFilesMax?: number
  readonly stockIds?: number
}

/**
 * The data of files. A file is inline in the metadata store as long as nothing was ever written beyond
 * {@link INLINE_BYTES_MAX}; what lies between the inline data and the size is a hole. After that it is one sparse
 * backing file; what lies between its end and the size is a hole too.
 *
 * Every method takes the inode's number, since an {@link Inode} must not be held over a wait, and returns bytes or 0, a
 * negative errno, or PENDING. The order is always data first, then size: a crash in between leaves the old size. So
 * every call is atomic but for bytes that overwrite others of a backing file: a kill may leave a part of them changed,
 * a power cut any of their pages, and a sync of the file settles them.
 */
export class ChunkStore {
  readonly #meta: MetaStore
  readonly #kv: Kv
  readonly #disk: Disk
  readonly #pool: BufferPool
  readonly #files: BackingFiles
  readonly #gate = new Gate()
  readonly #stock: Stock
  readonly #small: SmallFiles
  readonly #large: LargeFiles
  readonly #reaper: Reaper

  constructor(ports: ChunkPorts) {
    const { meta, kv, disk, pool, clock, log, openFilesMax = OPEN_FILES_MAX, stockIds } = ports
    this.#meta = meta
    this.#kv = kv
    this.#disk = disk
    this.#pool = pool
    this.#files = new BackingFiles(disk, log, openFilesMax)
    // What was written for a size that was undone is a hidden tail: it is found when the file is opened again.
    meta.onUndone = () => this.#files.closeAll()
    this.#stock = new Stock(meta, kv, stockIds)
    this.#small = new SmallFiles(meta.inline, pool)
    const files = this.#files
    const trim = (number: number, done: Done): number =>
      this.#gate.run(number, done, (finished) => this.#large.trim(number, finished))
    this.#reaper = new Reaper({ meta, kv, disk, files, clock, log, trim })
    const staging = new Staging(pool)
    const [reaper, stock, small] = [this.#reaper, this.#stock, this.#small]
    this.#large = new LargeFiles({ meta, kv, disk, files, reaper, stock, staging, small })
  }

  /** Reads up to `bytes` at `offset` into the pool at `to`: fewer at the end of the file, holes as zeros. */
  read(number: number, to: number, bytes: number, offset: number, done: Done): number {
    const inode = this.#meta.inode(number)
    const length = Math.min(bytes, inode.size - offset)
    if (length <= 0) return 0
    if (inode.backing === 0) return this.#small.read(inode, to, length, offset)
    const file = this.#files.use(inode)
    const finish = (result: number): number => {
      this.#files.release(file)
      if (result >= 0 && result < length) this.#pool.memory.fill(0, to + result, to + length)
      return result < 0 ? result : length
    }
    return ending((late) => this.#disk.read(file.handle, to, length, offset, late), finish, done)
  }

  /** Writes all of `bytes` from the pool at `at`. */
  write(number: number, at: number, bytes: number, offset: number, done: Done): number {
    if (bytes === 0) return 0
    return this.#gate.run(number, done, (finished) => {
      const end = offset + bytes
      if (end > FILE_BYTES_MAX) return -EFBIG
      const inode = this.#meta.inode(number)
      if (end > inode.size || inode.backing === 0) this.#meta.mustGrow()
      if (inode.backing === 0 && end <= INLINE_BYTES_MAX) {
        this.#small.write(inode, at, bytes, offset)
        this.#written(number, end, undefined)
        return bytes
      }
      const written = (file: OpenFile): number => {
        this.#written(number, end, file)
        return bytes
      }
      const write: FileChange = (file, late) => this.#disk.write(file.handle, at, bytes, offset, late)
      return this.#large.change(number, end, write, written, finished)
    })
  }

  /**
   * Writes those runs of a change that lie on this node; whatever lies elsewhere is written already. `plan` says what,
   * once nobody else changes the file, or returns a negative errno.
   */
  extend(number: number, plan: (inode: Inode) => Extension | number, done: Done): number {
    return this.#gate.run(number, done, (finished) => {
      const inode = this.#meta.inode(number)
      const planned = plan(inode)
      if (typeof planned === 'number') return planned
      const { runs, end } = planned
      if (end > FILE_BYTES_MAX) return -EFBIG
      if (end > inode.size || inode.backing === 0) this.#meta.mustGrow()
      const last = runs.at(-1)
      if (inode.backing === 0 && (last === undefined || last.offset + last.bytes <= INLINE_BYTES_MAX)) {
        for (const { at, bytes, offset } of runs) this.#small.write(inode, at, bytes, offset)
        this.#written(number, end, undefined)
        return 0
      }
      const written = (file: OpenFile): number => {
        this.#written(number, end, file)
        return 0
      }
      const write: FileChange = (file, late) => this.#writeRuns(file, runs, 0, late)
      return this.#large.change(number, end, write, written, finished)
    })
  }

  /** Sets the size. What is cut off goes when that is safe against a power cut; until then only the size hides it. */
  truncate(number: number, size: number, done: Done): number {
    return this.#gate.run(number, done, (finished) => {
      if (size > FILE_BYTES_MAX) return -EFBIG
      const inode = this.#meta.inode(number)
      if (size <= inode.size || !this.#files.hasTail(inode)) return this.#resize(number, size)
      const nothing: FileChange = () => 0
      return this.#large.change(number, size, nothing, () => this.#resize(number, size), finished)
    })
  }

  /** fallocate(2): allocate, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE. EOPNOTSUPP for other modes. */
  allocate(number: number, mode: number, offset: number, bytes: number, done: Done): number {
    const kind = mode & ~KEEP_SIZE
    if (kind !== 0 && kind !== ZERO_RANGE && mode !== (PUNCH_HOLE | KEEP_SIZE)) return -EOPNOTSUPP
    return this.#gate.run(number, done, (finished) => {
      const inode = this.#meta.inode(number)
      const end = offset + bytes
      if (end > FILE_BYTES_MAX) return -EFBIG
      const size = (mode & KEEP_SIZE) !== 0 ? inode.size : Math.max(inode.size, end)
      if (kind !== PUNCH_HOLE) this.#meta.mustGrow()
      if (inode.backing === 0 && (kind === PUNCH_HOLE || end <= INLINE_BYTES_MAX)) {
        if (kind !== 0) this.#small.zero(inode, offset, end)
        return this.#resized(inode, size)
      }
      const fallocate: FileChange = (file, late) => this.#fallocate(file, kind, offset, bytes, late)
      const allocated = (file: OpenFile): number => {
        const changed = this.#meta.inode(number)
        changed.blocks = this.#files.blocksOf(file)
        return this.#resized(changed, size)
      }
      return this.#large.change(number, end, fallocate, allocated, finished)
    })
  }

  /**
   * Copies within this node, file to file, possibly fewer bytes than asked. EOPNOTSUPP where one of the two has no
   * backing file or the source is a hole to its end: the kernel then copies by reading and writing.
   */
  copy(from: number, fromOffset: number, to: number, toOffset: number, bytes: number, done: Done): number {
    return this.#gate.run(to, done, (finished) => {
      const source = this.#meta.inode(from)
      const length = Math.min(bytes, source.size - fromOffset)
      if (length <= 0) return 0
      if (toOffset + length > FILE_BYTES_MAX) return -EFBIG
      if (source.backing === 0 || this.#meta.inode(to).backing === 0) return -EOPNOTSUPP
      this.#meta.mustGrow()
      const reading = this.#files.use(source)
      let copied = 0
      const copy: FileChange = (file, late) =>
        ending(
          (next) => this.#disk.copy(reading.handle, fromOffset, file.handle, toOffset, length, next),
          (result) => {
            copied = result
            return result === 0 ? -EOPNOTSUPP : result
          },
          late,
        )
      const written = (file: OpenFile): number => {
        this.#written(to, toOffset + copied, file)
        return copied
      }
      const finish = (result: number): number => {
        this.#files.release(reading)
        return result
      }
      return ending((late) => this.#large.change(to, toOffset + length, copy, written, late), finish, finished)
    })
  }

  /** lseek(2) with SEEK_DATA or SEEK_HOLE. ENXIO where there is none. */
  seek(number: number, offset: number, whence: number): number {
    const inode = this.#meta.inode(number)
    if (offset >= inode.size || offset < 0) return -ENXIO
    if (inode.backing !== 0) {
      const found = this.#disk.seek(this.#files.of(inode).handle, offset, whence)
      if (found >= inode.size) return whence === SEEK_DATA ? -ENXIO : inode.size
      if (found === -ENXIO && whence === SEEK_HOLE) return offset
      return found
    }
    const inlineEnd = this.#small.end(inode)
    if (offset < inlineEnd) return whence === SEEK_DATA ? offset : inlineEnd
    return whence === SEEK_DATA ? -ENXIO : offset
  }

  /** Makes an inode's data, and all metadata committed so far, safe against a power cut. */
  sync(number: number, done: Done): number {
    const settle: Step = (late) => synced(this.#meta, this.#kv, late)
    const inode = this.#meta.find(number)
    if (inode === undefined || inode.backing === 0) return settle(done)
    const file = this.#files.use(inode)
    const finish = (result: number): number => {
      this.#files.release(file)
      return result
    }
    return ending((late) => then((next) => this.#disk.sync(file.handle, next), settle, late), finish, done)
  }

  /** Makes all metadata so far safe against a power cut. */
  syncMetadata(done: Done): number {
    return synced(this.#meta, this.#kv, done)
  }

  /** Makes everything so far safe against a power cut. */
  syncAll(done: Done): number {
    return then(
      (next) => this.#disk.syncAll(next),
      (late) => synced(this.#meta, this.#kv, late),
      done,
    )
  }

  /** Takes an inode's backing file away from it, for the free queue. */
  free(inode: Inode): void {
    if (inode.backing === 0) return
    const id = inode.backing
    this.#meta.free.add(id)
    this.#meta.afterCommit(() => this.#reaper.add(id))
    inode.backing = 0
    inode.blocks = 0
  }

  /**
   * Takes up the work that the last run of this node has left, and prepares for new files. `done` is called with 0 when
   * no number that is given from then on can be given again after a power cut, or with a negative errno.
   */
  recover(done: Done): void {
    this.#reaper.recover()
    this.#stock.fill()
    synced(this.#meta, this.#kv, done)
  }

  /** Ends all work: waits for what is under way, removes what is to be removed, and closes. */
  close(done: () => void): void {
    this.#gate.whenIdle(() => {
      this.#stock.close(() => {
        this.#reaper.drain(() => {
          this.#files.closeAll()
          done()
        })
      })
    })
  }

  #writeRuns(file: OpenFile, runs: readonly Run[], from: number, done: Done): number {
    const run = runs[from]
    if (run === undefined) return 0
    return then(
      (next) => this.#disk.write(file.handle, run.at, run.bytes, run.offset, next),
      (late) => this.#writeRuns(file, runs, from + 1, late),
      done,
    )
  }

  #fallocate(file: OpenFile, kind: number, offset: number, bytes: number, done: Done): number {
    const disk = this.#disk
    const plain = (late: Done): number => disk.allocate(file.handle, KEEP_SIZE, offset, bytes, late)
    if (kind === 0) return plain(done)
    const punch = (late: Done): number => disk.allocate(file.handle, PUNCH_HOLE | KEEP_SIZE, offset, bytes, late)
    return kind === PUNCH_HOLE ? punch(done) : then(punch, plain, done)
  }

  #resize(number: number, size: number): number {
    const inode = this.#meta.inode(number)
    if (size < inode.size) {
      inode.truncationEpoch = (inode.truncationEpoch + 1) >>> 0
      if (inode.backing === 0) this.#small.cut(inode, size)
      else if (size === 0) this.free(inode)
      else {
        this.#files.trims.add(inode.backing)
        this.#meta.afterCommit(() => this.#reaper.trim(number))
        inode.blocks = Math.min(inode.blocks, Math.ceil(size / 4096) * 8)
      }
    }
    return this.#resized(inode, size)
  }

  #resized(inode: Inode, size: number): number {
    inode.size = size
    if (inode.backing === 0) inode.blocks = inlineBlocks(size)
    this.#meta.stamp(inode, true)
    return 0
  }

  /** The inode's part of a write that ended at `end`. */
  #written(number: number, end: number, file: OpenFile | undefined): void {
    const inode = this.#meta.inode(number)
    inode.size = Math.max(inode.size, end)
    inode.blocks = file === undefined ? inlineBlocks(inode.size) : this.#files.blocksOf(file)
    this.#meta.stamp(inode, true)
  }
}
