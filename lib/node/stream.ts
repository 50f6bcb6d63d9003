import type { MetaStore } from '../meta/store.js'
import type { Turn } from '../meta/turn.js'

/** Sequences that one id of the durable stream stands for: steps of an intent, and questions of a step. */
export const SEQUENCES = 32

/**
 * This member's durable stream: ids for what its outbox and its intents ask of others, each in use until its record is
 * gone for good. Before that no peer may forget what it has answered, since a power cut could bring the record back.
 */
export class Stream {
  readonly #meta: MetaStore
  readonly #turn: Turn
  /** In ascending order, as they were given out. */
  readonly #inUse = new Set<number>()
  /** Ids whose records are gone, but not yet for good. */
  #closed: number[] = []
  #last: number
  #isSyncing = false
  /** The last commit that the sync under way covers. */
  #coveredCommit = 0
  /** Who waits for the sync that is under way, and who for the next one. */
  #covered: ((error: number) => void)[] = []
  #waiting: ((error: number) => void)[] = []

  constructor(meta: MetaStore, turn: Turn) {
    this.#meta = meta
    this.#turn = turn
    this.#last = meta.counter.next()
  }

  /** Every sequence up to this one is done. */
  get acknowledged(): number {
    for (const oldest of this.#inUse) return oldest * SEQUENCES - 1
    return this.#last * SEQUENCES + SEQUENCES - 1
  }

  /** A new id, for a record in the open batch. */
  open(): number {
    this.#last = this.#meta.counter.next()
    this.#inUse.add(this.#last)
    return this.#last
  }

  /** The ids that the last run of this node has left in use; to be said before the first {@link open}. */
  resume(ids: readonly number[]): void {
    for (const id of [...ids].sort((a, b) => a - b)) this.#inUse.add(id)
  }

  /** The id's record goes with the open batch. */
  close(id: number): void {
    this.#meta.onceCommitted((error) => {
      if (error === 0) this.#closed.push(id)
    })
  }

  /** The id was given out and its record has never been safe: nobody has heard of it. */
  drop(id: number): void {
    this.#inUse.delete(id)
  }

  /**
   * Calls `step` with 0 once what was changed so far is safe against a power cut, or with the errno for which it was
   * undone, or may be lost. Who comes while a sync is under way shares it, or the next one.
   */
  onceDurable(step: (error: number) => void): void {
    this.#meta.onceCommitted((error) => {
      if (error < 0) step(error)
      // Of one commit all that waits is told one after the other, and the first one has begun a sync.
      else if (this.#isSyncing && this.#coveredCommit === this.#meta.commitCount) this.#covered.push(step)
      else {
        this.#waiting.push(step)
        if (!this.#isSyncing) this.#sync()
      }
    })
    this.#turn.endSoon()
  }

  #sync(): void {
    this.#isSyncing = true
    this.#coveredCommit = this.#meta.commitCount
    const [covered, closed] = [this.#waiting, this.#closed]
    this.#covered = covered
    this.#waiting = []
    this.#closed = []
    this.#meta.sync((error) => {
      this.#isSyncing = false
      if (error < 0) this.#closed.push(...closed)
      else for (const id of closed) this.#inUse.delete(id)
      for (const step of covered) step(Math.min(error, 0))
      if (this.#waiting.length > 0 && !this.#isSyncing) this.#sync()
      this.#turn.endSoon()
    })
  }
}
