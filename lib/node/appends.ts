import { EIO } from '../base/errno.js'
import type { Step } from '../chunk/then.js'
import type { MetaStore } from '../meta/store.js'
import { PENDING } from '../ports.js'
import type { FileHolders } from './holders.js'
import type { Truncations } from './truncation.js'

/** Gets 0 and the turn's number, or a negative errno. */
export type Grant = (error: number, turn: number) => void

interface Turn {
  /** Never given twice, by whatever incarnation of this node. */
  readonly id: number
  readonly member: number
  isGranted: boolean
  /** The session with its member has ended. */
  isLost: boolean
}

interface Waiting {
  readonly member: number
  readonly grant: Grant
}

interface Queue {
  turn: Turn
  waiting: Waiting[]
}

/**
 * Turns to append to files whose end lies with another member than the inode: who has the turn writes its data there
 * and then tells the inode. The next turn begins at the size that this leaves; so whoever gives up, or is lost, gives
 * its place back. What it may have left there, or is still on its way, is cut off before the next turn.
 */
export class Appends {
  readonly #meta: MetaStore
  readonly #holders: FileHolders
  readonly #truncations: Truncations
  readonly #queues = new Map<number, Queue>()

  constructor(meta: MetaStore, holders: FileHolders, truncations: Truncations) {
    this.#meta = meta
    this.#holders = holders
    this.#truncations = truncations
  }

  /** Somebody has a turn: whoever else wants to append has to wait for one. */
  isTaken(number: number): boolean {
    return this.#queues.has(number)
  }

  has(number: number, member: number, turn: number): boolean {
    const present = this.#queues.get(number)?.turn
    return present !== undefined && present.id === turn && present.member === member
  }

  /** Calls `grant` when it is this member's turn. */
  begin(number: number, member: number, grant: Grant): void {
    const queue = this.#queues.get(number)
    if (queue === undefined) this.#give(number, { member, grant }, [])
    else queue.waiting.push({ member, grant })
  }

  /** The turn has ended; `isClean`: all that was written for it is within the file's size. */
  end(number: number, member: number, turn: number, isClean: boolean): void {
    if (!this.has(number, member, turn)) return
    if (!isClean) this.#holders.doubt(number)
    this.#next(number)
  }

  /** A session with a member has ended, and with it the turns that it has or waits for. */
  memberLost(member: number): void {
    for (const [number, queue] of [...this.#queues]) {
      const lost = queue.waiting.filter((waiting) => waiting.member === member)
      queue.waiting = queue.waiting.filter((waiting) => waiting.member !== member)
      for (const { grant } of lost) grant(-EIO, 0)
      if (queue.turn.member !== member) continue
      queue.turn.isLost = true
      if (queue.turn.isGranted) this.#next(number)
    }
  }

  #give(number: number, { member, grant }: Waiting, waiting: Waiting[]): void {
    const turn: Turn = { id: this.#meta.counter.next(), member, isGranted: false, isLost: false }
    this.#queues.set(number, { turn, waiting })
    const clear: Step = (late) => {
      const isInDoubt = this.#holders.isInDoubt(this.#meta.inode(number))
      return isInDoubt ? this.#truncations.clear(number, late) : 0
    }
    const granted = (result: number): void => {
      const error = turn.isLost ? -EIO : result
      turn.isGranted = true
      if (error < 0) this.#next(number)
      grant(error, turn.id)
    }
    // Appends that lie with the inode need no turn, and those that have begun before this one have their place first.
    const result = this.#truncations.exclusive(number, granted, clear)
    if (result !== PENDING) granted(result)
  }

  #next(number: number): void {
    const waiting = this.#queues.get(number)?.waiting ?? []
    const [first, ...rest] = waiting
    this.#queues.delete(number)
    if (first !== undefined) this.#give(number, first, rest)
  }
}
