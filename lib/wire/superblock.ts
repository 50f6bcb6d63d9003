/**
 * The superblock: what a store is, and which cluster it belongs to. It stands in the file `superblock`, twice: the file
 * has two halves of equal length, each a record and zeros up to a multiple of 4096. A change is written to the first
 * half, synced, written to the second, synced, so that a power cut tears one of them at most; a reader takes the valid
 * half with the higher incarnation.
 *
 * All integers are little-endian and unsigned.
 *
 * | at  | bytes | field                                                                        |
 * |-----|-------|------------------------------------------------------------------------------|
 * | 0   | 8     | magic "CHFSSUPR"                                                             |
 * | 8   | 4     | format version, 1                                                            |
 * | 12  | 4     | the record's bytes, a multiple of 8                                          |
 * | 16  | 4     | XXH32 with seed 0 over the record, with this field zero                      |
 * | 20  | 4     | hash version, 1: positions are XXH32 as lib/ring/position.ts has it          |
 * | 24  | 4     | compatible features: whoever does not know one may ignore it                 |
 * | 28  | 4     | read-only-compatible features: whoever does not know one may only read       |
 * | 32  | 4     | incompatible features: whoever does not know one may not even read           |
 * | 36  | 4     | 1 once the store has all its parts; 0 while it is being made                 |
 * | 40  | 16    | cluster id, random; zero in a new store that has not met the other members   |
 * | 56  | 8     | member id, random, given when the store was made                             |
 * | 64  | 8     | incarnation: raised each time that the store is opened                       |
 * | 72  | 8     | ring epoch of the member list                                                |
 * | 80  | 4     | virtual nodes a member                                                       |
 * | 84  | 4     | chunk bytes that the root directory was made with                            |
 * | 88  | 4     | members                                                                      |
 * | 92  | 4     | layout that the root directory was made with: 0 hash, 1 local                |
 * | 96  | 32    | zero                                                                         |
 * | 128 | …     | the members, in the order of the member list; only itself in a new store     |
 *
 * A member:
 *
 * | at | bytes | field                                                                         |
 * |----|-------|-------------------------------------------------------------------------------|
 * | 0  | 8     | member id                                                                     |
 * | 8  | 2     | bytes of the name                                                             |
 * | 10 | 2     | bytes of the address                                                          |
 * | 12 | 4     | zero                                                                          |
 * | 16 | …     | name and address in UTF-8, then zeros up to a multiple of 8                   |
 *
 * Magic, version, length and checksum stay where they are in every version. Example: the first opening of a store with
 * 150 virtual nodes and chunks of 4 MiB, alone in its cluster; with name "n1" and address "10.0.0.1:7400":
 *
 *     00  43 48 46 53 53 55 50 52  01 00 00 00 a0 00 00 00  CHFSSUPR, version 1, 160 bytes
 *     10  2d 15 d7 43 01 00 00 00  00 00 00 00 00 00 00 00  checksum, hash version 1, no features
 *     20  00 00 00 00 01 00 00 00  00 11 22 33 44 55 66 77  whole; cluster 00112233445566778899aabbccddeeff
 *     30  88 99 aa bb cc dd ee ff  01 23 45 67 89 ab cd ef  member 0123456789abcdef
 *     40  01 00 00 00 00 00 00 00  01 00 00 00 00 00 00 00  incarnation 1, epoch 1
 *     50  96 00 00 00 00 00 40 00  01 00 00 00 00 00 00 00  150 virtual nodes, 4 MiB, 1 member
 *     60  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00
 *     70  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00
 *     80  01 23 45 67 89 ab cd ef  02 00 0d 00 00 00 00 00  the member: 2 bytes of name, 13 of address
 *     90  6e 31 31 30 2e 30 2e 30  2e 31 3a 37 34 30 30 00  n1, 10.0.0.1:7400
 */
import { assert } from '../base/assert.js'
import type { Hash32 } from '../ports.js'

export const SUPERBLOCK_VERSION = 1
/** Each half of the file is a multiple of this. */
export const SUPERBLOCK_BLOCK_BYTES = 4096
/** A file longer than this is not ours, and is not read. */
export const SUPERBLOCK_FILE_BYTES_MAX = 8 << 20

/** The features that this version knows: none yet. */
const KNOWN = { readOnlyCompatible: 0, incompatible: 0 }
const HASH_VERSION = 1
const HEAD_BYTES = 128
const MEMBER_HEAD_BYTES = 16
const MAGIC = 'CHFSSUPR'
const VERSION_AT = 8
const LENGTH_AT = 12
const CHECKSUM_AT = 16
const WHOLE_AT = 36
const INCARNATION_AT = 64
const LAYOUT_AT = 92
const LAYOUT_MAX = 1

