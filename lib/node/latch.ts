import { caught, EAGAIN } from '../base/errno.js'
import type { Step } from '../chunk/then.js'
import { type Done, PENDING } from '../ports.js'

interface Waiting {
  readonly isExclusive: boolean
  readonly step: Step
  readonly done: Done
}

interface Held {
  /** Steps under way that share; −1: one that does not. */
  count: number
  readonly queue: Waiting[]
  /** Those that wait are being let in. */
  isAdmitting: boolean
}

/**
 * Lets steps on an inode run side by side, except for those that need it for themselves. They begin in the order in
 * which they came. Most are done at once and never meet. What a step throws becomes its result.
 */
export class Latch {
  readonly #held = new Map<number, Held>()

  /** Runs `step` beside others of its kind. Returns its result, or PENDING and calls `done` later. */
  shared(key: number, done: Done, step: Step): number {
    return this.#run(key, { isExclusive: false, step, done })
  }

  /**
   * The same, but where it would have to wait for one that shares nothing it is not run, and −EAGAIN returned. Others
   * that wait with it and share are no reason to.
   */
  sharedNow(key: number, done: Done, step: Step): number {
    const held = this.#held.get(key)
    const waiting = { isExclusive: false, step, done }
    if (held === undefined) return this.#run(key, waiting)
    if (held.count < 0 || held.queue.some(({ isExclusive }) => isExclusive)) return -EAGAIN
    return this.#enter(key, held, waiting)
  }

  /** Runs `step` when no other one is under way, and lets none begin until it has ended. */
  exclusive(key: number, done: Done, step: Step): number {
    return this.#run(key, { isExclusive: true, step, done })
  }

  #run(key: number, waiting: Waiting): number {
    const held = this.#held.get(key)
    if (held === undefined) {
      const fresh: Held = { count: 0, queue: [], isAdmitting: false }
      // What the step does may come back here before it returns.
      this.#held.set(key, fresh)
      return this.#enter(key, fresh, waiting)
    }
    const mustWait = held.queue.length > 0 || held.isAdmitting || held.count < 0
    if (mustWait || (waiting.isExclusive && held.count > 0)) {
      held.queue.push(waiting)
      return PENDING
    }
    return this.#enter(key, held, waiting)
  }

  #enter(key: number, held: Held, waiting: Waiting): number {
    const result = this.#begin(key, held, waiting)
    if (result !== PENDING) this.#admit(key, held)
    return result
  }

  #begin(key: number, held: Held, { isExclusive, step, done }: Waiting): number {
    const end = (): void => {
      held.count = isExclusive ? 0 : held.count - 1
    }
    held.count = isExclusive ? -1 : held.count + 1
    const result = caught(() =>
      step((late) => {
        end()
        done(late)
        this.#admit(key, held)
      }),
    )
    if (result !== PENDING) end()
    return result
  }

  /** Lets in those that wait, as far as they may. */
  #admit(key: number, held: Held): void {
    if (held.isAdmitting) return
    held.isAdmitting = true
    while (held.queue.length > 0) {
      const next = held.queue[0] as Waiting
      if (held.count < 0 || (next.isExclusive && held.count > 0)) break
      held.queue.shift()
      const result = this.#begin(key, held, next)
      if (result !== PENDING) next.done(result)
    }
    held.isAdmitting = false
    if (held.count === 0 && held.queue.length === 0 && this.#held.get(key) === held) this.#held.delete(key)
  }
}
