/**
 * POSIX access control lists (acl(5)) in the form of the attributes system.posix_acl_access and …_default: a version
 * u32 (2), then entries of tag u16, permissions u16, id u32, all little-endian, ordered by tag.
 */

const VERSION = 2
const HEAD_BYTES = 4
const ENTRY_BYTES = 8

const USER_OBJ = 0x01
const USER = 0x02
const GROUP_OBJ = 0x04
const GROUP = 0x08
const MASK = 0x10
const OTHER = 0x20

export interface AclEntry {
  readonly tag: number
  permissions: number
  /** uid or gid of a USER or GROUP entry; 0xffffffff otherwise. */
  readonly id: number
}

export type Acl = AclEntry[]

/** Parses an attribute's value; null where it is not a valid list. */
export function parseAcl(value: Uint8Array): Acl | null {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
  if (value.length < HEAD_BYTES || (value.length - HEAD_BYTES) % ENTRY_BYTES !== 0) return null
  if (view.getUint32(0, true) !== VERSION) return null
  const acl: Acl = []
  for (let at = HEAD_BYTES; at < value.length; at += ENTRY_BYTES) {
    acl.push({
      tag: view.getUint16(at, true),
      permissions: view.getUint16(at + 2, true),
      id: view.getUint32(at + 4, true),
    })
  }
  return isValid(acl) ? acl : null
}

export function formatAcl(acl: Acl): Uint8Array {
  const value = new Uint8Array(HEAD_BYTES + acl.length * ENTRY_BYTES)
  const view = new DataView(value.buffer)
  view.setUint32(0, VERSION, true)
  acl.forEach((entry, index) => {
    const at = HEAD_BYTES + index * ENTRY_BYTES
    view.setUint16(at, entry.tag, true)
    view.setUint16(at + 2, entry.permissions, true)
    view.setUint32(at + 4, entry.id, true)
  })
  return value
}

/** One each of the owner's, the group's and the others' entry; a mask where there are named ones. */
function isValid(acl: Acl): boolean {
  let last = 0
  for (const { tag, permissions } of acl) {
    const single = tag === USER_OBJ || tag === GROUP_OBJ || tag === MASK || tag === OTHER
    const named = tag === USER || tag === GROUP
    if (!(single ? tag > last : named && tag >= last) || permissions > 7) return false
    last = tag
  }
  const has = (tag: number): boolean => acl.some((entry) => entry.tag === tag)
  if (acl.length === 0) return true
  if (!has(USER_OBJ) || !has(GROUP_OBJ) || !has(OTHER)) return false
  return has(MASK) || !(has(USER) || has(GROUP))
}

/** The list says no more than three permission triples can. */
export const isMinimal = (acl: Acl): boolean => acl.length <= 3

const permissionsOf = (acl: Acl, tag: number): number | undefined => acl.find((entry) => entry.tag === tag)?.permissions

/** The nine permission bits that stat(2) shows for a file with this access list. */
export function modeOf(acl: Acl): number {
  const group = permissionsOf(acl, MASK) ?? permissionsOf(acl, GROUP_OBJ) ?? 0
  return ((permissionsOf(acl, USER_OBJ) ?? 0) << 6) | (group << 3) | (permissionsOf(acl, OTHER) ?? 0)
}

/** chmod(2) of a file with this access list: the group's bits set the mask. Changes `acl`. */
export function chmodAcl(acl: Acl, mode: number): void {
  const group = permissionsOf(acl, MASK) === undefined ? GROUP_OBJ : MASK
  for (const entry of acl) {
    if (entry.tag === USER_OBJ) entry.permissions = (mode >>> 6) & 7
    else if (entry.tag === group) entry.permissions = (mode >>> 3) & 7
    else if (entry.tag === OTHER) entry.permissions = mode & 7
  }
}

/**
 * What a new file gets from its directory's default list: the list cut down to what the creating call asked for
 * (acl(5), "object creation"). Changes `acl` to the access list and returns the nine permission bits.
 */
export function inheritAcl(acl: Acl, mode: number): number {
  const group = permissionsOf(acl, MASK) === undefined ? GROUP_OBJ : MASK
  for (const entry of acl) {
    if (entry.tag === USER_OBJ) entry.permissions &= (mode >>> 6) & 7
    else if (entry.tag === group) entry.permissions &= (mode >>> 3) & 7
    else if (entry.tag === OTHER) entry.permissions &= mode & 7
  }
  return modeOf(acl)
}
