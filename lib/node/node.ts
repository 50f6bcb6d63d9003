import type { Turn } from '../meta/turn.js'
import type { BufferPool, Clock, Log, Transport } from '../ports.js'
import type { Positions } from '../ring/position.js'
import { type Observe, RpcClient } from '../rpc/client.js'
import { RpcServer } from '../rpc/server.js'
import { Services } from '../rpc/services.js'
import type { Share } from '../share/share.js'
import { Appends } from './appends.js'
import { Departures } from './departures.js'
import { FileHolders } from './holders.js'
import { Parents } from './parents.js'
import { type Owners, Router } from './router.js'
import { DataServices } from './services/data.js'
import { InodeServices } from './services/inodes.js'
import { ListingServices } from './services/listing.js'
import { LockServices } from './services/locks.js'
import { MoveServices } from './services/moves.js'
import { NameServices } from './services/names.js'
import { PartServices } from './services/parts.js'
import { Serving } from './services/serving.js'
import { SpaceServices } from './services/space.js'
import { Truncations } from './truncation.js'

export interface NodeParts {
  /** This node's number among the members; −1 where it has no share. */
  readonly self: number
  readonly owners: Owners
  readonly epoch: number
  /** How long a call waits for a peer that is away; Infinity: for ever. */
  readonly timeoutMs: number
  readonly positions: Positions
  readonly transport: Transport
  readonly pool: BufferPool
  readonly clock: Clock
  readonly log: Log
  readonly turn: Turn
  /** What of the file system lies here; undefined where nothing does. */
  readonly share: Share | undefined
}

/** Calls that may be under way from this node to one other. */
const CREDITS = 128

/** One node of a cluster: what it serves to others, and the way to what they have. */
export class Node {
  readonly router: Router
  /** Messages sent, by method. */
  readonly sent: ReadonlyMap<string, number>
  readonly #client: RpcClient
  readonly #server: RpcServer | undefined
  readonly #channels = new Map<number, number>()
  readonly #share: Share | undefined
  readonly #appends: Appends | undefined

  constructor(parts: NodeParts) {
    const { self, owners, epoch, timeoutMs, positions, transport, pool, clock, log, turn, share } = parts
    const services = new Services()
    const observe: Observe = (seconds, nanoseconds) => share?.meta.stamps.observe(seconds, nanoseconds)
    this.#share = share
    this.#client = new RpcClient(transport, clock, { epoch, timeoutMs, credits: CREDITS }, observe)
    this.sent = this.#client.sent
    this.router = new Router(self, owners, positions, this.#client, services)
    if (share === undefined) return
    const { meta } = share
    const parents = new Parents(meta, turn, this.router)
    const onceCommitted = (step: (error: number) => void): void => meta.onceCommitted(step)
    meta.onAwaited = () => turn.endSoon()
    const { router } = this
    router.onceCommitted = onceCommitted
    const holders = new FileHolders(meta, router)
    const truncations = new Truncations({ share, holders, turn, clock, log })
    const appends = new Appends(meta, holders, truncations)
    this.#appends = appends
    const ofFiles = { holders, truncations, appends }
    const serving = new Serving({ services, share, router, parents, positions, pool, turn, log, ...ofFiles })
    const names = new NameServices(serving)
    new MoveServices(serving, names)
    new InodeServices(serving)
    const partServices = new PartServices(serving)
    new DataServices(serving, partServices)
    new SpaceServices(serving, partServices)
    new ListingServices(serving)
    new LockServices(serving)
    const { results } = meta
    const ports = { transport, pool, clock, log, services, results, onceCommitted, turn }
    this.#server = new RpcServer(ports, epoch, observe)
    truncations.recover()
    new Departures(share, router, turn, clock).tellAll()
  }

  /** A session with a peer is open: what was asked of it goes out, and what it asks is served. */
  peerUp(member: number, channel: number, client: Uint8Array): void {
    this.peerDown(member)
    this.router.sessionChanged(member)
    this.#channels.set(member, channel)
    this.#share?.meta.results.forgetEarlier(client)
    this.#server?.open(channel, { member, id: client })
    this.#client.peerUp(member, channel)
  }

  /** The session has ended; the peer may come back. */
  peerDown(member: number): void {
    const channel = this.#channels.get(member)
    if (channel !== undefined) this.#server?.close(channel)
    this.#channels.delete(member)
    this.router.sessionChanged(member)
    this.#appends?.memberLost(member)
    this.#client.peerDown(member)
  }

  /** The peer will not come back. */
  peerLeft(member: number): void {
    this.peerDown(member)
    this.#client.peerLeft(member)
  }

  /** A request of a peer; see TransportEvents. */
  request(channel: number, token: number, headAt: number, headBytes: number, slot: number, bytes: number): void {
    this.#server?.request(channel, token, headAt, headBytes, slot, bytes)
  }

  /** A slot for peers has come free. */
  onSlotFree(): void {
    this.#server?.onSlotFree()
  }
}
