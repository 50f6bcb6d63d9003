import { MEMBER_ID_BYTES } from '../base/ids.js'
import type { Observe } from '../rpc/client.js'
import { RpcServer } from '../rpc/server.js'
import type { AnyMethod, Asked, Services } from '../rpc/services.js'
import type { Share } from '../share/share.js'
import { DentryPut } from '../wire/methods.js'
import { Appends } from './appends.js'
import { Departures } from './departures.js'
import { HeldNames } from './held-names.js'
import { FileHolders } from './holders.js'
import { CLIENTS, LEASE_MS, Leases } from './leases.js'
import { Leftovers } from './leftovers.js'
import { Line } from './line.js'
import { isOf } from './lock-fields.js'
import { Outgoing } from './outbox.js'
import { OwnSteps } from './own.js'
import type { NodeParts } from './parts.js'
import { LinkPlan } from './plans/link.js'
import { MovePlan, REPLACE } from './plans/move.js'
import { MoveAcrossPlan } from './plans/move-across.js'
import { PlacementPlan } from './plans/placement.js'
import { RemovalPlan } from './plans/removal.js'
import type { Router } from './router.js'
import { Sagas } from './sagas.js'
import { DataServices } from './services/data.js'
import { EntryServices } from './services/entries.js'
import { Graves } from './services/graves.js'
import { InodeServices } from './services/inodes.js'
import { ListingServices } from './services/listing.js'
import { LockServices } from './services/locks.js'
import { MoveServices } from './services/moves.js'
import { NameServices } from './services/names.js'
import { OpenServices } from './services/opens.js'
import { PlacementServices } from './services/placement.js'
import { RemovalServices } from './services/removal.js'
import { PartServices } from './services/parts.js'
import { Serving } from './services/serving.js'
import { SpaceServices } from './services/space.js'
import type { Stream } from './stream.js'
import { Truncations } from './truncation.js'
import { WaitingRoom } from './waiting-room.js'

const CLIENT_BYTES = 16
/** Between the message that finds a name and the one that opens what it has found, of whatever node. */
const GRACE_MS = 1000

interface ServedParts extends NodeParts {
  readonly share: Share
  readonly router: Router
  readonly services: Services
  readonly stream: Stream
  readonly observe: Observe
}

/** A node's share as it is served: the services, and what they have under way with other members. */
export class Served {
  readonly server: RpcServer
  readonly #share: Share
  readonly #router: Router
  readonly #stream: Stream
  readonly #names: HeldNames
  readonly #outgoing: Outgoing
  readonly #sagas: Sagas
  readonly #leases: Leases
  readonly #graves: Graves
  readonly #opens: OpenServices
  readonly #truncations: Truncations
  readonly #appends: Appends
  readonly #departures: Departures
  readonly #leftovers: Leftovers
  readonly #parts: PartServices
  readonly #turn: ServedParts['turn']
  /** Nodes without a store that were here in this run, and have not left. */
  readonly #clients = new Set<number>()

