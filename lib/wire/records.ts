/**
 * The records of the metadata store, byte for byte. All integers of a value are little-endian and unsigned unless said
 * otherwise; integers in a key are big-endian, so that the store's order is their numeric order. The Kv adds and checks
 * a checksum over key and value; each record begins with its type and version.
 *
 * | key                                                         | bytes | record                                   |
 * |-------------------------------------------------------------|-------|------------------------------------------|
 * | 00 …                                                        |       | the Kv's own bookkeeping                 |
 * | 'C'                                                         | 1     | counter                                  |
 * | 'D' parent u64, generation u32, position u32, serial u24    | 20    | dentry                                   |
 * | 'F' backing id u64                                          | 9     | backing file to remove, unless claimed   |
 * | 'G' directory u64, generation u32                           | 13    | directory that is being, or was, removed |
 * | 'H' inode u64, member 8 bytes                               | 17    | member that holds chunks of the inode    |
 * | 'I' inode u64                                               | 9     | inode                                    |
 * | 'L' member 8 bytes, saga u64                                | 17    | name that a peer's intent holds          |
 * | 'M' number u64                                              | 9     | node without a store that may have locks |
 * | 'N' inode u64                                               | 9     | inline data, or a symbolic link's target |
 * | 'O' inode u64                                               | 9     | inode without a name, still held         |
 * | 'P' id u64                                                  | 9     | what another node has yet to be told     |
 * | 'R' client 8 bytes, incarnation u64, sequence u64           | 25    | result of a change that a peer asked for |
 * | 'S' saga u64                                                | 9     | intent of a change on several nodes      |
 * | 'T' inode u64                                               | 9     | truncation that members still have to do |
 * | 'U' member 8 bytes, inode u64, generation u32               | 21    | freed inode of which it may hold chunks  |
 * | 'X' inode u64, name                                         | 9 + n | extended attribute                       |
 *
 * Those of one node ('C' to 'X' without 'G', 'L', 'M', 'P', 'R', 'S') are complete by themselves; the others say what
 * nodes owe each other, and 'M' that nodes without a store were here: a number means nothing in another run. The ids in
 * 'S' and 'P' come from the counter, and an incarnation 0 in 'R' stands for a member's durable stream, whose sequences
 * are an id × 32 plus the number of the step (message.ts says what it is).
 */
import { isRegular } from '../base/mode.js'

export const KEY_COUNTER = 0x43
export const KEY_DENTRY = 0x44
export const KEY_FREE = 0x46
export const KEY_GRAVE = 0x47
export const KEY_HOLDER = 0x48
export const KEY_INODE = 0x49
export const KEY_HELD = 0x4c
export const KEY_CLIENT = 0x4d
export const KEY_INLINE = 0x4e
export const KEY_ORPHAN = 0x4f
export const KEY_OUTBOX = 0x50
export const KEY_RESULT = 0x52
export const KEY_INTENT = 0x53
export const KEY_CUT = 0x54
export const KEY_DEPARTED = 0x55
export const KEY_XATTR = 0x58

export const RECORD_VERSION = 1

/** Bytes before the data of an inline, xattr or free record: type u8, version u8, zero u16. */
export const RECORD_HEAD_BYTES = 4

const TWO_32 = 2 ** 32

export function putUint64BE(bytes: Uint8Array, at: number, value: number): void {
  putUint32BE(bytes, at, Math.floor(value / TWO_32))
  putUint32BE(bytes, at + 4, value % TWO_32)
}

export function putUint32BE(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

export function getUint32BE(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16)
  return (high | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)) >>> 0
}

export function getUint64BE(bytes: Uint8Array, at: number): number {
  return getUint32BE(bytes, at) * TWO_32 + getUint32BE(bytes, at + 4)
}

/** Writes a key of one type byte and one 64-bit id; returns its length, 9. */
export function putIdKey(key: Uint8Array, type: number, id: number): number {
  key[0] = type
  putUint64BE(key, 1, id)
  return 9
}

export const DENTRY_KEY_BYTES = 20

