import type { ByteRange } from '../base/ids.js'
import { NAME_BYTES_MAX } from '../base/limits.js'
import type { Hash32 } from '../ports.js'

const PARENT_BYTES = 8

/** Where names lie on the ring. */
export class Positions {
  readonly #hash: Hash32
  readonly #scratch = new Uint8Array(PARENT_BYTES + NAME_BYTES_MAX)
  /** One view of each length, since making one costs more than the hash of a short name. */
  readonly #views: Uint8Array[] = []

  constructor(hash: Hash32) {
    this.#hash = hash
    for (let bytes = 0; bytes <= NAME_BYTES_MAX; bytes++) {
      this.#views.push(this.#scratch.subarray(0, PARENT_BYTES + bytes))
    }
  }

  /** XXH32 with seed 0 over the parent's inode number (64 bits, little-endian) and the name: 0 … 2^32 − 1. */
  ofDentry(parent: number, name: ByteRange): number {
    const scratch = this.#scratch
    let rest = parent
    for (let i = 0; i < PARENT_BYTES; i++) {
      scratch[i] = rest % 256
      rest = Math.floor(rest / 256)
    }
    const { bytes, offset, length } = name
    for (let i = 0; i < length; i++) scratch[PARENT_BYTES + i] = bytes[offset + i] as number
    return this.#hash(this.#views[length] as Uint8Array, 0)
  }
}
