import type { Clock } from '../../lib/ports.js'
import type { SimClock } from './clock.js'

/**
 * The time of one node's process: its timers end with it, its wall clock may be wrong, and as long as it is stopped
 * nothing happens in it.
 */
export class ProcessClock implements Clock {
  seconds = 0
  nanoseconds = 0
  /** How far the wall clock is ahead. */
  skewMs: number
  /** Until then the process is stopped, and does what it has missed afterwards. */
  stoppedUntilMs = 0
  readonly #base: SimClock
  readonly #timers = new Set<() => void>()

  constructor(base: SimClock, skewMs = 0) {
    this.#base = base
    this.skewMs = skewMs
  }

  get isStopped(): boolean {
    return this.#base.monotonicMs() < this.stoppedUntilMs
  }

  readRealtime(): void {
    // Coarse on purpose, so that stamps of one tick have to be told apart.
    const ms = 1_700_000_000_000 + Math.floor(this.#base.monotonicMs() + this.skewMs)
    this.seconds = Math.floor(ms / 1000)
    this.nanoseconds = (ms % 1000) * 1_000_000
  }

  monotonicMs(): number {
    return this.#base.monotonicMs()
  }

  after(delayMs: number, fire: () => void): () => void {
    let cancelled = (): void => undefined
    const cancel = (): void => {
      this.#timers.delete(cancel)
      cancelled()
    }
    const wait = (ms: number): void => {
      cancelled = this.#base.after(ms, () => {
        const restMs = this.stoppedUntilMs - this.#base.monotonicMs()
        if (restMs > 0) wait(restMs)
        else {
          this.#timers.delete(cancel)
          fire()
        }
      })
    }
    this.#timers.add(cancel)
    wait(delayMs)
    return cancel
  }

  /** The process ends: nothing that it waits for happens any more. */
  end(): void {
    for (const cancel of [...this.#timers]) cancel()
  }
}
