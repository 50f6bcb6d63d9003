import { assert } from '../base/assert.js'
import { EIO, fail } from '../base/errno.js'
import type { ByteRange } from '../base/ids.js'
import { TARGET_BYTES_MAX } from '../base/limits.js'
import { KEY_INLINE, putIdKey, RECORD_HEAD_BYTES, RECORD_VERSION } from '../wire/records.js'
import { ABSENT, type Batch } from './batch.js'

const HEAD = KEY_INLINE | (RECORD_VERSION << 8)

/** The data of small files and the targets of symbolic links, as records of at most {@link TARGET_BYTES_MAX} bytes. */
export class InlineData {
  readonly #batch: Batch
  /** The data that the last {@link load} found: valid until the next use of the batch. */
  readonly data: ByteRange

  constructor(batch: Batch) {
    this.#batch = batch
    this.data = { bytes: batch.value, offset: RECORD_HEAD_BYTES, length: 0 }
  }

  /** Loads an inode's inline data into {@link data}; its length is 0 where there is no record. */
  load(inode: number): void {
    const bytes = this.#batch.get(putIdKey(this.#batch.key, KEY_INLINE, inode))
    if (bytes === ABSENT) {
      this.data.length = 0
      return
    }
    if (bytes < RECORD_HEAD_BYTES || this.#batch.words[0] !== HEAD) fail(EIO)
    this.data.length = bytes - RECORD_HEAD_BYTES
  }

  /** Copies `from` into an inode's inline data at `at`; what lies between the old end and `at` reads as zeros. */
  write(inode: number, at: number, from: ByteRange): void {
    const end = at + from.length
    assert(end <= TARGET_BYTES_MAX, 'inline data of a wrong size')
    this.load(inode)
    const { bytes, offset, length } = this.data
    if (at > length) bytes.fill(0, offset + length, offset + at)
    bytes.set(from.bytes.subarray(from.offset, from.offset + from.length), offset + at)
    this.#put(inode, Math.max(length, end))
  }

  /** Zeroes what there is of [start, end); the data ends at `start` then where `end` reaches its end. */
  zero(inode: number, start: number, end: number): void {
    this.load(inode)
    const { bytes, offset, length } = this.data
    if (start >= length) return
    if (end >= length) this.#put(inode, start)
    else {
      bytes.fill(0, offset + start, offset + end)
      this.#put(inode, length)
    }
  }

  remove(inode: number): void {
    this.#batch.delete(putIdKey(this.#batch.key, KEY_INLINE, inode))
  }

  /** Stores what lies in {@link data} as data of `length` bytes. */
  #put(inode: number, length: number): void {
    if (length === 0) this.remove(inode)
    else {
      this.#batch.words[0] = HEAD
      this.#batch.put(putIdKey(this.#batch.key, KEY_INLINE, inode), RECORD_HEAD_BYTES + length)
    }
  }
}
