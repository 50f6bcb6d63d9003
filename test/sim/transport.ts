import { assert } from '../../lib/base/assert.js'
import { ECANCELED, ECONNRESET, EINVAL, EMSGSIZE } from '../../lib/base/errno.js'
import { MESSAGE_HEAD_BYTES_MAX } from '../../lib/base/limits.js'
import type { Clock, ReplyDone, Transport, TransportEvents } from '../../lib/ports.js'
import type { SimPool } from './pool.js'
import type { Prng } from './prng.js'

const HEAD_WORDS = MESSAGE_HEAD_BYTES_MAX / 4

/** How messages travel. */
export interface Weather {
  /** Longest delay of a message. Those of one channel may overtake each other. */
  delayMsMax: number
  /** One message in so many is lost, and its channel fails a while later; 0: none. */
  lossOneIn: number
}

/** How long it may take until a channel fails on which something was lost. */
const FAILS_MS = 2000

interface Channel {
  readonly number: number
  readonly secret: string
  peer: SimTransport | undefined
  peerChannel: number
  peerSecret: string
  /** It neither failed nor was closed. */
  isOpen: boolean
  /** Something that was sent on it was lost. */
  hasLost: boolean
  /** What came before this end was connected. */
  readonly early: Message[]
  /** Requests that were delivered and not answered. */
  readonly unanswered: Set<number>
}

interface Open {
  readonly channel: number
  readonly to: number
  readonly room: number
  readonly done: ReplyDone
  /** The request, while it has not arrived. */
  message: Message | undefined
}

/** Its data lies in the sender's pool until `take` is called, as late as when it arrives. */
interface Message {
  readonly channel: number
  readonly secret: string
  readonly token: number
  readonly isReply: boolean
  readonly head: Uint32Array
  readonly bytes: number
  /** The data. The sender may use its memory again. */
  take(): Uint8Array
  /** The sender gave the channel up, or the request while nobody had its data. */
  isLost: boolean
}

/** All transports of a simulated cluster, by address. */
export class SimNetwork {
  readonly weather: Weather = { delayMsMax: 3, lossOneIn: 0 }
  readonly transports = new Map<string, SimTransport>()
  /** "from>to" of links on which nothing passes. */
  readonly cuts = new Set<string>()
  /** Says which messages are kept back, by method; they stand in {@link kept} and go on when they are called. */
  keeps: (method: number, isReply: boolean, from: SimTransport, to: SimTransport) => boolean = () => false
  kept: (() => void)[] = []
  /** Replies to requests that were answered already, or never asked. */
  vainReplies = 0
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

  /** Whether there is or was a transport of this address. */
  isAddress(address: string): boolean {
    const number = Number(/^sim-([1-9]\d*)$/.exec(address)?.[1])
    return number <= this.#lastAddress
  }

  delayMs(): number {
    return this.prng.below(this.weather.delayMsMax + 1)
  }

  /** Lets messages pass again. What was lost meanwhile ends its channels: no transport forgets single messages. */
  heal(cut: string): void {
    if (!this.cuts.delete(cut)) return
    const [from, to] = cut.split('>') as [string, string]
    const peer = this.transports.get(to)
    if (peer !== undefined) this.transports.get(from)?.failLossy(peer)
  }
}

/** Messages between simulated nodes: late, in any order, and lost where a link is cut or a node has died. */
export class SimTransport implements Transport {
  readonly address: Uint8Array
  readonly outbox = new Uint32Array(HEAD_WORDS)
  readonly inbox = new Uint32Array(HEAD_WORDS)
  readonly #network: SimNetwork
  readonly #pool: SimPool
  readonly #name: string
  readonly #channels = new Map<number, Channel>()
  readonly #open = new Map<number, Open>()
  /** What was sent and has not arrived, by channel. */
  readonly #sent = new Map<Message, { channel: number; slot: number }>()
  /** Requests with data that wait for a slot. */
  #waiting: { message: Message; channel: Channel }[] = []
  #events: TransportEvents | undefined
  #lastChannel = 0
  #lastToken = 0
  #isAlive = true

