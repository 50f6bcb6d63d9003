import { type AttributeChange, noChange, type TimeChange } from '../share/attributes.js'
import type { MetadataUpdate, RequestOf } from '../wire/methods.js'

/** What {@link MetadataUpdate}'s `fields` says is set. */
const UPDATE_MODE = 1
const UPDATE_UID = 2
const UPDATE_GID = 4
export const UPDATE_SIZE = 8
const UPDATE_KILL = 16
const TIME_KINDS = ['omit', 'now', 'set'] as const

/** setattr as a message has it. */
export type Update = RequestOf<typeof MetadataUpdate>

export function updateOf(ref: { number: number; generation: number }, change: AttributeChange): Update {
  const { mode, uid, gid, size, atime, mtime, ctime } = change
  let fields = change.killPrivileges ? UPDATE_KILL : 0
  if (mode !== undefined) fields |= UPDATE_MODE
  if (uid !== undefined) fields |= UPDATE_UID
  if (gid !== undefined) fields |= UPDATE_GID
  if (size !== undefined) fields |= UPDATE_SIZE
  return {
    ...ref,
    ...{ fields, mode: mode ?? 0, uid: uid ?? 0, gid: gid ?? 0, size: size ?? 0 },
    ...{ atimeKind: TIME_KINDS.indexOf(atime.kind), atime: atime.seconds, atimeNs: atime.nanoseconds },
    ...{ mtimeKind: TIME_KINDS.indexOf(mtime.kind), mtime: mtime.seconds, mtimeNs: mtime.nanoseconds },
    ...{ ctimeKind: TIME_KINDS.indexOf(ctime.kind), ctime: ctime.seconds, ctimeNs: ctime.nanoseconds },
  }
}

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
