import type { Clock } from '../../lib/ports.js'

interface Timer {
  readonly at: number
  readonly fire: () => void
}

/** Virtual time: it stands still until {@link SimClock.step} goes on to the next timer. */
export class SimClock implements Clock {
  seconds = 0
  nanoseconds = 0
  #nowMs = 0
  /** Ordered by time; those of one time in the order in which they were set. */
  #timers: Timer[] = []

  readRealtime(): void {
    // Coarse on purpose, so that stamps of one tick have to be told apart.
    this.seconds = 1_700_000_000 + Math.floor(this.#nowMs / 1000)
    this.nanoseconds = Math.floor(this.#nowMs % 1000) * 1_000_000
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, fire: () => void): () => void {
    const timer = { at: this.#nowMs + delayMs, fire }
    let index = this.#timers.length
    while (index > 0 && (this.#timers[index - 1] as Timer).at > timer.at) index--
    this.#timers.splice(index, 0, timer)
    return () => {
      const position = this.#timers.indexOf(timer)
      if (position >= 0) this.#timers.splice(position, 1)
    }
  }

  /** Fires the next timer; false where there is none. */
  step(): boolean {
    const timer = this.#timers.shift()
    if (timer === undefined) return false
    this.#nowMs = timer.at
    timer.fire()
    return true
  }

  /** Forgets all timers, as the end of a process does; the next one begins a moment later. */
  restart(): void {
    this.#timers = []
    this.#nowMs += 100
  }
}
