import { E2BIG, EEXIST, EINVAL, ENODATA, EOPNOTSUPP, ERANGE, fail } from '../base/errno.js'
import type { ByteRange } from '../base/ids.js'
import { XATTR_BYTES_MAX } from '../base/limits.js'
import type { Inode } from '../meta/inode.js'
import { INODE_HAS_ACL, INODE_HAS_CAPABILITY, INODE_HAS_XATTRS } from '../wire/records.js'
import { ACCESS_ACL, DEFAULT_ACL, setAccessAcl, setDefaultAcl } from './acls.js'
import type { Context } from './context.js'
import { isPlacementName, placementOf, setPlacement } from './placement.js'

export const XATTR_CREATE = 1
export const XATTR_REPLACE = 2

const TRUSTED = 'trusted.'
const NAMESPACES = ['user.', TRUSTED, 'security.']

const encoder = new TextEncoder()
const decoder = new TextDecoder('latin1')
const encoded = encoder.encode('security.capability')
const CAPABILITY: ByteRange = { bytes: encoded, offset: 0, length: encoded.length }

const bytesOf = ({ bytes, offset, length }: ByteRange): Uint8Array => bytes.subarray(offset, offset + length)

const textOf = (range: ByteRange): string => decoder.decode(bytesOf(range))

const isAclName = (text: string): boolean => text === textOf(ACCESS_ACL) || text === textOf(DEFAULT_ACL)

const isKnown = (text: string): boolean => isAclName(text) || NAMESPACES.some((prefix) => text.startsWith(prefix))

/** Extended attributes (xattr(7)), access control lists among them. */
export class ExtendedAttributes {
  readonly #context: Context

  constructor(context: Context) {
    this.#context = context
  }

  /**
   * Copies the value to `into` and returns its length, or only returns the length where `size` is 0. ENODATA, ERANGE
   * where the value is larger than `size`.
   */
  get(number: number, name: ByteRange, into: Uint8Array, at: number, size: number): number {
    const { meta } = this.#context
    const inode = meta.inode(number)
    const value = this.#load(inode, name)
    if (size === 0) return value.length
    if (value.length > size) fail(ERANGE)
    into.set(bytesOf(value), at)
    return value.length
  }

  /** Sets a value; `flags` are XATTR_CREATE and XATTR_REPLACE. EEXIST, ENODATA, E2BIG, EOPNOTSUPP, ENOSPC. */
  set(number: number, name: ByteRange, value: ByteRange, flags: number, killSetgid: boolean): void {
    const { meta } = this.#context
    const inode = meta.inode(number)
    const text = textOf(name)
    if (value.length > XATTR_BYTES_MAX) fail(E2BIG)
    if (isPlacementName(text)) {
      setPlacement(inode, text, textOf(value))
      meta.stamp(inode, false)
      return
    }
    const isAcl = isAclName(text)
    if (!isKnown(text)) fail(EOPNOTSUPP)
    if (NAMESPACES.includes(text)) fail(EINVAL)
    const exists = inode.flags !== 0 && meta.xattrs.get(number, name)
    if (exists && (flags & XATTR_CREATE) !== 0) fail(EEXIST)
    if (!exists && (flags & XATTR_REPLACE) !== 0) fail(ENODATA)
    meta.mustGrow()
    if (text === textOf(ACCESS_ACL)) setAccessAcl(this.#context, inode, bytesOf(value), killSetgid)
    else if (text === textOf(DEFAULT_ACL)) setDefaultAcl(this.#context, inode, bytesOf(value))
    else meta.xattrs.set(number, name, value)
    inode.flags |= INODE_HAS_XATTRS
    if (isAcl) inode.flags |= INODE_HAS_ACL
    if (text === 'security.capability') inode.flags |= INODE_HAS_CAPABILITY
    meta.stamp(inode, false)
  }

  /**
   * Writes the names, each ended by NUL, to `into`; returns their length. ERANGE where that is more than `size` > 0.
   * Those of the trusted namespace are for the `privileged` only.
   */
  list(number: number, into: Uint8Array, at: number, size: number, privileged: boolean): number {
    const { meta } = this.#context
    const inode = meta.inode(number)
    let length = 0
    if (inode.flags === 0) return 0
    meta.xattrs.names(number, (name) => {
      if (!privileged && textOf(name).startsWith(TRUSTED)) return
      const end = length + name.length + 1
      if (size > 0 && end <= size) {
        into.set(bytesOf(name), at + length)
        into[at + end - 1] = 0
      }
      length = end
    })
    if (size > 0 && length > size) fail(ERANGE)
    return length
  }

  /** ENODATA where there is none; taking away a list that is not there succeeds, as Linux has it. */
  remove(number: number, name: ByteRange): void {
    const { meta } = this.#context
    const inode = meta.inode(number)
    const text = textOf(name)
    if (isPlacementName(text)) fail(EINVAL)
    if (!meta.xattrs.get(number, name)) {
      if (isAclName(text)) return
      fail(isKnown(text) ? ENODATA : EOPNOTSUPP)
    }
    meta.xattrs.remove(number, name)
    meta.stamp(inode, false)
  }

  #load(inode: Inode, name: ByteRange): ByteRange {
    const { xattrs } = this.#context.meta
    if (inode.flags !== 0 && xattrs.get(inode.number, name)) return xattrs.value
    const text = textOf(name)
    if (!isKnown(text)) fail(EOPNOTSUPP)
    if (!inode.isDirectory || !isPlacementName(text)) fail(ENODATA)
    const bytes = encoder.encode(placementOf(inode, text))
    return { bytes, offset: 0, length: bytes.length }
  }
}

/** A file's capabilities do not survive a change of its contents or owner. */
export function removeCapability(context: Context, inode: Inode): void {
  if ((inode.flags & INODE_HAS_CAPABILITY) === 0) return
  inode.flags &= ~INODE_HAS_CAPABILITY
  const { xattrs } = context.meta
  if (xattrs.get(inode.number, CAPABILITY)) xattrs.remove(inode.number, CAPABILITY)
}
