import { type AttributeChange, noChange, type TimeChange } from '../share/attributes.js'
import type { MetadataUpdate, RequestOf } from '../wire/methods.js'

/** What {@link MetadataUpdate}'s `fields` says is set. */
export const UPDATE_MODE = 1
export const UPDATE_UID = 2
export const UPDATE_GID = 4
export const UPDATE_SIZE = 8
export const UPDATE_KILL = 16
export const TIME_KINDS = ['omit', 'now', 'set'] as const

/** setattr as a message has it. */
export type Update = RequestOf<typeof MetadataUpdate>

export function changeOf(request: Update): AttributeChange {
  const { fields } = request
  const change = noChange()
  if ((fields & UPDATE_MODE) !== 0) change.mode = request.mode
  if ((fields & UPDATE_UID) !== 0) change.uid = request.uid
  if ((fields & UPDATE_GID) !== 0) change.gid = request.gid
  if ((fields & UPDATE_SIZE) !== 0) change.size = request.size
  change.killPrivileges = (fields & UPDATE_KILL) !== 0
  setTime(change.atime, request.atimeKind, request.atime, request.atimeNs)
  setTime(change.mtime, request.mtimeKind, request.mtime, request.mtimeNs)
  setTime(change.ctime, request.ctimeKind, request.ctime, request.ctimeNs)
  return change
}

/** A truncation, as the kernel asks for it by open(2) with O_TRUNC. */
export function updateToEmpty(number: number, generation: number, killPrivileges: boolean): Update {
  return {
    ...{ number, generation, fields: UPDATE_SIZE | (killPrivileges ? UPDATE_KILL : 0) },
    ...{ mode: 0, uid: 0, gid: 0, size: 0, atimeKind: 0, atime: 0, atimeNs: 0 },
    ...{ mtimeKind: 0, mtime: 0, mtimeNs: 0, ctimeKind: 0, ctime: 0, ctimeNs: 0 },
  }
}

function setTime(into: TimeChange, kind: number, seconds: number, nanoseconds: number): void {
  into.kind = TIME_KINDS[kind] ?? 'omit'
  into.seconds = seconds
  into.nanoseconds = nanoseconds
}
