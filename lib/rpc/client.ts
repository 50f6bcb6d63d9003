import { assert } from '../base/assert.js'
import { ECONNRESET, EINPROGRESS, EIO, EPROTO } from '../base/errno.js'
import { MESSAGE_HEAD_BYTES_MAX, REQUESTS_MAX } from '../base/limits.js'
import type { Clock, Transport } from '../ports.js'
import {
  AGE_UNKNOWN,
  getReplyHead,
  putRequestHead,
  REPLY_HEAD_WORDS,
  REQUEST_HEAD_WORDS,
  type ReplyHead,
} from '../wire/message.js'
import type { Method, ReplyOf, RequestOf } from '../wire/methods.js'
import { type Area, areaOf, type Shape, type Struct } from '../wire/struct.js'
import { type Call, type CallDone, type Insistence, NO_TRANSFER, type Transfer } from './call.js'
import { Peer } from './peer.js'

/** What all calls of a node have in common. */
export interface RpcSettings {
  readonly epoch: number
  /** How long a peer that is away is waited for, from when it went. Infinity: for ever. */
  readonly timeoutMs: number
  /** Calls of each rank that may be under way to one peer. */
  readonly credits: number
}

/** Takes note of a peer's clock. */
export type Observe = (seconds: number, nanoseconds: number) => void

/** Up to where this node's durable stream is done for good. */
export interface Acknowledged {
  readonly acknowledged: number
}

/** When a call is asked again that waits, over there, for a third node. */
const AGAIN_MS = 1000

interface Wait {
  readonly peers: readonly number[]
  readonly end: (error: number) => void
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
  readonly #stream: Acknowledged
  readonly #peers = new Map<number, Peer>()
  readonly #waits = new Set<Wait>()
  readonly #scratch: Area = areaOf(new Uint32Array(MESSAGE_HEAD_BYTES_MAX / 4))
  readonly #inbox: Area
  readonly #head: ReplyHead = { method: 0, status: 0, epoch: 0, seconds: 0, nanoseconds: 0 }
  /** Messages sent, by method: for tests and status. */
  readonly sent = new Map<string, number>()

  constructor(transport: Transport, clock: Clock, settings: RpcSettings, observe: Observe, stream: Acknowledged) {
    assert(settings.credits > 0 && settings.credits <= REQUESTS_MAX, 'credits are positive and bounded')
    this.#transport = transport
    this.#clock = clock
    this.#settings = settings
    this.#observe = observe
    this.#stream = stream
    this.#inbox = areaOf(transport.inbox)
  }

  /**
   * The peer can be reached on this channel. First only what `greet` asks goes out, by {@link askFirst}; when that says
   * that it has ended, so does what has waited for the peer.
   */
  peerUp(number: number, channel: number, greet: (ended: () => void) => void): void {
    const peer = this.#peer(number)
    peer.channel = channel
    peer.hasLeft = false
    peer.isGreeting = true
    greet(() => {
      if (peer.channel !== channel) return
      peer.isGreeting = false
      peer.awaySinceMs = undefined
      peer.cancelTimer?.()
      peer.cancelTimer = undefined
      this.#flush(number, peer)
      this.#review()
    })
  }

  /** The peer is away, and may come back. */
  peerDown(number: number): void {
    const peer = this.#peer(number)
    peer.channel = 0
    const expiresMs = this.#patienceEnds(peer)
    for (const call of peer.waiting()) if (!call.isLate) call.expiresMs = expiresMs
    this.#watch(number, peer)
  }

  /** The peer has left: its share answers EIO from now on. */
  peerLeft(number: number): void {
    const peer = this.#peer(number)
    peer.channel = 0
    peer.hasLeft = true
    this.#giveUp(peer, () => true)
    this.#review()
  }

  /** Runs a step that late. */
  after(delayMs: number, step: () => void): void {
    this.#clock.after(delayMs, step)
  }

  isUp(number: number): boolean {
    return this.#peers.get(number)?.isUp ?? false
  }

