import { assert } from '../base/assert.js'
import { ECONNRESET, EIO, EPROTO } from '../base/errno.js'
import { MESSAGE_HEAD_BYTES_MAX, REQUESTS_MAX } from '../base/limits.js'
import type { Clock, Transport } from '../ports.js'
import { getReplyHead, putRequestHead, REPLY_HEAD_WORDS, REQUEST_HEAD_WORDS, type ReplyHead } from '../wire/message.js'
import type { Method, ReplyOf, RequestOf } from '../wire/methods.js'
import { type Area, areaOf, type Shape, type Struct } from '../wire/struct.js'
import type { CallDone, Transfer } from './call.js'

/** What all calls of a node have in common. */
export interface RpcSettings {
  readonly epoch: number
  /** How long a call waits for a peer that is away. Infinity: for ever. */
  readonly timeoutMs: number
  /** Calls that may be under way to one peer. */
  readonly credits: number
}

/** Takes note of a peer's clock. */
export type Observe = (seconds: number, nanoseconds: number) => void

interface Call {
  readonly method: Method<Shape, Shape>
  readonly fields: Uint32Array
  readonly transfer: Transfer
  readonly done: CallDone<Method<Shape, Shape>>
  /** 0 for what may be done twice. */
  readonly sequence: number
  readonly startedMs: number
  /** When it is given up, as long as its peer is away. */
  expiresMs: number
}

/** What is asked of one peer. */
interface Peer {
  /** 0 while the peer is away. */
  channel: number
  /** It has left, and nothing of it is waited for. */
  hasLeft: boolean
  inFlight: number
  /** Waiting for a credit or for the peer, oldest first. */
  queue: Call[]
  lastSequence: number
  /** Sequences of changes that are not answered yet. */
  readonly open: Set<number>
  cancelTimer: (() => void) | undefined
}

/**
 * The asking half: calls to peers by number. A call whose channel fails waits for its peer to come back and is asked
 * again; what changes something carries a sequence, so that the peer does it once. How long it waits is the settings'.
 */
export class RpcClient {
  readonly #transport: Transport
  readonly #clock: Clock
  readonly #settings: RpcSettings
  readonly #observe: Observe
  readonly #peers = new Map<number, Peer>()
  readonly #scratch: Area = areaOf(new Uint32Array(MESSAGE_HEAD_BYTES_MAX / 4))
  readonly #inbox: Area
  readonly #head: ReplyHead = { method: 0, status: 0, epoch: 0, seconds: 0, nanoseconds: 0 }
  /** Messages sent, by method: for tests and status. */
  readonly sent = new Map<string, number>()

  constructor(transport: Transport, clock: Clock, settings: RpcSettings, observe: Observe) {
    assert(settings.credits > 0 && settings.credits <= REQUESTS_MAX, 'credits are positive and bounded')
    this.#transport = transport
    this.#clock = clock
    this.#settings = settings
    this.#observe = observe
    this.#inbox = areaOf(transport.inbox)
  }

  /** How many peers can be reached. */
  get peersUp(): number {
    let count = 0
    for (const { channel } of this.#peers.values()) if (channel !== 0) count++
    return count
  }

  /** The peer can be reached on this channel; what waited for it goes out. */
  peerUp(number: number, channel: number): void {
    const peer = this.#peer(number)
    peer.channel = channel
    peer.hasLeft = false
    peer.cancelTimer?.()
    peer.cancelTimer = undefined
    this.#flush(number, peer)
  }

  /** The peer is away, and may come back. */
  peerDown(number: number): void {
    const peer = this.#peer(number)
    peer.channel = 0
    const expiresMs = this.#clock.monotonicMs() + this.#settings.timeoutMs
    for (const call of peer.queue) call.expiresMs = expiresMs
    this.#watch(number, peer)
  }

  /** The peer has left: its share answers EIO from now on. */
  peerLeft(number: number): void {
    const peer = this.#peer(number)
    peer.channel = 0
    peer.hasLeft = true
    for (const call of peer.queue.splice(0)) this.#end(peer, call, -EIO, null)
  }

  /** Asks a peer; `data` is the transfer's business, and `done` is never called inside of this. */
  call<M extends Method<Shape, Shape>>(
    number: number,
    method: M,
    request: RequestOf<M>,
    transfer: Transfer,
    done: CallDone<M>,
  ): void {
    const peer = this.#peer(number)
    const end = (method.request as Struct<Shape>).put(this.#scratch, 0, request)
    const sequence = method.changes ? ++peer.lastSequence : 0
    if (sequence !== 0) peer.open.add(sequence)
    const startedMs = this.#clock.monotonicMs()
    const call: Call = {
      method,
      fields: this.#scratch.words.slice(0, end),
      transfer,
      done: done as CallDone<Method<Shape, Shape>>,
      sequence,
      startedMs,
      expiresMs: startedMs + this.#settings.timeoutMs,
    }
    peer.queue.push(call)
    if (peer.channel !== 0) this.#flush(number, peer)
    else this.#watch(number, peer)
  }

  #peer(number: number): Peer {
    let peer = this.#peers.get(number)
    if (peer === undefined) {
      const open = new Set<number>()
      peer = { channel: 0, hasLeft: false, inFlight: 0, queue: [], lastSequence: 0, open, cancelTimer: undefined }
      this.#peers.set(number, peer)
    }
    return peer
  }

  #flush(number: number, peer: Peer): void {
    while (peer.queue.length > 0 && peer.channel !== 0 && peer.inFlight < this.#settings.credits) {
      this.#send(number, peer, peer.queue.shift() as Call)
    }
  }

