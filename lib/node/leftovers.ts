import type { Step } from '../chunk/then.js'
import type { MetaStore } from '../meta/store.js'
import type { Turn } from '../meta/turn.js'
import { type Clock, type Done, PENDING } from '../ports.js'
import type { FileHolders } from './holders.js'
import type { Truncations } from './truncation.js'

/** Files that are remembered: what there are more keep what they have until they grow. */
const FILES_MAX = 4096
/** Between the news of a file and the cut. */
const PAUSE_MS = 1000

/**
 * What writers have left beyond the sizes of files, since they died or failed between data and size, is never seen, but
 * it takes room of which stat(2) says nothing. So where it is known which files these may be, it is cut off in the
 * background, one file after the other: when a write is said to have failed, and when a node has lost all that it had
 * open. It waits for members that are away; the end of this process forgets it, and then the file's next growth or
 * truncation finds it, or its removal.
 */
export class Leftovers {
  readonly #meta: MetaStore
  readonly #holders: FileHolders
  readonly #truncations: Truncations
  readonly #turn: Turn
  readonly #clock: Clock
  readonly #files = new Set<number>()
  /** Those of which a holder is away. */
  readonly #later = new Set<number>()
  #isBusy = false

  constructor(meta: MetaStore, holders: FileHolders, truncations: Truncations, turn: Turn, clock: Clock) {
    this.#meta = meta
    this.#holders = holders
    this.#truncations = truncations
    this.#turn = turn
    this.#clock = clock
  }

  /** Something may be left of these inodes. */
  add(numbers: Iterable<number>): void {
    for (const number of numbers) if (this.#files.size < FILES_MAX) this.#files.add(number)
    this.#wait()
  }

  /** A member can be reached that could not before. */
  reached(): void {
    const due = [...this.#later]
    this.#later.clear()
    this.add(due)
  }

  /** Each cut makes those begin again who write to the file, so one that fails time after time must not stop them. */
  #wait(): void {
    if (this.#isBusy || this.#files.size === 0) return
    this.#isBusy = true
    this.#clock.after(PAUSE_MS, () => {
      const due = [...this.#files]
      this.#files.clear()
      this.#goOn(due)
      this.#turn.endSoon()
    })
  }

  #goOn(due: number[]): void {
    for (let number = due.pop(); number !== undefined; number = due.pop()) {
      // Where it fails, a truncation that has begun is ended all the same.
      if (this.#cut(number, () => this.#goOn(due)) === PENDING) return
    }
    this.#isBusy = false
    this.#wait()
  }

  #cut(number: number, done: Done): number {
    const inode = this.#meta.find(number)
    if (inode === undefined || !this.#holders.isInDoubt(inode)) return 0
    if (!this.#holders.areUp(inode)) {
      if (this.#later.size < FILES_MAX) this.#later.add(number)
      return 0
    }
    const clear: Step = (late) => {
      const present = this.#meta.find(number)
      const isDue = present !== undefined && this.#holders.isInDoubt(present) && this.#holders.areUp(present)
      return isDue ? this.#truncations.clear(number, late) : 0
    }
    return this.#truncations.exclusive(number, done, clear)
  }
}
