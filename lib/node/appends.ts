import { EAGAIN, EIO, ESTALE } from '../base/errno.js'
import type { Step } from '../chunk/then.js'
import type { Inode } from '../meta/inode.js'
import type { MetaStore } from '../meta/store.js'
import { PENDING } from '../ports.js'
import type { FileHolders } from './holders.js'
import type { Truncations } from './truncation.js'

/** Gets 0 and the turn's number, or a negative errno. */
export type Grant = (error: number, turn: number) => void

/** Inodes of which that is remembered; beyond that, some are cleared once more. */
const CLEAR_MAX = 65536

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
  /** Inodes all of whose turns have ended well since this node has started, or since they were cleared. */
  readonly #clear = new Set<number>()

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

  /**
   * Calls `grant` when it is this member's turn; with −EAGAIN where that can only begin when all members that hold
   * chunks of the file can be reached, and one is away: in the queue others would wait along.
   */
  begin(number: number, member: number, grant: Grant): void {
    const queue = this.#queues.get(number)
    if (queue === undefined) this.#give(number, { member, grant }, [])
    else queue.waiting.push({ member, grant })
  }

  /** The turn has ended; `isClean`: all that was written for it is within the file's size. */
  end(number: number, member: number, turn: number, isClean: boolean): void {
    if (!this.has(number, member, turn)) return
    if (!isClean) this.#spoil(number)
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
      this.#spoil(number)
      if (queue.turn.isGranted) this.#next(number)
    }
  }

  #give(number: number, { member, grant }: Waiting, waiting: Waiting[]): void {
    const turn: Turn = { id: this.#meta.counter.next(), member, isGranted: false, isLost: false }
    this.#queues.set(number, { turn, waiting })
    const clear: Step = (late) => {
      const inode = this.#meta.inode(number)
      if (!this.#mustClear(inode)) return 0
      return this.#holders.areUp(inode) ? this.#truncations.clear(number, late) : -EAGAIN
    }
    const begin = (inode: Inode): number => {
      const needsAll = this.#mustClear(inode) || this.#truncations.isPending(inode)
      if (needsAll && !this.#holders.areUp(inode)) return -EAGAIN
      return this.#truncations.exclusive(number, granted, clear)
    }
    const granted = (result: number): void => {
      const error = turn.isLost ? -EIO : result
      turn.isGranted = true
      if (result === 0) this.#clean(number)
      if (error < 0) this.#next(number)
      grant(error, turn.id)
    }
    // Appends that lie with the inode need no turn, and those that have begun before this one have their place first.
    const inode = this.#meta.find(number)
    const result = inode === undefined ? -ESTALE : begin(inode)
    if (result !== PENDING) granted(result)
  }

  /** Data of a turn that has ended otherwise than it should may still be on its way, to where the next one's goes. */
  #mustClear(inode: Inode): boolean {
    return !this.#clear.has(inode.number) && this.#holders.isInDoubt(inode)
  }

  #clean(number: number): void {
    if (this.#clear.size >= CLEAR_MAX) this.#clear.clear()
    this.#clear.add(number)
  }

  #spoil(number: number): void {
    this.#clear.delete(number)
    this.#holders.doubt(number)
  }

  #next(number: number): void {
    const waiting = this.#queues.get(number)?.waiting ?? []
    const [first, ...rest] = waiting
    this.#queues.delete(number)
    if (first !== undefined) this.#give(number, first, rest)
  }
}
