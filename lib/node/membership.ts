/**
 * Which nodes there are, and which of them can be asked. Membership meets the other members of the list over control
 * connections, makes new stores a cluster, gives every two nodes a channel of the transport, and tells who comes, is
 * away or has left. It runs on ports alone.
 *
 * Its owner goes through these steps:
 *
 *     start() ──▶ events.formed(cluster): owners, epoch and settings are known, and what lies here can be opened
 *     serve() ──▶ events.peerServed, peerUp, peerDown, peerLeft, as sessions open and end
 *             ──▶ events.ready(): all members are there; or events.late(missing) when the time for that is over
 *     leave() ──▶ done(): nobody needs this node's share any more, or it has served on for long enough
 *     stop()
 */
import { AssertionError, assert } from '../base/assert.js'
import type { Clock, Control, Log, Random, Transport } from '../ports.js'
import { type ClusterRecord, type ControlMessage, type Hello, NO_ENTRY } from '../wire/control.js'
import { Channels } from './membership/channels.js'
import { Complaints } from './membership/complaints.js'
import { Formation } from './membership/formation.js'
import { Identity, type MemberStore } from './membership/identity.js'
import { Meeting } from './membership/meeting.js'
import { objection, type Settings } from './membership/objection.js'
import { type Peer, Peers, type Session } from './membership/peers.js'

/** How long a goodbye is waited for to be heard. */
const FAREWELL_MS = 1000

export interface MembershipPorts {
  readonly control: Control
  readonly transport: Transport
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface MembershipSettings {
  /** The member list, normalized: "host:port", where each is dialled. */
  readonly names: readonly string[]
  /** This node's place in it; −1 for a client. */
  readonly self: number
  /** When those that have not come are named. */
  readonly waitMs: number
  /** How long this node serves on after its own mount is gone. */
  readonly lingerMs: number
}

/** What the members have agreed on. */
export interface Cluster extends ClusterRecord, Settings {}

export interface Missing {
  readonly name: string
  /** What is in the way. */
  readonly reason: string
}

/**
 * Members are numbered as in the list; clients get numbers behind those. `client` is a node as the RPC has it: its id
 * and its incarnation, 16 bytes.
 */
export interface MembershipEvents {
  /** The cluster is in the superblock of every member. Once. */
  formed(cluster: Cluster): void
  /** The peer may ask on this channel from now on; what it had before is over. Its `peerUp` follows, or `peerDown`. */
  peerServed(member: number, channel: number, client: Uint8Array): void
  /** And it may be asked. */
  peerUp(member: number, channel: number, client: Uint8Array): void
  /** A sign of life of a peer that was met. */
  heard(member: number): void
  /** The session has ended, and the channel is about to be closed; the peer may come back. */
  peerDown(member: number): void
  /** It has ended for good: what the peer has is not there, until it comes back. */
  peerLeft(member: number): void
  /** All members are there, and serve. Once. */
  ready(): void
  /** The time to wait is over, and these are missing. Once, unless `ready` came first. */
  late(missing: readonly Missing[]): void
  /** The superblock cannot be written. */
  failed(error: Error): void
}

/** `up`: it can be asked. `suspected`: it is away. `left`: it has said so. `absent`: it has not come yet. */
export type MemberState = 'up' | 'suspected' | 'left' | 'absent'

export interface MembershipStatus {
  /** 32 hexadecimal digits. */
  readonly clusterId: string
  readonly epoch: number
  /** In the order of the list. */
  readonly members: readonly {
    /** Empty for a node that is alone. */
    readonly name: string
    /** 16 hexadecimal digits; empty where it is not known yet. */
    readonly id: string
    readonly state: MemberState
    readonly isSelf: boolean
  }[]
  /** Mounts without a store that are here. */
  readonly clients: number
}

export class Membership {
  readonly #ports: MembershipPorts
  readonly #settings: MembershipSettings
  readonly #events: MembershipEvents
  readonly #identity: Identity
  readonly #peers: Peers
  readonly #complaints: Complaints
  readonly #formation: Formation
  readonly #channels: Channels
  readonly #meeting: Meeting
  #isReady = false
  #isOver = false
  /** It has said goodbye, and waits for the others to hear it. */
  #isFarewell = false
  #left: (() => void) | undefined
  readonly #cancels: (() => void)[] = []

