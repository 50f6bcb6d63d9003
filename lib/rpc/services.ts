import { assert } from '../base/assert.js'
import type { Method, ReplyOf, RequestOf } from '../wire/methods.js'
import type { Shape } from '../wire/struct.js'

/**
 * Names a change among all that were ever asked for: who has asked (id and incarnation, 16 bytes), and its sequence.
 * Under this name its result is kept.
 */
export interface Origin {
  readonly client: Uint8Array
  readonly sequence: number
}

/** A request that is being served, of a peer or of this node itself. It must be answered exactly once. */
export interface Asked<M> {
  /** Who asks. */
  readonly member: number
  /** Null where this node asks itself, and of what may be done twice: nobody asks for it again after a restart. */
  readonly origin: Origin | null
  /** Milliseconds since it was asked for first; AGE_UNKNOWN after a restart of the asker. */
  readonly ageMs: number
  /** Nobody wants it any more: where it has waited, and has not begun, it must not begin. */
  readonly isAbandoned?: boolean
  /**
   * Nobody waits for the answer of a change: whoever has asked was told that it takes too long, or has lost its
   * session, and has not asked again. One who does gets the kept answer as a repetition does; the dead never do.
   */
  readonly isGivenUp?: boolean
  /** Where the data that came with it is in the pool's memory, and how much, until it is answered. */
  readonly at: number
  readonly bytes: number
  /** Calls `ready` with a place for up to `bytes` bytes of the answer's data: at once, or when a slot is free. */
  place(bytes: number, ready: (at: number) => void): void
  /**
   * Puts the result of a change into the open batch, with the change itself; for those that answer only later. An
   * answer that is an error takes it back.
   */
  record(reply: ReplyOf<M>): void
  /**
   * Says that it takes too long: whoever waits gets the errno, or, where the asker has a durable stream, is told to ask
   * again. What was begun goes on to its answer, which then is for whoever asks again.
   */
  giveUp(error: number): void
  /**
   * Answers: with the bytes of the answer's data (0 where it has none) and its fields, or with a negative errno and
   * null. A peer gets it when what was changed so far is committed.
   */
  answer(result: number, reply: ReplyOf<M> | null): void
}

/** Serves one method. What it throws as an FsError is the answer. */
export type Serve<M> = (request: RequestOf<M>, asked: Asked<M>) => void

/** Does again what a repeated request needs beside its kept answer: what is not durable, and so was lost. */
export type Repeat<M> = (request: RequestOf<M>, reply: ReplyOf<M>, member: number) => void

export type AnyMethod = Method<Shape, Shape>

interface Service {
  readonly method: AnyMethod
  readonly serve: Serve<AnyMethod>
  readonly repeat: Repeat<AnyMethod> | undefined
}

/** What this node does for others, and for itself, by method. */
export class Services {
  readonly #services = new Map<number, Service>()

  on<M extends AnyMethod>(method: M, serve: Serve<M>, repeat?: Repeat<M>): void {
    assert(!this.#services.has(method.number), 'a method has one service')
    this.#services.set(method.number, {
      method,
      serve: serve as unknown as Serve<AnyMethod>,
      repeat: repeat as unknown as Repeat<AnyMethod> | undefined,
    })
  }

  get(number: number): Service | undefined {
    return this.#services.get(number)
  }
}
