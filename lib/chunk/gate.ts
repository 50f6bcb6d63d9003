import { caught } from '../base/errno.js'
import { type Done, PENDING } from '../ports.js'
import type { Step } from './then.js'

interface Waiting {
  readonly operation: Step
  readonly done: Done
}

/**
 * Lets one operation at a time change the data of an inode. Most finish at once and never meet; one that has to wait
 * for the disk holds up the others of its inode, in order. What an operation throws becomes its result.
 */
export class Gate {
  readonly #busy = new Map<number, Waiting[]>()
  #idle: (() => void)[] = []

  /** Runs `operation` when it is its turn. Returns its result, or PENDING and calls `done` later. */
  run(key: number, done: Done, operation: Step): number {
    const waiting = this.#busy.get(key)
    if (waiting !== undefined) {
      waiting.push({ operation, done })
      return PENDING
    }
    const result = caught(() => operation((late) => this.#finish(key, late, done)))
    if (result === PENDING) this.#busy.set(key, [])
    return result
  }

  /** Calls `done` when nothing is under way. */
  whenIdle(done: () => void): void {
    if (this.#busy.size === 0) done()
    else this.#idle.push(done)
  }

  #finish(key: number, result: number, done: Done): void {
    const waiting = this.#busy.get(key)
    this.#busy.delete(key)
    done(result)
    // Each of those that wait enters again: the first that has to wait for the disk holds up the rest.
    for (const next of waiting ?? []) {
      const immediate = this.run(key, next.done, next.operation)
      if (immediate !== PENDING) next.done(immediate)
    }
    if (this.#busy.size === 0) for (const idle of this.#idle.splice(0)) idle()
  }
}
