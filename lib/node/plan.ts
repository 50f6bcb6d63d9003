import type { AnyValues } from '../rpc/call.js'
import type { AnyMethod, Asked } from '../rpc/services.js'
import type { RequestOf } from '../wire/methods.js'
import type { Shape, Struct } from '../wire/struct.js'
import type { ByteRange } from '../base/ids.js'
import type { Name } from './held-names.js'
import type { Waits } from './waits.js'

/** Fields that every intent has; see wire/intents.ts. */
export interface Common {
  client: ByteRange
  sequence: number
  seconds: number
  nanoseconds: number
  error: number
}

/** What a step asks of a member. */
export interface Question {
  readonly member: number
  readonly method: AnyMethod
  readonly request: AnyValues
  /** Tells apart what one step asks of one member. */
  readonly slot: number
}

export function question<M extends AnyMethod>(member: number, method: M, request: RequestOf<M>, slot = 0): Question {
  return { member, method, request: request as AnyValues, slot }
}

/** What a member has answered: an errno and null, or 0 and the reply's fields. */
export interface Answer {
  readonly result: number
  readonly reply: AnyValues | null
}

/** The plan's end: its answer, or, where the field `error` is not 0, that errno. */
export const END = -1

/** One step of a plan. A restart repeats the step that was under way, and nothing before it. */
export interface Step<F extends Common> {
  /** Looks something up and changes nothing. `done` is called with 0 or an errno: the step's only answer. */
  look?(fields: F, done: (error: number) => void): void
  /** What is asked, of all members at a time. */
  ask?(fields: F, saga: number): readonly Question[]
  /**
   * All have answered: changes what is to be changed here, in the batch in which the plan goes on, and says with which
   * step, or END. What that causes elsewhere is awaited by `waits` before the plan's answer.
   */
  conclude(fields: F, answers: readonly Answer[], waits: Waits, saga: number): number
  /** Nothing can be said against it: an answer that is an error is a failure over there, and it is asked again. */
  readonly isCertain?: boolean
}

/** Slots of a step; how many steps a plan may have follows from it and from SEQUENCES. */
export const SLOTS_MAX = 4

/**
 * A change on several nodes as data: its fields, which the record of its intent keeps, and its steps. Taking back what
 * has failed half way is a step like the others.
 */
export interface Plan<F extends Common> {
  readonly number: number
  readonly fields: Struct<Shape>
  readonly steps: readonly Step<F>[]
  /** The names of this node that it holds from its beginning to its end. */
  names(fields: F): readonly (Name & { readonly isLast: boolean })[]
  /** What was asked for, and its answer. */
  method(fields: F): AnyMethod
  reply(fields: F): AnyValues
  /** Nothing was done, as an older one was in the way: starts anew. */
  again(fields: F, asked: Asked<AnyMethod>): void
  /** It is to go on after a restart of this node; without this it goes on at once. */
  resume?(fields: F, go: () => void): void
  /** It has ended, for whatever reason, and nothing of it is left here. */
  ended?(fields: F): void
}
