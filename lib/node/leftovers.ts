import type { Step } from '../chunk/then.js'
import type { MetaStore } from '../meta/store.js'
import type { Turn } from '../meta/turn.js'
import { PENDING } from '../ports.js'
import type { FileHolders } from './holders.js'
import type { Truncations } from './truncation.js'

/** Files that are remembered: what there are more keep what they have until they grow. */
const FILES_MAX = 4096

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
  readonly #files = new Set<number>()
  /** Those of which a holder is away. */
  readonly #later = new Set<number>()
  #isBusy = false

  constructor(meta: MetaStore, holders: FileHolders, truncations: Truncations, turn: Turn) {
    this.#meta = meta
    this.#holders = holders
    this.#truncations = truncations
    this.#turn = turn
  }

  /** Something may be left of these inodes. */
  add(numbers: Iterable<number>): void {
    for (const number of numbers) if (this.#files.size < FILES_MAX) this.#files.add(number)
    this.#goOn()
  }

  /** A member can be reached that could not before. */
  reached(): void {
    const due = [...this.#later]
    this.#later.clear()
    this.add(due)
  }

  #goOn(): void {
    while (!this.#isBusy) {
      const [number] = this.#files
      if (number === undefined) return
      this.#files.delete(number)
      this.#cut(number)
    }
  }

  #cut(number: number): void {
    const inode = this.#meta.find(number)
    if (inode === undefined || !this.#holders.isInDoubt(inode)) return
    if (!this.#holders.areUp(inode)) {
      if (this.#later.size < FILES_MAX) this.#later.add(number)
      return
    }
    const clear: Step = (late) => {
      const present = this.#meta.find(number)
      const isDue = present !== undefined && this.#holders.isInDoubt(present) && this.#holders.areUp(present)
      return isDue ? this.#truncations.clear(number, late) : 0
    }
    this.#isBusy = true
    // Where it fails, a truncation that has begun is ended all the same.
    const result = this.#truncations.exclusive(number, () => this.#ended(), clear)
    this.#turn.endSoon()
    if (result !== PENDING) this.#isBusy = false
  }

  #ended(): void {
    this.#isBusy = false
    this.#goOn()
  }
}
