import { EEXIST, EMLINK, ENAMETOOLONG, EPERM, fail } from '../base/errno.js'
import type { ByteRange } from '../base/ids.js'
import { LINKS_MAX, TARGET_BYTES_MAX } from '../base/limits.js'
import { isDirectory, S_IFLNK, S_ISGID } from '../base/mode.js'
import { Dentry } from '../meta/dentries.js'
import type { Inode } from '../meta/inode.js'
import { inheritAcls } from './acls.js'
import { type Caller, type Context, directoryFor, setUnnamed } from './context.js'

/** The operations that make inodes and names. */
export class Creation {
  readonly #context: Context
  readonly #dentry = new Dentry()

  constructor(context: Context) {
    this.#context = context
  }

  /**
   * mknod(2), mkdir(2) and the creating half of open(2): a new inode of `mode` (kind and permissions, umask not yet
   * applied) under a new name. EEXIST, EMLINK, ENOSPC.
   */
  mknod(parent: number, name: ByteRange, mode: number, rdev: number, caller: Caller): Inode {
    const directory = this.#placeFor(parent, name)
    if (isDirectory(mode) && directory.nlink >= LINKS_MAX) fail(EMLINK)
    return this.#create(directory, name, mode, rdev, caller)
  }

  /** symlink(2). ENAMETOOLONG, EEXIST, ENOSPC. */
  symlink(parent: number, name: ByteRange, target: ByteRange, caller: Caller): Inode {
    const directory = this.#placeFor(parent, name)
    if (target.length > TARGET_BYTES_MAX) fail(ENAMETOOLONG)
    const inode = this.#create(directory, name, S_IFLNK | 0o777, 0, caller)
    this.#context.meta.inline.write(inode.number, 0, target)
    inode.size = target.length
    return inode
  }

  /** open(2) with O_TMPFILE: an inode without a name, gone when nobody holds it, unless it is linked before. */
  tmpfile(parent: number, mode: number, caller: Caller): Inode {
    const { meta } = this.#context
    const directory = meta.inode(parent)
    meta.mustGrow()
    const inode = this.#inode(directory, meta.freePosition(), mode, 0, caller)
    meta.orphans.add(inode.number)
    setUnnamed(this.#context, inode.number, true)
    return inode
  }

  /** link(2). EPERM for directories, EEXIST, EMLINK. */
  link(number: number, parent: number, name: ByteRange): Inode {
    const { meta } = this.#context
    const inode = meta.inode(number)
    if (inode.isDirectory) fail(EPERM)
    if (inode.nlink >= LINKS_MAX) fail(EMLINK)
    const directory = this.#placeFor(parent, name)
    if (inode.nlink === 0) {
      meta.orphans.remove(inode.number)
      setUnnamed(this.#context, inode.number, false)
    }
    inode.nlink++
    meta.stamp(inode, false)
    meta.dentries.put(this.#dentry, name, inode)
    meta.stamp(directory, true)
    return inode
  }

  #placeFor(parent: number, name: ByteRange): Inode {
    const { meta } = this.#context
    const directory = directoryFor(this.#context, parent, name)
    if (meta.dentries.find(directory, name, this.#dentry)) fail(EEXIST)
    meta.mustGrow()
    return directory
  }

  #create(directory: Inode, name: ByteRange, mode: number, rdev: number, caller: Caller): Inode {
    const { meta } = this.#context
    const inode = this.#inode(directory, this.#dentry.position, mode, rdev, caller)
    inode.nlink = 1
    if (inode.isDirectory) {
      inode.nlink = 2
      inode.parent = directory.number
      inode.parentGeneration = directory.generation
      directory.nlink++
    }
    meta.dentries.put(this.#dentry, name, inode)
    meta.stamp(directory, true)
    return inode
  }

  /** A new inode with the owner, group and permissions that its directory and the caller give it. */
  #inode(directory: Inode, position: number, mode: number, rdev: number, caller: Caller): Inode {
    const setgid = (directory.mode & S_ISGID) !== 0
    const gid = setgid ? directory.gid : caller.gid
    const bits = setgid && isDirectory(mode) ? mode | S_ISGID : mode
    const inode = this.#context.meta.create(position, bits, caller.uid, gid, directory)
    inode.rdev = rdev
    inheritAcls(this.#context, directory, inode, caller.umask)
    return inode
  }
}
