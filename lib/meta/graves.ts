import { KEY_GRAVE, putUint32BE, putUint64BE, RECORD_HEAD_BYTES, RECORD_VERSION } from '../wire/records.js'
import { ABSENT, type Batch } from './batch.js'

const KEY_BYTES = 13

/** A directory is being removed: what would be made in it waits for the outcome. */
export const FROZEN = 1
/** It was removed. */
export const BURIED = 2

/**
 * Directories that are being removed, or were. A member has entries of directories whose inodes lie elsewhere, so only
 * this tells it that nothing may be made in one. Record: type 'G' u8, version u8, state u16.
 */
export class Graves {
  readonly #batch: Batch

  constructor(batch: Batch) {
    this.#batch = batch
  }

  /** FROZEN, BURIED, or 0. */
  state(directory: number, generation: number): number {
    const bytes = this.#batch.get(this.#key(directory, generation))
    return bytes === ABSENT ? 0 : (this.#batch.words[0] as number) >>> 16
  }

  set(directory: number, generation: number, state: number): void {
    this.#batch.words[0] = KEY_GRAVE | (RECORD_VERSION << 8) | (state << 16)
    this.#batch.put(this.#key(directory, generation), RECORD_HEAD_BYTES)
  }

  remove(directory: number, generation: number): void {
    this.#batch.delete(this.#key(directory, generation))
  }

  #key(directory: number, generation: number): number {
    const { key } = this.#batch
    key[0] = KEY_GRAVE
    putUint64BE(key, 1, directory)
    putUint32BE(key, 9, generation)
    return KEY_BYTES
  }
}
