import { EIO, EPROTO, EREMCHG, ETIMEDOUT, FsError } from '../base/errno.js'
import { MESSAGE_HEAD_BYTES_MAX } from '../base/limits.js'
import type { BufferPool, Clock, Log, Transport } from '../ports.js'
import {
  getRequestHead,
  putReplyHead,
  REPLY_HEAD_WORDS,
  REQUEST_HEAD_WORDS,
  type RequestHead,
} from '../wire/message.js'
import { type Area, areaOf } from '../wire/struct.js'
import type { AnyValues } from './call.js'
import type { Observe } from './client.js'
import { type Answering, type Client, Incoming } from './incoming.js'
import type { AnyMethod, Serve, Services } from './services.js'

/** A request that is older than this when it arrives is refused: what it rests on may have been cleared away. */
export const REQUEST_AGE_MS_MAX = 300_000

/** Where the payload of a slot begins. */
const HEAD_BYTES = 4096

/** Remembers what changes have answered, so that a repetition is answered and not done again. */
export interface ResultStore {
  /** The stored fields of an answer, or null. */
  get(client: Uint8Array, sequence: number): Uint32Array | null
  /** Stores an answer in the open batch: it lasts if and only if the change does. */
  put(client: Uint8Array, sequence: number, fields: Uint32Array): void
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
  readonly turn: { endSoon(): void; spoil(): void }
}

/** The answering half: finds the service, keeps repetitions out, and answers after the commit. */
export class RpcServer implements Answering {
  readonly #ports: ServerPorts
  readonly #epoch: number
  readonly #observe: Observe
  readonly #clients = new Map<number, Client>()
  /** Changes that are being made, by client and sequence. */
  readonly #changing = new Map<string, Incoming>()
  /** Those that wait for a slot. */
  readonly #waiting: (() => void)[] = []
  readonly #inbox: Area
  readonly #outbox: Area
  readonly #scratch = areaOf(new Uint32Array(MESSAGE_HEAD_BYTES_MAX / 4))
  readonly #head: RequestHead = {
    method: 0,
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
  open(channel: number, client: Client): void {
    this.#clients.set(channel, client)
  }

  close(channel: number): void {
    this.#clients.delete(channel)
  }

  /** A slot for peers has come free. */
  onSlotFree(): void {
    this.#waiting.shift()?.()
  }

  /** A request has arrived; see TransportEvents. */
  request(channel: number, token: number, headAt: number, headBytes: number, slot: number, bytes: number): void {
    const head = this.#head
    const end = headAt + headBytes / 4
    const client = this.#clients.get(channel)
    const isHead = getRequestHead(this.#inbox.words, headAt, end, head)
    const service = isHead ? this.#ports.services.get(head.method) : undefined
    if (client === undefined || service === undefined) {
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
    const { sequence, acknowledged } = head
    const key = sequence === 0 ? '' : `${client.id.join()}:${sequence}`
    const at = slot * this.#ports.pool.stride + HEAD_BYTES
    const incoming = new Incoming(this, method, client, { channel, token, slot, at, bytes, sequence, key })
    if (sequence !== 0) {
      if (this.#isRepeated(incoming)) return
      this.#ports.results.forget(client.id, acknowledged)
      this.#changing.set(key, incoming)
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
    const { method, client, sequence } = incoming
    if (sequence === 0) return
    this.#ports.results.put(client.id, sequence, this.#encode(method, reply))
    incoming.isRecorded = true
  }

  answer(incoming: Incoming, result: number, reply: AnyValues | null): void {
    const { sequence, method } = incoming
    const fields = reply === null || result < 0 ? null : this.#encode(method, reply)
    if (fields !== null && sequence !== 0 && !incoming.isRecorded)
      this.#ports.results.put(incoming.client.id, sequence, fields)
    this.#ports.onceCommitted((error) => {
      const status = result >= 0 && error < 0 ? error : Math.min(result, 0)
      if (sequence !== 0) this.#changing.delete(incoming.key)
      this.#giveBack(incoming.slot)
      this.#send(incoming, status, status < 0 ? null : fields, status < 0 ? 0 : result)
    })
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
    const { epoch, ageMs, sequence } = this.#head
    if (epoch !== this.#epoch) return -EREMCHG
    if (ageMs > REQUEST_AGE_MS_MAX) return -ETIMEDOUT
    return method.changes === (sequence !== 0) ? 0 : -EPROTO
  }

  /** A change that is under way, or was made already: the first one's result goes to whoever asked last. */
  #isRepeated(incoming: Incoming): boolean {
    const { client, sequence, key, channel, token } = incoming
    const changing = this.#changing.get(key)
    if (changing !== undefined) {
      this.#giveBack(incoming.slot)
      changing.channel = channel
      changing.token = token
      return true
    }
    const fields = this.#ports.results.get(client.id, sequence)
    if (fields === null) return false
    this.#giveBack(incoming.slot)
    this.#send(incoming, 0, fields, 0)
    return true
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
