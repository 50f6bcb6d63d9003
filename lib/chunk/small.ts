import type { ByteRange } from '../base/ids.js'
import { INLINE_BYTES_MAX } from '../base/limits.js'
import type { Inode } from '../meta/inode.js'
import type { InlineData } from '../meta/inline.js'
import type { BufferPool } from '../ports.js'

/** The data of files that lie in the metadata store: every call is done when it returns. */
export class SmallFiles {
  readonly #inline: InlineData
  readonly #pool: BufferPool
  /** Names a range of the pool's memory, for the metadata store. */
  readonly #range: ByteRange

  constructor(inline: InlineData, pool: BufferPool) {
    this.#inline = inline
    this.#pool = pool
    this.#range = { bytes: pool.memory, offset: 0, length: 0 }
  }

  read(inode: Inode, to: number, length: number, offset: number): number {
    const { memory } = this.#pool
    this.#inline.load(inode.number)
    const { bytes, offset: start, length: present } = this.#inline.data
    const copied = Math.max(0, Math.min(length, present - offset))
    if (copied > 0) memory.set(bytes.subarray(start + offset, start + offset + copied), to)
    memory.fill(0, to + copied, to + length)
    return length
  }

  write(inode: Inode, at: number, bytes: number, offset: number): void {
    this.#range.offset = at
    this.#range.length = bytes
    this.#inline.write(inode.number, offset, this.#range)
  }

  /** Zeroes what there is of [offset, end). */
  zero(inode: Inode, offset: number, end: number): void {
    this.#inline.zero(inode.number, offset, end)
  }

  cut(inode: Inode, size: number): void {
    this.zero(inode, size, INLINE_BYTES_MAX)
  }

  /** Where the data ends; the rest of the file is a hole. */
  end(inode: Inode): number {
    this.#inline.load(inode.number)
    return this.#inline.data.length
  }

  /** Copies all data to `at` in the pool's memory; its length. */
  copyTo(number: number, at: number): number {
    this.#inline.load(number)
    const { bytes, offset, length } = this.#inline.data
    this.#pool.memory.set(bytes.subarray(offset, offset + length), at)
    return length
  }
}

/** What stat(2) says of inline data: the blocks that hold it, as if it had a file of its own. */
export function inlineBlocks(size: number): number {
  return Math.ceil(Math.min(size, INLINE_BYTES_MAX) / 512)
}
