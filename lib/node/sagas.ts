import { assert } from '../base/assert.js'
import { EAGAIN, EIO, ESTALE, FsError } from '../base/errno.js'
import { bytesOf, EMPTY_RANGE } from '../base/ids.js'
import type { StoredIntent } from '../meta/intents.js'
import type { MetaStore } from '../meta/store.js'
import type { Turn } from '../meta/turn.js'
import type { Clock, Log } from '../ports.js'
import type { AnyValues } from '../rpc/call.js'
import type { AnyMethod, Asked, Origin } from '../rpc/services.js'
import { AGE_UNKNOWN } from '../wire/message.js'
import type { HeldNames } from './held-names.js'
import type { OwnSteps } from './own.js'
import { type Answer, type Common, END, type Plan, type Question, SLOTS_MAX, type Step } from './plan.js'
import type { Router } from './router.js'
import { SEQUENCES, type Stream } from './stream.js'
import { Waits } from './waits.js'

/** When somebody is asked again who has failed, or a store that has. */
const AGAIN_MS = 1000
/** When a plan starts anew that had to make way for an older one. */
const YIELD_MS = 2

/** A plan that is being carried out. */
class Saga<F extends Common> {
  readonly id: number
  readonly plan: Plan<F>
  readonly fields: F
  readonly asked: Asked<AnyMethod>
  readonly waits = new Waits()
  step: number
  /** Its record is in the store, or in the open batch. */
  isStored: boolean
  /** False when another object has taken over, or it has ended. */
  isAlive = true
  /** When it was asked for; −∞: nobody knows. */
  readonly startedMs: number

  constructor(id: number, plan: Plan<F>, fields: F, asked: Asked<AnyMethod>, step: number, startedMs: number) {
    this.id = id
    this.plan = plan
    this.fields = fields
    this.asked = asked
    this.step = step
    this.startedMs = startedMs
    this.isStored = startedMs === Number.NEGATIVE_INFINITY
  }

  get present(): Step<F> {
    return this.plan.steps[this.step] as Step<F>
  }
}

type AnySaga = Saga<Common>

export interface SagaParts {
  readonly meta: MetaStore
  readonly router: Router
  readonly stream: Stream
  readonly own: OwnSteps
  readonly names: HeldNames
  readonly clock: Clock
  readonly turn: Turn
  readonly log: Log
  /** Calls back when what the last run of this node owed to others is settled. */
  readonly whenRecovered: (step: () => void) => void
  /** The request of a peer for whom a change goes on that the last run of this node was in the middle of. */
  readonly resumeAsked: (method: AnyMethod, origin: Origin) => Asked<AnyMethod>
}

/** Nobody waits for the answer any more. */
const NOBODY: Asked<AnyMethod> = {
  member: -1,
  origin: null,
  ageMs: 0,
  at: 0,
  bytes: 0,
  place: () => undefined,
  record: () => undefined,
  giveUp: () => undefined,
  answer: () => undefined,
}

/**
 * Carries out plans: changes on several nodes that are done whole or not at all, whoever crashes when. What is done
 * here and how far the plan has come stand in one batch; others are asked by this member's durable stream, with the
 * same sequences after a restart. A plan that never has to ask another node leaves no record.
 */
export class Sagas {
  readonly #parts: SagaParts
  readonly #plans = new Map<number, Plan<Common>>()

  constructor(parts: SagaParts) {
    this.#parts = parts
  }

  /** Makes a plan known, before the first of it begins or goes on. */
  add<F extends Common>(plan: Plan<F>): void {
    assert(plan.steps.length * SLOTS_MAX <= SEQUENCES, 'every question of a plan has its sequence')
    this.#plans.set(plan.number, plan as unknown as Plan<Common>)
  }

  /** Begins a plan; its names must be free. `fields` are its own: names are copies, and `error` is 0. */
  begin<F extends Common>(plan: Plan<F>, fields: Omit<F, 'client' | 'sequence'>, asked: Asked<AnyMethod>): void {
    const { stream, clock } = this.#parts
    const client = asked.origin?.client
    const own = {
      ...fields,
      client: client === undefined ? EMPTY_RANGE : { bytes: client, offset: 0, length: client.length },
      sequence: asked.origin?.sequence ?? 0,
    } as unknown as F
    const startedMs = clock.monotonicMs() - asked.ageMs
    const saga = new Saga(stream.open(), plan, own, asked, 0, startedMs) as unknown as AnySaga
    this.#hold(saga)
    this.#go(saga)
  }

