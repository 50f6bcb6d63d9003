/** The system's clocks and timers. */
import type { Clock } from '../ports.js'
import { addon } from './addon.js'

export class SystemClock implements Clock {
  readonly #native = new addon.Clock()
  readonly #now = new Float64Array(this.#native.now)

  constructor() {
    this.readRealtime()
  }

  get seconds(): number {
    return this.#now[0] as number
  }

  get nanoseconds(): number {
    return this.#now[1] as number
  }

  readRealtime(): void {
    this.#native.readRealtime()
  }

  monotonicMs(): number {
    return performance.now()
  }

  after(delayMs: number, fire: () => void): () => void {
    const timer = setTimeout(fire, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  }
}
