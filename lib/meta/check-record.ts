/** The leaves of {@link checkStore}: what one record, or one inode, says by itself. */
import { ROOT_INODE } from '../base/ids.js'
import { FILE_BYTES_MAX, INLINE_BYTES_MAX, TARGET_BYTES_MAX } from '../base/limits.js'
import { S_IFMT } from '../base/mode.js'
import {
  DENTRY_KEY_BYTES,
  KEY_CLIENT,
  KEY_COUNTER,
  KEY_CUT,
  KEY_DENTRY,
  KEY_DEPARTED,
  KEY_FREE,
  KEY_GRAVE,
  KEY_HELD,
  KEY_HOLDER,
  KEY_INLINE,
  KEY_INODE,
  KEY_INTENT,
  KEY_ORPHAN,
  KEY_OUTBOX,
  KEY_RESULT,
  KEY_XATTR,
} from '../wire/records.js'
import type { Inode } from './inode.js'

export const ID_KEY_BYTES = 9

/** The lengths of keys, by their types; attributes apart, whose keys end with their names. */
const FIXED: readonly (readonly [type: number, bytes: number])[] = [
  [KEY_CLIENT, ID_KEY_BYTES],
  [KEY_COUNTER, 1],
  [KEY_DENTRY, DENTRY_KEY_BYTES],
  [KEY_FREE, ID_KEY_BYTES],
  [KEY_GRAVE, 13],
  [KEY_HELD, 17],
  [KEY_HOLDER, 17],
  [KEY_INODE, ID_KEY_BYTES],
  [KEY_INLINE, ID_KEY_BYTES],
  [KEY_INTENT, ID_KEY_BYTES],
  [KEY_ORPHAN, ID_KEY_BYTES],
  [KEY_OUTBOX, ID_KEY_BYTES],
  [KEY_RESULT, 25],
  [KEY_CUT, ID_KEY_BYTES],
  [KEY_DEPARTED, 21],
]
const FIXED_BYTES: ReadonlyMap<number, number> = new Map(FIXED)

/** Which lengths the key of a record may have. */
export const KEY_BYTES: ReadonlyMap<number, (bytes: number) => boolean> = new Map([
  ...FIXED.map(([type, length]): [number, (bytes: number) => boolean] => [type, (bytes) => bytes === length]),
  [KEY_XATTR, (bytes) => bytes > ID_KEY_BYTES],
])
const NANOSECONDS = 1_000_000_000
/** S_IFMT bits of every kind that an inode can be: fifo, device, directory, device, file, link, socket. */
const KINDS: ReadonlySet<number> = new Set([0o010000, 0o020000, 0o040000, 0o060000, 0o100000, 0o120000, 0o140000])
const CHUNK_BITS_MIN = 16
const CHUNK_BITS_MAX = 30

/** What is known of an inode. */
export interface Known {
  readonly inode: Inode
  /** Its record cannot be read, so nothing is expected of its fields. */
  readonly isDamaged: boolean
  dentries: number
  subdirectories: number
  /** Bytes of its inline record; −1 where there is none. */
  inlineBytes: number
  hasXattrs: boolean
  isOrphan: boolean
  reach: Reach
}

/** Whether the way up from a directory ends at the root. */
export enum Reach {
  Unknown,
  OnTheWay,
  Found,
  Lost,
}

export function fieldFaults(inode: Inode): string[] {
  const faults: string[] = []
  if (!KINDS.has(inode.mode & S_IFMT)) faults.push(`its mode ${inode.mode.toString(8)} has no kind`)
  if (inode.number === ROOT_INODE && !inode.isDirectory) faults.push('the root is no directory')
  if (!(inode.size <= FILE_BYTES_MAX)) faults.push(`its size ${inode.size} is too large`)
  if (!Number.isSafeInteger(inode.blocks)) faults.push(`its ${inode.blocks} blocks are too many`)
  if (!Number.isSafeInteger(inode.backing)) faults.push(`its backing file ${inode.backing} cannot be`)
  for (const time of ['atime', 'mtime', 'ctime', 'btime'] as const) {
    if (inode[`${time}Ns`] >= NANOSECONDS) faults.push(`its ${time} has ${inode[`${time}Ns`]} nanoseconds`)
  }
  if (inode.chunkBits < CHUNK_BITS_MIN || inode.chunkBits > CHUNK_BITS_MAX) {
    faults.push(`its chunks of 2^${inode.chunkBits} bytes cannot be`)
  }
  if (inode.layout > 1) faults.push(`its layout ${inode.layout} is unknown`)
  if (inode.backing !== 0 && !inode.isRegular) faults.push('it has a backing file and is no regular file')
  return faults
}

/** What inline data an inode may have: a link its target, a regular file without a backing file its beginning. */
export function inlineFaults({ inode, inlineBytes }: Known): string[] {
  if (inode.isSymlink) {
    const isRight = inlineBytes === inode.size && inlineBytes >= 1 && inlineBytes <= TARGET_BYTES_MAX
    return isRight ? [] : [`it is a link of ${inode.size} bytes with a target of ${inlineBytes}`]
  }
  if (inlineBytes < 0) return []
  if (!inode.isRegular) return ['it has inline data and is no regular file']
  if (inode.backing !== 0) return ['it has inline data and a backing file']
  if (inlineBytes <= INLINE_BYTES_MAX && inlineBytes <= inode.size) return []
  return [`it has ${inlineBytes} bytes of inline data at a size of ${inode.size}`]
}

/** The length of a key that is followed by zeros. */
export function lengthOfKey(key: Uint8Array): number {
  const fixed = FIXED_BYTES.get(key[0] as number)
  if (fixed !== undefined) return fixed
  // The name of an attribute has no zeros.
  const end = key.indexOf(0, ID_KEY_BYTES)
  return end < 0 ? key.length : end
}

export function compare(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    if (a[at] !== b[at]) return (a[at] as number) - (b[at] as number)
  }
  return a.length - b.length
}

/** A key as it is printed: its type as a letter, the rest in hexadecimal. */
export function nameOf(key: Uint8Array): string {
  const [type, ...rest] = key
  if (type === undefined) return 'none'
  const letter = type > 0x20 && type < 0x7f ? String.fromCharCode(type) : `0x${type.toString(16)}`
  return letter + rest.map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
