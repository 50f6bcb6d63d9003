import type { ChunkStore } from '../chunk/store.js'
import { EINVAL, ENAMETOOLONG, ENOENT, ENOTDIR, fail } from '../base/errno.js'
import type { ByteRange } from '../base/ids.js'
import { NAME_BYTES_MAX } from '../base/limits.js'
import type { Inode } from '../meta/inode.js'
import type { MetaStore } from '../meta/store.js'
import type { Holds } from './holds.js'
import type { Lingering } from './lingering.js'
import type { Opens } from './opens.js'

/** Who asks, and with which umask. The kernel has checked permissions already (default_permissions). */
export interface Caller {
  uid: number
  gid: number
  pid: number
  umask: number
}

/** What the operations on inodes share. */
export interface Context {
  readonly meta: MetaStore
  readonly chunks: ChunkStore
  readonly holds: Holds
  readonly opens: Opens
  /** Inodes that have lost their last name and are held still. */
  readonly unnamed: Set<number>
  /** Those that have lost it just now; null where the kernel of this node is the only one to find names. */
  lingering: Lingering | null
  /** Inodes that had no name when this node has started, as long as somebody may come back who has them open. */
  returning: Lingering | null
  readonly accessTimes: AccessTimes
}

/** Whether reading moves atime (mount options noatime, nodiratime, ro). */
export interface AccessTimes {
  ofFiles: boolean
  ofDirectories: boolean
}

/** The directory in which a name is to be found or made. ENOTDIR; ENOENT where it has been removed meanwhile. */
export function directoryFor(context: Context, number: number, name: ByteRange): Inode {
  const directory = context.meta.inode(number)
  if (!directory.isDirectory) fail(ENOTDIR)
  if (directory.nlink === 0) fail(ENOENT)
  if (name.length > NAME_BYTES_MAX) fail(ENAMETOOLONG)
  if (name.length === 0) fail(EINVAL)
  return directory
}

/** Frees an inode that has no name, or remembers that it has to be freed once nobody holds it. */
export function unlinked(context: Context, inode: Inode): void {
  const { lingering, meta } = context
  if (lingering !== null) {
    // Where room is short it is needed more.
    if (meta.canGrow) lingering.add(inode.number)
    else lingering.end()
  }
  if (!isHeld(context, inode.number)) {
    freeInode(context, inode)
    return
  }
  context.meta.orphans.add(inode.number)
  setUnnamed(context, inode.number, true)
}

/** The kernel of this node holds it, or some node has it open, or may be about to. */
export const isHeld = ({ holds, opens, lingering, returning }: Context, number: number): boolean =>
  holds.has(number) || opens.has(number) || lingering?.has(number) === true || returning?.has(number) === true

/** Notes that an inode has no name, or has one again; the note goes the way of the batch that says so. */
export function setUnnamed({ meta, unnamed }: Context, number: number, is: boolean): void {
  if (unnamed.has(number) === is) return
  if (is) unnamed.add(number)
  else unnamed.delete(number)
  meta.ifUndone(() => (is ? unnamed.delete(number) : unnamed.add(number)))
}

export function freeInode(context: Context, inode: Inode): void {
  setUnnamed(context, inode.number, false)
  context.chunks.free(inode)
  context.meta.drop(inode)
}
