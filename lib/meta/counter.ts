import { assert } from '../base/assert.js'
import { EIO, fail } from '../base/errno.js'
import { SERIAL_SPAN } from '../base/ids.js'
import { getWords, KEY_COUNTER, putWords, RECORD_VERSION } from '../wire/records.js'
import { ABSENT, type Batch } from './batch.js'

/** How many values one durable reservation covers. A restart skips at most twice so many of 2^53. */
const BLOCK = 2 ** 17

const RECORD_BYTES = 16

/**
 * The node's one durable counter. Its values number backing files, and give new inodes their serial (value mod 2^21)
 * and generation (value ÷ 2^21), so that no number comes back while anybody may still hold it. Values are reserved
 * in blocks: the record says up to where, and a restart goes on from there. A block is reserved when half of the one
 * before is left, so that its record is safe against a power cut long before its first value is used; for the first
 * block of a run {@link reserve} is called, and its commit synced, before anything is served.
 *
 * Record: type 'C' u8, version u8, 6 zero bytes, reserved-until u64.
 */
export class Counter {
  readonly #batch: Batch
  #next = 1
  #reserved = 1

  constructor(batch: Batch) {
    const { words } = batch
    this.#batch = batch
    batch.key[0] = KEY_COUNTER
    const bytes = batch.get(1)
    if (bytes === ABSENT) return
    if (bytes !== RECORD_BYTES || words[0] !== (KEY_COUNTER | (RECORD_VERSION << 8))) fail(EIO)
    this.#next = getWords(words, 2)
    this.#reserved = this.#next
  }

  /** The next value, ≥ 1. May add a put to the open batch, so it overwrites the scratch arrays. */
  next(): number {
    if (this.#next + BLOCK / 2 >= this.#reserved) this.reserve()
    const value = this.#next++
    assert(value < Number.MAX_SAFE_INTEGER, 'the counter has run out')
    return value
  }

  /** The last reservation may have been undone: the next value makes another one. */
  forgetReservation(): void {
    this.#reserved = this.#next
  }

  /** Reserves the next block, in the open batch. */
  reserve(): void {
    this.#reserved += BLOCK
    const { key, words } = this.#batch
    words[0] = KEY_COUNTER | (RECORD_VERSION << 8)
    words[1] = 0
    putWords(words, 2, this.#reserved)
    key[0] = KEY_COUNTER
    this.#batch.put(1, RECORD_BYTES)
  }
}

/** The 21-bit serial of an inode made with this counter value. */
export const serialOf = (value: number): number => value % SERIAL_SPAN

/** The generation (32 bits) of an inode made with this counter value. */
export const generationOf = (value: number): number => Math.floor(value / SERIAL_SPAN)
