import { LRUCache } from 'lru-cache'
import { ENOENT, fail } from '../base/errno.js'
import type { Inode } from '../meta/inode.js'
import type { Disk, FileStat, Log } from '../ports.js'

/** An open backing file. Whoever waits for an operation on it counts as a user, so that it stays open meanwhile. */
export interface OpenFile {
  readonly id: number
  readonly handle: number
  users: number
  evicted: boolean
}

/** The open backing files, least recently used ones closed first. */
export class BackingFiles {
  readonly #disk: Disk
  readonly #log: Log
  readonly #cache: LRUCache<number, OpenFile>
  readonly #stat: FileStat = { sizeBytes: 0, blocks: 0 }
  /** Files whose tail beyond the inode's size is still to be cut off: see {@link ChunkStore.truncate}. */
  readonly trims = new Set<number>()

  /** At most `openMax` files that nobody uses stay open. */
  constructor(disk: Disk, log: Log, openMax: number) {
    this.#disk = disk
    this.#log = log
    this.#cache = new LRUCache<number, OpenFile>({
      max: openMax,
      dispose: (file) => {
        file.evicted = true
        this.#closeUnused(file)
      },
    })
  }

  /**
   * The backing file of an inode that has one. Where a crash has left something in it beyond the inode's size, it is
   * noted in {@link trims}, so that it can never be read when the file grows. Where a power cut has taken away the file
   * itself, of which nothing was ever synced, an empty one takes its place: zeros, as in any data that was not synced.
   */
  of(inode: Inode): OpenFile {
    const cached = this.#cache.get(inode.backing)
    if (cached !== undefined) return cached
    let handle = this.#disk.open(inode.backing, false)
    if (handle === -ENOENT) {
      this.#log.warn({ inode: inode.number, backing: inode.backing }, 'a backing file is gone: its data is zeros now')
      handle = this.#disk.open(inode.backing, true)
    }
    const file = this.#opened(inode.backing, handle)
    if (this.#statOf(file).sizeBytes > inode.size) this.trims.add(file.id)
    return file
  }

  /** The same, counting the caller as a user until {@link release}. */
  use(inode: Inode): OpenFile {
    const file = this.of(inode)
    file.users++
    return file
  }

  /** A new backing file; the caller counts as a user. */
  create(id: number): OpenFile {
    const file = this.#opened(id, this.#disk.open(id, true))
    file.users++
    return file
  }

  /** Something lies hidden beyond the inode's size. */
  hasTail(inode: Inode): boolean {
    if (inode.backing === 0) return false
    this.of(inode)
    return this.trims.has(inode.backing)
  }

  /** Looks whether a change that failed has left something beyond the size. */
  noteTail(file: OpenFile, size: number): void {
    if (this.#statOf(file).sizeBytes > size) this.trims.add(file.id)
  }

  /** Allocated 512-byte blocks, or 0 where the disk cannot tell. */
  blocksOf(file: OpenFile): number {
    return this.#statOf(file).blocks
  }

  release(file: OpenFile): void {
    file.users--
    this.#closeUnused(file)
  }

  /** Closes the file as soon as nobody uses it. */
  forget(id: number): void {
    this.trims.delete(id)
    this.#cache.delete(id)
  }

  closeAll(): void {
    this.#cache.clear()
  }

  #opened(id: number, handle: number): OpenFile {
    if (handle < 0) fail(-handle)
    const file = { id, handle, users: 0, evicted: false }
    this.#cache.set(id, file)
    return file
  }

  #statOf(file: OpenFile): FileStat {
    const error = this.#disk.stat(file.handle, this.#stat)
    if (error < 0) fail(-error)
    return this.#stat
  }

  #closeUnused(file: OpenFile): void {
    if (file.evicted && file.users === 0) this.#disk.close(file.handle)
  }
}
