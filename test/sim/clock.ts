import type { Clock } from '../../lib/ports.js'

interface Timer {
  readonly at: number
  /** Those of one time fire in the order in which they were set. */
  readonly sequence: number
  readonly fire: () => void
  isCancelled: boolean
}

/** Virtual time: it stands still until {@link SimClock.step} goes on to the next timer. */
export class SimClock implements Clock {
  seconds = 0
  nanoseconds = 0
  #nowMs = 0
  #sequence = 0
  /** A heap: none is earlier than that at half its index. The first stands at 1. */
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
    const timer = { at: this.#nowMs + delayMs, sequence: ++this.#sequence, fire, isCancelled: false }
    this.#add(timer)
    return () => {
      timer.isCancelled = true
    }
  }

  /** Fires the next timer; false where there is none. */
  step(): boolean {
    for (let timer = this.#takeFirst(); timer !== undefined; timer = this.#takeFirst()) {
      if (timer.isCancelled) continue
      this.#nowMs = timer.at
      timer.fire()
      return true
    }
    return false
  }

  /** Forgets all timers, as the end of a process does; the next one begins a moment later. */
  restart(): void {
    this.#timers = []
    this.#nowMs += 100
  }

  #add(timer: Timer): void {
    const timers = this.#timers
    let at = timers.length === 0 ? 1 : timers.length
    for (let above = at >> 1; above > 0 && isBefore(timer, timers[above] as Timer); above >>= 1) {
      timers[at] = timers[above] as Timer
      at = above
    }
    timers[at] = timer
  }

  #takeFirst(): Timer | undefined {
    const timers = this.#timers
    if (timers.length <= 1) return undefined
    const first = timers[1] as Timer
    const last = timers.pop() as Timer
    if (timers.length === 1) return first
    let at = 1
    for (;;) {
      let below = 2 * at
      if (below >= timers.length) break
      if (below + 1 < timers.length && isBefore(timers[below + 1] as Timer, timers[below] as Timer)) below++
      if (!isBefore(timers[below] as Timer, last)) break
      timers[at] = timers[below] as Timer
      at = below
    }
    timers[at] = last
    return first
  }
}

const isBefore = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.sequence < b.sequence)