  constructor(parts: ServedParts) {
    const { self, share, router, services, stream, clock, turn, log, timeoutMs, pool, transport } = parts
    const { meta, context } = share
    const room = new WaitingRoom(clock, timeoutMs)
    const ownId = new Uint8Array(CLIENT_BYTES)
    ownId.set(router.idOf(self))
    const own = new OwnSteps(self, ownId, services, meta.results)
    const names = new HeldNames(room)
    const outgoing = new Outgoing({ context, router, stream, turn, clock })
    const whenRecovered = (step: () => void): void => outgoing.whenRecovered(step)
    const sagas = new Sagas({
      ...{ meta, router, stream, own, names, clock, turn, log, whenRecovered },
      resumeAsked: (method, origin) =>
        this.server.resume(method, router.withId(origin.client.subarray(0, MEMBER_ID_BYTES)), origin),
    })
    this.#share = share
    this.#router = router
    this.#stream = stream
    this.#names = names
    this.#outgoing = outgoing
    this.#sagas = sagas
    this.#turn = turn
    const awaited = meta.clients.list().length > 0 ? [...this.#others(router), CLIENTS] : this.#others(router)
    this.#leases = new Leases(clock, awaited, (member) => this.#expire(member))
    meta.onAwaited = () => turn.endSoon()
    router.onceCommitted = (step) => meta.onceCommitted(step)
    const { graceMs = GRACE_MS } = parts
    if (graceMs > 0) share.linger(clock, graceMs, () => turn.endSoon())
    // Members are waited for, however long it takes; but which clients there are, a member does not know any more.
    share.awaitReturn(clock, LEASE_MS, () => turn.endSoon())
    const holders = new FileHolders(meta, router)
    this.#truncations = new Truncations({ share, holders, turn, clock, log })
    this.#appends = new Appends(meta, holders, this.#truncations)
    this.#leftovers = new Leftovers(meta, holders, this.#truncations, turn, clock)
    const { positions } = parts
    const serving = new Serving({
      ...{ services, share, router, outgoing, sagas, stream, names, room, positions, pool, clock, turn, log },
      ...{ holders, truncations: this.#truncations, appends: this.#appends, leftovers: this.#leftovers },
    })
    this.#departures = new Departures(share, router, turn, clock)
    // What was answered here in a turn that is undone has not happened: nobody here may rest on it.
    turn.onEnd((failure) => {
      if (failure < 0) router.sessionChanged(self)
    })
    this.#graves = new Graves(serving)
    this.#opens = new OpenServices(serving, this.#leases)
    new LockServices(serving, this.#leases)
    new InodeServices(serving)
    this.#parts = new PartServices(serving)
    new DataServices(serving, this.#parts)
    new SpaceServices(serving, this.#parts)
    new ListingServices(serving)
    this.#serveNames(serving)
    this.server = new RpcServer(
      {
        ...{ transport, pool, clock, log, services, results: meta.results, turn, whenRecovered },
        onceCommitted: (step) => meta.onceCommitted(step),
        onceDurable: (step) => stream.onceDurable(step),
      },
      parts.epoch,
      parts.observe,
    )
  }

  /** Goes on with what the last run of this node was in the middle of. Names that it has held are held before all. */
  recover(): void {
    const { meta } = this.#share
    this.#stream.resume([...this.#sagas.list(), ...this.#outgoing.list()])
    for (const { owner, saga, held } of meta.heldNames.list()) {
      this.#names.take(held, { ...held, member: this.#router.withId(owner), saga, isLast: false })
    }
    this.#graves.recover()
    this.#outgoing.recover()
    this.#sagas.recover()
    this.#truncations.recover()
    this.#departures.tellAll()
    this.#turn.endSoon()
  }

  /** `isAnother`: it has started anew since it was here last, and so has lost all that it had open and locked. */
  peerUp(member: number, channel: number, client: Uint8Array, isAnother: boolean): void {
    if (isAnother) this.#opens.forget(member)
    if (member >= this.#router.members) this.#noteClient(member)
    this.#leases.up(member)
    this.#share.meta.results.forgetEarlier(client)
    this.server.open(channel, { member, id: client })
    this.#turn.endSoon()
  }

  /** A member can be asked from now on. */
  peerReached(): void {
    this.#leftovers.reached()
  }

  peerDown(member: number, channel: number): void {
    this.server.close(channel)
    this.#appends.memberLost(member)
    this.#parts.memberLost(member)
    this.#leases.down(member)
  }

  peerLeft(member: number): void {
    this.#leases.up(member)
    this.#opens.forget(member)
    if (this.#clients.delete(member)) this.#share.meta.clients.remove(member)
  }

  /** A restart of this node forgets which clients there are, but not that there are any. Nobody waits for the sync. */
  #noteClient(number: number): void {
    if (this.#clients.has(number)) return
    this.#clients.add(number)
    this.#share.meta.clients.add(number)
    this.#share.fsyncdir(() => undefined)
  }

  #serveNames(serving: Serving): void {
    const line = new Line()
    const asks = <M>(asked: Asked<AnyMethod>): Asked<M> => asked as unknown as Asked<M>
    const removal = new RemovalPlan(serving, (fields, asked) => {
      if (fields.method !== DentryPut.number) removals.remove({ ...fields, directory: 1 }, asks(asked))
      else {
        const { links, other } = fields
        entries.put({ ...fields, replace: REPLACE, expected: other, links: links + 1, saga: 0 }, asks(asked))
      }
    })
    const move = new MovePlan(serving, (fields, asked) => moves.rename(fields, asks(asked), fields))
    const across = new MoveAcrossPlan(serving, line, (fields, asked) => moves.renameAcross(fields, asks(asked), fields))
    const link = new LinkPlan(serving, (fields, asked) => {
      const { child: number, childGeneration: generation } = fields
      moves.link({ ...fields, number, generation }, asks(asked))
    })
    const placement = new PlacementPlan(serving)
    new NameServices(serving, this.#graves)
    new PlacementServices(serving, placement)
    const removals = new RemovalServices(serving, removal)
    const entries = new EntryServices(serving, this.#graves, removal)
    const moves = new MoveServices(serving, { move, across, link }, line)
    this.#sagas.add(removal)
    this.#sagas.add(move)
    this.#sagas.add(across)
    this.#sagas.add(link)
    this.#sagas.add(placement)
  }

  /** The member's locks are no more. Clients of the last run that have not come by now may come without any. */
  #expire(member: number): void {
    const { clients } = this.#share.meta
    if (member === CLIENTS) for (const last of clients.list()) if (!this.#clients.has(last)) clients.remove(last)
    this.#share.recordLocks.replace(isOf(member), [])
    this.#share.fileLocks.replace(isOf(member), [])
    this.#turn.endSoon()
  }

  #others({ self, members }: Router): number[] {
    return Array.from({ length: members }, (_, member) => member).filter((member) => member !== self)
  }
}
