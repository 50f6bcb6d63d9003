import { assert } from '../base/assert.js'
import { type BufferPool, type Done, PENDING } from '../ports.js'

const CELL_BYTES = 4096

/**
 * Room in the pool's memory for the inline data that moves to a backing file: cells of 4096 bytes in one slot that is
 * kept for the purpose, since the requests may have taken all others.
 */
export class Staging {
  readonly #free: number[] = []
  readonly #waiting: Done[] = []

  constructor(pool: BufferPool) {
    const slot = pool.acquire()
    assert(slot >= 0, 'the pool has no slot left at the start')
    const at = slot * pool.stride + (pool.stride - pool.payloadBytes)
    for (let cell = 0; cell + CELL_BYTES <= pool.payloadBytes; cell += CELL_BYTES) this.#free.push(at + cell)
  }

  /** The offset of a cell in the pool's memory, or PENDING until there is one. */
  acquire(done: Done): number {
    const cell = this.#free.pop()
    if (cell !== undefined) return cell
    this.#waiting.push(done)
    return PENDING
  }

  release(cell: number): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free.push(cell)
    else next(cell)
  }
}
