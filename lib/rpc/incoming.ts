import type { AnyValues } from './call.js'
import type { AnyMethod, Asked, Origin } from './services.js'

/** A peer that asks, as its session knows it. */
export interface Client {
  readonly member: number
  /** Its id and its incarnation, 16 bytes. */
  readonly id: Uint8Array
}

/** Who asks for a change, in one of the two streams of a peer. */
export interface Speaker {
  readonly client: Uint8Array
  /** The same as text. */
  readonly name: string
  readonly isDurable: boolean
}

/** What an {@link Incoming} needs of its server. */
export interface Answering {
  place(incoming: Incoming, ready: (at: number) => void): void
  record(incoming: Incoming, reply: AnyValues): void
  giveUp(incoming: Incoming, error: number): void
  answer(incoming: Incoming, result: number, reply: AnyValues | null): void
}

/** A request of a peer. */
export class Incoming implements Asked<AnyMethod> {
  /** Where the answer goes: a repetition may have come on another channel meanwhile. Channel 0: nobody waits for it. */
  channel: number
  token: number
  /** The slot with the request's data, and the one with the answer's; −1: none. */
  slot: number
  answerSlot = -1
  /** The result stands in the batch of the change already. */
  isRecorded = false
  readonly method: AnyMethod
  readonly member: number
  readonly speaker: Speaker
  /** 0 for what may be done twice. */
  readonly sequence: number
  readonly ageMs: number
  /** The last run of this node was in the middle of it. */
  readonly isResumed: boolean
  readonly at: number
  readonly bytes: number
  readonly #server: Answering

  constructor(
    server: Answering,
    method: AnyMethod,
    from: {
      member: number
      speaker: Speaker
      channel: number
      token: number
      slot: number
      at: number
      bytes: number
      sequence: number
      ageMs: number
      isResumed: boolean
    },
  ) {
    this.#server = server
    this.method = method
    this.member = from.member
    this.speaker = from.speaker
    this.channel = from.channel
    this.token = from.token
    this.slot = from.slot
    this.at = from.at
    this.bytes = from.bytes
    this.sequence = from.sequence
    this.ageMs = from.ageMs
    this.isResumed = from.isResumed
  }

  get isGivenUp(): boolean {
    return this.channel === 0
  }

  get origin(): Origin | null {
    return this.sequence === 0 ? null : { client: this.speaker.client, sequence: this.sequence }
  }

  /** Names the change among those of all clients. */
  get key(): string {
    return `${this.speaker.name}:${this.sequence}`
  }

  place(_bytes: number, ready: (at: number) => void): void {
    this.#server.place(this, ready)
  }

  record(reply: AnyValues): void {
    this.#server.record(this, reply)
  }

  giveUp(error: number): void {
    this.#server.giveUp(this, error)
  }

  answer(result: number, reply: AnyValues | null): void {
    this.#server.answer(this, result, reply)
  }
}
