import { EMPTY_RANGE } from '../base/ids.js'
import { sooner } from '../chunk/then.js'
import type { Belongings } from '../node/belongings.js'
import { fieldsOf, ownLock, rangeOf } from '../node/lock-fields.js'
import type { Router } from '../node/router.js'
import { type Done, PENDING } from '../ports.js'
import { F_UNLCK, LOCK_END, type Lock } from '../share/locks.js'
import { LockInterrupt, LockSet, LockTest } from '../wire/methods.js'
import type { Known } from './known.js'
import type { LockKind } from './operations.js'

/** Locks of this node's processes, kept at the members that have the inodes; for {@link Cluster}. */
export class ClusterLocks {
  blocker: Lock | undefined
  readonly #router: Router
  readonly #known: Known
  readonly #belongings: Belongings
  /** Inodes of which this node has had record locks: only their closes have to say so. */
  readonly #locked = new Set<number>()

  constructor(router: Router, known: Known, belongings: Belongings) {
    this.#router = router
    this.#known = known
    this.#belongings = belongings
  }

  test(number: number, kind: LockKind, lock: Lock, done: Done): number {
    const request = { ...this.#known.ref(number), ...fieldsOf(kind === 'flock', lock) }
    return sooner(done, (finish) =>
      this.#router.askBriefly(this.#router.ofInode(number), LockTest, request, (result, reply) => {
        if (reply !== null) this.blocker = reply.type === F_UNLCK ? undefined : ownLock(reply)
        finish(Math.min(result, 0))
      }),
    )
  }

  set(number: number, kind: LockKind, lock: Lock, done: Done): number {
    return this.#set(number, kind, lock, undefined, done)
  }

  wait(number: number, kind: LockKind, lock: Lock, id: string, done: Done): number {
    this.#belongings.waiting(id, this.#router.ofInode(number))
    const ended: Done = (result) => {
      this.#belongings.waited(id)
      done(result)
    }
    const result = this.#set(number, kind, lock, id, ended)
    if (result !== PENDING) this.#belongings.waited(id)
    return result
  }

  /** Asked of a member that cannot be reached it waits with the wait that it is to end, and goes after it. */
  interrupt(id: string): void {
    const member = this.#belongings.interrupt(id)
    if (member >= 0) this.#router.askBriefly(member, LockInterrupt, { id: rangeOf(id) }, () => undefined)
  }

  /** Nothing has to be said where this node has locked nothing. */
  flush(number: number, owner: string, done: Done): number {
    if (!this.#locked.has(number)) return 0
    const lock: Lock = { owner, handle: 0, pid: 0, type: F_UNLCK, start: 0, end: LOCK_END }
    return this.set(number, 'record', lock, done)
  }

  #set(number: number, kind: LockKind, lock: Lock, id: string | undefined, done: Done): number {
    const isFlock = kind === 'flock'
    const ref = this.#known.ref(number)
    const wait = { wait: id === undefined ? 0 : 1, id: id === undefined ? EMPTY_RANGE : rangeOf(id) }
    const request = { ...ref, ...fieldsOf(isFlock, lock), ...wait }
    if (!isFlock) this.#locked.add(number)
    const member = this.#router.ofInode(number)
    return sooner(done, (finish) =>
      this.#router.askBriefly(member, LockSet, request, (result) => {
        if (result >= 0 && member !== this.#router.self) this.#belongings.locked(number, ref.generation, isFlock, lock)
        finish(result)
      }),
    )
  }
}
