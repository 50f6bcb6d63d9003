import { EIO, FsError } from '../base/errno.js'
import { type ByteRange, SERIAL_SPAN } from '../base/ids.js'
import type { Positions } from '../ring/position.js'
import type { CallDone, Transfer } from '../rpc/call.js'
import type { RpcClient } from '../rpc/client.js'
import type { AnyMethod, Asked, Services } from '../rpc/services.js'
import type { ReplyOf, RequestOf } from '../wire/methods.js'

/** Who has what: a ring of members. */
export interface Owners {
  readonly members: number
  /** The member that has this position. */
  owner(position: number): number
}

/** This node asks itself: no message, and the answer comes before the question returns where nothing has to wait. */
class Own<M extends AnyMethod> implements Asked<M> {
  readonly member: number
  readonly at: number
  readonly bytes: number
  readonly #transfer: Transfer
  readonly #done: CallDone<M>

  constructor(member: number, transfer: Transfer, done: CallDone<M>) {
    this.member = member
    this.at = transfer.at
    this.bytes = transfer.bytes
    this.#transfer = transfer
    this.#done = done
  }

  place(_bytes: number, ready: (at: number) => void): void {
    ready(this.#transfer.to)
  }

  /** A change of our own is never asked for twice. */
  record(): void {}

  answer(result: number, reply: ReplyOf<M> | null): void {
    this.#done(result, reply)
  }
}

/** Knows who has what, and asks: by a function call where it is this node, by a message where it is a peer. */
export class Router {
  /** This node's number among the members; −1 where it has no share. */
  readonly self: number
  readonly #owners: Owners
  readonly #positions: Positions
  readonly #client: RpcClient
  readonly #services: Services

  constructor(self: number, owners: Owners, positions: Positions, client: RpcClient, services: Services) {
    this.self = self
    this.#owners = owners
    this.#positions = positions
    this.#client = client
    this.#services = services
  }

  /** A peer is away. */
  get isHeldUp(): boolean {
    return this.#client.peersUp < this.members - (this.self < 0 ? 0 : 1)
  }

  get members(): number {
    return this.#owners.members
  }

  ofDentry(parent: number, name: ByteRange): number {
    return this.#owners.owner(this.#positions.ofDentry(parent, name))
  }

  ofInode(number: number): number {
    return this.#owners.owner(Math.floor(number / SERIAL_SPAN))
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
      done(-error.errno, null)
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
}
