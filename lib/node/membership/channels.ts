/**
 * How a control connection gives two nodes a channel of the transport. Each side that serves makes one and tells its
 * number and secret; with both it connects, and from then on may be asked. It says so, and only then is asked: a
 * request, which goes another way, cannot come to one who does not know its sender yet.
 */
import { assert } from '../../base/assert.js'
import type { Random, Transport } from '../../ports.js'
import { type ControlMessage, SECRET_BYTES } from '../../wire/control.js'
import { clientOf } from './identity.js'
import type { Peer, Session } from './peers.js'

/** The client is the peer, as the RPC has it. */
export interface ChannelEvents {
  served(peer: Peer, channel: number, client: Uint8Array): void
  up(peer: Peer, channel: number, client: Uint8Array): void
}

export class Channels {
  /** This node serves its share. */
  isServing = false
  readonly #transport: Transport
  readonly #random: Random
  readonly #events: ChannelEvents

  constructor(transport: Transport, random: Random, events: ChannelEvents) {
    this.#transport = transport
    this.#random = random
    this.#events = events
  }

  /** Goes as far as it can; the reason why it cannot at all, or null. */
  advance(session: Session, send: (message: ControlMessage) => void): string | null {
    if (!this.isServing || session.peer === undefined) return null
    if (session.channel === 0) {
      const words = Uint32Array.from({ length: SECRET_BYTES / 4 }, () => this.#random.uint32())
      const secret = new Uint8Array(words.buffer)
      const channel = this.#transport.expect(secret)
      if (channel < 0) return `there is no channel for it (errno ${-channel})`
      session.channel = channel
      send({ kind: 'channel', channel, secret })
    }
    if (session.isServed || session.theirs === undefined) return null
    const { hello, peer, channel, theirs } = session
    assert(hello !== undefined, 'whoever was met has said hello')
    const error = this.#transport.connect(channel, hello.address, theirs.channel, theirs.secret)
    if (error < 0) return `its channel cannot be connected (errno ${-error})`
    session.isServed = true
    this.#events.served(peer, channel, clientOf(hello.id, hello.incarnation))
    send({ kind: 'connected' })
    return null
  }

  /** The peer has told its channel, or that it has connected ours. False where it is not its turn to. */
  receive(session: Session, peer: Peer, message: Extract<ControlMessage, { kind: 'channel' | 'connected' }>): boolean {
    const { hello } = session
    if (message.kind === 'channel') {
      if (session.theirs !== undefined) return false
      session.theirs = { channel: message.channel, secret: message.secret }
      return true
    }
    if (!session.isServed || session.isUp || hello === undefined) return false
    session.isUp = true
    this.#events.up(peer, session.channel, clientOf(hello.id, hello.incarnation))
    return true
  }

  /** The session is over; its end has been told. */
  close(session: Session): void {
    if (session.channel !== 0) this.#transport.close(session.channel)
    session.channel = 0
  }
}
