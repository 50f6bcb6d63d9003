import { ESTALE } from '../base/errno.js'
import type { MetaStore } from '../meta/store.js'
import type { Turn } from '../meta/turn.js'
import { NO_TRANSFER } from '../rpc/call.js'
import { ParentUpdate } from '../wire/methods.js'
import type { Router } from './router.js'

interface Update {
  readonly generation: number
  links: number
  seconds: number
  nanoseconds: number
  readonly waiting: ((error: number) => void)[]
}

interface Parent {
  /** What has gathered while an update was under way. */
  next: Update | undefined
}

/**
 * The directories' part of changes of their entries: times and link counts, at the member that has the directory's
 * inode. What gathers while an update is under way is sent as one.
 */
export class Parents {
  readonly #meta: MetaStore
  readonly #turn: Turn
  readonly #router: Router
  readonly #parents = new Map<number, Parent>()

  constructor(meta: MetaStore, turn: Turn, router: Router) {
    this.#meta = meta
    this.#turn = turn
    this.#router = router
  }

  /**
   * Entries of a directory have changed, in the open batch; it has `links` subdirectories more. `done` is called, now
   * or later, when the directory says so too. A directory that is here changes in the same batch.
   */
  changed(number: number, generation: number, links: number, done: (error: number) => void): void {
    const { stamps } = this.#meta
    stamps.advance()
    const { seconds, nanoseconds } = stamps
    const update: Update = { generation, links, seconds, nanoseconds, waiting: [done] }
    if (this.#router.ofInode(number) === this.#router.self) {
      this.#send(number, update)
      return
    }
    // Not before the entries are safe: a crash would leave a link count that nothing stands behind.
    this.#meta.onceCommitted((error) => {
      if (error < 0) done(error)
      else this.#add(number, update)
    })
    this.#turn.endSoon()
  }

  #add(number: number, update: Update): void {
    const parent = this.#parents.get(number)
    if (parent === undefined) {
      this.#parents.set(number, { next: undefined })
      this.#send(number, update)
      return
    }
    const { next } = parent
    if (next === undefined) {
      parent.next = update
      return
    }
    if (next.generation !== update.generation) {
      this.#send(number, update)
      return
    }
    next.links += update.links
    next.seconds = update.seconds
    next.nanoseconds = update.nanoseconds
    next.waiting.push(...update.waiting)
  }

  #send(number: number, update: Update): void {
    const { generation, links, seconds, nanoseconds, waiting } = update
    const request = { number, generation, links, seconds, nanoseconds }
    this.#router.ask(this.#router.ofInode(number), ParentUpdate, request, NO_TRANSFER, (result) => {
      // One that was removed meanwhile has no times any more.
      const error = result === -ESTALE ? 0 : Math.min(result, 0)
      this.#sendNext(number)
      for (const done of waiting) done(error)
    })
  }

  #sendNext(number: number): void {
    const parent = this.#parents.get(number)
    if (parent === undefined) return
    const { next } = parent
    parent.next = undefined
    if (next === undefined) this.#parents.delete(number)
    else this.#send(number, next)
  }
}
