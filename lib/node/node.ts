import { ECONNRESET } from '../base/errno.js'
import { Stamps } from '../meta/stamps.js'
import type { Clock } from '../ports.js'
import { NO_TRANSFER } from '../rpc/call.js'
import { type Observe, RpcClient } from '../rpc/client.js'
import { Services } from '../rpc/services.js'
import { LockInterrupt, Reclaim, type RequestOf } from '../wire/methods.js'
import { Belongings } from './belongings.js'
import { HybridClock } from './hybrid-clock.js'
import { rangeOf } from './lock-fields.js'
import type { NodeParts } from './parts.js'
import { Router } from './router.js'
import { Served } from './served.js'
import { Stream } from './stream.js'

const CREDITS = 128

/** When a peer is greeted again that was not ready for it. */
const GREET_AGAIN_MS = 100

/** One node of a cluster: what it serves to others, and the way to what they have. */
export class Node {
  readonly router: Router
  /** What this node's processes have open and have locked elsewhere. */
  readonly belongings: Belongings
  /** Messages sent, by method. */
  readonly sent: ReadonlyMap<string, number>
  readonly #clock: Clock
  readonly #client: RpcClient
  readonly #served: Served | undefined
  readonly #channels = new Map<number, number>()
  /** Ids and incarnations of the peers that were here and have not left. */
  readonly #peers = new Map<number, string>()

  /** Takes up at once what the last run of this node was in the middle of. */
  constructor(parts: NodeParts) {
    const { self, owners, epoch, timeoutMs, positions, transport, turn, share } = parts
    // Who has no share has no stamps either, and carries those of others on.
    const stamps = share?.meta.stamps ?? new Stamps(parts.clock)
    const clock = new HybridClock(parts.clock, stamps)
    const services = new Services()
    const observe: Observe = (seconds, nanoseconds) => stamps.observe(seconds, nanoseconds)
    const stream = share === undefined ? undefined : new Stream(share.meta, turn)
    const settings = { epoch, timeoutMs, credits: parts.credits ?? CREDITS }
    this.#clock = clock
    this.#client = new RpcClient(transport, clock, settings, observe, stream ?? { acknowledged: 0 })
    this.sent = this.#client.sent
    this.router = new Router(self, owners, positions, this.#client, services)
    this.belongings = new Belongings((inode) => this.router.ofInode(inode), clock)
    if (share === undefined || stream === undefined) return
    this.#served = new Served({ ...parts, clock, share, router: this.router, services, stream, observe })
    this.#served.recover()
  }

  /** A session with a peer begins: what it asks is served from now on. */
  peerServed(member: number, channel: number, client: Uint8Array): void {
    this.peerDown(member)
    this.router.sessionChanged(member)
    const before = this.#peers.get(member)
    const isAnother = before !== undefined && before !== client.join()
    this.#peers.set(member, client.join())
    this.#channels.set(member, channel)
    this.#served?.peerUp(member, channel, client, isAnother)
  }

  /** The peer serves this node, too: what was asked of it goes out. */
  peerUp(member: number): void {
    const channel = this.#channels.get(member)
    if (channel === undefined) return
    this.belongings.up(member)
    this.#client.peerUp(member, channel, (ended) =>
      this.#greet(member, channel, () => {
        ended()
        this.#served?.peerReached()
      }),
    )
  }

  /** The session has ended; the peer may come back. */
  peerDown(member: number): void {
    // What is served next must not take it for one that can be reached.
    this.#client.peerDown(member)
    this.router.sessionChanged(member)
    this.#served?.peerDown(member, this.#channels.get(member) ?? 0)
    this.#channels.delete(member)
    this.belongings.down(member)
  }

  /** The peer will not come back. */
  peerLeft(member: number): void {
    this.peerDown(member)
    this.#peers.delete(member)
    this.#served?.peerLeft(member)
    this.#client.peerLeft(member)
  }

  /** The peer has given a sign of life, on whatever connection: without these its locks end with its session only. */
  heard(member: number): void {
    this.belongings.heard(member)
  }

  /** A request of a peer; see TransportEvents. */
  request(channel: number, token: number, headAt: number, headBytes: number, slot: number, bytes: number): void {
    this.#served?.server.request(channel, token, headAt, headBytes, slot, bytes)
  }

  /** A slot for peers has come free. */
  onSlotFree(): void {
    this.#served?.server.onSlotFree()
  }

  /** Says first of all what this node has open and has locked there: the peer may not know any more, or not yet. */
  #greet(member: number, channel: number, ended: () => void): void {
    if (member < this.router.members) this.#reclaim(member, channel, this.belongings.listFor(member), ended)
    else ended()
  }

  #interrupt(member: number, id: string): void {
    this.#client.call(member, LockInterrupt, { id: rangeOf(id) }, NO_TRANSFER, () => undefined)
  }

  #reclaim(member: number, channel: number, list: RequestOf<typeof Reclaim>[], ended: () => void): void {
    const [first, ...rest] = list
    if (first === undefined) {
      ended()
      for (const id of this.belongings.interruptedAt(member)) this.#interrupt(member, id)
      return
    }
    this.#client.askFirst(member, Reclaim, first, (result, reply) => {
      if (result === -ECONNRESET || this.#channels.get(member) !== channel) return
      if (reply === null) {
        this.#clock.after(GREET_AGAIN_MS, () => {
          if (this.#channels.get(member) === channel) this.#greet(member, channel, ended)
        })
        return
      }
      if (reply.lost !== 0) this.belongings.lose(member)
      this.#reclaim(member, channel, rest, ended)
    })
  }
}
