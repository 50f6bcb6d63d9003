import { ENOENT, fail } from '../base/errno.js'
import type { Done, Kv } from '../ports.js'

/** What {@link Batch.get} and {@link Batch.seek} return where there is nothing. */
export const ABSENT = -1

/**
 * The changes of a turn, on their way into the Kv. A change that the Kv refuses ends its operation with the errno and
 * spoils the whole batch, since what that operation had already put cannot be told apart from the rest.
 */
export class Batch {
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** The value area as 32-bit words. */
  readonly words: Uint32Array
  readonly #kv: Kv
  #failure = 0
  #changed = false

  constructor(kv: Kv) {
    const { buffer, byteOffset, byteLength } = kv.value
    this.#kv = kv
    this.key = kv.key
    this.value = kv.value
    this.words = new Uint32Array(buffer as ArrayBuffer, byteOffset, byteLength >>> 2)
  }

  /** Length of the value that the last successful get or seek loaded. */
  get valueBytes(): number {
    return this.#kv.valueBytes
  }

  /** Something waits for {@link commit}. */
  get isOpen(): boolean {
    return this.#changed
  }

  canGrow(): boolean {
    return this.#kv.canGrow()
  }

  /** The length of the value, now loaded, or ABSENT. EIO where the record is damaged. */
  get(keyBytes: number): number {
    const bytes = this.#kv.get(keyBytes)
    if (bytes >= 0) return bytes
    return bytes === -ENOENT ? ABSENT : fail(-bytes)
  }

  /** The length of the first key at or after the given one, both now loaded, or ABSENT. EIO where it is damaged. */
  seek(keyBytes: number): number {
    const bytes = this.#kv.seek(keyBytes)
    if (bytes >= 0) return bytes
    return bytes === -ENOENT ? ABSENT : fail(-bytes)
  }

  put(keyBytes: number, valueBytes: number): void {
    this.#changed = true
    const error = this.#kv.put(keyBytes, valueBytes)
    if (error < 0) this.#spoil(error)
  }

  /** False where there was nothing to delete. */
  delete(keyBytes: number): boolean {
    this.#changed = true
    const error = this.#kv.delete(keyBytes)
    if (error < 0 && error !== -ENOENT) this.#spoil(error)
    return error >= 0
  }

  /** 0, or a negative errno; then nothing of the batch has happened. */
  commit(): number {
    const failure = this.#failure
    this.#failure = 0
    this.#changed = false
    if (failure === 0) return this.#kv.commit()
    this.#kv.abort()
    return failure
  }

  sync(done: Done): void {
    this.#kv.sync(done)
  }

  /** Makes the next {@link commit} undo everything, for this reason. */
  spoil(error: number): void {
    this.#failure = error
  }

  #spoil(error: number): never {
    this.#failure = error
    fail(-error)
  }
}
