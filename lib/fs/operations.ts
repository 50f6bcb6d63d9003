/**
 * What the border to the kernel asks of the file system. One implementation serves a node that is alone, another one a
 * node among peers; which it is, the border does not see.
 *
 * An operation returns bytes or 0, or a negative errno, or PENDING and calls `done` later with one of these; it may
 * also throw an FsError before it returns. Names and values are read before it returns. An operation that answers with
 * an inode leaves it in {@link Operations.found}, which is right until the next operation begins or `done` returns.
 */
import type { ByteRange } from '../base/ids.js'
import type { Done } from '../ports.js'
import type { AttributeChange } from '../share/attributes.js'
import type { Caller } from '../share/context.js'
import type { Lock } from '../share/locks.js'
import type { VisitEntry } from '../share/share.js'
import type { StatfsFigures } from '../wire/kernel.js'
import type { NumberedInode } from '../wire/struct.js'

/** How open(2) opens a file. */
export interface OpenFlags {
  readonly exclusive: boolean
  readonly truncate: boolean
  /** The caller may not keep set-id bits of a file that is emptied. */
  readonly killPrivileges: boolean
}

/** How a directory is listed. */
export interface Listing {
  /** The entries' inodes are of use, see {@link Operations.peek}. */
  readonly plus: boolean
  /** Bytes of entries that are wanted, about. */
  readonly wanted: number
  /** A part of the pool's memory that may be used for it. */
  readonly at: number
  readonly bytes: number
}

/** A part of the pool's memory. */
export interface PoolRange {
  readonly at: number
  readonly bytes: number
}

/** How write(2) writes. */
export interface WriteFlags {
  readonly killPrivileges: boolean
  /** O_APPEND: at the end of the file, which the kernel of a node among peers may not know. */
  readonly append: boolean
}

/** Record locks (fcntl(2)) and flock(2) locks are two kinds that never meet. */
export type LockKind = 'record' | 'flock'

export interface Operations {
  readonly found: NumberedInode
  /** A peer is away: what is asked of it waits. */
  readonly isHeldUp: boolean
  /** The lock that {@link testLock} has found in the way, or undefined. */
  readonly blocker: Lock | undefined

  /** Counts a reference that the kernel is given; {@link forget} takes it back. */
  hold(inode: NumberedInode): void
  forget(number: number, count: number): void

  /**
   * Locks that were set through this open file are lost to others, as their member could not be reached for too long:
   * whatever is read or written through it fails.
   */
  isLost(handle: number): boolean

  lookup(parent: number, name: ByteRange, done: Done): number
  getattr(number: number, done: Done): number
  setattr(number: number, change: AttributeChange, done: Done): number
  mknod(parent: number, name: ByteRange, mode: number, rdev: number, caller: Caller, done: Done): number
  symlink(parent: number, name: ByteRange, target: ByteRange, caller: Caller, done: Done): number
  link(number: number, parent: number, name: ByteRange, done: Done): number
  tmpfile(parent: number, mode: number, caller: Caller, done: Done): number
  /** The open(2) that may create. */
  create(parent: number, name: ByteRange, mode: number, flags: OpenFlags, caller: Caller, done: Done): number
  open(number: number, flags: OpenFlags, done: Done): number
  /** An open file description has ended; with it end the locks that were set through it, and `flockOwner`'s. */
  release(number: number, handle: number, flockOwner: string | undefined): void
  unlink(parent: number, name: ByteRange, done: Done): number
  rmdir(parent: number, name: ByteRange, done: Done): number
  rename(
    fromParent: number,
    fromName: ByteRange,
    toParent: number,
    toName: ByteRange,
    flags: number,
    done: Done,
  ): number
  /** Writes the target of a symbolic link to `at` in the pool's memory; its length. */
  readlink(number: number, at: number, done: Done): number
  /** Lists from `cookie` on; see {@link Share.readdir}. */
  readdir(number: number, cookie: number, visit: VisitEntry, listing: Listing, done: Done): number
  /** The inode of the entry that is being visited, if it is at hand. The name is gone then. */
  peek(number: number): NumberedInode | undefined

  read(number: number, to: number, bytes: number, offset: number, done: Done): number
  write(number: number, at: number, bytes: number, offset: number, how: WriteFlags, done: Done): number
  fallocate(number: number, mode: number, offset: number, bytes: number, done: Done): number
  /** Possibly fewer bytes than asked. `via` is a part of the pool's memory that may be used for it. */
  copyFileRange(
    from: number,
    fromOffset: number,
    to: number,
    toOffset: number,
    bytes: number,
    via: PoolRange,
    done: Done,
  ): number
  lseek(number: number, offset: number, whence: number, done: Done): number
  fsync(number: number, done: Done): number
  fsyncdir(number: number, done: Done): number
  syncfs(done: Done): number
  statfs(out: StatfsFigures, done: Done): number

  /** Copies a value to `at` in the pool's memory; its length, also where `size` is 0 and nothing is copied. */
  getxattr(number: number, name: ByteRange, at: number, size: number, done: Done): number
  setxattr(number: number, name: ByteRange, value: ByteRange, flags: number, killSetgid: boolean, done: Done): number
  listxattr(number: number, at: number, size: number, privileged: boolean, done: Done): number
  removexattr(number: number, name: ByteRange, done: Done): number

  testLock(number: number, kind: LockKind, lock: Lock, done: Done): number
  setLock(number: number, kind: LockKind, lock: Lock, done: Done): number
  /** Waits for the lock; `id` names the wait for {@link interrupt}. −EDEADLK, −EINTR. */
  waitLock(number: number, kind: LockKind, lock: Lock, id: string, done: Done): number
  interrupt(id: string): void
  /** close(2) of a descriptor: takes the process's record locks away. */
  flush(number: number, owner: string, done: Done): number
}