  /**
   * Calls `done` with 0 when all of these peers can be reached, at once if they can; with −EIO when that takes too
   * long or one of them has left.
   */
  whenUp(peers: readonly number[], done: (error: number) => void): void {
    if (peers.some((number) => this.#peers.get(number)?.hasLeft === true)) done(-EIO)
    else if (peers.every((number) => this.isUp(number))) done(0)
    else {
      const away = peers.filter((number) => !this.isUp(number))
      const endsMs = Math.min(...away.map((number) => this.#whenUpEnds(this.#peer(number))))
      const end = (error: number): void => {
        cancel?.()
        this.#waits.delete(wait)
        done(error)
      }
      const wait = { peers, end }
      const waitMs = Math.max(0, endsMs - this.#clock.monotonicMs())
      const cancel = Number.isFinite(waitMs) ? this.#clock.after(waitMs, () => end(-EIO)) : undefined
      this.#waits.add(wait)
    }
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
    const sequence = method.changes ? ++peer.lastSequence : 0
    if (sequence !== 0) peer.open.add(sequence)
    this.#enqueue(number, peer, this.#make(method, request, transfer, done, { sequence }))
  }

  /** Asks a peer until it has answered; see {@link Insistence}. */
  insist<M extends Method<Shape, Shape>>(
    number: number,
    method: M,
    request: RequestOf<M>,
    insistence: Insistence,
    done: CallDone<M>,
  ): void {
    const { sequence, ageMs } = insistence
    assert(method.changes === (sequence !== 0), 'what changes something has a sequence')
    const peer = this.#peer(number)
    this.#enqueue(number, peer, this.#make(method, request, NO_TRANSFER, done, { sequence, ageMs, insistence }))
  }

  /** Asks a peer while its session is being opened. Where the channel fails, the result is −ECONNRESET. */
  askFirst<M extends Method<Shape, Shape>>(number: number, method: M, request: RequestOf<M>, done: CallDone<M>): void {
    const call = this.#make(method, request, NO_TRANSFER, done, { sequence: 0, isGreeting: true })
    this.#send(number, this.#peer(number), call)
  }

  #make<M extends Method<Shape, Shape>>(
    method: M,
    request: RequestOf<M>,
    transfer: Transfer,
    done: CallDone<M>,
    how: { sequence: number; ageMs?: number; insistence?: Insistence; isGreeting?: boolean },
  ): Call {
    const end = (method.request as Struct<Shape>).put(this.#scratch, 0, request)
    const startedMs = this.#clock.monotonicMs()
    return {
      method,
      fields: this.#scratch.words.slice(0, end),
      transfer,
      done: done as CallDone<Method<Shape, Shape>>,
      sequence: how.sequence,
      startedMs,
      ageMs: how.ageMs ?? 0,
      expiresMs: Number.POSITIVE_INFINITY,
      insistence: how.insistence,
      isLate: false,
      isGreeting: how.isGreeting ?? false,
    }
  }

  #enqueue(number: number, peer: Peer, call: Call): void {
    peer.add(call)
    if (peer.channel !== 0) {
      this.#flush(number, peer)
      return
    }
    call.expiresMs = this.#patienceEnds(peer)
    this.#watch(number, peer)
  }

  /**
   * Until when a peer that is away is waited for. That is counted from when it went, not from each call: the kernel has
   * many calls wait for each other, and what fails one after the other would take a multiple of the time.
   */
  #patienceEnds(peer: Peer): number {
    peer.awaySinceMs ??= this.#clock.monotonicMs()
    return peer.awaySinceMs + this.#settings.timeoutMs
  }

  /** One that is back, and with which a session is being opened, is waited for anew. */
  #whenUpEnds(peer: Peer): number {
    return peer.channel === 0 ? this.#patienceEnds(peer) : this.#clock.monotonicMs() + this.#settings.timeoutMs
  }

  #peer(number: number): Peer {
    let peer = this.#peers.get(number)
    if (peer === undefined) {
      peer = new Peer()
      this.#peers.set(number, peer)
    }
    return peer
  }

  #flush(number: number, peer: Peer): void {
    while (peer.isUp) {
      const call = peer.next(this.#settings.credits)
      if (call === undefined) return
      this.#send(number, peer, call)
    }
  }

  #send(number: number, peer: Peer, call: Call): void {
    const transport = this.#transport
    const { method, fields, transfer, sequence } = call
    const isDurable = call.insistence !== undefined && sequence !== 0
    const at = transport.prepare()
    this.#clock.readRealtime()
    putRequestHead(transport.outbox, at, {
      method: method.number,
      isDurable,
      epoch: this.#settings.epoch,
      sequence,
      acknowledged: isDurable ? this.#stream.acknowledged : peer.acknowledged,
      seconds: this.#clock.seconds,
      nanoseconds: this.#clock.nanoseconds,
      ageMs: Math.min(this.#clock.monotonicMs() - call.startedMs + call.ageMs, AGE_UNKNOWN),
    })
    transport.outbox.set(fields, at + REQUEST_HEAD_WORDS)
    const cost = method.isPatient === true || call.isGreeting ? 0 : 1
    const { inFlight } = peer
    inFlight[method.rank] = (inFlight[method.rank] as number) + cost
    this.sent.set(method.name, (this.sent.get(method.name) ?? 0) + 1)
    const { channel } = peer
    const headBytes = (REQUEST_HEAD_WORDS + fields.length) * 4
    const done = (result: number, head: number, bytes: number): void => {
      inFlight[method.rank] = (inFlight[method.rank] as number) - cost
      if (result === -ECONNRESET) this.#again(number, peer, channel, call)
      else if (result < 0) this.#end(peer, call, result, null)
      else this.#finish(number, peer, call, result, head, head + bytes / 4)
      this.#flush(number, peer)
    }
    transport.request(channel, headBytes, transfer.at, transfer.bytes, transfer.to, transfer.room, done)
  }

  #finish(number: number, peer: Peer, call: Call, bytes: number, at: number, end: number): void {
    const head = this.#head
    const fields = at + REPLY_HEAD_WORDS
    if (!getReplyHead(this.#inbox.words, at, end, head) || head.method !== call.method.number) {
      this.#end(peer, call, -EPROTO, null)
      return
    }
    this.#observe(head.seconds, head.nanoseconds)
    if (head.status === -EINPROGRESS && call.insistence !== undefined) this.#askLater(number, peer, call)
    else if (head.status < 0) this.#end(peer, call, head.status, null)
    else {
      const reply = call.method.reply.get(this.#inbox, fields, end)
      this.#end(peer, call, reply === null ? -EPROTO : bytes, reply)
    }
  }

  #end(peer: Peer, call: Call, result: number, reply: ReplyOf<Method<Shape, Shape>> | null): void {
    if (call.insistence === undefined && call.sequence !== 0) peer.open.delete(call.sequence)
    call.done(result, reply)
  }

  /** It is being done there, and waits for somebody else: whoever waits here is told, and it is asked for again. */
  #askLater(number: number, peer: Peer, call: Call): void {
    this.#late(call)
    this.#clock.after(AGAIN_MS, () => {
      peer.putBack(call)
      this.#flush(number, peer)
    })
  }

  #late(call: Call): void {
    call.expiresMs = Number.POSITIVE_INFINITY
    if (call.isLate) return
    call.isLate = true
    call.insistence?.late(-EIO)
  }

  /** The channel has failed under a call. */
  #again(number: number, peer: Peer, channel: number, call: Call): void {
    // Whoever is told first that the channel has failed, it is of no use any more.
    if (peer.channel === channel) peer.channel = 0
    if (call.isGreeting || (peer.hasLeft && call.insistence === undefined)) {
      this.#end(peer, call, call.isGreeting ? -ECONNRESET : -EIO, null)
      return
    }
    if (!call.isLate && !peer.isUp) call.expiresMs = this.#patienceEnds(peer)
    peer.putBack(call)
    if (peer.channel === 0) this.#watch(number, peer)
  }

  /** Gives up, one by one, what has waited too long for a peer that is away. */
  #watch(number: number, peer: Peer): void {
    if (peer.cancelTimer !== undefined) return
    let soonest = Number.POSITIVE_INFINITY
    // Never inside of the call that asks.
    for (const { expiresMs, isLate } of peer.waiting()) {
      if (!isLate) soonest = Math.min(soonest, peer.hasLeft ? 0 : expiresMs)
    }
    if (soonest === Number.POSITIVE_INFINITY) return
    const delayMs = Math.max(0, soonest - this.#clock.monotonicMs())
    peer.cancelTimer = this.#clock.after(delayMs, () => {
      peer.cancelTimer = undefined
      if (peer.channel !== 0) return
      const now = this.#clock.monotonicMs()
      this.#giveUp(peer, ({ expiresMs }) => peer.hasLeft || expiresMs <= now)
      this.#watch(number, peer)
    })
  }

  #giveUp(peer: Peer, isOver: (call: Call) => boolean): void {
    for (const call of peer.giveUp(isOver)) this.#end(peer, call, -EIO, null)
    for (const call of [...peer.waiting()]) if (isOver(call)) this.#late(call)
  }

  #review(): void {
    for (const { peers, end } of [...this.#waits]) {
      if (peers.some((number) => this.#peers.get(number)?.hasLeft === true)) end(-EIO)
      else if (peers.every((number) => this.isUp(number))) end(0)
    }
  }
}
