/** The system's randomness, fetched by the page. */
import { randomFillSync } from 'node:crypto'
import type { Random } from '../ports.js'

const BATCH = 1024

export class SystemRandom implements Random {
  readonly #words = new Uint32Array(BATCH)
  #next = BATCH

  uint32(): number {
    if (this.#next === BATCH) {
      randomFillSync(this.#words)
      this.#next = 0
    }
    return this.#words[this.#next++] as number
  }
}
