import { isLater, type Stamps } from '../meta/stamps.js'
import type { Clock } from '../ports.js'

/**
 * The clock that goes with messages: this node's, or its newest stamp where that is ahead. So whoever has heard of a
 * change, from whatever node, gives what it does next a later time, though no two clocks say the same.
 */
export class HybridClock implements Clock {
  seconds = 0
  nanoseconds = 0
  readonly #clock: Clock
  readonly #stamps: Stamps

  constructor(clock: Clock, stamps: Stamps) {
    this.#clock = clock
    this.#stamps = stamps
  }

  readRealtime(): void {
    const [clock, stamps] = [this.#clock, this.#stamps]
    clock.readRealtime()
    const isAhead = isLater(stamps.seconds, stamps.nanoseconds, clock.seconds, clock.nanoseconds)
    const later = isAhead ? stamps : clock
    this.seconds = later.seconds
    this.nanoseconds = later.nanoseconds
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs()
  }

  after(delayMs: number, fire: () => void): () => void {
    return this.#clock.after(delayMs, fire)
  }
}
