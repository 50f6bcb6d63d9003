import { ENOENT } from '../base/errno.js'
import type { MetaStore } from '../meta/store.js'
import { type Clock, type Disk, type Done, type Kv, type Log, PENDING } from '../ports.js'
import type { BackingFiles } from './files.js'

/** How long freed space may wait, so that many removals share one sync. */
const DELAY_MS = 50

/** Backing files removed, or cut off, side by side. */
const BATCH = 64

/** How long, and how many, removed files may stay in the free queue until a sync of the disk. */
const CONFIRM_DELAY_MS = 30_000
const CONFIRM_FILES = 4096

/** What a reaper works with. */
export interface ReaperPorts {
  readonly meta: MetaStore
  readonly kv: Kv
  readonly disk: Disk
  readonly files: BackingFiles
  readonly clock: Clock
  readonly log: Log
  /** Cuts off what lies hidden beyond the size of an inode. */
  readonly trim: (inode: number, done: Done) => number
}

/**
 * Gives space back in the background: removes backing files that no inode needs any more, and cuts off the hidden tails
 * of others. Nothing goes before the metadata that freed it is safe against a power cut: otherwise the old inode could
 * come back without its data. And a removed file stays in the free queue until its removal is safe, too: otherwise it
 * could come back and be nobody's.
 */
export class Reaper {
  readonly #ports: ReaperPorts
  #queue: number[] = []
  #tails = new Set<number>()
  /** Removed, but not yet safe against a power cut. */
  #gone: number[] = []
  #cancel: (() => void) | undefined
  #cancelConfirm: (() => void) | undefined
  #working = false
  #idle: (() => void)[] = []

  constructor(ports: ReaperPorts) {
    this.#ports = ports
  }

  /** Takes over a backing file whose free record is in the store. */
  add(id: number): void {
    this.#ports.files.forget(id)
    this.#queue.push(id)
    this.#schedule()
  }

  /** Takes over an inode with a hidden tail. */
  trim(inode: number): void {
    this.#tails.add(inode)
    this.#schedule()
  }

  /** Takes over what the last run of this node left in the free queue. */
  recover(): void {
    for (const id of this.#ports.meta.free.list()) this.add(id)
  }

  /** Calls `done` when nothing is left to do. */
  drain(done: () => void): void {
    this.#idle.push(done)
    if (!this.#working) this.#next()
  }

  #schedule(): void {
    if (this.#working || this.#cancel !== undefined) return
    this.#cancel = this.#ports.clock.after(DELAY_MS, () => this.#work())
  }

  #work(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#working = true
    const ids = this.#queue.splice(0, BATCH)
    const tails = [...this.#tails].slice(0, BATCH)
    for (const inode of tails) this.#tails.delete(inode)
    this.#ports.kv.sync((error) => {
      if (error < 0) {
        this.#report(error, 'the store cannot be synced; freed space stays taken until the next mount')
        this.#next()
      } else this.#remove(ids, tails)
    })
  }

  #remove(ids: number[], tails: number[]): void {
    let left = 1
    const ended = (): void => {
      if (--left === 0) this.#next()
    }
    const run = (operation: (done: Done) => number, done: Done): void => {
      left++
      const finish: Done = (result) => {
        done(result)
        ended()
      }
      const result = operation(finish)
      if (result !== PENDING) finish(result)
    }
    for (const id of ids) {
      run(
        (done) => this.#ports.disk.remove(id, done),
        (error) => {
          if (error === 0 || error === -ENOENT) this.#gone.push(id)
          else this.#report(error, 'a backing file cannot be removed before the next mount')
        },
      )
    }
    for (const inode of tails) {
      run(
        (done) => this.#ports.trim(inode, done),
        (error) => {
          if (error < 0) this.#report(error, 'the end of a file that was cut off stays until the file grows')
        },
      )
    }
    ended()
  }

  /** Makes the removals safe, and takes the files out of the free queue. */
  #confirm(): void {
    this.#cancelConfirm?.()
    this.#cancelConfirm = undefined
    this.#working = true
    const { disk, meta } = this.#ports
    const ids = this.#gone
    this.#gone = []
    const synced = (error: number): void => {
      if (error < 0) this.#report(error, 'the disk cannot be synced; removed files stay queued until the next mount')
      else {
        try {
          for (const id of ids) meta.free.remove(id)
        } finally {
          meta.commit()
        }
      }
      this.#next()
    }
    const result = disk.syncAll(synced)
    if (result !== PENDING) synced(result)
  }

  /** Goes on: at once where somebody waits for the end, else when it is time. */
  #next(): void {
    this.#working = false
    const isWaitedFor = this.#idle.length > 0
    if (this.#queue.length > 0 || this.#tails.size > 0) {
      if (isWaitedFor) this.#work()
      else this.#schedule()
      return
    }
    if (this.#gone.length > 0) {
      if (isWaitedFor || this.#gone.length >= CONFIRM_FILES) this.#confirm()
      else this.#confirmLater()
      return
    }
    for (const done of this.#idle.splice(0)) done()
  }

  #confirmLater(): void {
    if (this.#cancelConfirm !== undefined) return
    this.#cancelConfirm = this.#ports.clock.after(CONFIRM_DELAY_MS, () => {
      this.#cancelConfirm = undefined
      if (this.#working) this.#confirmLater()
      else this.#confirm()
    })
  }

  #report(error: number, message: string): void {
    this.#ports.log.error({ errno: -error }, message)
  }
}
