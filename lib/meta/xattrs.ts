import { EIO, ENODATA, fail } from '../base/errno.js'
import type { ByteRange } from '../base/ids.js'
import { getUint64BE, KEY_XATTR, putIdKey, RECORD_HEAD_BYTES, RECORD_VERSION } from '../wire/records.js'
import { ABSENT, type Batch } from './batch.js'

const KEY_HEAD_BYTES = 9

/** Extended attributes as records: the name is in the key, the value (behind 4 bytes of head) in the value. */
export class Xattrs {
  readonly #batch: Batch
  /** The value that the last successful {@link get} found: valid until the next use of the batch. */
  readonly value: ByteRange

  constructor(batch: Batch) {
    this.#batch = batch
    this.value = { bytes: batch.value, offset: RECORD_HEAD_BYTES, length: 0 }
  }

  /** Loads the attribute into {@link value}; false where there is none. */
  get(inode: number, name: ByteRange): boolean {
    const bytes = this.#batch.get(this.#key(inode, name))
    if (bytes === ABSENT) return false
    if (bytes < RECORD_HEAD_BYTES || this.#batch.words[0] !== (KEY_XATTR | (RECORD_VERSION << 8))) fail(EIO)
    this.value.length = bytes - RECORD_HEAD_BYTES
    return true
  }

  set(inode: number, name: ByteRange, value: ByteRange): void {
    const { bytes, offset, length } = value
    this.#batch.value.set(bytes.subarray(offset, offset + length), RECORD_HEAD_BYTES)
    this.#batch.words[0] = KEY_XATTR | (RECORD_VERSION << 8)
    this.#batch.put(this.#key(inode, name), RECORD_HEAD_BYTES + length)
  }

  /** ENODATA where there is none. */
  remove(inode: number, name: ByteRange): void {
    if (!this.#batch.delete(this.#key(inode, name))) fail(ENODATA)
  }

  /** Calls `visit` with each name, in the order of bytes; the range is valid during the call only. */
  names(inode: number, visit: (name: ByteRange) => void): void {
    const { key } = this.#batch
    const name: ByteRange = { bytes: key, offset: KEY_HEAD_BYTES, length: 0 }
    let bytes = putIdKey(key, KEY_XATTR, inode)
    for (;;) {
      const found = this.#batch.seek(bytes)
      if (found < KEY_HEAD_BYTES || key[0] !== KEY_XATTR || getUint64BE(key, 1) !== inode) return
      name.length = found - KEY_HEAD_BYTES
      visit(name)
      key[found] = 0
      bytes = found + 1
    }
  }

  removeAll(inode: number): void {
    const keys: Uint8Array[] = []
    this.names(inode, (name) => keys.push(name.bytes.slice(0, KEY_HEAD_BYTES + name.length)))
    for (const key of keys) {
      this.#batch.key.set(key)
      this.#batch.delete(key.length)
    }
  }

  #key(inode: number, name: ByteRange): number {
    const { key } = this.#batch
    putIdKey(key, KEY_XATTR, inode)
    for (let i = 0; i < name.length; i++) key[KEY_HEAD_BYTES + i] = name.bytes[name.offset + i] as number
    return KEY_HEAD_BYTES + name.length
  }
}