/** Writes a dentry's key; returns its length, 20. */
export function putDentryKey(
  key: Uint8Array,
  parent: number,
  generation: number,
  position: number,
  serial: number,
): number {
  key[0] = KEY_DENTRY
  putUint64BE(key, 1, parent)
  putUint32BE(key, 9, generation)
  putUint32BE(key, 13, position)
  key[17] = serial >>> 16
  key[18] = serial >>> 8
  key[19] = serial
  return DENTRY_KEY_BYTES
}

export const dentryKeyPosition = (key: Uint8Array): number => getUint32BE(key, 13)

export const dentryKeySerial = (key: Uint8Array): number =>
  ((key[17] as number) << 16) | ((key[18] as number) << 8) | (key[19] as number)

/**
 * Dentry: type 'D' u8, version u8, kind u8 (the S_IFMT bits ÷ 4096), name length u8, child's generation u32,
 * child's inode number u64, then the name's bytes.
 */
export const DENTRY_HEAD_BYTES = 16

/** Inode: 136 bytes; see {@link putInode} for the table. */
export const INODE_RECORD_BYTES = 136

/** Inode flags. */
export const INODE_HAS_XATTRS = 1 // At least one xattr record was ever written.
export const INODE_HAS_ACL = 2 // An access or default ACL is among them.
export const INODE_HAS_CAPABILITY = 4 // security.capability is among them.
export const INODE_HAS_PARTS = 8 // At least one other member was ever allowed to hold chunks of it.
export const INODE_IS_PART = 16 // It lies elsewhere; here are chunks of it, and nothing else of the record counts.

/** What an inode record holds. Times are seconds since 1970 (may be negative) and nanoseconds. */
export interface InodeFields {
  flags: number
  generation: number
  mode: number
  nlink: number
  uid: number
  gid: number
  rdev: number
  size: number
  atime: number
  mtime: number
  ctime: number
  btime: number
  atimeNs: number
  mtimeNs: number
  ctimeNs: number
  btimeNs: number
  /** Id of the backing file, or 0 where the data is inline or there is none. */
  backing: number
  /** Counts every change; what a lease or a cached readdir is compared with. */
  change: number
  /** The directory that a directory is in; 0 for anything else. */
  parent: number
  /** Allocated 512-byte blocks at the members that hold chunks of a regular file; 0 for anything else. */
  blocksElsewhere: number
  parentGeneration: number
  /** Raised whenever the file becomes shorter: what a peer knows of a longer one, and its late writes, are refused. */
  truncationEpoch: number
  quotaId: number
  /** log2 of the chunk's bytes. */
  chunkBits: number
  /** 0 hash, 1 local. */
  layout: number
  /** Allocated 512-byte blocks of the backing file. */
  blocks: number
}

/**
 * | at  | field                 | at  | field                     |
 * |-----|-----------------------|-----|---------------------------|
 * | 0   | type 'I' u8           | 64  | btime, seconds i64        |
 * | 1   | version u8            | 72  | atime, nanoseconds u32    |
 * | 2   | record's bytes u16    | 76  | mtime, nanoseconds u32    |
 * | 4   | flags u32             | 80  | ctime, nanoseconds u32    |
 * | 8   | generation u32        | 84  | btime, nanoseconds u32    |
 * | 12  | mode u32              | 88  | backing id u64            |
 * | 16  | nlink u32             | 96  | change u64                |
 * | 20  | uid u32               | 104 | parent u64, or of a regular file its blocks elsewhere u64 |
 * | 24  | gid u32               | 112 | truncation epoch u32      |
 * | 28  | rdev u32              | 116 | quota id u32              |
 * | 32  | size u64              | 120 | chunk bits u8, layout u8, zero u16 |
 * | 40  | atime, seconds i64    | 124 | parent's generation u32   |
 * | 48  | mtime, seconds i64    | 128 | blocks u64                |
 * | 56  | ctime, seconds i64    |     |                           |
 *
 * `words` is the value area as 32-bit words; the record begins at the word `at`.
 */
