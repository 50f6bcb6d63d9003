import { EIO, fail } from '../base/errno.js'
import { OUTBOX_BYTES } from '../wire/intents.js'
import { getSigned, getUint64BE, getWords, KEY_OUTBOX, putIdKey, putWords, RECORD_VERSION } from '../wire/records.js'
import { ABSENT, type Batch } from './batch.js'

/** Entries of a directory have changed: its times move. */
export const OUT_ENTRIES = 1
/** A name of an inode has changed: its ctime moves. */
export const OUT_NAME = 2
/** A directory has more subdirectories, or fewer. */
export const OUT_SUBDIRECTORIES = 3
/** A name of an inode is gone. */
export const OUT_UNLINK = 4

/** What the node that has an inode is to be told. */
export interface OutgoingChange {
  readonly kind: number
  readonly number: number
  readonly generation: number
  readonly links: number
  seconds: number
  nanoseconds: number
}

/**
 * What other nodes have yet to be told, in the batches of the changes that have caused it: the node that has the entry
 * owns the update of what lies elsewhere, until that is acknowledged. The record's layout stands in wire/intents.ts.
 */
export class Outbox {
  readonly #batch: Batch

  constructor(batch: Batch) {
    this.#batch = batch
  }

  put(id: number, { kind, number, generation, links, seconds, nanoseconds }: OutgoingChange): void {
    const { key, words } = this.#batch
    words[0] = KEY_OUTBOX | (RECORD_VERSION << 8) | (kind << 16)
    words[1] = generation
    putWords(words, 2, number)
    putWords(words, 4, links)
    putWords(words, 6, seconds)
    words[8] = nanoseconds
    this.#batch.put(putIdKey(key, KEY_OUTBOX, id), OUTBOX_BYTES)
  }

  remove(id: number): void {
    this.#batch.delete(putIdKey(this.#batch.key, KEY_OUTBOX, id))
  }

  has(id: number): boolean {
    return this.#batch.get(putIdKey(this.#batch.key, KEY_OUTBOX, id)) !== ABSENT
  }

  /** All records by their ids, ascending. */
  list(): [id: number, change: OutgoingChange][] {
    const { key, words } = this.#batch
    const found: [number, OutgoingChange][] = []
    for (let from = 0; ; ) {
      const bytes = this.#batch.seek(putIdKey(key, KEY_OUTBOX, from))
      if (bytes === ABSENT || key[0] !== KEY_OUTBOX) return found
      const id = getUint64BE(key, 1)
      const head = words[0] as number
      const isOne = this.#batch.valueBytes === OUTBOX_BYTES && (head & 0xffff) === (KEY_OUTBOX | (RECORD_VERSION << 8))
      if (!isOne) fail(EIO)
      found.push([
        id,
        {
          kind: head >>> 16,
          generation: words[1] as number,
          number: getWords(words, 2),
          links: getSigned(words, 4),
          seconds: getSigned(words, 6),
          nanoseconds: words[8] as number,
        },
      ])
      from = id + 1
    }
  }
}