  constructor(network: SimNetwork, pool: SimPool) {
    this.#network = network
    this.#pool = pool
    this.#name = network.add(this)
    this.address = new TextEncoder().encode(this.#name)
    pool.onPeerSlot = () => this.#admit()
  }

  attach(events: TransportEvents): void {
    this.#events = events
  }

  expect(secret: Uint8Array): number {
    const number = ++this.#lastChannel
    const channel = { number, secret: secret.join(), peer: undefined, peerChannel: 0, peerSecret: '', isOpen: true }
    this.#channels.set(number, { ...channel, hasLost: false, early: [], unanswered: new Set() })
    return number
  }

  connect(number: number, address: Uint8Array, peerChannel: number, peerSecret: Uint8Array): number {
    const name = new TextDecoder().decode(address)
    const channel = this.#channels.get(number)
    if (channel === undefined || channel.peer !== undefined || !this.#network.isAddress(name)) return -EINVAL
    const peer = this.#network.transports.get(name)
    if (peer === undefined) {
      this.#later(this.#network.delayMs(), () => this.#failChannel(channel))
      return 0
    }
    channel.peer = peer
    channel.peerChannel = peerChannel
    channel.peerSecret = peerSecret.join()
    this.#later(0, () => {
      for (const message of channel.early.splice(0)) this.#receive(message)
    })
    return 0
  }

  close(number: number): void {
    const channel = this.#channels.get(number)
    if (channel === undefined) return
    this.#channels.delete(number)
    this.#unbind(channel)
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
    const message = this.#send(channel, token, false, headBytes, at, bytes, -1)
    this.#open.set(token, { channel, to, room, done, message })
    if (message === undefined) this.#later(0, () => this.#end(token, -ECONNRESET))
    return token
  }

  cancel(token: number): void {
    const message = this.#open.get(token)?.message
    // Its memory comes free: what is on its way has been read until now, or never is.
    if (message !== undefined && this.#sent.has(message)) {
      if (this.#network.prng.below(2) === 0) message.take()
      else message.isLost = true
    }
    this.#later(0, () => this.#end(token, -ECANCELED))
  }

  reply(channel: number, token: number, headBytes: number, at: number, bytes: number, slot: number): void {
    const asked = this.#channels.get(channel)
    if (asked?.isOpen === true && !asked.unanswered.delete(token)) this.#network.vainReplies++
    const message = this.#send(channel, token, true, headBytes, at, bytes, slot)
    if (message === undefined) this.#later(0, () => this.#giveBack(slot))
  }

  end(done: () => void): void {
    for (const number of [...this.#channels.keys()]) this.close(number)
    this.#later(0, () => {
      this.die()
      done()
    })
  }

  /** The node's process has ended. Its peers notice, unless their links are cut. */
  die(): void {
    this.#isAlive = false
    this.#network.transports.delete(this.#name)
    this.#channels.clear()
    this.#open.clear()
    for (const peer of this.#network.transports.values()) peer.#onDeath(this)
  }

  /** Requests of peers that were not answered. */
  get unanswered(): number {
    return [...this.#channels.values()].reduce((sum, { unanswered }) => sum + unanswered.size, 0)
  }

  /** Fails channels to a peer on which something was lost, on both sides. */
  failLossy(peer: SimTransport): void {
    for (const channel of this.#channels.values()) {
      if (channel.peer !== peer || !channel.hasLost) continue
      const other = peer.#channels.get(channel.peerChannel)
      this.#later(this.#network.prng.below(FAILS_MS), () => this.#failChannel(channel))
      if (other?.peer === this) peer.#later(this.#network.prng.below(FAILS_MS), () => peer.#failChannel(other))
    }
  }

  #onDeath(dead: SimTransport): void {
    if (this.#network.cuts.has(`${dead.#name}>${this.#name}`)) return
    for (const channel of this.#channels.values())
      if (channel.peer === dead) this.#later(this.#network.delayMs(), () => this.#failChannel(channel))
  }

  #failChannel(channel: Channel): void {
    if (!channel.isOpen) return
    this.#unbind(channel)
    this.#later(0, () => {
      if (this.#channels.has(channel.number)) this.#events?.failed(channel.number, -ECONNRESET)
    })
  }

  /** Takes everything away from a channel that failed or is closed. */
  #unbind(channel: Channel): void {
    if (!channel.isOpen) return
    channel.isOpen = false
    this.#waiting = this.#waiting.filter((waiting) => waiting.channel !== channel)
    for (const [message, sent] of this.#sent) {
      if (sent.channel !== channel.number) continue
      message.isLost = true
      this.#sent.delete(message)
      if (sent.slot >= 0) this.#later(0, () => this.#giveBack(sent.slot))
    }
    for (const [token, open] of this.#open)
      if (open.channel === channel.number) this.#later(0, () => this.#end(token, -ECONNRESET))
  }

  #send(
    number: number,
    token: number,
    isReply: boolean,
    headBytes: number,
    at: number,
    bytes: number,
    slot: number,
  ): Message | undefined {
    assert(headBytes <= MESSAGE_HEAD_BYTES_MAX && headBytes % 4 === 0, 'a head is whole words')
    const head = this.outbox.slice(0, headBytes / 4)
    this.outbox.fill(0xeeeeeeee)
    const channel = this.#channels.get(number)
    if (channel?.peer === undefined || !channel.isOpen) return undefined
    const { peer, peerChannel, peerSecret } = channel
    let data: Uint8Array | undefined
    const take = (): Uint8Array => {
      if (data === undefined) {
        data = this.#pool.memory.slice(at, at + bytes)
        this.#sent.delete(message)
        if (slot >= 0) this.#later(0, () => this.#giveBack(slot))
      }
      return data
    }
    const message = { channel: peerChannel, secret: peerSecret, token, isReply, head, bytes, take, isLost: false }
    this.#sent.set(message, { channel: number, slot })
    // Some data goes along at once, some is fetched by the receiver.
    if (this.#network.prng.below(2) === 0) message.take()
    const network = this.#network
    const { lossOneIn } = network.weather
    if (network.cuts.has(`${this.#name}>${peer.#name}`)) {
      channel.hasLost = true
      return message
    }
    if (lossOneIn > 0 && network.prng.oneIn(lossOneIn)) {
      channel.hasLost = true
      this.failLossy(peer)
      return message
    }
    const go = (): void => peer.#later(network.delayMs(), () => peer.#receive(message))
    if (network.keeps((head[0] as number) & 0xff, isReply, this, peer)) network.kept.push(go)
    else go()
    return message
  }

  #receive(message: Message): void {
    const channel = this.#channels.get(message.channel)
    if (channel === undefined || channel.secret !== message.secret || !channel.isOpen || message.isLost) return
    if (channel.peer === undefined) channel.early.push(message)
    else if (message.isReply) this.#receiveReply(message)
    else this.#receiveRequest(message, channel)
  }

  #receiveReply(message: Message): void {
    const open = this.#open.get(message.token)
    const data = message.take()
    if (open === undefined || open.channel !== message.channel) return
    this.#open.delete(message.token)
    if (data.length > open.room) {
      open.done(-EMSGSIZE, 0, 0)
      return
    }
    this.#pool.memory.set(data, open.to)
    this.inbox.set(message.head)
    open.done(data.length, 0, message.head.length * 4)
    this.inbox.fill(0xdddddddd)
  }

