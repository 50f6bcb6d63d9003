import type { ByteRange } from '../base/ids.js'
import type { Clock } from '../ports.js'
import { type Lock, Locks } from '../share/locks.js'
import { type Reclaim, ReclaimedLock, ReclaimedOpen, type RequestOf } from '../wire/methods.js'
import { areaOf } from '../wire/struct.js'
import { FENCE_MS } from './leases.js'
import { fieldsOf } from './lock-fields.js'

/** How many of each go into one message, so that it fits. */
const OPENS_MAX = 32
const LOCKS_MAX = 8

interface Opened {
  readonly generation: number
  readonly ids: Set<number>
}

/**
 * What this node's processes have open and have locked at other members, so that it can be said again: to a member
 * that starts anew, and after every loss of a session. And what is lost: locks that a member may have given to others,
 * as it could not be reached for too long. This node notices that by its own clock, well before the member's term is
 * over, and from then on nothing is read or written through what they were set through.
 */
export class Belongings {
  readonly #ownerOf: (inode: number) => number
  readonly #clock: Clock
  #lastId = 0
  readonly #opens = new Map<number, Opened>()
  /** Openings that go with creations which are not answered yet: of which inode is not known. */
  readonly #asked = new Set<number>()
  /** As the members have them, but that nobody waits here. */
  readonly #recordLocks = new Locks(false)
  readonly #fileLocks = new Locks(false)
  /** Inodes that something was locked of, by what it was locked through. */
  readonly #handles = new Map<number, { number: number; generation: number }>()
  readonly #lost = new Set<number>()
  /** Waits for locks: at which member, and whether they were interrupted. */
  readonly #waits = new Map<string, { readonly member: number; isInterrupted: boolean }>()
  /** What ends the wait for a member without a session. */
  readonly #away = new Map<number, () => void>()
  /** When a member was last heard of, for those of which anybody says. */
  readonly #heardMs = new Map<number, number>()

  constructor(ownerOf: (inode: number) => number, clock: Clock) {
    this.#ownerOf = ownerOf
    this.#clock = clock
  }

  /** An id for an opening that is about to be asked for. */
  newId(): number {
    return ++this.#lastId
  }

  /** An opening is asked for that goes with a creation, until {@link answered}. */
  asking(id: number): void {
    this.#asked.add(id)
  }

  answered(id: number): void {
    this.#asked.delete(id)
  }

  /** An inode is being opened, or is open. */
  open(number: number, generation: number, id: number): void {
    const opened = this.#opens.get(number)
    if (opened?.generation === generation) opened.ids.add(id)
    else this.#opens.set(number, { generation, ids: new Set([id]) })
  }

  /** The opening has failed, or one (whichever) ends; its id, or 0. */
  close(number: number, id?: number): number {
    const opened = this.#opens.get(number)
    const [any] = opened?.ids ?? []
    const closed = id ?? any
    if (opened === undefined || closed === undefined) return 0
    opened.ids.delete(closed)
    if (opened.ids.size === 0) this.#opens.delete(number)
    return closed
  }

  /** A lock was set, or taken away. */
  locked(number: number, generation: number, isFlock: boolean, lock: Lock): void {
    this.#handles.set(lock.handle, { number, generation })
    this.#locks(isFlock).restore(number, lock)
  }

  /** Somebody waits for a lock; `id` names the wait. */
  waiting(id: string, member: number): void {
    this.#waits.set(id, { member, isInterrupted: false })
  }

  waited(id: string): void {
    this.#waits.delete(id)
  }

  /** The wait is to end; the member where it waits, or −1 where there is none (any more). */
  interrupt(id: string): number {
    const wait = this.#waits.get(id)
    if (wait === undefined) return -1
    wait.isInterrupted = true
    return wait.member
  }

