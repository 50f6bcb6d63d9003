import type { Method, ReplyOf } from '../wire/methods.js'
import type { Shape, Values } from '../wire/struct.js'

/** Data of a call: `bytes` at `at` of the pool's memory go with it, and up to `room` bytes come back to `to`. */
export interface Transfer {
  readonly at: number
  readonly bytes: number
  readonly to: number
  readonly room: number
}

export const NO_TRANSFER: Transfer = { at: 0, bytes: 0, to: 0, room: 0 }

/** The end of a call: the bytes of its reply's data and the reply's fields, or a negative errno and null. */
export type CallDone<M> = (result: number, reply: ReplyOf<M> | null) => void

/** How a call is asked that must arrive at last: it is never given up, however long its peer is away. */
export interface Insistence {
  /** Its sequence on the durable stream; 0: it may be done twice. */
  readonly sequence: number
  /** How old it is already, in milliseconds. */
  readonly ageMs: number
  /** Called with an errno, at most once and before the end, when another call would have been given up. */
  readonly late: (error: number) => void
}

/** Fields whose types only the method's own code knows. */
export type AnyValues = Values<Shape>

/** A call as {@link RpcClient} keeps it. */
export interface Call {
  readonly method: Method<Shape, Shape>
  readonly fields: Uint32Array
  readonly transfer: Transfer
  readonly done: CallDone<Method<Shape, Shape>>
  /** 0 for what may be done twice. */
  readonly sequence: number
  readonly startedMs: number
  /** Its age when it started. */
  readonly ageMs: number
  /** When it is given up, or is late, as long as its peer is away. */
  expiresMs: number
  /** Undefined for a call that is given up at last. */
  readonly insistence: Insistence | undefined
  isLate: boolean
  /** It is part of opening a session, and ends with the channel. */
  readonly isGreeting: boolean
}
