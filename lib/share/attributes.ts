import { ending } from '../chunk/then.js'
import { S_IFMT, withoutPrivileges } from '../base/mode.js'
import type { Inode } from '../meta/inode.js'
import { isLater } from '../meta/stamps.js'
import type { Done } from '../ports.js'
import { chmod } from './acls.js'
import type { Context } from './context.js'
import { removeCapability } from './xattr.js'

/** A time to set: absent, the present, or a given one. */
export interface TimeChange {
  kind: 'omit' | 'now' | 'set'
  seconds: number
  nanoseconds: number
}

/** What setattr changes; a field that is undefined stays. */
export interface AttributeChange {
  mode: number | undefined
  uid: number | undefined
  gid: number | undefined
  size: number | undefined
  readonly atime: TimeChange
  readonly mtime: TimeChange
  readonly ctime: TimeChange
  /** The set-id bits go, as the kernel has found that the caller may not keep them. */
  killPrivileges: boolean
}

/** A change of nothing, to be filled in. */
export function noChange(): AttributeChange {
  const omit = (): TimeChange => ({ kind: 'omit', seconds: 0, nanoseconds: 0 })
  return {
    mode: undefined,
    uid: undefined,
    gid: undefined,
    size: undefined,
    atime: omit(),
    mtime: omit(),
    ctime: omit(),
    killPrivileges: false,
  }
}

/**
 * chmod(2), chown(2), truncate(2) and utimensat(2) in one. 0, a negative errno, or PENDING; `change` may be reused at
 * once, unless the result is PENDING.
 */
export function setattr(context: Context, number: number, change: AttributeChange, done: Done): number {
  if (change.size === undefined) {
    apply(context, context.meta.inode(number), change)
    return 0
  }
  const { size } = change
  const truncated = (result: number): number => {
    if (result < 0) return result
    const inode = context.meta.inode(number)
    removeCapability(context, inode)
    apply(context, inode, change)
    return 0
  }
  return ending((late) => context.chunks.truncate(number, size, late), truncated, done)
}

function apply(context: Context, inode: Inode, change: AttributeChange): void {
  const { meta } = context
  meta.stamp(inode, false)
  if (change.mode !== undefined) {
    inode.mode = (inode.mode & S_IFMT) | (change.mode & 0o7777)
    chmod(context, inode, inode.mode)
  }
  if (change.uid !== undefined || change.gid !== undefined) {
    inode.uid = change.uid ?? inode.uid
    inode.gid = change.gid ?? inode.gid
    dropPrivileges(context, inode, change.mode === undefined)
  } else if (change.killPrivileges) dropPrivileges(context, inode, change.mode === undefined)
  const { atime, mtime, ctime } = change
  // Now is when it is changed.
  if (atime.kind !== 'omit') {
    inode.atime = atime.kind === 'now' ? inode.ctime : atime.seconds
    inode.atimeNs = atime.kind === 'now' ? inode.ctimeNs : atime.nanoseconds
  }
  if (mtime.kind !== 'omit') {
    inode.mtime = mtime.kind === 'now' ? inode.ctime : mtime.seconds
    inode.mtimeNs = mtime.kind === 'now' ? inode.ctimeNs : mtime.nanoseconds
  }
  if (ctime.kind === 'set') {
    inode.ctime = ctime.seconds
    inode.ctimeNs = ctime.nanoseconds
  }
}

/** Takes away what a new owner or new contents must not inherit: set-id bits (`bits`) and file capabilities. */
export function dropPrivileges(context: Context, inode: Inode, bits: boolean): void {
  if (inode.isDirectory) return
  if (bits) inode.mode = withoutPrivileges(inode.mode)
  removeCapability(context, inode)
}

/** Seconds after which a read moves atime even where the file did not change (relatime, as Linux mounts by default). */
const ATIME_LAZY_SECONDS = 86400

/** A read has happened: moves atime where relatime says so, and the mount's options do not forbid it. */
export function accessed(context: Context, inode: Inode): void {
  const { ofFiles, ofDirectories } = context.accessTimes
  if (!(inode.isDirectory ? ofFiles && ofDirectories : ofFiles)) return
  const fresh = isLater(inode.atime, inode.atimeNs, inode.mtime, inode.mtimeNs)
  if (fresh && isLater(inode.atime, inode.atimeNs, inode.ctime, inode.ctimeNs)) {
    const { stamps } = context.meta
    if (stamps.seconds - inode.atime < ATIME_LAZY_SECONDS) return
  }
  const { ctime, ctimeNs } = inode
  const now = { ctime, ctimeNs }
  context.meta.stamps.renew(now)
  inode.atime = now.ctime
  inode.atimeNs = now.ctimeNs
  context.meta.touch(inode)
}
