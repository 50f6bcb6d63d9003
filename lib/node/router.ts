import { EIO, FsError } from '../base/errno.js'
import { type ByteRange, SERIAL_SPAN } from '../base/ids.js'
import type { Positions } from '../ring/position.js'
import { type CallDone, type Insistence, NO_TRANSFER, type Transfer } from '../rpc/call.js'
import type { RpcClient } from '../rpc/client.js'
import type { AnyMethod, Asked, Services } from '../rpc/services.js'
import type { ReplyOf, RequestOf } from '../wire/methods.js'
import { Own } from './own.js'

/** Who has what: a ring of members. */
export interface Owners {
  readonly members: number
  /** The member that has this position. */
  owner(position: number): number
  /** The id of a member: 8 bytes. */
  idOf(member: number): Uint8Array
}

/** All chunks of the file lie with its inode. */
export const LAYOUT_LOCAL = 1

/** Knows who has what, and asks: by a function call where it is this node, by a message where it is a peer. */
export class Router {
  /** This node's number among the members; −1 where it has no share. */
  readonly self: number
  readonly #owners: Owners
  readonly #positions: Positions
  readonly #client: RpcClient
  readonly #services: Services
  readonly #byId = new Map<string, number>()
  /** How many sessions there were with each peer. */
  readonly #sessions = new Map<number, number>()
  /** Calls back with 0 once what this node has changed so far is committed, or with why it was undone. */
  onceCommitted: (step: (error: number) => void) => void = (step) => step(0)
  /** Grows whenever a session with any peer begins or ends. */
  changesOfSessions = 0

  constructor(self: number, owners: Owners, positions: Positions, client: RpcClient, services: Services) {
    this.self = self
    this.#owners = owners
    this.#positions = positions
    this.#client = client
    this.#services = services
    for (let member = 0; member < owners.members; member++) this.#byId.set(owners.idOf(member).join(), member)
  }

  /** A peer is away. */
  get isHeldUp(): boolean {
    return !this.areUp(this.everybody())
  }

  get members(): number {
    return this.#owners.members
  }

  ofPosition(position: number): number {
    return this.#owners.owner(position)
  }

  ofDentry(parent: number, name: ByteRange): number {
    return this.#owners.owner(this.#positions.ofDentry(parent, name))
  }

  ofInode(number: number): number {
    return this.#owners.owner(Math.floor(number / SERIAL_SPAN))
  }

  /** The member that has a chunk: the first one, and all of a file with the layout local, lie with the inode. */
  ofChunk(inode: number, chunk: number, layout: number): number {
    if (chunk === 0 || layout === LAYOUT_LOCAL) return this.ofInode(inode)
    return this.#owners.owner(this.#positions.ofChunk(inode, chunk))
  }

  idOf(member: number): Uint8Array {
    return this.#owners.idOf(member)
  }

  /** The member of this id, or −1 where there is none (any more). */
  withId(id: Uint8Array): number {
    return this.#byId.get(id.join()) ?? -1
  }

  /** A session with a peer has begun, or ended. */
  sessionChanged(member: number): void {
    this.changesOfSessions++
    this.#sessions.set(member, this.session(member) + 1)
  }

  /** Differs from what it was when the peer may have lost something since. */
  session(member: number): number {
    return this.#sessions.get(member) ?? 0
  }

  /** All members, by number. */
  everybody(): number[] {
    return Array.from({ length: this.members }, (_, member) => member)
  }

  /**
   * Calls `done` with 0 when all of these members can be reached, at once if they can; with −EIO when that takes too
   * long. What changes several nodes asks this first, so that it is not begun where it cannot be brought to an end.
   */
  whenUp(members: readonly number[], done: (error: number) => void): void {
    this.#client.whenUp(
      members.filter((member) => member !== this.self),
      done,
    )
  }

  /** Runs a step that late. */
  after(delayMs: number, step: () => void): void {
    this.#client.after(delayMs, step)
  }

  /** All of these members can be reached. */
  areUp(members: readonly number[]): boolean {
    return members.every((member) => member === this.self || this.#client.isUp(member))
  }

  /** Asks a member. `done` is called inside of this only where the member is this node. */
  ask<M extends AnyMethod>(
    member: number,
    method: M,
    request: RequestOf<M>,
    transfer: Transfer,
    done: CallDone<M>,
  ): void {
    if (member !== this.self) {
      this.#client.call(member, method, request, transfer, done)
      return
    }
    const service = this.#services.get(method.number)
    if (service === undefined) {
      done(-EIO, null)
      return
    }
    const asked = new Own<M>(member, transfer, done)
    try {
      service.serve(request, asked as unknown as Asked<AnyMethod>)
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      asked.answer(-error.errno, null)
    }
  }

  /** Asks every member the same; `done` gets the first error, or 0, when all have answered. */
  askAll<M extends AnyMethod>(
    method: M,
    request: RequestOf<M>,
    transferOf: (member: number) => Transfer,
    each: (member: number, result: number, reply: ReplyOf<M>) => void,
    done: (error: number) => void,
  ): void {
    let [left, failure] = [this.members, 0]
    for (let member = 0; member < this.members; member++) {
      this.ask(member, method, request, transferOf(member), (result, reply) => {
        if (reply === null) failure = failure === 0 ? result : failure
        else each(member, result, reply)
        if (--left === 0) done(failure)
      })
    }
  }

  /** Asks a peer until it has answered. */
  insist<M extends AnyMethod>(
    member: number,
    method: M,
    request: RequestOf<M>,
    insistence: Insistence,
    done: CallDone<M>,
  ): void {
    this.#client.insist(member, method, request, insistence, done)
  }

  /** Asks without data. */
  askBriefly<M extends AnyMethod>(member: number, method: M, request: RequestOf<M>, done: CallDone<M>): void {
    this.ask(member, method, request, NO_TRANSFER, done)
  }
}