export interface Member {
  /** 16 hexadecimal digits. */
  readonly id: string
  readonly name: string
  readonly address: string
}

export interface Superblock {
  readonly compatible: number
  readonly readOnlyCompatible: number
  readonly incompatible: number
  /** The store has all its parts: one that is missing now was lost. */
  readonly isWhole: boolean
  /** 32 hexadecimal digits, all zero in a new store that has not met the other members. */
  readonly clusterId: string
  /** 16 hexadecimal digits. */
  readonly memberId: string
  readonly incarnation: number
  readonly ringEpoch: number
  readonly virtualNodes: number
  readonly chunkBytes: number
  /** 0 hash, 1 local. */
  readonly layout: number
  /** In the order of the member list; this store's own member among them. */
  readonly members: readonly Member[]
}

/** Why bytes are no superblock that this version may use. */
export interface SuperblockFault {
  /** foreign: not ours at all; newer: a later version's; locked: may be read, but not written; damaged: ours once. */
  readonly kind: 'foreign' | 'newer' | 'locked' | 'damaged'
  readonly reason: string
}

/** The record, without the zeros that fill up its half of the file. */
export function encodeSuperblock(superblock: Superblock, hash: Hash32): Uint8Array {
  const members = superblock.members.map(encodeMember)
  const bytes = new Uint8Array(members.reduce((sum, member) => sum + member.length, HEAD_BYTES))
  const view = new DataView(bytes.buffer)
  bytes.set(new TextEncoder().encode(MAGIC))
  const words: [number, number][] = [
    [VERSION_AT, SUPERBLOCK_VERSION],
    [LENGTH_AT, bytes.length],
    [20, HASH_VERSION],
    [24, superblock.compatible],
    [28, superblock.readOnlyCompatible],
    [32, superblock.incompatible],
    [WHOLE_AT, Number(superblock.isWhole)],
    [80, superblock.virtualNodes],
    [84, superblock.chunkBytes],
    [88, members.length],
    [LAYOUT_AT, superblock.layout],
  ]
  for (const [at, word] of words) view.setUint32(at, word, true)
  bytes.set(bytesOf(superblock.clusterId, 16), 40)
  bytes.set(bytesOf(superblock.memberId, 8), 56)
  view.setBigUint64(INCARNATION_AT, BigInt(superblock.incarnation), true)
  view.setBigUint64(72, BigInt(superblock.ringEpoch), true)
  let at = HEAD_BYTES
  for (const member of members) {
    bytes.set(member, at)
    at += member.length
  }
  seal(bytes, hash)
  return bytes
}

/** The same record with other changing fields. What a later version may have added to it stays as it is. */
export function changeSuperblock(record: Uint8Array, incarnation: number, isWhole: boolean, hash: Hash32): Uint8Array {
  const bytes = new Uint8Array(record)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(INCARNATION_AT, BigInt(incarnation), true)
  view.setUint32(WHOLE_AT, Number(isWhole), true)
  seal(bytes, hash)
  return bytes
}

/** The reason why the bytes, which begin with a record and may go on behind it, cannot be used; or null. */
export function invalidSuperblock(bytes: Uint8Array, hash: Hash32): SuperblockFault | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < MAGIC.length || latin1(bytes.subarray(0, MAGIC.length)) !== MAGIC) {
    return { kind: 'foreign', reason: 'it does not begin with the magic of a superblock' }
  }
  if (bytes.length < HEAD_BYTES) return damaged(`it ends after ${bytes.length} bytes`)
  const length = view.getUint32(LENGTH_AT, true)
  if (length < HEAD_BYTES || length > bytes.length || length % 8 !== 0) return damaged(`it says it has ${length} bytes`)
  const record = bytes.subarray(0, length)
  if (view.getUint32(CHECKSUM_AT, true) !== checksumOf(record, hash)) return damaged('its checksum is wrong')
  const version = view.getUint32(VERSION_AT, true)
  if (version !== SUPERBLOCK_VERSION) {
    return newer(`it has format version ${version}, and this chfs knows ${SUPERBLOCK_VERSION}`)
  }
  const incompatible = view.getUint32(32, true) & ~KNOWN.incompatible
  if (incompatible !== 0)
    return newer(`it uses features that this chfs does not know (incompatible ${hex(incompatible)})`)
  const hashVersion = view.getUint32(20, true)
  if (hashVersion !== HASH_VERSION)
    return newer(`it uses hash version ${hashVersion}, and this chfs knows ${HASH_VERSION}`)
  const reason = invalidFields(record, view)
  if (reason !== null) return damaged(reason)
  const locked = view.getUint32(28, true) & ~KNOWN.readOnlyCompatible
  if (locked === 0) return null
  return { kind: 'locked', reason: `it uses features that this chfs must not write to (${hex(locked)})` }
}

