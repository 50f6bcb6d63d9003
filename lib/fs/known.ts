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
  /** How long the file is at least, as long as its truncation epoch is this one. */
  size: number
  epoch: number
  /** The session with the inode's member in which that was learnt. */
  session: number
  /** What the directory hands down has been changed from here since it was seen. */
  isOutdated: boolean
}

/** How long a file is at least, as long as its truncation epoch is the one that is given. */
export interface Extent {
  readonly size: number
  readonly epoch: number
}

const NO_ACL = new Uint8Array(0)

/**
 * The inodes that this node's kernel holds, as they were when last seen. The kernel names an inode by its number alone;
 * this knows the generation that belongs to it, and what a directory hands down to what is made in it.
 */
export class Known {
  readonly #sessionOf: (number: number) => number
  readonly #entries = new Map<number, Entry>()

  /** `sessionOf` says which session there is with the member that has an inode. */
  constructor(sessionOf: (number: number) => number) {
    this.#sessionOf = sessionOf
  }

  /** The kernel always holds the root directory. */
  start(root: NumberedInode): void {
    this.#add(root, null)
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

  /**
   * What is known of a file's size. Nothing but a guess at its epoch, where its member may have lost something since.
   */
  extent(number: number): Extent {
    const { size, epoch, session } = this.get(number)
    return { size: session === this.#sessionOf(number) ? size : 0, epoch }
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
    this.#noteExtent(entry, inode.size, inode.truncationEpoch)
  }

  /** The same, of its size alone. */
  noteExtent(number: number, size: number, epoch: number): void {
    const entry = this.#entries.get(number)
    if (entry !== undefined) this.#noteExtent(entry, size, epoch)
  }

  hold(inode: NumberedInode, defaultAcl: Uint8Array | null): void {
    const entry = this.#entries.get(inode.number)
    if (entry === undefined) this.#add(inode, defaultAcl)
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

  #add(inode: NumberedInode, defaultAcl: Uint8Array | null): void {
    const { number, size, truncationEpoch: epoch } = inode
    const session = this.#sessionOf(number)
    this.#entries.set(number, { inode, count: 1, defaultAcl, size, epoch, session, isOutdated: false })
  }

  /** Answers may overtake each other, so the larger size of an epoch is the newer one. */
  #noteExtent(entry: Entry, size: number, epoch: number): void {
    const session = this.#sessionOf(entry.inode.number)
    const isSame = entry.epoch === epoch && entry.session === session
    entry.size = isSame ? Math.max(entry.size, size) : size
    entry.epoch = epoch
    entry.session = session
  }
}
