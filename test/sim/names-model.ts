/**
 * The oracle: the tree of names as POSIX has it, kept in the plainest way. Each operation says with which errors it may
 * fail, and where with none, is done. Numbers of inodes are whatever the file system has given out.
 */
import { EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, ESTALE } from '../../lib/base/errno.js'
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../lib/share/remove.js'

export interface ModelInode {
  readonly number: number
  readonly isDirectory: boolean
  nlink: number
  /** Of a directory. */
  readonly entries: Map<string, number>
  parent: number
  /** Openings, of all nodes. */
  opens: number
}

/** No error: the operation is done. */
const DONE: readonly number[] = []

export class NamesModel {
  readonly inodes = new Map<number, ModelInode>()
  /** Directories that were removed: a kernel that holds one still knows that it was one. */
  readonly #removed = new Set<number>()

  constructor(root: number) {
    this.#add(root, true).parent = root
  }

  /** A copy that goes its own way. */
  copy(): NamesModel {
    const copy = new NamesModel(1)
    copy.inodes.clear()
    for (const [number, inode] of this.inodes) {
      copy.inodes.set(number, { ...inode, entries: new Map(inode.entries) })
    }
    for (const number of this.#removed) copy.#removed.add(number)
    return copy
  }

  /** Exists, be it without a name. */
  get(number: number): ModelInode | undefined {
    return this.inodes.get(number)
  }

  lookup(parent: number, name: string): number | undefined {
    return this.inodes.get(parent)?.entries.get(name)
  }

  /** The names from the root to an inode, one of them if it has several; undefined where it has none. */
  path(number: number): string[] | undefined {
    if (number === 1) return []
    for (const directory of this.inodes.values()) {
      for (const [name, child] of directory.entries) {
        if (child !== number) continue
        const above = this.path(directory.number)
        if (above !== undefined) return [...above, name]
      }
    }
    return undefined
  }

  /** What keeps a new name from being made. */
  errorsOfNew(parent: number, name: string): readonly number[] {
    const errors = this.#errorsOfDirectory(parent)
    if (errors.length > 0) return errors
    return this.lookup(parent, name) === undefined ? DONE : [EEXIST]
  }

  make(parent: number, name: string, number: number, isDirectory: boolean): void {
    const directory = this.inodes.get(parent) as ModelInode
    const inode = this.#add(number, isDirectory)
    inode.parent = parent
    directory.entries.set(name, number)
    if (isDirectory) directory.nlink++
    else inode.nlink = 1
  }

  temporary(number: number): void {
    this.#add(number, false).opens = 1
  }

  link(number: number, parent: number, name: string): readonly number[] {
    const inode = this.inodes.get(number)
    if (inode === undefined) return this.#removed.has(number) ? [ESTALE, ENOENT, EPERM] : [ESTALE, ENOENT]
    if (inode.isDirectory) return [EPERM]
    const errors = this.errorsOfNew(parent, name)
    if (errors.length > 0) return errors
    this.inodes.get(parent)?.entries.set(name, number)
    inode.nlink++
    return DONE
  }

  /** Gives an inode a name that has just lost its last one. */
  revive(number: number, parent: number, name: string): readonly number[] {
    const errors = this.errorsOfNew(parent, name)
    if (errors.length > 0) return errors
    this.inodes.get(parent)?.entries.set(name, number)
    this.#add(number, false).nlink = 1
    return DONE
  }

  unlink(parent: number, name: string): readonly number[] {
    const inode = this.#child(parent, name)
    if (inode === undefined) return [ENOENT]
    if (inode.isDirectory) return [EISDIR]
    this.inodes.get(parent)?.entries.delete(name)
    this.#drop(inode)
    return DONE
  }

  rmdir(parent: number, name: string): readonly number[] {
    const inode = this.#child(parent, name)
    if (inode === undefined) return [ENOENT]
    if (!inode.isDirectory) return [ENOTDIR]
    if (inode.entries.size > 0) return [ENOTEMPTY]
    const directory = this.inodes.get(parent) as ModelInode
    directory.entries.delete(name)
    directory.nlink--
    this.#removeDirectory(inode.number)
    return DONE
  }

  /** Where several things are wrong, any of them may be said. */
  rename(parent: number, name: string, toParent: number, toName: string, flags: number): readonly number[] {
    const source = this.#child(parent, name)
    if (source === undefined) return [ENOENT]
    const target = this.#child(toParent, toName)
    const errors = [...this.#errorsOfDirectory(toParent)]
    if (flags === RENAME_EXCHANGE && target === undefined) errors.push(ENOENT)
    if (flags === RENAME_NOREPLACE && target !== undefined) errors.push(EEXIST)
    if (source.isDirectory && this.#isBelow(toParent, source.number)) errors.push(EINVAL)
    if (flags === RENAME_EXCHANGE && target?.isDirectory === true && this.#isBelow(parent, target.number)) {
      errors.push(EINVAL)
    }
    if (flags === 0 && target !== undefined && target !== source) errors.push(...errorsOfReplacing(source, target))
    if (errors.length > 0) return errors
    if (target === source) return DONE
    this.#move(source, parent, name, toParent, toName)
    if (target === undefined) return DONE
    if (flags === RENAME_EXCHANGE) this.#place(target, parent, name, toParent)
    else if (target.isDirectory) {
      const to = this.inodes.get(toParent) as ModelInode
      to.nlink--
      this.#removeDirectory(target.number)
    } else this.#drop(target)
    return DONE
  }

  open(number: number): readonly number[] {
    const inode = this.inodes.get(number)
    if (inode === undefined) return [ESTALE]
    inode.opens++
    return DONE
  }

  /** So many openings have ended. */
  release(number: number, count = 1): void {
    const inode = this.inodes.get(number)
    if (inode === undefined) return
    inode.opens -= count
    this.#freeIfUnused(inode)
  }

  /** So many openings there are, whatever was opened by calls of which nobody knows what has become of them. */
  setOpens(number: number, opens: number): void {
    const inode = this.inodes.get(number)
    if (inode === undefined) return
    inode.opens = opens
    if (!inode.isDirectory) this.#freeIfUnused(inode)
  }

  #removeDirectory(number: number): void {
    this.inodes.delete(number)
    this.#removed.add(number)
  }

  #add(number: number, isDirectory: boolean): ModelInode {
    if (this.inodes.has(number)) throw new Error(`inode ${number} was given out twice`)
    const inode = { number, isDirectory, nlink: isDirectory ? 2 : 0, entries: new Map(), parent: 0, opens: 0 }
    this.inodes.set(number, inode)
    return inode
  }

  #child(parent: number, name: string): ModelInode | undefined {
    return this.inodes.get(this.lookup(parent, name) ?? 0)
  }

