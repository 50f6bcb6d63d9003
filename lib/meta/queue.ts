import { getUint64BE, putIdKey } from '../wire/records.js'
import { ABSENT, type Batch } from './batch.js'

/** A durable set of ids: records with an id in the key and no value. */
export class Queue {
  readonly #batch: Batch
  readonly #type: number

  constructor(batch: Batch, type: number) {
    this.#batch = batch
    this.#type = type
  }

  add(id: number): void {
    this.#batch.put(putIdKey(this.#batch.key, this.#type, id), 0)
  }

  /** Removes an id; one that is absent is no error. */
  remove(id: number): void {
    this.#batch.delete(putIdKey(this.#batch.key, this.#type, id))
  }

  /** All ids, ascending. */
  list(): number[] {
    const { key } = this.#batch
    const ids: number[] = []
    for (let from = 0; ; from = (ids.at(-1) as number) + 1) {
      const found = this.#batch.seek(putIdKey(key, this.#type, from))
      if (found === ABSENT || key[0] !== this.#type) return ids
      ids.push(getUint64BE(key, 1))
    }
  }
}
