import { ECANCELED, ECONNRESET, EINVAL, EMSGSIZE } from '../../lib/base/errno.js'
import { MESSAGE_HEAD_BYTES_MAX } from '../../lib/base/limits.js'
import type { BufferPool, Clock, ReplyDone, Transport, TransportEvents } from '../../lib/ports.js'
import type { Prng } from './prng.js'

const HEAD_WORDS = MESSAGE_HEAD_BYTES_MAX / 4
const HEAD_BYTES = 4096

/** How messages travel. */
export interface Weather {
  /** Longest delay of a message. Those of one channel may overtake each other. */
  delayMsMax: number
}

interface Channel {
  readonly secret: string
  peer: SimTransport | undefined
  peerChannel: number
  peerSecret: string
  isOpen: boolean
}

interface Open {
  readonly channel: number
  readonly to: number
  readonly room: number
  readonly done: ReplyDone
}

interface Message {
  readonly channel: number
  readonly secret: string
  readonly token: number
  readonly isReply: boolean
  readonly head: Uint32Array
  readonly data: Uint8Array
}

/** All transports of a simulated cluster, by address. */
export class SimNetwork {
  readonly weather: Weather = { delayMsMax: 3 }
  readonly transports = new Map<string, SimTransport>()
  /** "from>to" of links on which nothing passes. */
  readonly cuts = new Set<string>()
  /** Says which messages are kept back, by method; they stand in {@link kept} and go on when they are called. */
  keeps: (method: number, isReply: boolean, from: SimTransport, to: SimTransport) => boolean = () => false
  kept: (() => void)[] = []
  readonly prng: Prng
  readonly clock: Clock
  #lastAddress = 0

  constructor(prng: Prng, clock: Clock) {
    this.prng = prng
    this.clock = clock
  }

  add(transport: SimTransport): string {
    const address = `sim-${++this.#lastAddress}`
    this.transports.set(address, transport)
    return address
  }
}

/** Messages between simulated nodes: late, in any order, and lost where a link is cut or a node has died. */
export class SimTransport implements Transport {
  readonly address: Uint8Array
  readonly outbox = new Uint32Array(HEAD_WORDS)
  readonly inbox = new Uint32Array(HEAD_WORDS)
  readonly #network: SimNetwork
  readonly #pool: BufferPool
  readonly #name: string
  readonly #channels = new Map<number, Channel>()
  readonly #open = new Map<number, Open>()
  /** Requests with data that wait for a slot. */
  #waiting: Message[] = []
  #events: TransportEvents | undefined
  #lastChannel = 0
  #lastToken = 0
  #isAlive = true

  constructor(network: SimNetwork, pool: BufferPool) {
    this.#network = network
    this.#pool = pool
    this.#name = network.add(this)
    this.address = new TextEncoder().encode(this.#name)
  }

  attach(events: TransportEvents): void {
    this.#events = events
  }

  expect(secret: Uint8Array): number {
    const channel = ++this.#lastChannel
    this.#channels.set(channel, {
      secret: secret.join(),
      peer: undefined,
      peerChannel: 0,
      peerSecret: '',
      isOpen: true,
    })
    return channel
  }

  connect(number: number, address: Uint8Array, peerChannel: number, peerSecret: Uint8Array): number {
    const peer = this.#network.transports.get(new TextDecoder().decode(address))
    const channel = this.#channels.get(number)
    if (peer === undefined || channel === undefined) return -EINVAL
    channel.peer = peer
    channel.peerChannel = peerChannel
    channel.peerSecret = peerSecret.join()
    return 0
  }

  close(number: number): void {
    const channel = this.#channels.get(number)
    if (channel === undefined) return
    channel.isOpen = false
    this.#channels.delete(number)
    for (const [token, open] of this.#open)
      if (open.channel === number) this.#later(0, () => this.#fail(token, -ECONNRESET))
  }

  prepare(): number {
    return 0
  }

  request(
    channel: number,
    headBytes: number,
    at: number,
    bytes: number,
    to: number,
    room: number,
    done: ReplyDone,
  ): number {
    const token = ++this.#lastToken
    this.#open.set(token, { channel, to, room, done })
    if (!this.#send(channel, token, false, headBytes, at, bytes)) this.#later(0, () => this.#fail(token, -ECONNRESET))
    return token
  }

  cancel(token: number): void {
    this.#later(0, () => this.#fail(token, -ECANCELED))
  }

  reply(channel: number, token: number, headBytes: number, at: number, bytes: number, slot: number): void {
    this.#send(channel, token, true, headBytes, at, bytes)
    if (slot < 0) return
    this.#later(0, () => {
      this.#pool.release(slot)
      this.#admit()
      this.#events?.slotFree()
    })
  }

  end(done: () => void): void {
    this.die()
    done()
  }

  /** The node's process has ended. */
  die(): void {
    this.#isAlive = false
    this.#network.transports.delete(this.#name)
    this.#channels.clear()
    this.#open.clear()
  }

  #send(number: number, token: number, isReply: boolean, headBytes: number, at: number, bytes: number): boolean {
    const channel = this.#channels.get(number)
    if (channel?.peer === undefined) return false
    const { peer, peerChannel, peerSecret } = channel
    const head = this.outbox.slice(0, headBytes / 4)
    const data = this.#pool.memory.slice(at, at + bytes)
    this.outbox.fill(0xeeeeeeee)
    if (this.#network.cuts.has(`${this.#name}>${peer.#name}`)) return true
    const message = { channel: peerChannel, secret: peerSecret, token, isReply, head, data }
    const network = this.#network
    const go = (): void => peer.#later(network.prng.below(network.weather.delayMsMax + 1), () => peer.#receive(message))
    if (network.keeps((head[0] as number) & 0xff, isReply, this, peer)) network.kept.push(go)
    else go()
    return true
  }

  #receive(message: Message): void {
    const channel = this.#channels.get(message.channel)
    if (channel === undefined || channel.secret !== message.secret) return
    if (message.isReply) this.#receiveReply(message)
    else this.#receiveRequest(message)
  }

  #receiveReply({ channel, token, head, data }: Message): void {
    const open = this.#open.get(token)
    if (open === undefined || open.channel !== channel) return
    this.#open.delete(token)
    if (data.length > open.room) {
      open.done(-EMSGSIZE, 0, 0)
      return
    }
    this.#pool.memory.set(data, open.to)
    this.inbox.set(head)
    open.done(data.length, 0, head.length * 4)
    this.inbox.fill(0xdddddddd)
  }

  #receiveRequest(message: Message): void {
    const { channel, token, head, data } = message
    let slot = -1
    if (data.length > 0) {
      slot = this.#pool.acquireForPeer()
      if (slot < 0) {
        // Whoever holds the slots gives them back to the pool, which does not say so.
        if (this.#waiting.push(message) === 1) this.#later(1, () => this.#admit())
        return
      }
      this.#pool.memory.set(data, slot * this.#pool.stride + HEAD_BYTES)
    }
    this.inbox.set(head)
    this.#events?.request(channel, token, 0, head.length * 4, slot, data.length)
    this.inbox.fill(0xdddddddd)
  }

  #admit(): void {
    for (const message of this.#waiting.splice(0)) this.#receive(message)
  }

  #fail(token: number, error: number): void {
    const open = this.#open.get(token)
    if (open === undefined) return
    this.#open.delete(token)
    open.done(error, 0, 0)
  }

  #later(delayMs: number, step: () => void): void {
    this.#network.clock.after(delayMs, () => {
      if (this.#isAlive) step()
    })
  }
}
