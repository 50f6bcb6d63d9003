/**
 * How nodes meet: each member dials every other and is dialled by it, both say hello, and one connection stays. Which
 * one does not depend on what arrives first:
 *
 * - of two dials that cross, that of the member that comes first in the list stays;
 * - whoever says hello again on another connection has given up the one before: hellos are numbered, and a later one
 *   replaces an earlier one, as a later incarnation does;
 * - what is older than the connection that there is, is closed.
 *
 * Who says nothing for some beats is given up, and dialled again, for ever. Beats are counted, not milliseconds: a
 * process that was stopped for a while hears what has arrived meanwhile before it gives anybody up.
 */
import type { Clock, Control, ControlConnection, ControlEvents, Random } from '../../ports.js'
import { type ControlMessage, decodeControl, encodeControl, type Hello, NO_ENTRY } from '../../wire/control.js'
import type { Complaints } from './complaints.js'
import type { Identity } from './identity.js'
import { objection } from './objection.js'
import { type Peer, type Peers, Session } from './peers.js'

const BEAT_MS = 1000
/** Beats without a word after which a peer is given up. */
const SILENCE_MAX = 4
const REDIAL_MS_MIN = 100
const REDIAL_MS_MAX = 2000
/** Clocks further apart than this are told, and before this node is ready refused. */
const SKEW_MS_MAX = 1000
/** Clients that are served at the same time, and those that are remembered to have been given up. */
const CLIENTS_MAX = 4096
/** Beats after which a client that has not come back is given up. */
const ABSENCE_MAX = 600

export interface MeetingParts {
  readonly control: Control
  readonly clock: Clock
  readonly random: Random
  readonly identity: Identity
  readonly peers: Peers
  readonly complaints: Complaints
}

export interface MeetingEvents {
  /** Both have said hello, and neither objects. */
  met(session: Session, peer: Peer, hello: Hello): void
  /** Of one that was met. */
  message(session: Session, peer: Peer, message: ControlMessage): void
  /** One that was met has ended. */
  over(session: Session, peer: Peer, reason: string): void
  /** A client has been away for too long. */
  gaveUp(peer: Peer): void
}

export class Meeting {
  /** Clocks may differ: this node has been ready once, and to part now would do more harm. */
  isLenient = false
  readonly #parts: MeetingParts
  readonly #events: MeetingEvents
  readonly #sessions = new Set<Session>()
  readonly #givenUp = new Set<string>()
  #isOver = false
  #cancelBeat: (() => void) | undefined

  constructor(parts: MeetingParts, events: MeetingEvents) {
    this.#parts = parts
    this.#events = events
  }

  start(): void {
    this.#parts.control.listen((connection) => this.#accept(connection))
    for (const peer of this.#parts.peers.members) this.#dial(peer)
    this.#beat()
  }

  /** Meets nobody any more. */
  retire(): void {
    this.#isOver = true
    for (const peer of this.#parts.peers.members) peer.cancelRedial?.()
  }

  /** And closes all connections, once what was sent is out. */
  stop(reason: string): void {
    this.retire()
    this.#cancelBeat?.()
    for (const session of this.#sessions) this.end(session, reason)
  }

  send(session: Session, message: ControlMessage): void {
    if (!session.isOver) session.connection.send(encodeControl(message))
  }

  /** To all that were met. */
  tell(message: ControlMessage): void {
    for (const { session } of this.#parts.peers.all()) if (session !== undefined) this.send(session, message)
  }

  refuse(session: Session, reason: string): void {
    const peer = session.peer ?? session.dialled
    this.#parts.complaints.refused(peer, session.connection.peer, reason)
    this.send(session, { kind: 'refuse', reason })
    this.end(session, `it was refused: ${reason}`)
  }

  /** Whatever is left of it ends now. */
  end(session: Session, reason: string): void {
    if (session.isOver) return
    session.isOver = true
    this.#sessions.delete(session)
    session.connection.close()
    const { dialled, peer } = session
    if (dialled?.greeting === session) dialled.greeting = undefined
    if (peer?.session === session) {
      peer.session = undefined
      peer.absence = 0
      this.#events.over(session, peer, reason)
    }
    for (const member of [dialled, peer]) if (member !== undefined) this.#redial(member)
  }

  #dial(peer: Peer): void {
    if (this.#isOver || !this.#isToBeDialled(peer)) return
    peer.isDialling = true
    let session: Session | undefined
    const opened = (connection: ControlConnection): void => {
      session = new Session(connection, peer)
      this.#sessions.add(session)
      if (this.#isOver || peer.session !== undefined) {
        this.end(session, 'it has come meanwhile')
        return
      }
      peer.greeting = session
      this.#greet(session, peer)
    }
    this.#parts.control.dial(peer.name, opened, {
      message: (bytes) => session && this.#receive(session, bytes),
      ended: (reason) => {
        peer.isDialling = false
        if (session === undefined) {
          this.#parts.complaints.unreachable(peer, reason)
          this.#redial(peer)
        } else if (session.isOver) this.#redial(peer)
        else this.end(session, reason)
      },
    })
  }

  /** A member that has left dials the others when it comes back, but no client. */
  #isToBeDialled({ isClient, hasLeft, isDialling, session }: Peer): boolean {
    const isAwaited = !hasLeft || this.#parts.identity.entry === NO_ENTRY
    return !isClient && isAwaited && !isDialling && session === undefined
  }

  /** Sooner or later, but not all at once. */
  #redial(peer: Peer): void {
    if (this.#isOver || !this.#isToBeDialled(peer) || peer.cancelRedial !== undefined) return
    peer.redialMs = Math.min(REDIAL_MS_MAX, Math.max(REDIAL_MS_MIN, 2 * peer.redialMs))
    const delayMs = peer.redialMs * (0.5 + this.#parts.random.uint32() / 2 ** 33)
    peer.cancelRedial = this.#parts.clock.after(delayMs, () => {
      peer.cancelRedial = undefined
      this.#dial(peer)
    })
  }

