import { EINVAL, fail } from '../base/errno.js'
import type { ByteRange } from '../base/ids.js'
import { isDirectory, isSymlink, S_ISGID } from '../base/mode.js'
import type { Inode } from '../meta/inode.js'
import { INODE_HAS_ACL, INODE_HAS_XATTRS } from '../wire/records.js'
import { type Acl, chmodAcl, formatAcl, inheritAcl, isMinimal, modeOf, parseAcl } from './acl.js'
import type { Context } from './context.js'

const PERMISSIONS = 0o777

const named = (text: string): ByteRange => {
  const bytes = new TextEncoder().encode(text)
  return { bytes, offset: 0, length: bytes.length }
}

export const ACCESS_ACL = named('system.posix_acl_access')
export const DEFAULT_ACL = named('system.posix_acl_default')

/** The value of a directory's default list, or null. */
export function defaultAclOf(context: Context, directory: Inode): Acl | null {
  return load(context, directory, DEFAULT_ACL)
}

/** Gives a new inode its permissions: from its directory's default list, or else from the umask. */
export function inheritAcls(context: Context, defaultAcl: Acl | null, inode: Inode, umask: number): void {
  const acl = isSymlink(inode.mode) ? null : defaultAcl
  if (acl === null) {
    if (!isSymlink(inode.mode)) inode.mode &= ~(umask & PERMISSIONS)
    return
  }
  if (isDirectory(inode.mode)) store(context, inode, DEFAULT_ACL, acl)
  inode.mode = (inode.mode & ~PERMISSIONS) | inheritAcl(acl, inode.mode)
  if (!isMinimal(acl)) store(context, inode, ACCESS_ACL, acl)
}

/** Sets the permission bits of `mode`, and the entries of the access list that mirror them. */
export function chmod(context: Context, inode: Inode, mode: number): void {
  const acl = load(context, inode, ACCESS_ACL)
  if (acl === null) return
  chmodAcl(acl, mode)
  store(context, inode, ACCESS_ACL, acl)
}

/** Sets an access list from the value of its attribute; the permission bits follow. EINVAL where it is not valid. */
export function setAccessAcl(context: Context, inode: Inode, value: Uint8Array, killSetgid: boolean): void {
  const acl = parseAcl(value) ?? fail(EINVAL)
  if (acl.length > 0) {
    inode.mode = (inode.mode & ~PERMISSIONS) | modeOf(acl)
    if (killSetgid) inode.mode &= ~S_ISGID
  }
  if (isMinimal(acl)) remove(context, inode, ACCESS_ACL)
  else store(context, inode, ACCESS_ACL, acl)
}

/** Sets a directory's default list. EINVAL where it is not valid. */
export function setDefaultAcl(context: Context, inode: Inode, value: Uint8Array): void {
  const acl = parseAcl(value) ?? fail(EINVAL)
  if (acl.length === 0) remove(context, inode, DEFAULT_ACL)
  else store(context, inode, DEFAULT_ACL, acl)
}

/** Takes both lists away. */
export function removeAcls(context: Context, inode: Inode): void {
  remove(context, inode, ACCESS_ACL)
  remove(context, inode, DEFAULT_ACL)
}

function load(context: Context, inode: Inode, name: ByteRange): Acl | null {
  if ((inode.flags & INODE_HAS_ACL) === 0) return null
  const { xattrs } = context.meta
  if (!xattrs.get(inode.number, name)) return null
  const { bytes, offset, length } = xattrs.value
  return parseAcl(bytes.subarray(offset, offset + length))
}

function store(context: Context, inode: Inode, name: ByteRange, acl: Acl): void {
  const bytes = formatAcl(acl)
  inode.flags |= INODE_HAS_ACL | INODE_HAS_XATTRS
  context.meta.xattrs.set(inode.number, name, { bytes, offset: 0, length: bytes.length })
}

function remove(context: Context, inode: Inode, name: ByteRange): void {
  if ((inode.flags & INODE_HAS_ACL) !== 0 && context.meta.xattrs.get(inode.number, name)) {
    context.meta.xattrs.remove(inode.number, name)
  }
}