  #send(number: number, peer: Peer, call: Call): void {
    const transport = this.#transport
    const { method, fields, transfer, sequence } = call
    const at = transport.prepare()
    this.#clock.readRealtime()
    putRequestHead(transport.outbox, at, {
      method: method.number,
      epoch: this.#settings.epoch,
      sequence,
      acknowledged: this.#acknowledged(peer),
      seconds: this.#clock.seconds,
      nanoseconds: this.#clock.nanoseconds,
      ageMs: Math.min(this.#clock.monotonicMs() - call.startedMs, 0xffffffff),
    })
    transport.outbox.set(fields, at + REQUEST_HEAD_WORDS)
    const cost = method.isPatient === true ? 0 : 1
    peer.inFlight += cost
    this.sent.set(method.name, (this.sent.get(method.name) ?? 0) + 1)
    const { channel } = peer
    const headBytes = (REQUEST_HEAD_WORDS + fields.length) * 4
    transport.request(
      channel,
      headBytes,
      transfer.at,
      transfer.bytes,
      transfer.to,
      transfer.room,
      (result, head, bytes) => {
        peer.inFlight -= cost
        if (result === -ECONNRESET) this.#again(number, peer, channel, call)
        else if (result < 0) this.#end(peer, call, result, null)
        else this.#finish(peer, call, result, head, head + bytes / 4)
        this.#flush(number, peer)
      },
    )
  }

  /** Every change up to this one has been answered: the one before the oldest that has not. */
  #acknowledged(peer: Peer): number {
    // A set lists in the order of insertion, and sequences only grow.
    for (const oldest of peer.open) return oldest - 1
    return peer.lastSequence
  }

  #finish(peer: Peer, call: Call, bytes: number, at: number, end: number): void {
    const head = this.#head
    const fields = at + REPLY_HEAD_WORDS
    if (!getReplyHead(this.#inbox.words, at, end, head) || head.method !== call.method.number) {
      this.#end(peer, call, -EPROTO, null)
      return
    }
    this.#observe(head.seconds, head.nanoseconds)
    if (head.status < 0) this.#end(peer, call, head.status, null)
    else {
      const reply = call.method.reply.get(this.#inbox, fields, end)
      this.#end(peer, call, reply === null ? -EPROTO : bytes, reply)
    }
  }

  #end(peer: Peer, call: Call, result: number, reply: ReplyOf<Method<Shape, Shape>> | null): void {
    if (call.sequence !== 0) peer.open.delete(call.sequence)
    call.done(result, reply)
  }

  /** The channel has failed under a call. */
  #again(number: number, peer: Peer, channel: number, call: Call): void {
    if (peer.hasLeft) {
      this.#end(peer, call, -EIO, null)
      return
    }
    call.expiresMs = this.#clock.monotonicMs() + this.#settings.timeoutMs
    // In the order in which they were asked, before what was never sent.
    let at = 0
    while (at < peer.queue.length && (peer.queue[at] as Call).startedMs <= call.startedMs) at++
    peer.queue.splice(at, 0, call)
    // Whoever is told first that the channel has failed, it is of no use any more.
    if (peer.channel === channel) peer.channel = 0
    if (peer.channel === 0) this.#watch(number, peer)
  }

  /** Gives up, one by one, what has waited too long for a peer that is away. */
  #watch(number: number, peer: Peer): void {
    if (peer.cancelTimer !== undefined) return
    if (peer.hasLeft) {
      // Never inside of the call that asks.
      peer.cancelTimer = this.#clock.after(0, () => {
        peer.cancelTimer = undefined
        if (peer.hasLeft) for (const call of peer.queue.splice(0)) this.#end(peer, call, -EIO, null)
      })
      return
    }
    const soonest = peer.queue.reduce((least, { expiresMs }) => Math.min(least, expiresMs), Number.POSITIVE_INFINITY)
    if (soonest === Number.POSITIVE_INFINITY) return
    const delayMs = Math.max(0, soonest - this.#clock.monotonicMs())
    peer.cancelTimer = this.#clock.after(delayMs, () => {
      peer.cancelTimer = undefined
      if (peer.channel !== 0) return
      const now = this.#clock.monotonicMs()
      const late = peer.queue.filter(({ expiresMs }) => expiresMs <= now)
      peer.queue = peer.queue.filter(({ expiresMs }) => expiresMs > now)
      for (const call of late) this.#end(peer, call, -EIO, null)
      this.#watch(number, peer)
    })
  }
}
