import type { ControlConnection } from '../../ports.js'
import { type Hello, NO_ENTRY } from '../../wire/control.js'

/** One connection, from its first message on. */
export class Session {
  readonly connection: ControlConnection
  /** The member that was dialled; undefined where the other end has dialled. */
  readonly dialled: Peer | undefined
  /** Who it is, once its hello was accepted and ours was sent. */
  peer: Peer | undefined
  hello: Hello | undefined
  /** What was said to it. */
  greeted: Hello | undefined
  /** Beats since something was heard. */
  silence = 0
  /** Our channel for this peer; 0 while there is none. */
  channel = 0
  /** The peer's channel for us. */
  theirs: { readonly channel: number; readonly secret: Uint8Array } | undefined
  /** The peer may ask on our channel. */
  isServed = false
  /** And it may be asked. */
  isUp = false
  /** Nothing that comes on it counts any more. */
  isOver = false

  constructor(connection: ControlConnection, dialled: Peer | undefined) {
    this.connection = connection
    this.dialled = dialled
  }
}

/** Another node: a member, met or not, or a client that has been met. */
export class Peer {
  /** Its place in the list, or for a client a number behind those of the members. */
  readonly number: number
  readonly name: string
  readonly isClient: boolean
  id: string | undefined
  incarnation = 0
  /** The one that counts. */
  session: Session | undefined
  /** One that we have dialled, and whose hello has not come yet. */
  greeting: Session | undefined
  isDialling = false
  cancelRedial: (() => void) | undefined
  redialMs = 0
  /** Hellos sent to it. */
  attempts = 0
  /** It could be asked once. */
  wasUp = false
  /** What was last in the way. */
  reason = 'it has not been heard of'
  /** It has said goodbye. */
  hasLeft = false
  /** Its own mount is gone. */
  isUnmounted = false
  /** It is known to have the cluster in its superblock. */
  isFormed = false
  /** Beats since a client was lost. */
  absence = 0

  constructor(number: number, name: string, isClient: boolean) {
    this.number = number
    this.name = name
    this.isClient = isClient
  }

  get isUp(): boolean {
    return this.session?.isUp === true
  }
}

/** Who they are: the members of the list but this node, and the clients. */
export class Peers {
  readonly members: readonly Peer[]
  readonly #byEntry: readonly (Peer | undefined)[]
  readonly #clients = new Map<string, Peer>()
  #nextClient: number

  /** `self` is this node's place in the list; −1 for a client. */
  constructor(names: readonly string[], self: number) {
    this.#byEntry = names.map((name, index) => (index === self ? undefined : new Peer(index, name, false)))
    this.members = this.#byEntry.filter((peer) => peer !== undefined)
    this.#nextClient = names.length
  }

  get clients(): Iterable<Peer> {
    return this.#clients.values()
  }

  get clientCount(): number {
    return this.#clients.size
  }

  /** The member at this place; undefined for this node itself, and beyond the list. */
  member(entry: number): Peer | undefined {
    return this.#byEntry[entry]
  }

  /** Who says this, if it is known. */
  find(hello: Hello): Peer | undefined {
    return hello.entry === NO_ENTRY ? this.#clients.get(hello.id) : this.#byEntry[hello.entry]
  }

  addClient(id: string, address: string): Peer {
    const peer = new Peer(this.#nextClient++, `client ${address}`, true)
    peer.id = id
    this.#clients.set(id, peer)
    return peer
  }

  removeClient(peer: Peer): void {
    this.#clients.delete(peer.id as string)
  }

  *all(): Iterable<Peer> {
    yield* this.members
    yield* this.#clients.values()
  }
}
