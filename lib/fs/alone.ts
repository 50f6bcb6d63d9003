import { ENOENT } from '../base/errno.js'
import type { ByteRange } from '../base/ids.js'
import type { Inode } from '../meta/inode.js'
import { type Done, PENDING } from '../ports.js'
import { type AttributeChange, noChange } from '../share/attributes.js'
import type { Caller } from '../share/context.js'
import type { Lock, Locks } from '../share/locks.js'
import type { Share, VisitEntry } from '../share/share.js'
import type { StatfsFigures } from '../wire/kernel.js'
import type { NumberedInode } from '../wire/struct.js'
import type { LockKind, OpenFlags, Operations, PoolRange, WriteFlags } from './operations.js'

/** The file system of a node that is alone: its share is all there is. */
export class Alone implements Operations {
  found!: Inode
  readonly isHeldUp = false
  blocker: Lock | undefined
  readonly #share: Share
  /** The pool's. */
  readonly #memory: Uint8Array

  constructor(share: Share, memory: Uint8Array) {
    this.#share = share
    this.#memory = memory
  }

  hold(inode: NumberedInode): void {
    this.#share.hold(inode.number)
  }

  forget(number: number, count: number): void {
    this.#share.forget(number, count)
  }

  /** There is nobody else to have them. */
  isLost(): boolean {
    return false
  }

  lookup(parent: number, name: ByteRange): number {
    const inode = this.#share.lookup(parent, name)
    if (inode === undefined) return -ENOENT
    this.found = inode
    return 0
  }

  getattr(number: number): number {
    this.found = this.#share.meta.inode(number)
    return 0
  }

  setattr(number: number, change: AttributeChange, done: Done): number {
    const finish = (result: number): number => {
      if (result === 0) this.found = this.#share.meta.inode(number)
      return result
    }
    const result = this.#share.setattr(number, change, (late) => done(finish(late)))
    return result === PENDING ? result : finish(result)
  }

  mknod(parent: number, name: ByteRange, mode: number, rdev: number, caller: Caller): number {
    this.found = this.#share.create.mknod(parent, name, mode, rdev, caller)
    return 0
  }

  symlink(parent: number, name: ByteRange, target: ByteRange, caller: Caller): number {
    this.found = this.#share.create.symlink(parent, name, target, caller)
    return 0
  }

  link(number: number, parent: number, name: ByteRange): number {
    this.found = this.#share.create.link(number, parent, name)
    return 0
  }

  tmpfile(parent: number, mode: number, caller: Caller): number {
    this.found = this.#share.create.tmpfile(parent, mode, caller)
    return 0
  }

  create(parent: number, name: ByteRange, mode: number, flags: OpenFlags, caller: Caller, done: Done): number {
    this.found = this.#share.open(parent, name, mode, flags.exclusive, caller)
    if (!flags.truncate || this.found.size === 0) return 0
    return this.#truncate(this.found.number, flags.killPrivileges, done)
  }

  open(number: number, flags: OpenFlags, done: Done): number {
    this.getattr(number)
    return flags.truncate ? this.#truncate(number, flags.killPrivileges, done) : 0
  }

  release(number: number, handle: number, flockOwner: string | undefined): void {
    if (flockOwner !== undefined) this.#share.fileLocks.releaseOwner(number, flockOwner)
    this.#share.recordLocks.releaseHandle(number, handle)
  }

  unlink(parent: number, name: ByteRange): number {
    this.#share.remove.unlink(parent, name)
    return 0
  }

  rmdir(parent: number, name: ByteRange): number {
    this.#share.remove.rmdir(parent, name)
    return 0
  }

  rename(fromParent: number, fromName: ByteRange, toParent: number, toName: ByteRange, flags: number): number {
    this.#share.remove.rename(fromParent, fromName, toParent, toName, flags)
    return 0
  }

  readlink(number: number, at: number): number {
    const { bytes, offset, length } = this.#share.readlink(number)
    this.#memory.set(bytes.subarray(offset, offset + length), at)
    return length
  }

  readdir(number: number, cookie: number, visit: VisitEntry): number {
    this.#share.readdir(number, cookie, visit)
    return 0
  }

  peek(number: number): Inode | undefined {
    return this.#share.meta.find(number)
  }

  read(number: number, to: number, bytes: number, offset: number, done: Done): number {
    return this.#share.read(number, to, bytes, offset, done)
  }

  write(number: number, at: number, bytes: number, offset: number, how: WriteFlags, done: Done): number {
    return this.#share.write(number, at, bytes, offset, how.killPrivileges, done)
  }

  fallocate(number: number, mode: number, offset: number, bytes: number, done: Done): number {
    return this.#share.fallocate(number, mode, offset, bytes, done)
  }

  copyFileRange(
    from: number,
    fromOffset: number,
    to: number,
    toOffset: number,
    bytes: number,
    _via: PoolRange,
    done: Done,
  ): number {
    return this.#share.copyFileRange(from, fromOffset, to, toOffset, bytes, done)
  }

  lseek(number: number, offset: number, whence: number): number {
    return this.#share.lseek(number, offset, whence)
  }

  fsync(number: number, done: Done): number {
    return this.#share.fsync(number, done)
  }

  fsyncdir(_number: number, done: Done): number {
    return this.#share.fsyncdir(done)
  }

  syncfs(done: Done): number {
    return this.#share.syncfs(done)
  }

  statfs(out: StatfsFigures): number {
    this.#share.statfs(out)
    return 0
  }

  getxattr(number: number, name: ByteRange, at: number, size: number): number {
    return this.#share.xattrs.get(number, name, this.#memory, at, size)
  }

  setxattr(number: number, name: ByteRange, value: ByteRange, flags: number, killSetgid: boolean): number {
    this.#share.xattrs.set(number, name, value, flags, killSetgid)
    return 0
  }

  listxattr(number: number, at: number, size: number, privileged: boolean): number {
    return this.#share.xattrs.list(number, this.#memory, at, size, privileged)
  }

  removexattr(number: number, name: ByteRange): number {
    this.#share.xattrs.remove(number, name)
    return 0
  }

  testLock(number: number, kind: LockKind, lock: Lock): number {
    this.blocker = this.#locks(kind).test(number, lock)
    return 0
  }

  setLock(number: number, kind: LockKind, lock: Lock): number {
    return this.#locks(kind).set(number, lock)
  }

  waitLock(number: number, kind: LockKind, lock: Lock, id: string, done: Done): number {
    let result = PENDING
    let returned = false
    this.#locks(kind).wait(number, lock, id, (error) => {
      if (returned) done(error)
      else result = error
    })
    returned = true
    return result
  }

  interrupt(id: string): void {
    if (!this.#share.recordLocks.interrupt(id)) this.#share.fileLocks.interrupt(id)
  }

  flush(number: number, owner: string): number {
    const { recordLocks } = this.#share
    if (recordLocks.has(number)) recordLocks.releaseOwner(number, owner)
    return 0
  }

  #locks(kind: LockKind): Locks {
    return kind === 'flock' ? this.#share.fileLocks : this.#share.recordLocks
  }

  #truncate(number: number, killPrivileges: boolean, done: Done): number {
    const change = noChange()
    change.size = 0
    change.killPrivileges = killPrivileges
    return this.setattr(number, change, done)
  }
}
