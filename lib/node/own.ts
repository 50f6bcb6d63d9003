import { EIO, FsError } from '../base/errno.js'
import type { CallDone, Transfer } from '../rpc/call.js'
import type { AnyMethod, Asked, Origin, Services } from '../rpc/services.js'
import type { ResultStore } from '../rpc/server.js'
import { MESSAGE_HEAD_BYTES_MAX } from '../base/limits.js'
import type { ReplyOf, RequestOf } from '../wire/methods.js'
import { areaOf } from '../wire/struct.js'
import type { Delivery } from './waits.js'

/** This node asks itself: no message, and the answer comes before the question returns where nothing has to wait. */
export class Own<M extends AnyMethod> implements Asked<M> {
  readonly member: number
  /** A crash takes the asker along. */
  readonly origin = null
  readonly ageMs = 0
  readonly at: number
  readonly bytes: number
  readonly #transfer: Transfer
  readonly #done: CallDone<M>
  isGivenUp = false

  constructor(member: number, transfer: Transfer, done: CallDone<M>) {
    this.member = member
    this.at = transfer.at
    this.bytes = transfer.bytes
    this.#transfer = transfer
    this.#done = done
  }

  place(_bytes: number, ready: (at: number) => void): void {
    ready(this.#transfer.to)
  }

  record(): void {}

  giveUp(error: number): void {
    if (this.isGivenUp) return
    this.isGivenUp = true
    this.#done(error, null)
  }

  answer(result: number, reply: ReplyOf<M> | null): void {
    if (!this.isGivenUp) this.#done(result, reply)
  }
}

/** A step of one of this node's own intents, done here: asked again after a restart, like those that others do. */
class OwnStep implements Asked<AnyMethod> {
  readonly member: number
  readonly at = 0
  readonly bytes = 0
  readonly ageMs: number
  readonly method: AnyMethod
  readonly origin: Origin
  readonly #steps: OwnSteps
  isRecorded = false
  isAbandoned = false
  /** Undefined as long as nobody has asked again. */
  waiter: { done: CallDone<AnyMethod>; late: (error: number) => void } | undefined

  constructor(steps: OwnSteps, member: number, method: AnyMethod, origin: Origin, ageMs: number) {
    this.#steps = steps
    this.member = member
    this.method = method
    this.origin = origin
    this.ageMs = ageMs
  }

  place(): void {
    throw new Error('a step has no data')
  }

  record(reply: ReplyOf<AnyMethod>): void {
    this.#steps.record(this, reply)
  }

  giveUp(error: number): void {
    this.waiter?.late(error)
  }

  answer(result: number, reply: ReplyOf<AnyMethod> | null): void {
    this.#steps.answer(this, result, reply)
  }
}

/**
 * The part of this member's durable stream that it sends to itself: a step is done once here as well, since its result
 * stands in the batch that does it.
 */
export class OwnSteps {
  readonly #member: number
  readonly #client: Uint8Array
  readonly #services: Services
  readonly #results: ResultStore
  readonly #changing = new Map<number, OwnStep>()
  readonly #scratch = areaOf(new Uint32Array(MESSAGE_HEAD_BYTES_MAX / 4))

  /** `client` is this member's id with incarnation 0. */
  constructor(member: number, client: Uint8Array, services: Services, results: ResultStore) {
    this.#member = member
    this.#client = client
    this.#services = services
    this.#results = results
  }

  /** True where the client is this member's own durable stream. */
  isOwn(client: Uint8Array): boolean {
    return this.#client.every((byte, at) => byte === client[at])
  }

  /** Every own step up to this sequence is done for good. */
  forget(upTo: number): void {
    this.#results.forget(this.#client, upTo)
  }

  /**
   * Does a step, unless it was done. `isKept`: its result is kept, as it has to be unless whoever asks remembers that
   * itself in the batch in which `done` is called.
   */
  ask<M extends AnyMethod>(
    method: M,
    request: RequestOf<M>,
    sequence: number,
    how: { ageMs: number; isKept: boolean },
    waiter: { done: CallDone<M>; late: Delivery['late'] },
  ): void {
    const { done } = waiter
    const changing = this.#changing.get(sequence)
    if (changing !== undefined) {
      changing.waiter = waiter as OwnStep['waiter']
      return
    }
    const kept = this.#results.get(this.#client, sequence)
    if (kept !== null) {
      const reply = method.reply.get(areaOf(kept), 0, kept.length) as ReplyOf<M> | null
      done(reply === null ? -EIO : 0, reply)
      return
    }
    const step = new OwnStep(this, this.#member, method, { client: this.#client, sequence }, how.ageMs)
    step.isRecorded = !how.isKept
    step.waiter = waiter as OwnStep['waiter']
    this.#changing.set(sequence, step)
    try {
      this.#services.get(method.number)?.serve(request, step)
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      this.answer(step, -error.errno, null)
    }
  }

  /** A step that the last run of this node was in the middle of; its saga will ask again. */
  resume(method: AnyMethod, sequence: number): Asked<AnyMethod> {
    const step = new OwnStep(this, this.#member, method, { client: this.#client, sequence }, 0)
    this.#changing.set(sequence, step)
    return step
  }

  /** The intent that these sequences belong to has never been: what has not begun of it must not begin. */
  abandon(first: number, last: number): void {
    for (const [sequence, step] of this.#changing) {
      if (sequence < first || sequence > last) continue
      step.isAbandoned = true
      this.#changing.delete(sequence)
    }
  }

  record(step: OwnStep, reply: ReplyOf<AnyMethod>): void {
    const end = step.method.reply.put(this.#scratch, 0, reply)
    this.#results.put(this.#client, step.origin.sequence, this.#scratch.words.slice(0, end))
    step.isRecorded = true
  }

  answer(step: OwnStep, result: number, reply: ReplyOf<AnyMethod> | null): void {
    const { sequence } = step.origin
    if (reply !== null && result >= 0) {
      if (!step.isRecorded) this.record(step, reply)
    } else this.#results.remove(this.#client, sequence)
    this.#changing.delete(sequence)
    // Where nobody has asked again yet, the kept result will do.
    step.waiter?.done(result, reply)
  }
}