  /** `store` is a member's; a client has none. */
  constructor(
    ports: MembershipPorts,
    settings: MembershipSettings,
    store: MemberStore | null,
    events: MembershipEvents,
  ) {
    const { control, transport, clock, random, log } = ports
    this.#ports = ports
    this.#settings = settings
    this.#events = events
    const identity = new Identity(settings, store, transport.address, random)
    const peers = new Peers(settings.names, store === null ? -1 : settings.self)
    const complaints = new Complaints(log)
    this.#identity = identity
    this.#peers = peers
    this.#complaints = complaints
    this.#formation = new Formation(identity, peers, random)
    this.#channels = new Channels(transport, random, {
      served: (peer, channel, client) => events.peerServed(peer.number, channel, client),
      up: (peer, channel, client) => this.#up(peer, channel, client),
    })
    this.#meeting = new Meeting(
      { control, clock, random, identity, peers, complaints },
      {
        met: (session, peer, hello) => this.#met(session, peer, hello),
        message: (session, peer, message) => {
          events.heard(peer.number)
          this.#receive(session, peer, message)
        },
        over: (session, peer, reason) => this.#over(session, peer, reason),
        gaveUp: (peer) => this.#gaveUp(peer),
      },
    )
  }

  /** Meets the others. Nothing of the events is called inside of this. */
  start(): void {
    const { clock } = this.#ports
    this.#meeting.start()
    this.#cancels.push(clock.after(this.#settings.waitMs, () => this.#beLate()))
    this.#cancels.push(clock.after(0, () => this.#advance()))
  }

  /** What lies here can be asked for from now on. To be called once, after `formed`. */
  serve(): void {
    assert(this.#formation.isFormed && !this.#channels.isServing, 'a node serves once it has been told of its cluster')
    this.#channels.isServing = true
    for (const { session } of this.#peers.all()) if (session !== undefined) this.#open(session)
    this.#checkReady()
  }

  /** The transport has told that a channel has failed. */
  channelFailed(channel: number, error: number): void {
    for (const { session } of this.#peers.all()) {
      if (session?.channel === channel) this.#meeting.end(session, `its channel has failed (errno ${Math.abs(error)})`)
    }
  }

  /**
   * The own mount is gone, and all that it has asked for is answered. A member serves on until everybody else has come
   * as far, or its time to linger is over; then it says goodbye, and calls `done`.
   */
  leave(done: () => void): void {
    assert(this.#left === undefined, 'a node leaves once')
    const { clock } = this.#ports
    this.#left = done
    this.#identity.isUnmounted = true
    this.#meeting.tell({ kind: 'unmounted' })
    const lingerMs = this.#identity.entry === NO_ENTRY ? 0 : this.#settings.lingerMs
    this.#cancels.push(clock.after(lingerMs, () => this.#finish('it has lingered long enough')))
    this.#cancels.push(clock.after(0, () => this.#checkLeft()))
  }

  /** Closes all connections, without a goodbye: others wait for this node to come back. */
  stop(): void {
    this.#end('this node ends')
  }

  status(): MembershipStatus {
    const { cluster, id } = this.#identity
    const members = this.#settings.names.map((name, index) => {
      const peer = this.#peers.member(index)
      const state = peer === undefined ? 'up' : this.#stateOf(peer)
      const isSelf = peer === undefined
      return { name, id: isSelf ? id : (cluster.ids[index] ?? ''), state, isSelf }
    })
    const clients = [...this.#peers.clients].filter(({ isUp }) => isUp).length
    return { clusterId: cluster.clusterId, epoch: cluster.epoch, members, clients }
  }

  #stateOf(peer: Peer): MemberState {
    if (peer.isUp) return 'up'
    if (peer.hasLeft) return 'left'
    return peer.wasUp ? 'suspected' : 'absent'
  }

  #met(session: Session, peer: Peer, hello: Hello): void {
    peer.reason = 'it does not serve yet'
    this.#formation.learn(peer, hello)
    this.#catchUp(session)
    this.#advance(hello)
    this.#open(session)
    this.#checkLeft()
  }

  /** What has changed since the hello was sent that has not been answered until now. */
  #catchUp(session: Session): void {
    const { cluster, hasCluster, isUnmounted, entry } = this.#identity
    const { greeted } = session
    const isNew = hasCluster && entry !== NO_ENTRY && greeted?.cluster.clusterId !== cluster.clusterId
    if (isNew) this.#meeting.send(session, { kind: 'formed', ...cluster })
    if (isUnmounted && greeted?.isUnmounted === false) this.#meeting.send(session, { kind: 'unmounted' })
  }

  #receive(session: Session, peer: Peer, message: ControlMessage): void {
    switch (message.kind) {
      case 'formed':
        this.#beTold(session, peer, message)
        break
      case 'channel':
      case 'connected':
        if (this.#channels.receive(session, peer, message)) this.#open(session)
        else this.#meeting.refuse(session, `it has sent ${message.kind} out of turn`)
        break
      case 'unmounted':
        peer.isUnmounted = true
        this.#checkLeft()
        break
      case 'goodbye':
        this.#beLeft(session, peer)
        break
    }
  }

  /** The peer's store has become this cluster's. */
  #beTold(session: Session, peer: Peer, { clusterId, epoch, ids }: ClusterRecord): void {
    const hello = { ...(session.hello as Hello), cluster: { clusterId, epoch, ids } }
    const reason = peer.isClient ? 'it is a client, and forms nothing' : objection(this.#identity, hello, peer.number)
    if (reason !== null) {
      this.#meeting.refuse(session, reason)
      return
    }
    session.hello = hello
    this.#formation.learn(peer, hello)
    this.#advance(hello)
    this.#open(session)
  }

  /** Goes on with the formation, as far as what is known allows. `hello` is of one who may know more. */
  #advance(hello?: Hello): void {
    const cluster = this.#formation.next(hello)
    if (cluster !== null && !this.#adopt(cluster, hello)) return
    if (this.#formation.complete()) {
      const { cluster, settings } = this.#identity
      assert(settings !== undefined, 'the settings of a cluster are known')
      this.#ports.log.info({ cluster: cluster.clusterId, epoch: cluster.epoch }, 'all members are of the cluster')
      this.#events.formed({ ...cluster, ...settings })
    }
  }

  /** False where it cannot be written. */
  #adopt(cluster: ClusterRecord, hello: Hello | undefined): boolean {
    const identity = this.#identity
    try {
      identity.adopt(cluster, hello)
    } catch (error) {
      if (!(error instanceof Error) || error instanceof AssertionError) throw error
      this.#events.failed(error)
      return false
    }
    // One that was met while all were new, and is none of these, refuses it.
    if (identity.entry !== NO_ENTRY) this.#meeting.tell({ kind: 'formed', ...cluster })
    return true
  }

  #open(session: Session): void {
    if (session.isOver) return
    const reason = this.#channels.advance(session, (message) => this.#meeting.send(session, message))
    if (reason !== null) this.#meeting.refuse(session, reason)
  }

  #up(peer: Peer, channel: number, client: Uint8Array): void {
    peer.wasUp = true
    this.#complaints.settled(peer)
    this.#ports.log.info({ member: peer.name }, 'connected')
    this.#events.peerUp(peer.number, channel, client)
    this.#checkReady()
  }

  #over(session: Session, peer: Peer, reason: string): void {
    peer.reason = reason
    if (session.isUp && !peer.hasLeft && !this.#isOver) {
      this.#ports.log.warn({ member: peer.name, reason }, 'a member is away')
    }
    if (peer.hasLeft) this.#events.peerLeft(peer.number)
    else if (session.isServed) this.#events.peerDown(peer.number)
    this.#channels.close(session)
    this.#checkFarewell()
  }

  #beLeft(session: Session, peer: Peer): void {
    peer.hasLeft = true
    const event = { member: peer.name }
    if (peer.isClient || this.#identity.isUnmounted) this.#ports.log.info(event, 'it has left')
    else this.#ports.log.warn(event, 'a member has left: what lies there answers EIO')
    this.#meeting.end(session, 'it has left')
    if (peer.isClient) this.#peers.removeClient(peer)
    this.#checkLeft()
  }

  #gaveUp(client: Peer): void {
    this.#ports.log.warn({ member: client.name }, 'it has been away for too long, and is given up')
    this.#events.peerLeft(client.number)
    this.#checkLeft()
  }

  #checkReady(): void {
    const { members } = this.#peers
    if (this.#isReady || !this.#channels.isServing || !members.every(({ isUp }) => isUp)) return
    this.#isReady = true
    this.#meeting.isLenient = true
    this.#events.ready()
  }

  #beLate(): void {
    if (this.#isReady) return
    const missing = this.#peers.members.filter(({ isUp }) => !isUp)
    this.#events.late(missing.map(({ name, reason }) => ({ name, reason })))
  }

  /** Whether nobody's mount needs this node any more. Of one that is away it is not known. */
  #checkLeft(): void {
    if (this.#left === undefined) return
    const isDone = ({ hasLeft, isUnmounted }: Peer): boolean => hasLeft || isUnmounted
    if ([...this.#peers.all()].every(isDone)) this.#finish('every mount is gone')
  }

  #finish(cause: string): void {
    if (this.#isOver || this.#left === undefined) return
    this.#ports.log.info({ cause }, 'leaving')
    this.#isOver = true
    this.#meeting.retire()
    this.#meeting.tell({ kind: 'goodbye' })
    // The channels stay until the goodbye has arrived, which goes another way: their end would be taken for a death.
    this.#cancels.push(this.#ports.clock.after(FAREWELL_MS, () => this.#conclude()))
    this.#isFarewell = true
    this.#checkFarewell()
  }

  #checkFarewell(): void {
    if (this.#isFarewell && [...this.#peers.all()].every(({ session }) => session === undefined)) this.#conclude()
  }

  #conclude(): void {
    if (!this.#isFarewell) return
    this.#isFarewell = false
    this.#end('this node leaves')
    this.#left?.()
  }

  #end(reason: string): void {
    this.#isOver = true
    for (const cancel of this.#cancels) cancel()
    this.#meeting.stop(reason)
  }
}
