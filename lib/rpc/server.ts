import { EINPROGRESS, EIO, EPROTO, EREMCHG, ETIMEDOUT, FsError } from '../base/errno.js'
import { MESSAGE_HEAD_BYTES_MAX } from '../base/limits.js'
import type { BufferPool, Clock, Log, Transport } from '../ports.js'
import {
  getRequestHead,
  putReplyHead,
  REPLY_HEAD_WORDS,
  REQUEST_HEAD_WORDS,
  type RequestHead,
} from '../wire/message.js'
import { RANKS } from '../wire/methods.js'
import { type Area, areaOf } from '../wire/struct.js'
import type { AnyValues } from './call.js'
import type { Observe } from './client.js'
import { type Answering, type Client, Incoming, type Speaker } from './incoming.js'
import type { AnyMethod, Origin, Serve, Services } from './services.js'

/** A request that is older than this when it arrives is refused: what it rests on may have been cleared away. */
export const REQUEST_AGE_MS_MAX = 300_000

/** Where the payload of a slot begins. */
const HEAD_BYTES = 4096
/** Bytes of a client's id, without its incarnation. */
const ID_BYTES = 8

/** Remembers what changes have answered, so that a repetition is answered and not done again. */
export interface ResultStore {
  /** The stored fields of an answer, or null. */
  get(client: Uint8Array, sequence: number): Uint32Array | null
  /** Stores an answer in the open batch: it lasts if and only if the change does. */
  put(client: Uint8Array, sequence: number, fields: Uint32Array): void
  /** Takes an answer back, in the batch that undoes the change. */
  remove(client: Uint8Array, sequence: number): void
  /** The client has got all answers up to this one. */
  forget(client: Uint8Array, upTo: number): void
}

export interface ServerPorts {
  readonly transport: Transport
  readonly pool: BufferPool
  readonly clock: Clock
  readonly log: Log
  readonly services: Services
  readonly results: ResultStore
  /** Calls back with 0 once what was changed so far is committed, or with the errno for which it was undone. */
  readonly onceCommitted: (step: (error: number) => void) => void
  /** The same once it is safe against a power cut. */
  readonly onceDurable: (step: (error: number) => void) => void
  /** Calls back when what the last run of this node owed to others is settled. */
  readonly whenRecovered: (step: () => void) => void
  readonly turn: { endSoon(): void; spoil(): void }
}

/** A session's peer: what it says as its present incarnation, and what it says for good. */
interface Session {
  readonly member: number
  readonly ordinary: Speaker
  readonly durable: Speaker
}