  #errorsOfDirectory(number: number): readonly number[] {
    const directory = this.inodes.get(number)
    if (directory === undefined) return [ENOENT, ESTALE]
    return directory.isDirectory ? DONE : [ENOTDIR]
  }

  #isBelow(number: number, ancestor: number): boolean {
    for (let at = number; ; at = this.inodes.get(at)?.parent ?? 1) {
      if (at === ancestor) return true
      if (at === 1) return false
    }
  }

  #move(inode: ModelInode, parent: number, name: string, toParent: number, toName: string): void {
    this.inodes.get(parent)?.entries.delete(name)
    this.#place(inode, toParent, toName, parent)
  }

  #place(inode: ModelInode, parent: number, name: string, from: number): void {
    const [directory, before] = [this.inodes.get(parent) as ModelInode, this.inodes.get(from) as ModelInode]
    directory.entries.set(name, inode.number)
    inode.parent = parent
    if (!inode.isDirectory) return
    before.nlink--
    directory.nlink++
  }

  #drop(inode: ModelInode): void {
    inode.nlink--
    this.#freeIfUnused(inode)
  }

  #freeIfUnused({ number, nlink, opens }: ModelInode): void {
    if (nlink === 0 && opens === 0) this.inodes.delete(number)
  }
}

function errorsOfReplacing(source: ModelInode, target: ModelInode): number[] {
  if (source.isDirectory && !target.isDirectory) return [ENOTDIR]
  if (!source.isDirectory && target.isDirectory) return [EISDIR]
  return target.entries.size > 0 ? [ENOTEMPTY] : []
}