  /** The ids of what the last run of this node was in the middle of. */
  list(): number[] {
    return this.#parts.meta.intents.list()
  }

  /** Goes on with it: holds all names first, before anything is served. */
  recover(): void {
    const sagas = this.list().map((id) => this.#load(this.#parts.meta.intents.get(id) as StoredIntent))
    for (const saga of sagas) this.#resume(saga)
  }

  #load(stored: StoredIntent, asked?: Asked<AnyMethod>): AnySaga {
    const plan = this.#plans.get(stored.plan)
    const fields = plan?.fields.get(stored.area, 1, stored.area.words.length) as Common | null | undefined
    if (plan === undefined || fields == null) throw new FsError(EIO)
    const by = asked ?? this.#resumeAsked(plan, fields)
    const saga = new Saga(stored.id, plan, fields, by, stored.step, Number.NEGATIVE_INFINITY)
    const { done } = saga.waits.add()
    this.#parts.whenRecovered(() => done(0))
    this.#hold(saga)
    return saga
  }

  #resume(saga: AnySaga): void {
    const { plan, fields } = saga
    if (plan.resume === undefined) this.#go(saga)
    else plan.resume(fields, () => this.#go(saga))
  }

  #resumeAsked(plan: Plan<Common>, fields: Common): Asked<AnyMethod> {
    const { own, resumeAsked } = this.#parts
    const { client, sequence } = fields
    if (client.length === 0) return NOBODY
    const id = bytesOf(client).slice()
    const method = plan.method(fields)
    return own.isOwn(id) ? own.resume(method, sequence) : resumeAsked(method, { client: id, sequence })
  }

  #hold({ id, plan, fields }: AnySaga): void {
    const { seconds, nanoseconds } = fields
    const { names, router } = this.#parts
    for (const name of plan.names(fields)) {
      names.take(name, { member: router.self, saga: id, seconds, nanoseconds, isLast: name.isLast })
    }
  }

  /** Takes the present step. */
  #go(saga: AnySaga): void {
    const { fields, present, step, id } = saga
    if (present.look !== undefined) {
      present.look(fields, (error) => this.#conclude(saga, [{ result: error, reply: null }]))
      this.#storeIfAt(saga, step)
      return
    }
    const questions = present.ask?.(fields, id) ?? []
    if (questions.length === 0) {
      this.#conclude(saga, [])
      return
    }
    if (questions.every(({ member }) => member === this.#parts.router.self)) {
      this.#askAll(saga, questions)
      this.#storeIfAt(saga, step)
      return
    }
    this.#store(saga)
    this.#parts.stream.onceDurable((error) => {
      if (!saga.isAlive) return
      if (error === 0) this.#askAll(saga, questions)
      else this.#later(AGAIN_MS, saga, () => this.#go(saga))
    })
  }

  /** Where the step has to wait, what was done before it must not be without its record. */
  #storeIfAt(saga: AnySaga, step: number): void {
    if (saga.isAlive && saga.step === step) this.#store(saga)
  }

  #store(saga: AnySaga): void {
    const { id, plan, step, fields } = saga
    saga.isStored = true
    this.#parts.meta.intents.put(id, plan.number, step, plan.fields, fields as unknown as AnyValues)
    this.#watch(saga)
  }

  #askAll(saga: AnySaga, questions: readonly Question[]): void {
    const { step } = saga
    const answers: Answer[] = []
    let left = questions.length
    questions.forEach((question, index) => {
      const done = (result: number, reply: AnyValues | null): void => {
        if (!saga.isAlive || saga.step !== step) return
        if (result < 0 && result !== -ESTALE && saga.present.isCertain === true) {
          saga.asked.giveUp(-EIO)
          this.#later(AGAIN_MS, saga, () => this.#ask(saga, question, true, done))
          return
        }
        answers[index] = { result, reply }
        if (--left === 0) this.#conclude(saga, answers)
      }
      // The only one is remembered by what follows from it, in the same batch.
      this.#ask(saga, question, questions.length > 1, done)
    })
  }

  #ask(saga: AnySaga, { member, method, request, slot }: Question, isKept: boolean, done: Answered): void {
    const { router, own, stream, clock } = this.#parts
    const sequence = saga.id * SEQUENCES + saga.step * SLOTS_MAX + slot
    const ageMs = Math.min(clock.monotonicMs() - saga.startedMs, AGE_UNKNOWN)
    const late = (error: number): void => saga.asked.giveUp(error)
    if (member !== router.self) router.insist(member, method, request, { sequence, ageMs, late }, done)
    else {
      const answered: Answered = (result, reply) => {
        // What it has done here may be undone while others are still being asked.
        this.#watch(saga)
        done(result, reply)
      }
      own.forget(stream.acknowledged)
      own.ask(method, request, sequence, { ageMs, isKept }, { done: answered, late })
    }
  }

  #conclude(saga: AnySaga, answers: readonly Answer[]): void {
    const { turn, log, meta } = this.#parts
    if (!saga.isAlive) return
    try {
      this.#watch(saga)
      saga.step = saga.present.conclude(saga.fields, answers, saga.waits, saga.id)
      if (saga.step === END) this.#finish(saga)
      else this.#go(saga)
    } catch (error) {
      // What it has changed cannot be told from the rest of the batch; it goes on from its record.
      log.error({ err: error }, 'a change on several nodes was interrupted')
      turn.spoil()
      if (!meta.isOpen) this.#undone(saga)
    }
    turn.endSoon()
  }

  #finish(saga: AnySaga): void {
    const { meta, stream, names, router } = this.#parts
    const { id, plan, fields, asked, waits } = saga
    const { error } = fields
    if (saga.isStored) {
      meta.intents.remove(id)
      stream.close(id)
    }
    const reply = error === 0 ? plan.reply(fields) : null
    if (reply !== null) asked.record(reply)
    meta.onceCommitted((failed) => {
      // Otherwise it goes on from its record.
      if (failed < 0 || !saga.isAlive) return
      saga.isAlive = false
      if (!saga.isStored) stream.drop(id)
      for (const name of plan.names(fields)) names.free(name, router.self, id)
      plan.ended?.(fields)
      if (error === EAGAIN) this.#yield(saga)
      else if (reply === null) asked.answer(-error, null)
      else {
        const late = (delay: number): void => asked.giveUp(delay)
        waits.whenDone((lost) => (lost < 0 ? asked.giveUp(-EIO) : asked.answer(0, reply)), late)
      }
    })
  }

  #yield({ plan, fields, asked }: AnySaga): void {
    const { clock, turn } = this.#parts
    clock.after(YIELD_MS, () => {
      try {
        plan.again(fields, asked)
      } catch (error) {
        if (!(error instanceof FsError)) throw error
        asked.answer(-error.errno, null)
      }
      turn.endSoon()
    })
  }

  /** Whatever the open batch has of the saga goes with it; then it goes on from its record, if it ever had one. */
  #watch(saga: AnySaga): void {
    this.#parts.meta.ifUndone(() => this.#undone(saga))
  }

  #undone(saga: AnySaga): void {
    if (!saga.isAlive) return
    saga.isAlive = false
    const { meta, stream, names, router, own, clock, turn } = this.#parts
    const { id, plan, fields, asked } = saga
    if (meta.intents.get(id) === undefined) {
      own.abandon(id * SEQUENCES, id * SEQUENCES + SEQUENCES - 1)
      stream.drop(id)
      for (const name of plan.names(fields)) names.free(name, router.self, id)
      plan.ended?.(fields)
      asked.answer(-EIO, null)
      return
    }
    clock.after(AGAIN_MS, () => {
      const stored = meta.intents.get(id)
      if (stored !== undefined) this.#go(this.#load(stored, asked))
      turn.endSoon()
    })
  }

  #later(delayMs: number, saga: AnySaga, step: () => void): void {
    this.#parts.clock.after(delayMs, () => {
      if (saga.isAlive) step()
      this.#parts.turn.endSoon()
    })
  }
}

type Answered = (result: number, reply: AnyValues | null) => void