export function putInode(words: Uint32Array, inode: InodeFields, at = 0): number {
  words[at] = KEY_INODE | (RECORD_VERSION << 8) | (INODE_RECORD_BYTES << 16)
  words[at + 1] = inode.flags
  words[at + 2] = inode.generation
  words[at + 3] = inode.mode
  words[at + 4] = inode.nlink
  words[at + 5] = inode.uid
  words[at + 6] = inode.gid
  words[at + 7] = inode.rdev
  putWords(words, at + 8, inode.size)
  putWords(words, at + 10, inode.atime)
  putWords(words, at + 12, inode.mtime)
  putWords(words, at + 14, inode.ctime)
  putWords(words, at + 16, inode.btime)
  words[at + 18] = inode.atimeNs
  words[at + 19] = inode.mtimeNs
  words[at + 20] = inode.ctimeNs
  words[at + 21] = inode.btimeNs
  putWords(words, at + 22, inode.backing)
  putWords(words, at + 24, inode.change)
  putWords(words, at + 26, isRegular(inode.mode) ? inode.blocksElsewhere : inode.parent)
  words[at + 28] = inode.truncationEpoch
  words[at + 29] = inode.quotaId
  words[at + 30] = inode.chunkBits | (inode.layout << 8)
  words[at + 31] = inode.parentGeneration
  putWords(words, at + 32, inode.blocks)
  return INODE_RECORD_BYTES
}

/** Reads an inode record into `inode`; returns the reason why it cannot be one, or null. */
export function getInode(words: Uint32Array, valueBytes: number, inode: InodeFields, at = 0): string | null {
  if (valueBytes < INODE_RECORD_BYTES) return `an inode record of ${valueBytes} bytes`
  const head = words[at] as number
  if ((head & 0xff) !== KEY_INODE) return `an inode record of type ${head & 0xff}`
  if (((head >>> 8) & 0xff) !== RECORD_VERSION) return `an inode record of version ${(head >>> 8) & 0xff}`
  if (head >>> 16 !== valueBytes) return `an inode record that says it has ${head >>> 16} bytes and has ${valueBytes}`
  inode.flags = words[at + 1] as number
  inode.generation = words[at + 2] as number
  inode.mode = words[at + 3] as number
  inode.nlink = words[at + 4] as number
  inode.uid = words[at + 5] as number
  inode.gid = words[at + 6] as number
  inode.rdev = words[at + 7] as number
  inode.size = getWords(words, at + 8)
  inode.atime = getSigned(words, at + 10)
  inode.mtime = getSigned(words, at + 12)
  inode.ctime = getSigned(words, at + 14)
  inode.btime = getSigned(words, at + 16)
  inode.atimeNs = words[at + 18] as number
  inode.mtimeNs = words[at + 19] as number
  inode.ctimeNs = words[at + 20] as number
  inode.btimeNs = words[at + 21] as number
  inode.backing = getWords(words, at + 22)
  inode.change = getWords(words, at + 24)
  const either = getWords(words, at + 26)
  inode.parent = isRegular(inode.mode) ? 0 : either
  inode.blocksElsewhere = isRegular(inode.mode) ? either : 0
  inode.truncationEpoch = words[at + 28] as number
  inode.quotaId = words[at + 29] as number
  inode.chunkBits = (words[at + 30] as number) & 0xff
  inode.layout = ((words[at + 30] as number) >>> 8) & 0xff
  inode.parentGeneration = words[at + 31] as number
  inode.blocks = getWords(words, at + 32)
  return null
}

/** Writes a 64-bit integer, negative ones in two's complement, as two words. */
export function putWords(words: Uint32Array, at: number, value: number): void {
  words[at] = value % TWO_32
  words[at + 1] = Math.floor(value / TWO_32)
}

/** Reads an unsigned 64-bit integer; exact below 2^53. */
export function getWords(words: Uint32Array, at: number): number {
  return (words[at + 1] as number) * TWO_32 + (words[at] as number)
}

/** Reads a signed 64-bit integer; exact within ±2^53. */
export function getSigned(words: Uint32Array, at: number): number {
  return ((words[at + 1] as number) | 0) * TWO_32 + (words[at] as number)
}
