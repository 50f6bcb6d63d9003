import { EIO, fail } from '../base/errno.js'
import { getUint64BE, KEY_RESULT, putUint64BE, RECORD_VERSION } from '../wire/records.js'
import { ABSENT, type Batch } from './batch.js'

/** Bytes of a client: its id and its incarnation, which is 0 for a member's durable stream. */
export const CLIENT_BYTES = 16
const ID_BYTES = 8
const KEY_BYTES = 1 + CLIENT_BYTES + 8

/** How many results may pile up before those that their client has got are deleted. */
const FORGET_AT = 64

/**
 * The results of changes that peers have asked for, kept in the batch of the change itself: a repetition, also after a
 * restart, gets the first one's result. Record: type 'R' u8, version u8, zero u16, then the answer's fields.
 */
export class Results {
  readonly #batch: Batch
  /** By client: up to which sequence results were deleted. */
  readonly #forgotten = new Map<string, number>()

  constructor(batch: Batch) {
    this.#batch = batch
  }

  /** The answer's fields as words, or null. */
  get(client: Uint8Array, sequence: number): Uint32Array | null {
    const bytes = this.#batch.get(this.#key(client, sequence))
    if (bytes === ABSENT) return null
    const { words } = this.#batch
    if (bytes < 4 || bytes % 4 !== 0 || words[0] !== (KEY_RESULT | (RECORD_VERSION << 8))) fail(EIO)
    return words.slice(1, bytes / 4)
  }

  put(client: Uint8Array, sequence: number, fields: Uint32Array): void {
    const { words } = this.#batch
    words[0] = KEY_RESULT | (RECORD_VERSION << 8)
    words.set(fields, 1)
    this.#batch.put(this.#key(client, sequence), 4 + fields.length * 4)
  }

  /** Takes a result back: what it speaks of was undone. */
  remove(client: Uint8Array, sequence: number): void {
    this.#batch.delete(this.#key(client, sequence))
  }

  /** The client has got every result up to this sequence: deletes them, many at a time. */
  forget(client: Uint8Array, upTo: number): void {
    const name = client.join()
    const forgotten = this.#forgotten.get(name) ?? 0
    if (upTo < forgotten + FORGET_AT) return
    this.#forgotten.set(name, upTo)
    this.#deleteWhere(client.subarray(0, CLIENT_BYTES), (key) => sequenceOf(key) <= upTo)
  }

  /** Deletes all that this client's earlier incarnations have left, but what belongs to its durable stream. */
  forgetEarlier(client: Uint8Array): void {
    const own = client.subarray(ID_BYTES)
    this.#deleteWhere(client.subarray(0, ID_BYTES), (key) => {
      const theirs = key.subarray(1 + ID_BYTES, 1 + CLIENT_BYTES)
      return theirs.some((byte) => byte !== 0) && own.some((byte, at) => byte !== theirs[at])
    })
  }

  #deleteWhere(prefix: Uint8Array, isDeleted: (key: Uint8Array) => boolean): void {
    const { key } = this.#batch
    const from = new Uint8Array(KEY_BYTES)
    from[0] = KEY_RESULT
    from.set(prefix, 1)
    const doomed: Uint8Array[] = []
    for (let next: Uint8Array = from; ; ) {
      key.set(next)
      if (this.#batch.seek(KEY_BYTES) !== KEY_BYTES || key[0] !== KEY_RESULT) break
      if (prefix.some((byte, at) => byte !== key[1 + at])) break
      const found = key.slice(0, KEY_BYTES)
      if (isDeleted(found)) doomed.push(found)
      else if (prefix.length === CLIENT_BYTES) break // They are in order.
      next = following(found)
    }
    for (const found of doomed) {
      key.set(found)
      this.#batch.delete(KEY_BYTES)
    }
  }

  #key(client: Uint8Array, sequence: number): number {
    const { key } = this.#batch
    key[0] = KEY_RESULT
    key.set(client.subarray(0, CLIENT_BYTES), 1)
    putUint64BE(key, 1 + CLIENT_BYTES, sequence)
    return KEY_BYTES
  }
}

const sequenceOf = (key: Uint8Array): number => getUint64BE(key, 1 + CLIENT_BYTES)

/** The smallest key behind this one. */
function following(key: Uint8Array): Uint8Array {
  const next = key.slice()
  for (let at = next.length - 1; at >= 0; at--) {
    next[at] = ((next[at] as number) + 1) & 255
    if (next[at] !== 0) break
  }
  return next
}
