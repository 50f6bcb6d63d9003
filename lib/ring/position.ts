import type { ByteRange } from '../base/ids.js'
import { NAME_BYTES_MAX } from '../base/limits.js'
import type { Hash32 } from '../ports.js'

const NUMBER_BYTES = 8

/** Where names and chunks lie on the ring. */
export class Positions {
  readonly #hash: Hash32
  readonly #scratch = new Uint8Array(NUMBER_BYTES + NAME_BYTES_MAX)
  /** One view of each length, since making one costs more than the hash of a short name. */
  readonly #views: Uint8Array[] = []
  readonly #chunk: Uint8Array

  constructor(hash: Hash32) {
    this.#hash = hash
    for (let bytes = 0; bytes <= NAME_BYTES_MAX; bytes++) {
      this.#views.push(this.#scratch.subarray(0, NUMBER_BYTES + bytes))
    }
    this.#chunk = this.#views[NUMBER_BYTES] as Uint8Array
  }

  /** XXH32 with seed 0 over the parent's inode number (64 bits, little-endian) and the name: 0 … 2^32 − 1. */
  ofDentry(parent: number, name: ByteRange): number {
    const scratch = this.#scratch
    this.#put(0, parent)
    const { bytes, offset, length } = name
    for (let i = 0; i < length; i++) scratch[NUMBER_BYTES + i] = bytes[offset + i] as number
    return this.#hash(this.#views[length] as Uint8Array, 0)
  }

  /**
   * XXH32 with seed 0 over the inode's number and the chunk's index (64 bits each, little-endian). Not for chunk 0,
   * which lies with its inode.
   */
  ofChunk(inode: number, index: number): number {
    this.#put(0, inode)
    this.#put(NUMBER_BYTES, index)
    return this.#hash(this.#chunk, 0)
  }

  #put(at: number, value: number): void {
    const low = value >>> 0
    this.#putHalf(at, low)
    this.#putHalf(at + 4, (value - low) / 2 ** 32)
  }

  #putHalf(at: number, half: number): void {
    const scratch = this.#scratch
    scratch[at] = half
    scratch[at + 1] = half >>> 8
    scratch[at + 2] = half >>> 16
    scratch[at + 3] = half >>> 24
  }
}
