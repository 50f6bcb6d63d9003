import { EIO, fail } from '../base/errno.js'
import { getUint64BE, KEY_INTENT, putIdKey, RECORD_VERSION } from '../wire/records.js'
import { type Area, areaOf, type Shape, type Struct, type Values } from '../wire/struct.js'
import { ABSENT, type Batch } from './batch.js'

/** An intent as it was found: which plan, at which step, and its fields behind the head. */
export interface StoredIntent {
  readonly id: number
  readonly plan: number
  readonly step: number
  /** A copy of the record: fields are read from its word 1 on. */
  readonly area: Area
}

/**
 * Changes on several nodes that this node is in the middle of, each a record that goes in the batch of the last step.
 * The layout stands in wire/intents.ts.
 */
export class Intents {
  readonly #batch: Batch
  readonly #area: Area

  constructor(batch: Batch) {
    this.#batch = batch
    this.#area = areaOf(batch.words)
  }

  put<S extends Shape>(id: number, plan: number, step: number, fields: Struct<S>, values: Values<S>): void {
    const { key, words } = this.#batch
    words[0] = KEY_INTENT | (RECORD_VERSION << 8) | (plan << 16) | (step << 24)
    const end = fields.put(this.#area, 1, values)
    this.#batch.put(putIdKey(key, KEY_INTENT, id), end * 4)
  }

  remove(id: number): void {
    this.#batch.delete(putIdKey(this.#batch.key, KEY_INTENT, id))
  }

  /** The intent `id`, or undefined. */
  get(id: number): StoredIntent | undefined {
    const bytes = this.#batch.get(putIdKey(this.#batch.key, KEY_INTENT, id))
    return bytes === ABSENT ? undefined : this.#loaded(id, bytes)
  }

  /** All ids, ascending. */
  list(): number[] {
    const { key } = this.#batch
    const ids: number[] = []
    for (let from = 0; ; from = (ids.at(-1) as number) + 1) {
      if (this.#batch.seek(putIdKey(key, KEY_INTENT, from)) === ABSENT || key[0] !== KEY_INTENT) return ids
      ids.push(getUint64BE(key, 1))
    }
  }

  #loaded(id: number, bytes: number): StoredIntent {
    const { words } = this.#batch
    const head = words[0] as number
    if (bytes < 4 || bytes % 4 !== 0 || (head & 0xffff) !== (KEY_INTENT | (RECORD_VERSION << 8))) fail(EIO)
    return { id, plan: (head >>> 16) & 0xff, step: head >>> 24, area: areaOf(words.slice(0, bytes / 4)) }
  }
}
