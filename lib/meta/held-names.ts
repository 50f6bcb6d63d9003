import { EIO, fail } from '../base/errno.js'
import type { ByteRange } from '../base/ids.js'
import { HeldNameRecord } from '../wire/intents.js'
import { getUint64BE, KEY_HELD, putUint64BE, RECORD_VERSION } from '../wire/records.js'
import { type Area, areaOf } from '../wire/struct.js'
import { ABSENT, type Batch } from './batch.js'

const KEY_BYTES = 17
const ID_BYTES = 8
const HEAD = KEY_HELD | (RECORD_VERSION << 8)

/** A name that the intent of another node holds here. */
export interface HeldName {
  readonly parent: number
  readonly parentGeneration: number
  readonly name: ByteRange
  /** How old the intent is. */
  readonly seconds: number
  readonly nanoseconds: number
}

/** The names of this node that intents of others hold, by their owners: they are held after a restart, too. */
export class HeldNameRecords {
  readonly #batch: Batch
  readonly #area: Area

  constructor(batch: Batch) {
    this.#batch = batch
    this.#area = areaOf(batch.words)
  }

  /** `owner` is the 8 bytes of a member's id, or more that begin with it. */
  put(owner: Uint8Array, saga: number, held: HeldName): void {
    this.#batch.words[0] = HEAD
    const end = HeldNameRecord.put(this.#area, 1, held)
    this.#batch.put(this.#key(owner, saga), end * 4)
  }

  remove(owner: Uint8Array, saga: number): void {
    this.#batch.delete(this.#key(owner, saga))
  }

  has(owner: Uint8Array, saga: number): boolean {
    return this.#batch.get(this.#key(owner, saga)) !== ABSENT
  }

  list(): { owner: Uint8Array; saga: number; held: HeldName }[] {
    const { key, words } = this.#batch
    const found: { owner: Uint8Array; saga: number; held: HeldName }[] = []
    key.fill(0, 0, KEY_BYTES)
    key[0] = KEY_HELD
    for (;;) {
      if (this.#batch.seek(KEY_BYTES) !== KEY_BYTES || key[0] !== KEY_HELD) return found
      const area = areaOf(words.slice(0, this.#batch.valueBytes / 4))
      const held = HeldNameRecord.get(area, 1, area.words.length) ?? fail(EIO)
      const [owner, saga] = [key.slice(1, 1 + ID_BYTES), getUint64BE(key, 1 + ID_BYTES)]
      found.push({ owner, saga, held })
      this.#key(owner, saga + 1)
    }
  }

  #key(owner: Uint8Array, saga: number): number {
    const { key } = this.#batch
    key[0] = KEY_HELD
    key.set(owner.subarray(0, ID_BYTES), 1)
    putUint64BE(key, 1 + ID_BYTES, saga)
    return KEY_BYTES
  }
}
