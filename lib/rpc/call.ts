import type { ReplyOf } from '../wire/methods.js'
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

/** Fields whose types only the method's own code knows. */
export type AnyValues = Values<Shape>
