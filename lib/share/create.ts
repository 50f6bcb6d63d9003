import { EEXIST, EMLINK, ENAMETOOLONG, ENOENT, EPERM, fail } from '../base/errno.js'
import type { ByteRange } from '../base/ids.js'
import { LINKS_MAX, NAME_BYTES_MAX, TARGET_BYTES_MAX } from '../base/limits.js'
import { isDirectory, S_IFLNK, S_ISGID } from '../base/mode.js'
import { Dentry, type DirectoryRef } from '../meta/dentries.js'
import { BURIED } from '../meta/graves.js'
import type { Inode } from '../meta/inode.js'
import type { Acl } from './acl.js'
import { defaultAclOf, inheritAcls, removeAcls } from './acls.js'
import { type Caller, type Context, directoryFor, setUnnamed } from './context.js'

/** What a new inode takes over from its directory, but for the default access list. */
interface Ancestor extends DirectoryRef {
  readonly mode: number
  readonly gid: number
  readonly chunkBits: number
  readonly layout: number
}

/** The same of a directory whose inode may lie elsewhere. */
export interface Inherited extends Ancestor {
  readonly defaultAcl: Acl | null
}

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
    const directory = this.#context.meta.inode(parent)
    const acl = defaultAclOf(this.#context, directory)
    return this.#temporary(directory, acl, this.#context.meta.freePosition(), mode, caller)
  }

  /** The same at a given position, for a directory whose inode may lie elsewhere. */
  tmpfileAt(position: number, directory: Inherited, mode: number, caller: Caller): Inode {
    return this.#temporary(directory, directory.defaultAcl, position, mode, caller)
  }

  /** A new inode at a given position whose first name is about to be made, wherever that lies. */
  inodeAt(position: number, directory: Inherited, mode: number, rdev: number, caller: Caller): Inode {
    this.#context.meta.mustGrow()
    const inode = this.#inode(directory, directory.defaultAcl, position, mode, rdev, caller)
    inode.nlink = 1
    return inode
  }

  #temporary(directory: Ancestor, acl: Acl | null, position: number, mode: number, caller: Caller): Inode {
    const { meta } = this.#context
    meta.mustGrow()
    const inode = this.#inode(directory, acl, position, mode, 0, caller)
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

  /**
   * The entry's half of {@link mknod}, for a directory whose inode may lie elsewhere: its own times and links are not
   * touched. ENOENT where it was removed, EEXIST, ENOSPC.
   */
  mknodIn(directory: Inherited, name: ByteRange, mode: number, rdev: number, caller: Caller): Inode {
    const { meta } = this.#context
    if (name.length > NAME_BYTES_MAX) fail(ENAMETOOLONG)
    if (meta.graves.state(directory.number, directory.generation) === BURIED) fail(ENOENT)
    if (meta.dentries.find(directory, name, this.#dentry)) fail(EEXIST)
    meta.mustGrow()
    return this.#createIn(directory, directory.defaultAcl, name, mode, rdev, caller)
  }

  /** Gives a new inode once more what its directory hands down: what was known of that when it was made was old. */
  reinherit(inode: Inode, directory: Inherited, mode: number, caller: Caller): void {
    removeAcls(this.#context, inode)
    this.#inherit(inode, directory, directory.defaultAcl, mode, caller)
    this.#context.meta.stamp(inode, false)
  }

  #create(directory: Inode, name: ByteRange, mode: number, rdev: number, caller: Caller): Inode {
    const inode = this.#createIn(directory, defaultAclOf(this.#context, directory), name, mode, rdev, caller)
    if (inode.isDirectory) directory.nlink++
    this.#context.meta.stamp(directory, true)
    return inode
  }

  #createIn(directory: Ancestor, acl: Acl | null, name: ByteRange, mode: number, rdev: number, caller: Caller): Inode {
    const inode = this.#inode(directory, acl, this.#dentry.position, mode, rdev, caller)
    inode.nlink = 1
    if (inode.isDirectory) {
      inode.nlink = 2
      inode.parent = directory.number
      inode.parentGeneration = directory.generation
    }
    this.#context.meta.dentries.put(this.#dentry, name, inode)
    return inode
  }

  /** A new inode with the owner, group and permissions that its directory and the caller give it. */
  #inode(directory: Ancestor, acl: Acl | null, position: number, mode: number, rdev: number, caller: Caller): Inode {
    const inode = this.#context.meta.create(position, mode, caller.uid, caller.gid, directory)
    inode.rdev = rdev
    this.#inherit(inode, directory, acl, mode, caller)
    return inode
  }

  #inherit(inode: Inode, directory: Ancestor, acl: Acl | null, mode: number, caller: Caller): void {
    const setgid = (directory.mode & S_ISGID) !== 0
    inode.gid = setgid ? directory.gid : caller.gid
    inode.mode = setgid && isDirectory(mode) ? mode | S_ISGID : mode
    inheritAcls(this.#context, acl, inode, caller.umask)
  }
}
