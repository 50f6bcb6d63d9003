import { EIO, fail } from '../base/errno.js'
import { GRAVE_BYTES } from '../wire/intents.js'
import {
  getUint32BE,
  getUint64BE,
  getWords,
  KEY_GRAVE,
  putUint32BE,
  putUint64BE,
  putWords,
  RECORD_VERSION,
} from '../wire/records.js'
import { ABSENT, type Batch } from './batch.js'
import type { DirectoryRef } from './dentries.js'

const KEY_BYTES = 13
const OWNER_BYTES = 8
const HEAD = KEY_GRAVE | (RECORD_VERSION << 8)

/** A directory is being removed: what would be made in it waits for the outcome. */
export const FROZEN = 1
/** It was removed. */
export const BURIED = 2

/** What {@link Graves.find} has found. */
export interface Grave {
  state: number
  /** The 8 bytes of the member whose intent has frozen it. */
  owner: Uint8Array
  saga: number
}

/**
 * Directories that are being removed, or were. A member has entries of directories whose inodes lie elsewhere, so only
 * this tells it that nothing may be made in one. The record's layout stands in wire/intents.ts.
 */
export class Graves {
  readonly #batch: Batch

  constructor(batch: Batch) {
    this.#batch = batch
  }

  /** FROZEN, BURIED, or 0. */
  state(directory: number, generation: number): number {
    const bytes = this.#batch.get(this.#key(directory, generation))
    return bytes === ABSENT ? 0 : this.#state(bytes)
  }

  find(directory: number, generation: number): Grave | undefined {
    const bytes = this.#batch.get(this.#key(directory, generation))
    if (bytes === ABSENT) return undefined
    const state = this.#state(bytes)
    const owner = this.#batch.value.slice(8, 8 + OWNER_BYTES)
    return { state, owner, saga: getWords(this.#batch.words, 4) }
  }

  /** `owner` is the 8 bytes of a member's id, or more that begin with it. */
  set(directory: number, generation: number, state: number, owner: Uint8Array, saga: number): void {
    const { words, value } = this.#batch
    words[0] = HEAD | (state << 16)
    words[1] = 0
    value.set(owner.subarray(0, OWNER_BYTES), 8)
    putWords(words, 4, saga)
    this.#batch.put(this.#key(directory, generation), GRAVE_BYTES)
  }

  remove(directory: number, generation: number): void {
    this.#batch.delete(this.#key(directory, generation))
  }

  /** All directories in this state. */
  list(state: number): DirectoryRef[] {
    const { key } = this.#batch
    const found: DirectoryRef[] = []
    key.fill(0, 0, KEY_BYTES)
    key[0] = KEY_GRAVE
    for (;;) {
      if (this.#batch.seek(KEY_BYTES) !== KEY_BYTES || key[0] !== KEY_GRAVE) return found
      const [number, generation] = [getUint64BE(key, 1), getUint32BE(key, 9)]
      if (this.#state(this.#batch.valueBytes) === state) found.push({ number, generation })
      if (generation === 0xffffffff) this.#key(number + 1, 0)
      else this.#key(number, generation + 1)
    }
  }

  #state(bytes: number): number {
    const head = this.#batch.words[0] as number
    if (bytes !== GRAVE_BYTES || (head & 0xffff) !== HEAD) fail(EIO)
    return head >>> 16
  }

  #key(directory: number, generation: number): number {
    const { key } = this.#batch
    key[0] = KEY_GRAVE
    putUint64BE(key, 1, directory)
    putUint32BE(key, 9, generation)
    return KEY_BYTES
  }
}