/** The answering half: finds the service, keeps repetitions out, and answers after the commit. */
export class RpcServer implements Answering {
  readonly #ports: ServerPorts
  readonly #epoch: number
  readonly #observe: Observe
  readonly #sessions = new Map<number, Session>()
  /** The present incarnation of each peer that was ever here, by its id. */
  readonly #present = new Map<string, string>()
  /** Changes that are being made, by client and sequence. */
  readonly #changing = new Map<string, Incoming>()
  /** Those that wait for a slot. */
  readonly #waiting: (() => void)[] = []
  readonly #inbox: Area
  readonly #outbox: Area
  readonly #scratch = areaOf(new Uint32Array(MESSAGE_HEAD_BYTES_MAX / 4))
  readonly #head: RequestHead = {
    method: 0,
    isDurable: false,
    epoch: 0,
    sequence: 0,
    acknowledged: 0,
    seconds: 0,
    nanoseconds: 0,
    ageMs: 0,
  }

  constructor(ports: ServerPorts, epoch: number, observe: Observe) {
    this.#ports = ports
    this.#epoch = epoch
    this.#observe = observe
    this.#inbox = areaOf(ports.transport.inbox)
    this.#outbox = areaOf(ports.transport.outbox)
  }

  /** Requests on this channel are this client's. */
  open(channel: number, { member, id }: Client): void {
    const durable = id.slice().fill(0, ID_BYTES)
    this.#present.set(durable.join(), id.join())
    this.#sessions.set(channel, { member, ordinary: speakerOf(id), durable: speakerOf(durable) })
  }

  /**
   * Nothing more is answered on it: the peer may not have noticed yet, and would take what is said because of the end
   * (that its turn to append is lost) for the outcome of its call. It asks again in its next session.
   */
  close(channel: number): void {
    this.#sessions.delete(channel)
    for (const incoming of this.#changing.values()) if (incoming.channel === channel) incoming.channel = 0
  }

  /** A slot for peers has come free. */
  onSlotFree(): void {
    this.#waiting.shift()?.()
  }

  /** Goes on with a change that the last run of this node was in the middle of: who has asked for it will ask again. */
  resume(method: AnyMethod, member: number, { client, sequence }: Origin): Incoming {
    const speaker = speakerOf(client)
    const nobody = { channel: 0, token: 0, slot: -1, at: 0, bytes: 0 }
    const incoming = new Incoming(this, method, { ...nobody, member, speaker, sequence, ageMs: 0, isResumed: true })
    this.#changing.set(incoming.key, incoming)
    return incoming
  }

  /** A request has arrived; see TransportEvents. */
  request(channel: number, token: number, headAt: number, headBytes: number, slot: number, bytes: number): void {
    const head = this.#head
    const end = headAt + headBytes / 4
    const session = this.#sessions.get(channel)
    const isHead = getRequestHead(this.#inbox.words, headAt, end, head)
    const service = isHead ? this.#ports.services.get(head.method) : undefined
    if (session === undefined || service === undefined) {
      this.#refuse(channel, token, slot, head.method & 0xff, -EPROTO)
      return
    }
    this.#observe(head.seconds, head.nanoseconds)
    const { method, serve } = service
    const fields = method.request.get(this.#inbox, headAt + REQUEST_HEAD_WORDS, end)
    const error = fields === null ? -EPROTO : this.#objection(method)
    if (fields === null || error < 0) {
      this.#refuse(channel, token, slot, method.number, error)
      return
    }
    const { sequence, acknowledged, ageMs, isDurable } = head
    const at = slot * this.#ports.pool.stride + HEAD_BYTES
    const speaker = isDurable ? session.durable : session.ordinary
    const from = { member: session.member, speaker, channel, token, slot, at, bytes, sequence, ageMs, isResumed: false }
    const incoming = new Incoming(this, method, from)
    if (sequence !== 0) {
      if (this.#isRepeated(incoming, fields)) return
      this.#ports.results.forget(speaker.client, acknowledged)
      this.#changing.set(incoming.key, incoming)
    }
    this.#serve(serve, fields, incoming)
    this.#ports.turn.endSoon()
  }

  place(incoming: Incoming, ready: (at: number) => void): void {
    const { pool } = this.#ports
    const take = (): boolean => {
      // What has come with a request is of no use to those that answer with data.
      const slot = incoming.slot >= 0 ? incoming.slot : pool.acquireForPeer()
      if (slot < 0) return false
      incoming.slot = -1
      incoming.answerSlot = slot
      ready(slot * pool.stride + HEAD_BYTES)
      return true
    }
    const wait = (): void => {
      if (!take()) this.#waiting.unshift(wait)
    }
    if (this.#waiting.length > 0 || !take()) this.#waiting.push(wait)
  }

  record(incoming: Incoming, reply: AnyValues): void {
    const { method, speaker, sequence } = incoming
    if (sequence === 0 || (incoming.isResumed && !this.#isPresent(speaker))) return
    this.#ports.results.put(speaker.client, sequence, this.#encode(method, reply))
    incoming.isRecorded = true
  }

  giveUp(incoming: Incoming, error: number): void {
    const { speaker, channel, token, method } = incoming
    if (!this.#sessions.has(channel)) return
    incoming.channel = 0
    const words = this.#prepare(method.number, speaker.isDurable ? -EINPROGRESS : error)
    this.#ports.transport.reply(channel, token, words * 4, 0, 0, -1)
  }

  answer(incoming: Incoming, result: number, reply: AnyValues | null): void {
    const { sequence, speaker } = incoming
    const isDone = reply !== null && result >= 0
    const fields = isDone ? this.#encode(incoming.method, reply) : null
    if (isDone && sequence !== 0 && !incoming.isRecorded) this.record(incoming, reply)
    else if (!isDone && incoming.isRecorded) this.#ports.results.remove(speaker.client, sequence)
    const answered = (error: number): void => {
      if (sequence !== 0) this.#changing.delete(incoming.key)
      this.#giveBack(incoming.slot)
      // What was undone, or may be lost, says nothing, be it an error; whoever has asked for good has to ask again.
      const status = error === 0 ? Math.min(result, 0) : speaker.isDurable ? -EINPROGRESS : error
      this.#send(incoming, status, status < 0 ? null : fields, status < 0 ? 0 : result)
    }
    if (isDone && speaker.isDurable) this.#ports.onceDurable(answered)
    else this.#ports.onceCommitted(answered)
    this.#ports.turn.endSoon()
  }

  #encode(method: AnyMethod, reply: AnyValues): Uint32Array {
    const end = method.reply.put(this.#scratch, 0, reply)
    return this.#scratch.words.slice(0, end)
  }

  #serve(serve: Serve<AnyMethod>, fields: AnyValues, incoming: Incoming): void {
    try {
      serve(fields, incoming)
    } catch (error) {
      if (error instanceof FsError) {
        incoming.answer(-error.errno, null)
        return
      }
      this.#ports.turn.spoil()
      const { name } = incoming.method
      this.#ports.log.error({ err: error, method: name }, 'a request of a peer failed by a fault in this program')
      incoming.answer(-EIO, null)
    }
  }

  #objection(method: AnyMethod): number {
    const { epoch, ageMs, sequence, isDurable } = this.#head
    if (epoch !== this.#epoch) return -EREMCHG
    // What is owed for good may be of any age; where that matters, the service looks.
    if (ageMs > REQUEST_AGE_MS_MAX && !isDurable) return -ETIMEDOUT
    return method.changes === (sequence !== 0) ? 0 : -EPROTO
  }

  /** A change that is under way, or was made already: the first one's result goes to whoever asked last. */
  #isRepeated(incoming: Incoming, request: AnyValues): boolean {
    const { speaker, sequence, key, channel, token, method, slot } = incoming
    const changing = this.#changing.get(key)
    if (changing !== undefined) {
      this.#giveBack(slot)
      changing.channel = channel
      changing.token = token
      return true
    }
    const fields = this.#ports.results.get(speaker.client, sequence)
    if (fields === null) return false
    incoming.slot = -1
    this.#giveBack(slot)
    const reply = method.reply.get(areaOf(fields), 0, fields.length)
    if (reply !== null) this.#ports.services.get(method.number)?.repeat?.(request, reply, incoming.member)
    const answered = (error: number): void => {
      this.#send(incoming, error < 0 ? -EINPROGRESS : 0, error < 0 ? null : fields, 0)
    }
    const answer = (): void => {
      if (speaker.isDurable) this.#ports.onceDurable(answered)
      else answered(0)
      this.#ports.turn.endSoon()
    }
    // The change is made, but what it owes to others may not have reached them before this node has started anew. What
    // asks nobody owes nothing; if it waited, two nodes that have both started anew would wait for each other.
    if (method.rank === RANKS - 1) answer()
    else this.#ports.whenRecovered(answer)
    return true
  }

  /** False for a client whose next incarnation is here already: nobody would ever fetch its results. */
  #isPresent({ client, name, isDurable }: Speaker): boolean {
    if (isDurable) return true
    const present = this.#present.get(client.slice().fill(0, ID_BYTES).join())
    return present === undefined || present === name
  }

  #giveBack(slot: number): void {
    if (slot < 0) return
    this.#ports.pool.release(slot)
    this.onSlotFree()
  }

  #refuse(channel: number, token: number, slot: number, method: number, status: number): void {
    this.#giveBack(slot)
    const words = this.#prepare(method, status)
    this.#ports.transport.reply(channel, token, words * 4, 0, 0, -1)
  }

  #send({ method, channel, token, answerSlot }: Incoming, status: number, fields: Uint32Array | null, bytes: number) {
    const { pool, transport } = this.#ports
    if (!this.#sessions.has(channel)) {
      this.#giveBack(answerSlot)
      return
    }
    const at = Math.max(answerSlot, 0) * pool.stride + HEAD_BYTES
    const words = this.#prepare(method.number, status, fields)
    transport.reply(channel, token, words * 4, at, bytes, answerSlot)
  }

  /** Prepares the head of an answer; its words. */
  #prepare(method: number, status: number, fields: Uint32Array | null = null): number {
    const { transport, clock } = this.#ports
    const word = transport.prepare()
    clock.readRealtime()
    const { seconds, nanoseconds } = clock
    putReplyHead(this.#outbox.words, word, { method, status, epoch: this.#epoch, seconds, nanoseconds })
    if (fields !== null) this.#outbox.words.set(fields, word + REPLY_HEAD_WORDS)
    return REPLY_HEAD_WORDS + (fields?.length ?? 0)
  }
}

const speakerOf = (client: Uint8Array): Speaker => ({
  client,
  name: client.join(),
  isDurable: client.subarray(ID_BYTES).every((byte) => byte === 0),
})
