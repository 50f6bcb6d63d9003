import type { Inode } from '../meta/inode.js'
import type { MetaStore } from '../meta/store.js'
import { NO_TRANSFER } from '../rpc/call.js'
import type { AnyMethod } from '../rpc/services.js'
import { type MemberOf, piecesOf } from '../stripe/stripe.js'
import type { ReplyOf, RequestOf } from '../wire/methods.js'
import { INODE_HAS_PARTS } from '../wire/records.js'
import type { Router } from './router.js'

/** Inodes that are remembered as settled; beyond that, some are asked about once more. */
const SETTLED_MAX = 65536

/**
 * The members that hold chunks of inodes that lie here, and whether they may hold more than the inode knows of: a
 * writer that died, or failed, between its data and the inode's size has left bytes beyond the size. They must never be
 * seen, so before the file grows over them they are cut off. Which writers have died is not known; but whenever a
 * session has ended since a file was made, or looked after, one of them may have.
 */
export class FileHolders {
  readonly #meta: MetaStore
  readonly #router: Router
  /** Inodes of which nothing is left beyond the size, but by writers that are still at it. */
  readonly #settled = new Set<number>()
  #changesOfSessions = 0

  constructor(meta: MetaStore, router: Router) {
    this.#meta = meta
    this.#router = router
    meta.onCreated = (number) => this.settle(number)
  }

  /** Somebody may have left something beyond the size. */
  isInDoubt(inode: Inode): boolean {
    if ((inode.flags & INODE_HAS_PARTS) === 0) return false
    if (this.#changesOfSessions !== this.#router.changesOfSessions) this.#settled.clear()
    return !this.#settled.has(inode.number)
  }

  /** Nothing is left beyond the inode's size. */
  settle(number: number): void {
    if (this.#settled.size >= SETTLED_MAX || this.#changesOfSessions !== this.#router.changesOfSessions) {
      this.#settled.clear()
    }
    this.#changesOfSessions = this.#router.changesOfSessions
    this.#settled.add(number)
  }

  /** A write to this inode has failed half way. */
  doubt(number: number): void {
    this.#settled.delete(number)
  }

  /** A member is going to hold chunks of the inode. ENOSPC. */
  register(inode: Inode, member: number): void {
    const id = this.#router.idOf(member)
    const { holders } = this.#meta
    const isFirst = (inode.flags & INODE_HAS_PARTS) === 0
    if (!isFirst && holders.has(inode.number, id)) return
    this.#meta.mustGrow()
    holders.add(inode.number, id)
    if (!isFirst) return
    inode.flags |= INODE_HAS_PARTS
    this.#meta.touch(inode)
  }

  /** The members that may hold chunks of the inode. */
  of(inode: Inode): number[] {
    if ((inode.flags & INODE_HAS_PARTS) === 0) return []
    const members = this.#meta.holders.list(inode.number).map((id) => this.#router.withId(id))
    return members.filter((member) => member >= 0)
  }

  /** Calls `done` with 0 when all of them can be reached, or with −EIO when that takes too long. */
  whenUp(inode: Inode, done: (error: number) => void): void {
    this.#router.whenUp(this.of(inode), done)
  }

  /** The same of those that have the chunks of [offset, end), be there any of them yet or not. */
  whenReachable(inode: Inode, offset: number, end: number, done: (error: number) => void): void {
    const { number, chunkBits, layout } = inode
    const memberOf: MemberOf = (chunk) => this.#router.ofChunk(number, chunk, layout)
    const members = new Set(piecesOf(offset, end - offset, chunkBits, memberOf).map(({ member }) => member))
    this.#router.whenUp([...members], done)
  }

  /** All of them can be reached. */
  areUp(inode: Inode): boolean {
    return this.#router.areUp(this.of(inode))
  }

  /** Asks these members the same; `done` gets the first error, or 0, when all have answered. */
  ask<M extends AnyMethod>(
    members: readonly number[],
    method: M,
    request: RequestOf<M>,
    each: (reply: ReplyOf<M>, member: number) => void,
    done: (error: number) => void,
  ): void {
    let [left, failure] = [members.length, 0]
    if (left === 0) done(0)
    for (const member of members) {
      this.#router.ask(member, method, request, NO_TRANSFER, (result, reply) => {
        if (reply === null) failure = failure === 0 ? result : failure
        else each(reply, member)
        if (--left === 0) done(failure)
      })
    }
  }
}
