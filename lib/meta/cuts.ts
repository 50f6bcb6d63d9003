import { EIO, fail } from '../base/errno.js'
import { getUint64BE, getWords, KEY_CUT, putIdKey, putWords, RECORD_VERSION } from '../wire/records.js'
import { ABSENT, type Batch } from './batch.js'
import { CLIENT_BYTES } from './results.js'

const HEAD = KEY_CUT | (RECORD_VERSION << 8)
const CLIENT_WORD = 4
const SEQUENCE_WORD = CLIENT_WORD + CLIENT_BYTES / 4
const CHANGE_WORD = SEQUENCE_WORD + 2

/** Bytes of a record before the change. */
export const CUT_HEAD_BYTES = CHANGE_WORD * 4

/** A truncation that has begun. */
export interface Cut {
  /** What the members that hold chunks cut off: everything from here on. */
  readonly size: number
  /** The inode's truncation epoch afterwards. */
  readonly epoch: number
  /** Who has asked for it; null where it was this node, or nobody. */
  readonly origin: { readonly client: Uint8Array; readonly sequence: number } | null
  /** The whole change that was asked for, as the fields of a message; empty where only this is to be done. */
  readonly change: Uint32Array
}

/**
 * Truncations that members which hold chunks are told of, and that the inode itself does not know of yet. A record
 * stands from before the first of them is told until the inode has its new size and epoch: whatever happens meanwhile,
 * the truncation is done in the end.
 *
 * Record: type 'T' u8, version u8, zero u16, epoch u32, size u64, client 16 bytes, sequence u64 (0: none), then the
 * change.
 */
export class Cuts {
  readonly #batch: Batch

  constructor(batch: Batch) {
    this.#batch = batch
  }

  put(inode: number, { size, epoch, origin, change }: Cut): void {
    const { key, value, words } = this.#batch
    words[0] = HEAD
    words[1] = epoch
    putWords(words, 2, size)
    if (origin === null) value.fill(0, CLIENT_WORD * 4, SEQUENCE_WORD * 4)
    else value.set(origin.client, CLIENT_WORD * 4)
    putWords(words, SEQUENCE_WORD, origin?.sequence ?? 0)
    words.set(change, CHANGE_WORD)
    this.#batch.put(putIdKey(key, KEY_CUT, inode), (CHANGE_WORD + change.length) * 4)
  }

  remove(inode: number): void {
    this.#batch.delete(putIdKey(this.#batch.key, KEY_CUT, inode))
  }

  /** All, by inode. */
  list(): Map<number, Cut> {
    const { key } = this.#batch
    const cuts = new Map<number, Cut>()
    for (let from = 0; ; ) {
      const found = this.#batch.seek(putIdKey(key, KEY_CUT, from))
      if (found === ABSENT || key[0] !== KEY_CUT) return cuts
      const inode = getUint64BE(key, 1)
      cuts.set(inode, this.#load())
      from = inode + 1
    }
  }

  #load(): Cut {
    const { value, words, valueBytes } = this.#batch
    if (valueBytes < CUT_HEAD_BYTES || valueBytes % 4 !== 0 || words[0] !== HEAD) fail(EIO)
    const sequence = getWords(words, SEQUENCE_WORD)
    const client = value.slice(CLIENT_WORD * 4, SEQUENCE_WORD * 4)
    return {
      size: getWords(words, 2),
      epoch: words[1] as number,
      origin: sequence === 0 ? null : { client, sequence },
      change: words.slice(CHANGE_WORD, valueBytes / 4),
    }
  }
}