  /** Waits at the member that are to end: it may have forgotten that they were interrupted. */
  interruptedAt(member: number): string[] {
    return [...this.#waits].filter(([, wait]) => wait.isInterrupted && wait.member === member).map(([id]) => id)
  }

  /** What was opened has ended, and with it its locks, and those of a flock(2)'s owner. */
  released(number: number, handle: number, flockOwner: string | undefined): void {
    if (flockOwner !== undefined) this.#fileLocks.releaseOwner(number, flockOwner)
    this.#recordLocks.releaseHandle(number, handle)
    this.#handles.delete(handle)
    this.#lost.delete(handle)
  }

  /** Locks that were set through this are lost: nothing may be read or written through it any more. */
  isLost(handle: number): boolean {
    const inode = this.#handles.get(handle)
    if (inode !== undefined && this.#heardMs.size > 0) {
      const member = this.#ownerOf(inode.number)
      const heardMs = this.#heardMs.get(member)
      // This process may have been stopped, and then does not know yet what has happened meanwhile.
      if (heardMs !== undefined && this.#clock.monotonicMs() - heardMs > FENCE_MS) this.lose(member)
    }
    return this.#lost.has(handle)
  }

  /** The member has given a sign of life. What has arrived while this process was stopped is none. */
  heard(member: number): void {
    const nowMs = this.#clock.monotonicMs()
    const heardMs = this.#heardMs.get(member)
    if (heardMs !== undefined && nowMs - heardMs > FENCE_MS) this.lose(member)
    this.#heardMs.set(member, nowMs)
  }

  /** There is a session with the member. */
  up(member: number): void {
    if (this.#heardMs.has(member)) this.#heardMs.set(member, this.#clock.monotonicMs())
    this.#away.get(member)?.()
    this.#away.delete(member)
  }

  /** There is none any more. */
  down(member: number): void {
    if (this.#away.has(member)) return
    this.#away.set(
      member,
      this.#clock.after(FENCE_MS, () => {
        this.#away.delete(member)
        this.lose(member)
      }),
    )
  }

  /** Gives all locks up that this node has at the member. */
  lose(member: number): void {
    for (const locks of [this.#recordLocks, this.#fileLocks]) {
      const theirs = [...locks.list()].filter(([number]) => this.#ownerOf(number) === member)
      for (const [number, { handle, owner }] of theirs) {
        this.#lost.add(handle)
        locks.releaseOwner(number, owner)
      }
    }
  }

  /** All that this node has at the member, in as many messages as it takes. */
  listFor(member: number): RequestOf<typeof Reclaim>[] {
    const opens = [...this.#opensAt(member)]
    const locks = [...this.#locksAt(member)]
    const messages: RequestOf<typeof Reclaim>[] = []
    do {
      messages.push({
        first: messages.length === 0 ? 1 : 0,
        opens: packed(opens.splice(0, OPENS_MAX), (area, at, open) => ReclaimedOpen.put(area, at, open)),
        locks: packed(locks.splice(0, LOCKS_MAX), (area, at, lock) => ReclaimedLock.put(area, at, lock)),
        last: opens.length + locks.length === 0 ? 1 : 0,
      })
    } while (opens.length + locks.length > 0)
    return messages
  }

  *#opensAt(member: number): Generator<Parameters<typeof ReclaimedOpen.put>[2]> {
    for (const [number, { generation, ids }] of this.#opens) {
      if (this.#ownerOf(number) === member) for (const id of ids) yield { number, generation, id }
    }
    for (const id of this.#asked) yield { number: 0, generation: 0, id }
  }

  *#locksAt(member: number): Generator<Parameters<typeof ReclaimedLock.put>[2]> {
    for (const isFlock of [false, true]) {
      for (const [number, lock] of this.#locks(isFlock).list()) {
        const generation = this.#handles.get(lock.handle)?.generation ?? 0
        if (this.#ownerOf(number) === member) yield { number, generation, ...fieldsOf(isFlock, lock) }
      }
    }
  }

  #locks(isFlock: boolean): Locks {
    return isFlock ? this.#fileLocks : this.#recordLocks
  }
}

function packed<T>(
  items: readonly T[],
  put: (area: ReturnType<typeof areaOf>, at: number, item: T) => number,
): ByteRange {
  const area = areaOf(new Uint32Array(512))
  let end = 0
  for (const item of items) end = put(area, end, item)
  return { bytes: area.bytes, offset: 0, length: end * 4 }
}
