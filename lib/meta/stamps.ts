import type { Clock } from '../ports.js'

/**
 * Timestamps that never repeat and never run back: max(own clock, last + 1 ns). With peers, what they have seen joins
 * the maximum (a hybrid logical clock).
 */
export class Stamps {
  readonly #clock: Clock
  /** The newest stamp: seconds since 1970, and nanoseconds. */
  seconds = 0
  nanoseconds = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Moves on to the next stamp. */
  advance(): void {
    const clock = this.#clock
    clock.readRealtime()
    const ahead =
      clock.seconds > this.seconds || (clock.seconds === this.seconds && clock.nanoseconds > this.nanoseconds)
    if (ahead) {
      this.seconds = clock.seconds
      this.nanoseconds = clock.nanoseconds
      return
    }
    this.nanoseconds++
    if (this.nanoseconds < 1_000_000_000) return
    this.nanoseconds = 0
    this.seconds++
  }
}
