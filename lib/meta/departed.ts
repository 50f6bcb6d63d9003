import { MEMBER_ID_BYTES } from '../base/ids.js'
import { getUint32BE, getUint64BE, KEY_DEPARTED, putUint32BE, putUint64BE } from '../wire/records.js'
import type { Batch } from './batch.js'
import type { DirectoryRef } from './dentries.js'

const INODE_AT = 1 + MEMBER_ID_BYTES
const GENERATION_AT = INODE_AT + 8
const KEY_BYTES = GENERATION_AT + 4

/** Inodes that were freed here and of which another member may still hold chunks: a queue for each member. */
export class Departed {
  readonly #batch: Batch

  constructor(batch: Batch) {
    this.#batch = batch
  }

  add(member: Uint8Array, inode: number, generation: number): void {
    this.#batch.put(this.#key(member, inode, generation), 0)
  }

  remove(member: Uint8Array, inode: number, generation: number): void {
    this.#batch.delete(this.#key(member, inode, generation))
  }

  /** The first `count` inodes of a member's queue. */
  list(member: Uint8Array, count: number): DirectoryRef[] {
    const { key } = this.#batch
    const found: DirectoryRef[] = []
    let bytes = this.#key(member, 0, 0)
    while (found.length < count && this.#batch.seek(bytes) === KEY_BYTES && this.#isOf(member)) {
      found.push({ number: getUint64BE(key, INODE_AT), generation: getUint32BE(key, GENERATION_AT) })
      key[KEY_BYTES] = 0
      bytes = KEY_BYTES + 1
    }
    return found
  }

  #isOf(member: Uint8Array): boolean {
    const { key } = this.#batch
    return key[0] === KEY_DEPARTED && member.every((byte, at) => key[1 + at] === byte)
  }

  #key(member: Uint8Array, inode: number, generation: number): number {
    const { key } = this.#batch
    key[0] = KEY_DEPARTED
    key.set(member, 1)
    putUint64BE(key, INODE_AT, inode)
    putUint32BE(key, GENERATION_AT, generation)
    return KEY_BYTES
  }
}
