import type { ByteRange } from '../base/ids.js'
import { sooner } from '../chunk/then.js'
import type { Router } from '../node/router.js'
import { LOCK_TO_END, type LockFields } from '../node/services/locks.js'
import { type Done, PENDING } from '../ports.js'
import { NO_TRANSFER } from '../rpc/call.js'
import { F_UNLCK, LOCK_END, type Lock } from '../share/locks.js'
import { InodeRelease, LockInterrupt, LockSet, LockTest } from '../wire/methods.js'
import type { Known } from './known.js'
import type { LockKind } from './operations.js'

const encoder = new TextEncoder()
const NOBODY: ByteRange = { bytes: new Uint8Array(0), offset: 0, length: 0 }

/** Locks and open files of this node's processes, kept at the members that have the inodes; for {@link Cluster}. */
export class ClusterLocks {
  blocker: Lock | undefined
  readonly #router: Router
  readonly #known: Known
  /** Inodes of which this node has had record locks: only their closes have to say so. */
  readonly #locked = new Set<number>()
  /** Where a wait waits. */
  readonly #waits = new Map<string, number>()

  constructor(router: Router, known: Known) {
    this.#router = router
    this.#known = known
  }

  test(number: number, kind: LockKind, lock: Lock, done: Done): number {
    const request = { ...this.#known.ref(number), ...fieldsOf(kind, lock) }
    return sooner(done, (finish) =>
      this.#router.ask(this.#router.ofInode(number), LockTest, request, NO_TRANSFER, (result, reply) => {
        if (reply !== null) this.blocker = reply.type === F_UNLCK ? undefined : lockOf(reply)
        finish(Math.min(result, 0))
      }),
    )
  }

  set(number: number, kind: LockKind, lock: Lock, done: Done): number {
    const request = { ...this.#known.ref(number), ...fieldsOf(kind, lock), wait: 0, id: NOBODY }
    return this.#set(number, kind, request, done)
  }

  wait(number: number, kind: LockKind, lock: Lock, id: string, done: Done): number {
    const request = { ...this.#known.ref(number), ...fieldsOf(kind, lock), wait: 1, id: rangeOf(id) }
    this.#waits.set(id, this.#router.ofInode(number))
    const ended: Done = (result) => {
      this.#waits.delete(id)
      done(result)
    }
    const result = this.#set(number, kind, request, ended)
    if (result !== PENDING) this.#waits.delete(id)
    return result
  }

  interrupt(id: string): void {
    const member = this.#waits.get(id)
    if (member === undefined) return
    this.#router.ask(member, LockInterrupt, { id: rangeOf(id) }, NO_TRANSFER, () => undefined)
  }

  /** Nothing has to be said where this node has locked nothing. */
  flush(number: number, owner: string, done: Done): number {
    if (!this.#locked.has(number)) return 0
    const lock: Lock = { owner, handle: 0, pid: 0, type: F_UNLCK, start: 0, end: LOCK_END }
    return this.set(number, 'record', lock, done)
  }

  release(number: number, handle: number, flockOwner: string | undefined): void {
    if (!this.#known.has(number)) return
    const owner = flockOwner === undefined ? NOBODY : rangeOf(flockOwner)
    const request = { ...this.#known.ref(number), handle, owner }
    this.#router.ask(this.#router.ofInode(number), InodeRelease, request, NO_TRANSFER, () => undefined)
  }

  #set(number: number, kind: LockKind, request: Parameters<typeof LockSet.request.put>[2], done: Done): number {
    if (kind === 'record') this.#locked.add(number)
    return sooner(done, (finish) =>
      this.#router.ask(this.#router.ofInode(number), LockSet, request, NO_TRANSFER, (result) => finish(result)),
    )
  }
}

const rangeOf = (text: string): ByteRange => {
  const bytes = encoder.encode(text)
  return { bytes, offset: 0, length: bytes.length }
}

const fieldsOf = (kind: LockKind, lock: Lock): LockFields => ({
  flock: kind === 'flock' ? 1 : 0,
  type: lock.type,
  start: Math.min(lock.start, LOCK_TO_END),
  end: Math.min(lock.end, LOCK_TO_END),
  pid: lock.pid,
  handle: lock.handle,
  owner: rangeOf(lock.owner),
})

const lockOf = ({ type, start, end, pid, handle }: LockFields): Lock => ({
  owner: '',
  handle,
  pid,
  type,
  start,
  end: end === LOCK_TO_END ? LOCK_END : end,
})
