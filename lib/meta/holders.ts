import { MEMBER_ID_BYTES } from '../base/ids.js'
import { getUint64BE, KEY_HOLDER, putIdKey } from '../wire/records.js'
import type { Batch } from './batch.js'

const ID_AT = 9
const KEY_BYTES = ID_AT + MEMBER_ID_BYTES

/** Which members may hold chunks of the inodes that lie here: a record of each, without a value. */
export class Holders {
  readonly #batch: Batch

  constructor(batch: Batch) {
    this.#batch = batch
  }

  add(inode: number, member: Uint8Array): void {
    this.#batch.put(this.#key(inode, member), 0)
  }

  has(inode: number, member: Uint8Array): boolean {
    return this.#batch.get(this.#key(inode, member)) >= 0
  }

  /** The ids of an inode's holders, ascending. */
  list(inode: number): Uint8Array[] {
    const { key } = this.#batch
    const members: Uint8Array[] = []
    let bytes = putIdKey(key, KEY_HOLDER, inode)
    while (this.#batch.seek(bytes) === KEY_BYTES && key[0] === KEY_HOLDER && getUint64BE(key, 1) === inode) {
      members.push(key.slice(ID_AT, KEY_BYTES))
      // The next key that there can be.
      key[KEY_BYTES] = 0
      bytes = KEY_BYTES + 1
    }
    return members
  }

  remove(inode: number, member: Uint8Array): void {
    this.#batch.delete(this.#key(inode, member))
  }

  #key(inode: number, member: Uint8Array): number {
    const { key } = this.#batch
    putIdKey(key, KEY_HOLDER, inode)
    key.set(member, ID_AT)
    return KEY_BYTES
  }
}