  #receiveRequest(message: Message, channel: Channel): void {
    if (message.bytes === 0) {
      message.take()
      this.#deliver(message, -1)
      return
    }
    const slot = this.#waiting.length > 0 ? -1 : this.#pool.acquireForPeer()
    if (slot < 0) this.#waiting.push({ message, channel })
    else this.#place(message, slot)
  }

  #place(message: Message, slot: number): void {
    this.#pool.memory.set(message.take(), this.#pool.payloadOf(slot))
    this.#deliver(message, slot)
  }

  #deliver({ channel, token, head, bytes }: Message, slot: number): void {
    this.#channels.get(channel)?.unanswered.add(token)
    this.inbox.set(head)
    this.#events?.request(channel, token, 0, head.length * 4, slot, bytes)
    this.inbox.fill(0xdddddddd)
  }

  /** A slot for peers came free: whoever waited longest gets it. */
  #admit(): void {
    while (this.#isAlive && this.#waiting.length > 0) {
      const { message, channel } = this.#waiting[0] as { message: Message; channel: Channel }
      const slot = message.isLost ? -1 : this.#pool.acquireForPeer()
      if (slot < 0 && !message.isLost) return
      this.#waiting.shift()
      if (slot < 0) continue
      this.#later(0, () => {
        if (channel.isOpen && !message.isLost) this.#place(message, slot)
        else this.#pool.release(slot)
      })
    }
  }

  #giveBack(slot: number): void {
    if (slot < 0) return
    this.#pool.release(slot)
    this.#events?.slotFree()
  }

  #end(token: number, error: number): void {
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
