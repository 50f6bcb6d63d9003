import { ENOSPC } from '../base/errno.js'
import type { MetaStore } from '../meta/store.js'
import { type Done, type Kv, PENDING } from '../ports.js'

/** Ids that one sync makes ready. */
const IDS = 256

/**
 * Ids for new backing files. Each of them stands in the free queue, safe against a power cut, before a file of that
 * name is made; an inode that claims the file takes it out again. So whatever a crash leaves behind is found in the
 * queue, and a number that a power cut has taken back has never named a file.
 */
export class Stock {
  readonly #meta: MetaStore
  readonly #kv: Kv
  readonly #size: number
  #ready: number[] = []
  #waiting: Done[] = []
  #filling = false
  #closing: (() => void) | undefined

  constructor(meta: MetaStore, kv: Kv, size = IDS) {
    this.#meta = meta
    this.#kv = kv
    this.#size = size
  }

  /** An id, or PENDING; or ENOSPC or EIO. */
  take(done: Done): number {
    const id = this.#ready.pop()
    const isLow = this.#ready.length < this.#size / 2
    // Not within a turn: a commit now would tear it in two.
    if (isLow && !this.#filling && this.#meta.canGrow) this.#meta.onceCommitted(() => this.fill())
    if (id !== undefined) return id
    if (!this.#meta.canGrow) return -ENOSPC
    this.#waiting.push(done)
    return PENDING
  }

  /** Makes new ids, unless that is under way, or the store is full. Commits. */
  fill(): void {
    if (this.#filling) return
    this.#filling = true
    if (!this.#meta.canGrow) {
      this.#kv.sync(() => this.#filled([], -ENOSPC))
      return
    }
    const ids = Array.from({ length: this.#size }, () => this.#meta.counter.next())
    for (const id of ids) this.#meta.free.add(id)
    const failed = this.#meta.commit()
    // Those who wait are never answered at once, not even with an error.
    this.#kv.sync((error) => this.#filled(failed < 0 || error < 0 ? [] : ids, failed < 0 ? failed : error))
  }

  /** Gives back what is left; nothing may be taken any more. */
  close(done: () => void): void {
    if (this.#filling) this.#closing = done
    else this.#empty(done)
  }

  #empty(done: () => void): void {
    for (const id of this.#ready.splice(0)) this.#meta.free.remove(id)
    this.#meta.commit()
    done()
  }

  #filled(ids: number[], error: number): void {
    this.#filling = false
    this.#ready.push(...ids)
    const waiting = this.#waiting.splice(0, error < 0 ? this.#waiting.length : ids.length)
    for (const done of waiting) done(error < 0 ? error : (this.#ready.pop() as number))
    if (this.#waiting.length > 0) this.fill()
    if (this.#closing !== undefined && !this.#filling) this.#empty(this.#closing)
  }
}
