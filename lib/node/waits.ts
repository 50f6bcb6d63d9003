import { ESTALE } from '../base/errno.js'

/** What becomes of an inode that is gone anyway matters to nobody. */
export const unlessGone = (error: number): number => (error === -ESTALE ? 0 : error)

/** What somebody waits for that may take long: it ends once, and may be late once before that. */
export interface Delivery<R = unknown> {
  /** 0, or a negative errno; and what came with it. */
  done(error: number, reply?: R): void
  /** It takes longer than anybody should have to wait; `done` will come all the same. */
  late(error: number): void
}

/** Several deliveries that a request waits for before it is answered. */
export class Waits {
  #left = 1
  #error = 0
  #lateError = 0
  #end: ((error: number) => void) | undefined
  #late: ((error: number) => void) | undefined

  /** One more to wait for; `judge` gets what comes with it, and says with which errno, or 0, it has ended. */
  add<R>(judge: (error: number, reply?: R) => number = (error) => error): Delivery<R> {
    this.#left++
    return {
      done: (error, reply) => this.#ended(judge(error, reply)),
      late: (error) => {
        this.#lateError = error
        this.#late?.(error)
        this.#late = undefined
      },
    }
  }

  /**
   * That is all: `end` is called when all have ended, with the first error; `late` at most once before, when one is
   * late.
   */
  whenDone(end: (error: number) => void, late: (error: number) => void): void {
    this.#end = end
    if (this.#lateError === 0) this.#late = late
    else late(this.#lateError)
    this.#ended(0)
  }

  #ended(error: number): void {
    if (this.#error === 0) this.#error = Math.min(error, 0)
    if (--this.#left > 0) return
    this.#late = undefined
    this.#end?.(this.#error)
  }
}
