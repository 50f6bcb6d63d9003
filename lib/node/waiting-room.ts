import { EIO } from '../base/errno.js'
import type { Clock } from '../ports.js'

interface Waiter {
  readonly go: (error: number) => void
  readonly cancel: (() => void) | undefined
}

/** Requests that wait for something with a key to be over, in the order in which they came, and not for ever. */
export class WaitingRoom {
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #waiting = new Map<string, Set<Waiter>>()

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock
    this.#timeoutMs = timeoutMs
  }

  /** Calls `go` with 0 at {@link wake}, and then it has to look again; with −EIO when that has taken too long. */
  wait(key: string, go: (error: number) => void): void {
    const waiting = this.#waiting.get(key) ?? new Set()
    this.#waiting.set(key, waiting)
    const late = (): void => {
      waiting.delete(waiter)
      go(-EIO)
    }
    const cancel = Number.isFinite(this.#timeoutMs) ? this.#clock.after(this.#timeoutMs, late) : undefined
    const waiter = { go, cancel }
    waiting.add(waiter)
  }

  wake(key: string): void {
    const waiting = this.#waiting.get(key)
    if (waiting === undefined) return
    this.#waiting.delete(key)
    for (const { go, cancel } of waiting) {
      cancel?.()
      go(0)
    }
  }
}