  #accept(connection: ControlConnection): ControlEvents {
    const session = new Session(connection, undefined)
    this.#sessions.add(session)
    if (this.#isOver) this.end(session, 'this node ends')
    return {
      message: (bytes) => this.#receive(session, bytes),
      ended: (reason) => this.end(session, reason),
    }
  }

  #greet(session: Session, peer: Peer): void {
    const { clock, identity } = this.#parts
    session.greeted = identity.hello(clock, ++peer.attempts)
    this.send(session, session.greeted)
  }

  #receive(session: Session, bytes: Uint8Array): void {
    if (session.isOver) return
    session.silence = 0
    const message = decodeControl(bytes)
    if (message === null) this.refuse(session, 'it has sent what is no message')
    else if (message.kind === 'refuse') this.#beRefused(session, message.reason)
    else if (session.peer !== undefined && message.kind !== 'hello')
      this.#events.message(session, session.peer, message)
    else if (session.peer === undefined && message.kind === 'hello') this.#hear(session, message)
    else this.refuse(session, `it has sent ${message.kind} out of turn`)
  }

  #beRefused(session: Session, reason: string): void {
    this.#parts.complaints.refusedBy(session.peer ?? session.dialled, session.connection.peer, reason)
    this.end(session, `it has refused this node: ${reason}`)
  }

  /** The other end has said who it is. */
  #hear(session: Session, hello: Hello): void {
    const { identity, peers } = this.#parts
    const reason = objection(identity, hello, session.dialled?.number ?? -1) ?? this.#objection(session, hello)
    if (reason !== null) {
      // Who it is may be known all the same, and then it is named.
      session.peer ??= session.dialled ?? (hello.names.join() === identity.names.join() ? peers.find(hello) : undefined)
      this.refuse(session, reason)
      return
    }
    const peer = session.dialled ?? peers.find(hello) ?? peers.addClient(hello.id, session.connection.peer)
    const { session: current, greeting } = peer
    if (current?.hello !== undefined && !isLater(hello, current.hello)) {
      this.end(session, 'it is older than the connection that there is')
      return
    }
    if (session.dialled === undefined && greeting !== undefined) {
      if (identity.entry < peer.number) {
        this.end(session, 'it has crossed that of this node')
        return
      }
      this.end(greeting, 'it has crossed that of the peer')
    }
    if (current !== undefined) this.end(current, 'another connection has replaced it')
    this.#meet(session, peer, hello)
  }

  #objection(session: Session, hello: Hello): string | null {
    const { clock, peers } = this.#parts
    const known = peers.find(hello)
    if (known?.id === hello.id && hello.incarnation < known.incarnation)
      return 'it is an earlier process of the same store'
    if (known?.session !== undefined && known.id !== hello.id) return `another node has come as ${known.name}`
    if (hello.isClient && known === undefined) {
      if (this.#givenUp.has(hello.id)) return 'it was away for too long, and was given up: it has to be mounted again'
      if (peers.clientCount >= CLIENTS_MAX) return 'there are too many clients'
    }
    const { dialled, greeted } = session
    if (dialled === undefined || greeted === undefined) return null
    clock.readRealtime()
    const [theirs, now] = [millisecondsOf(hello), millisecondsOf(clock)]
    // Its clock was read after ours was when the hello was sent, and before now.
    const skewMs = Math.max(millisecondsOf(greeted) - theirs, theirs - now)
    if (skewMs <= SKEW_MS_MAX) return null
    if (!this.isLenient) return `its clock is ${Math.round(skewMs / 1000)} s away from that of this node`
    this.#parts.complaints.skewed(dialled, skewMs)
    return null
  }

  #meet(session: Session, peer: Peer, hello: Hello): void {
    session.peer = peer
    session.hello = hello
    peer.session = session
    if (peer.greeting === session) peer.greeting = undefined
    peer.cancelRedial?.()
    peer.cancelRedial = undefined
    peer.redialMs = 0
    peer.id = hello.id
    peer.incarnation = hello.incarnation
    peer.isUnmounted = hello.isUnmounted
    peer.hasLeft = false
    if (session.dialled === undefined) this.#greet(session, peer)
    this.#events.met(session, peer, hello)
  }

  #beat(): void {
    this.#cancelBeat = this.#parts.clock.after(BEAT_MS, () => this.#beat())
    for (const session of [...this.#sessions]) {
      if (++session.silence > SILENCE_MAX) this.end(session, 'it is silent')
      else if (session.peer !== undefined) this.send(session, { kind: 'alive' })
    }
    for (const client of [...this.#parts.peers.clients]) {
      if (client.session !== undefined || ++client.absence <= ABSENCE_MAX) continue
      if (this.#givenUp.size < CLIENTS_MAX) this.#givenUp.add(client.id as string)
      this.#parts.peers.removeClient(client)
      this.#events.gaveUp(client)
    }
  }
}

function isLater(hello: Hello, than: Hello): boolean {
  return hello.incarnation > than.incarnation || hello.attempt > than.attempt
}

function millisecondsOf({ seconds, nanoseconds }: { seconds: number; nanoseconds: number }): number {
  return seconds * 1000 + nanoseconds / 1e6
}