/** Reads a record for which {@link invalidSuperblock} has found nothing worse than `locked`. */
export function decodeSuperblock(bytes: Uint8Array): Superblock {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const members = decodeMembers(bytes, view)
  assert(members !== null, 'a superblock is decoded after it was checked')
  return {
    compatible: view.getUint32(24, true),
    readOnlyCompatible: view.getUint32(28, true),
    incompatible: view.getUint32(32, true),
    isWhole: view.getUint32(WHOLE_AT, true) === 1,
    clusterId: hexOf(bytes.subarray(40, 56)),
    memberId: hexOf(bytes.subarray(56, 64)),
    incarnation: uint64(view, INCARNATION_AT),
    ringEpoch: uint64(view, 72),
    virtualNodes: view.getUint32(80, true),
    chunkBytes: view.getUint32(84, true),
    layout: view.getUint32(LAYOUT_AT, true),
    members,
  }
}

/** The length of a record that is valid. */
export function superblockBytes(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(LENGTH_AT, true)
}

function invalidFields(record: Uint8Array, view: DataView): string | null {
  if (view.getUint32(WHOLE_AT, true) > 1) return 'it is neither whole nor being made'
  for (const at of [INCARNATION_AT, 72]) {
    if (!Number.isSafeInteger(uint64(view, at))) return 'its incarnation or its ring epoch is beyond 2^53'
  }
  if (view.getUint32(80, true) === 0) return 'it has no virtual nodes'
  const chunkBits = Math.log2(view.getUint32(84, true))
  if (!Number.isInteger(chunkBits)) return `its chunk of ${view.getUint32(84, true)} bytes is no power of two`
  if (view.getUint32(LAYOUT_AT, true) > LAYOUT_MAX) return 'its layout is none'
  const members = decodeMembers(record, view)
  if (members === null) return 'its member list is cut short'
  const ids = members.map(({ id }) => id)
  if (new Set(ids).size < ids.length) return 'its member list has a member twice'
  return ids.includes(hexOf(record.subarray(56, 64))) ? null : 'it is not in its own member list'
}

/** Null where they do not fit. */
function decodeMembers(bytes: Uint8Array, view: DataView): Member[] | null {
  const end = view.getUint32(LENGTH_AT, true)
  const count = view.getUint32(88, true)
  const members: Member[] = []
  const decoder = new TextDecoder()
  for (let at = HEAD_BYTES; members.length < count; ) {
    if (at + MEMBER_HEAD_BYTES > end) return null
    const nameAt = at + MEMBER_HEAD_BYTES
    const addressAt = nameAt + view.getUint16(at + 8, true)
    const next = addressAt + view.getUint16(at + 10, true)
    if (next > end) return null
    members.push({
      id: hexOf(bytes.subarray(at, at + 8)),
      name: decoder.decode(bytes.subarray(nameAt, addressAt)),
      address: decoder.decode(bytes.subarray(addressAt, next)),
    })
    at = (next + 7) & ~7
  }
  return members
}

function encodeMember({ id, name, address }: Member): Uint8Array {
  const encoder = new TextEncoder()
  const names = encoder.encode(name)
  const addresses = encoder.encode(address)
  const bytes = new Uint8Array((MEMBER_HEAD_BYTES + names.length + addresses.length + 7) & ~7)
  const view = new DataView(bytes.buffer)
  bytes.set(bytesOf(id, 8))
  view.setUint16(8, names.length, true)
  view.setUint16(10, addresses.length, true)
  bytes.set(names, MEMBER_HEAD_BYTES)
  bytes.set(addresses, MEMBER_HEAD_BYTES + names.length)
  return bytes
}

function checksumOf(record: Uint8Array, hash: Hash32): number {
  const hashed = new Uint8Array(record)
  hashed.fill(0, CHECKSUM_AT, CHECKSUM_AT + 4)
  return hash(hashed, 0)
}

function seal(record: Uint8Array, hash: Hash32): void {
  new DataView(record.buffer).setUint32(CHECKSUM_AT, checksumOf(record, hash), true)
}

const damaged = (reason: string): SuperblockFault => ({ kind: 'damaged', reason })
const newer = (reason: string): SuperblockFault => ({ kind: 'newer', reason })
const hex = (bits: number): string => `0x${(bits >>> 0).toString(16)}`
const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes)
const uint64 = (view: DataView, at: number): number => Number(view.getBigUint64(at, true))

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function bytesOf(digits: string, count: number): Uint8Array {
  assert(digits.length === 2 * count && /^[0-9a-f]*$/.test(digits), `an id of ${count} bytes in hexadecimal`)
  return Uint8Array.from({ length: count }, (_, index) => Number.parseInt(digits.slice(2 * index, 2 * index + 2), 16))
}
