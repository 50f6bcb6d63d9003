import { ESTALE, fail } from '../base/errno.js'
import { ROOT_INODE } from '../base/ids.js'
import { INODE_HAS_ACL } from '../wire/records.js'
import type { NumberedInode } from '../wire/struct.js'

interface Entry {
  inode: NumberedInode
  /** References of the kernel. */
  count: number
  /** The default access list of a directory as it was when the inode was seen, or null where it did not come along. */
  defaultAcl: Uint8Array | null
  /** What the directory hands down has been changed from here since it was seen. */
  isOutdated: boolean
}

const NO_ACL = new Uint8Array(0)

/**
 * The inodes that this node's kernel holds, as they were when last seen. The kernel names an inode by its number alone;
 * this knows the generation that belongs to it, and what a directory hands down to what is made in it.
 */
export class Known {
  readonly #entries = new Map<number, Entry>()

  /** The kernel always holds the root directory. */
  start(root: NumberedInode): void {
    this.#entries.set(ROOT_INODE, { inode: root, count: 1, defaultAcl: null, isOutdated: false })
  }

  /** ESTALE where the kernel does not hold it. */
  get(number: number): Entry {
    return this.#entries.get(number) ?? fail(ESTALE)
  }

  /** What every message about the inode begins with. */
  ref(number: number): { number: number; generation: number } {
    return { number, generation: this.get(number).inode.generation }
  }

  has(number: number): boolean {
    return this.#entries.has(number)
  }

  /** The default access list of a directory that the kernel holds; null where it has to be asked for. */
  defaultAcl(number: number): Uint8Array | null {
    const { inode, defaultAcl, isOutdated } = this.get(number)
    if (isOutdated) return null
    return (inode.flags & INODE_HAS_ACL) === 0 ? NO_ACL : defaultAcl
  }

  /** An attribute of the inode has changed that it may hand down. */
  outdate(number: number): void {
    const entry = this.#entries.get(number)
    if (entry !== undefined) entry.isOutdated = true
  }

  /** The inode was seen, with its default access list or without. */
  note(inode: NumberedInode, defaultAcl: Uint8Array | null): void {
    const entry = this.#entries.get(inode.number)
    if (entry === undefined) return
    entry.inode = inode
    entry.defaultAcl = defaultAcl
    entry.isOutdated = false
  }

  hold(inode: NumberedInode, defaultAcl: Uint8Array | null): void {
    const entry = this.#entries.get(inode.number)
    if (entry === undefined) this.#entries.set(inode.number, { inode, count: 1, defaultAcl, isOutdated: false })
    else {
      this.note(inode, defaultAcl)
      entry.count++
    }
  }

  forget(number: number, count: number): void {
    const entry = this.#entries.get(number)
    if (entry === undefined || number === ROOT_INODE) return
    entry.count -= count
    if (entry.count <= 0) this.#entries.delete(number)
  }
}
