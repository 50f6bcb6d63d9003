import { EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EEXIST, EMLINK, fail } from '../base/errno.js'
import type { ByteRange } from '../base/ids.js'
import { LINKS_MAX } from '../base/limits.js'
import { Dentry } from '../meta/dentries.js'
import type { Inode } from '../meta/inode.js'
import { type Context, directoryFor, unlinked } from './context.js'

export const RENAME_NOREPLACE = 1
export const RENAME_EXCHANGE = 2

/** The operations that take names away or move them. */
export class Removal {
  readonly #context: Context
  readonly #source = new Dentry()
  readonly #target = new Dentry()

  constructor(context: Context) {
    this.#context = context
  }

  /** unlink(2). ENOENT, EISDIR. */
  unlink(parent: number, name: ByteRange): void {
    const { meta } = this.#context
    const directory = directoryFor(this.#context, parent, name)
    const inode = this.#child(directory, name, this.#source)
    if (inode.isDirectory) fail(EISDIR)
    meta.dentries.remove(this.#source)
    meta.stamp(directory, true)
    this.#dropLink(inode)
  }

  /** rmdir(2). ENOENT, ENOTDIR, ENOTEMPTY. */
  rmdir(parent: number, name: ByteRange): void {
    const { meta } = this.#context
    const directory = directoryFor(this.#context, parent, name)
    const inode = this.#child(directory, name, this.#source)
    if (!inode.isDirectory) fail(ENOTDIR)
    if (!meta.dentries.isEmpty(inode)) fail(ENOTEMPTY)
    meta.dentries.remove(this.#source)
    directory.nlink--
    meta.stamp(directory, true)
    this.#dropDirectory(inode)
  }

  /**
   * renameat2(2) with no flag, NOREPLACE or EXCHANGE. ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, EMLINK, and EINVAL
   * for other flags and for moving a directory into itself.
   */
  rename(fromParent: number, fromName: ByteRange, toParent: number, toName: ByteRange, flags: number): void {
    if (flags !== 0 && flags !== RENAME_NOREPLACE && flags !== RENAME_EXCHANGE) fail(EINVAL)
    const { meta } = this.#context
    const from = directoryFor(this.#context, fromParent, fromName)
    const to = directoryFor(this.#context, toParent, toName)
    const inode = this.#child(from, fromName, this.#source)
    const replaced = meta.dentries.find(to, toName, this.#target) ? meta.inode(this.#target.child) : undefined
    if (replaced === undefined && flags === RENAME_EXCHANGE) fail(ENOENT)
    if (replaced !== undefined && flags === RENAME_NOREPLACE) fail(EEXIST)
    if (replaced === inode) return // Two names of one inode: POSIX says that nothing happens.
    if (inode.isDirectory) this.#checkAncestors(inode, to)
    if (flags === RENAME_EXCHANGE) this.#exchange(from, fromName, inode, to, toName, replaced as Inode)
    else this.#move(from, inode, to, toName, replaced)
    meta.stamp(from, true)
    if (to !== from) meta.stamp(to, true)
  }

  #move(from: Inode, inode: Inode, to: Inode, toName: ByteRange, replaced: Inode | undefined): void {
    const { meta } = this.#context
    if (replaced === undefined) meta.mustGrow()
    else this.#checkReplace(inode, replaced)
    if (inode.isDirectory && from !== to) {
      if (replaced === undefined && to.nlink >= LINKS_MAX) fail(EMLINK)
      this.#reparent(inode, from, to)
    }
    meta.dentries.remove(this.#source)
    meta.dentries.put(this.#target, toName, inode)
    meta.stamp(inode, false)
    if (replaced === undefined) return
    if (!replaced.isDirectory) this.#dropLink(replaced)
    else {
      to.nlink--
      this.#dropDirectory(replaced)
    }
  }

  #exchange(from: Inode, fromName: ByteRange, inode: Inode, to: Inode, toName: ByteRange, other: Inode): void {
    const { meta } = this.#context
    if (other.isDirectory) this.#checkAncestors(other, from)
    if (from !== to) {
      if (inode.isDirectory) this.#reparent(inode, from, to)
      if (other.isDirectory) this.#reparent(other, to, from)
    }
    meta.dentries.put(this.#target, toName, inode)
    meta.dentries.put(this.#source, fromName, other)
    meta.stamp(inode, false)
    meta.stamp(other, false)
  }

  #child(directory: Inode, name: ByteRange, into: Dentry): Inode {
    const { meta } = this.#context
    if (!meta.dentries.find(directory, name, into)) fail(ENOENT)
    return meta.inode(into.child)
  }

  #checkReplace(inode: Inode, replaced: Inode): void {
    if (!inode.isDirectory) {
      if (replaced.isDirectory) fail(EISDIR)
      return
    }
    if (!replaced.isDirectory) fail(ENOTDIR)
    if (!this.#context.meta.dentries.isEmpty(replaced)) fail(ENOTEMPTY)
  }

  /** A directory must not move below itself. */
  #checkAncestors(moved: Inode, to: Inode): void {
    const { meta } = this.#context
    for (let at = to; ; at = meta.inode(at.parent)) {
      if (at === moved) fail(EINVAL)
      if (at.parent === at.number) return
    }
  }

  #reparent(inode: Inode, from: Inode, to: Inode): void {
    inode.parent = to.number
    inode.parentGeneration = to.generation
    from.nlink--
    to.nlink++
  }

  #dropLink(inode: Inode): void {
    inode.nlink--
    this.#context.meta.stamp(inode, false)
    if (inode.nlink === 0) unlinked(this.#context, inode)
  }

  #dropDirectory(inode: Inode): void {
    inode.nlink = 0
    this.#context.meta.stamp(inode, false)
    unlinked(this.#context, inode)
  }
}
