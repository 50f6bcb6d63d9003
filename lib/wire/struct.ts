import type { ByteRange } from '../base/ids.js'
import { getInode, getSigned, getWords, INODE_RECORD_BYTES, type InodeFields, putInode, putWords } from './records.js'

/** An inode with its number, as it goes from node to node. */
export interface NumberedInode extends InodeFields {
  readonly number: number
}

/** Memory that messages are written to or read from: the same bytes twice. */
export interface Area {
  readonly words: Uint32Array
  readonly bytes: Uint8Array
}

export function areaOf(words: Uint32Array): Area {
  return { words, bytes: new Uint8Array(words.buffer, words.byteOffset, words.byteLength) }
}

/**
 * The kinds of a field. All are little-endian and begin at a multiple of 4 bytes:
 *
 * | kind  | bytes          | what                                                                        |
 * |-------|----------------|-----------------------------------------------------------------------------|
 * | u32   | 4              | 0 … 2^32 − 1                                                                |
 * | u64   | 8              | 0 … 2^53 − 1                                                                |
 * | i64   | 8              | −2^53 + 1 … 2^53 − 1, two's complement                                      |
 * | bytes | 4 + n          | their number n, then they, then zeros up to a multiple of 4                 |
 * | inode | 8, or 8 + 136  | the number as u64, and unless it is 0 (no inode) its record, as it is stored |
 */
export type FieldKind = 'u32' | 'u64' | 'i64' | 'bytes' | 'inode'

export type Shape = Readonly<Record<string, FieldKind>>

interface Kinds {
  u32: number
  u64: number
  i64: number
  bytes: ByteRange
  inode: NumberedInode | null
}

/** The values of a struct's fields. Bytes that were read lie where they were read from. */
export type Values<S extends Shape> = { -readonly [K in keyof S]: Kinds[S[K]] }

const CHUNK_BITS_MIN = 12
const CHUNK_BITS_MAX = 30
const LAYOUT_MAX = 1

/** Fields one after the other, in the order in which they are declared. */
export class Struct<S extends Shape> {
  readonly #fields: readonly (readonly [string, FieldKind])[]
  next = 0

  constructor(shape: S) {
    this.#fields = Object.entries(shape)
  }

  /** Writes the fields from the word `at` on; returns the word behind them. */
  put({ words, bytes }: Area, at: number, values: Values<S>): number {
    let next = at
    for (const [name, kind] of this.#fields) {
      const value = values[name]
      if (kind === 'u32') words[next++] = value as number
      else if (kind === 'bytes') next = putBytes(words, bytes, next, value as ByteRange)
      else if (kind === 'inode') next = putNumbered(words, next, value as NumberedInode | null)
      else {
        putWords(words, next, value as number)
        next += 2
      }
    }
    return next
  }

  /** Reads what fills the words from `at` to `end` exactly; null where it is not such a struct. */
  get(area: Area, at: number, end: number): Values<S> | null {
    const values = this.getFirst(area, at, end)
    return this.next === end ? values : null
  }

  /** Reads one that begins at the word `at`, and sets {@link next} to the word behind it. */
  getFirst(area: Area, at: number, end: number): Values<S> | null {
    const values: Record<string, unknown> = {}
    const { words } = area
    let next = at
    for (const [name, kind] of this.#fields) {
      if (kind === 'u32') {
        if (next + 1 > end) return null
        values[name] = words[next++]
      } else if (kind === 'bytes') {
        const range = getBytes(area, next, end)
        if (range === null) return null
        values[name] = range
        next += 1 + wordsOf(range.length)
      } else if (kind === 'inode') {
        if (next + 2 > end) return null
        const inode = getNumbered(words, next, end)
        if (inode === undefined) return null
        values[name] = inode
        next += inode === null ? 2 : 2 + INODE_RECORD_BYTES / 4
      } else {
        if (next + 2 > end) return null
        const value = kind === 'u64' ? getWords(words, next) : getSigned(words, next)
        if (!Number.isSafeInteger(value)) return null
        values[name] = value
        next += 2
      }
    }
    this.next = next
    return values as Values<S>
  }
}

const wordsOf = (bytes: number): number => (bytes + 3) >>> 2

function putBytes(words: Uint32Array, bytes: Uint8Array, at: number, range: ByteRange): number {
  const { length, offset } = range
  const next = at + 1 + wordsOf(length)
  words[at] = length
  if (length === 0) return next
  words[next - 1] = 0
  const start = (at + 1) * 4
  for (let i = 0; i < length; i++) bytes[start + i] = range.bytes[offset + i] as number
  return next
}

function getBytes({ words, bytes }: Area, at: number, end: number): ByteRange | null {
  if (at + 1 > end) return null
  const length = words[at] as number
  return length <= (end - at - 1) * 4 ? { bytes, offset: (at + 1) * 4, length } : null
}

function putNumbered(words: Uint32Array, at: number, inode: NumberedInode | null): number {
  putWords(words, at, inode?.number ?? 0)
  if (inode === null) return at + 2
  return at + 2 + putInode(words, inode, at + 2) / 4
}

/** Null where there is none; undefined where it is damaged. */
function getNumbered(words: Uint32Array, at: number, end: number): NumberedInode | null | undefined {
  const number = getWords(words, at)
  if (number === 0) return null
  if (!Number.isSafeInteger(number) || at + 2 + INODE_RECORD_BYTES / 4 > end) return undefined
  const inode = { number } as NumberedInode
  if (getInode(words, INODE_RECORD_BYTES, inode, at + 2) !== null) return undefined
  const isSound = inode.chunkBits >= CHUNK_BITS_MIN && inode.chunkBits <= CHUNK_BITS_MAX && inode.layout <= LAYOUT_MAX
  const isSafe = [inode.size, inode.atime, inode.mtime, inode.ctime, inode.btime].every(Number.isSafeInteger)
  return isSound && isSafe ? inode : undefined
}
