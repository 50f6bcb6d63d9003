import type { AnyValues } from './call.js'
import type { AnyMethod, Asked, Origin } from './services.js'

/** A peer that asks, as its session knows it. */
export interface Client {
  readonly member: number
  /** Its id and its incarnation, 16 bytes. */
  readonly id: Uint8Array
}

/** What an {@link Incoming} needs of its server. */
export interface Answering {
  place(incoming: Incoming, ready: (at: number) => void): void
  record(incoming: Incoming, reply: AnyValues): void
  answer(incoming: Incoming, result: number, reply: AnyValues | null): void
}

/** A request of a peer. */
export class Incoming implements Asked<AnyMethod> {
  /** Where the answer goes: a repetition may have come on another channel meanwhile. */
  channel: number
  token: number
  /** The slot with the request's data, and the one with the answer's; −1: none. */
  slot: number
  answerSlot = -1
  /** The result stands in the batch of the change already. */
  isRecorded = false
  readonly method: AnyMethod
  readonly client: Client
  readonly sequence: number
  /** Names the change among those of all clients. */
  readonly key: string
  readonly at: number
  readonly bytes: number
  readonly #server: Answering

  constructor(
    server: Answering,
    method: AnyMethod,
    client: Client,
    from: { channel: number; token: number; slot: number; at: number; bytes: number; sequence: number; key: string },
  ) {
    this.#server = server
    this.method = method
    this.client = client
    this.channel = from.channel
    this.token = from.token
    this.slot = from.slot
    this.at = from.at
    this.bytes = from.bytes
    this.sequence = from.sequence
    this.key = from.key
  }

  get member(): number {
    return this.client.member
  }

  get origin(): Origin | null {
    return this.sequence === 0 ? null : { client: this.client.id, sequence: this.sequence }
  }

  place(_bytes: number, ready: (at: number) => void): void {
    this.#server.place(this, ready)
  }

  record(reply: AnyValues): void {
    this.#server.record(this, reply)
  }

  answer(result: number, reply: AnyValues | null): void {
    this.#server.answer(this, result, reply)
  }
}
