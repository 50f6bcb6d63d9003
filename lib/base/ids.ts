import { assert } from './assert.js'

/**
 * An inode number: ring position (32 bits) × 2^21 + serial (21 bits), so that it fits a JavaScript number exactly and
 * says by itself where the inode lives. Made and taken apart with × and ÷: shifts would cut it to 32 bits.
 */
export type InodeNumber = number & { readonly brand: 'InodeNumber' }

export const SERIAL_SPAN = 2 ** 21

export const ROOT_INODE = 1 as InodeNumber

export function inodeNumber(position: number, serial: number): InodeNumber {
  assert(position >= 0 && position < 2 ** 32 && serial >= 0 && serial < SERIAL_SPAN, 'inode number out of range')
  return (position * SERIAL_SPAN + serial) as InodeNumber
}

/** Bytes of a member's id. */
export const MEMBER_ID_BYTES = 8

/** Bytes of somebody else's memory, such as a name in a request: valid only until the request is answered. */
export interface ByteRange {
  bytes: Uint8Array
  offset: number
  length: number
}

export const EMPTY_RANGE: ByteRange = { bytes: new Uint8Array(0), offset: 0, length: 0 }

export const bytesOf = ({ bytes, offset, length }: ByteRange): Uint8Array => bytes.subarray(offset, offset + length)

/** Bytes that outlive the message that has brought them. */
export const copyOf = (range: ByteRange): ByteRange => ({
  bytes: bytesOf(range).slice(),
  offset: 0,
  length: range.length,
})
