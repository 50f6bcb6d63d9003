/** How names and inodes go together, in one store or in all those of a cluster. */
import { ROOT_INODE, SERIAL_SPAN } from '../base/ids.js'
import { S_IFMT } from '../base/mode.js'
import { type Known, Reach } from './check-record.js'
import type { CheckedDentry, StoreReader } from './check-store.js'

/** The member that a position belongs to, as an index among the stores. */
export type OwnerOf = (position: number) => number

interface Place {
  readonly known: Known
  readonly store: StoreReader
}

/** The tree that stores hold together. A fault is reported with the store in whose records it shows. */
export class Tree {
  readonly #stores: readonly StoreReader[]
  readonly #ownerOf: OwnerOf | undefined
  readonly #inodes = new Map<number, Place>()
  /** Inodes that a change on several nodes is about that is not finished. */
  readonly #unsettled = new Set<number>()

  /** Inodes and what is unsettled must have been read. `ownerOf` undefined: where things belong is not known. */
  constructor(stores: readonly StoreReader[], ownerOf?: OwnerOf) {
    this.#stores = stores
    this.#ownerOf = ownerOf
    for (const [index, store] of stores.entries()) {
      for (const number of store.unsettled.inodes) this.#unsettled.add(number)
      for (const [number, known] of store.inodes) {
        this.#mustBelong(store, index, Math.floor(number / SERIAL_SPAN), `inode ${number}`)
        if (this.#inodes.has(number)) store.fault(`inode ${number}: another store has it, too`)
        this.#inodes.set(number, { known, store })
      }
    }
  }

  /** Reads all other records of all stores, and checks what they say. */
  run(): void {
    for (const [index, store] of this.#stores.entries()) {
      store.readOthers((dentry) => {
        this.#mustBelong(store, index, dentry.position, dentry.label)
        this.#dentry(dentry, store)
      })
    }
    if (!this.#inodes.has(ROOT_INODE)) this.#stores[0]?.fault('the root directory is missing')
    for (const place of this.#inodes.values()) this.#links(place)
  }

  #mustBelong(store: StoreReader, index: number, position: number, label: string): void {
    if (this.#ownerOf !== undefined && this.#ownerOf(position) !== index) {
      store.fault(`${label}: it belongs to another member`)
    }
  }

  #dentry(dentry: CheckedDentry, store: StoreReader): void {
    const { parent, parentGeneration, label, isReadable } = dentry
    const directory = this.#inodes.get(parent)?.known
    if (directory === undefined) store.fault(`${label}: there is no such directory`)
    else if (!directory.isDamaged) {
      if (!directory.inode.isDirectory) store.fault(`${label}: that is no directory`)
      if (directory.inode.generation !== parentGeneration) {
        store.fault(`${label}: the directory has another generation`)
      }
      if (directory.inode.nlink === 0) store.fault(`${label}: the directory has been removed`)
    }
    if (isReadable) this.#child(dentry, directory, store)
  }

  #child(dentry: CheckedDentry, directory: Known | undefined, store: StoreReader): void {
    const { parent, child, childGeneration, kind, label, text } = dentry
    const known = this.#inodes.get(child)?.known
    if (known === undefined) {
      // The name that a move leaves behind may outlive what has got another one.
      if (!this.#unsettled.has(child)) store.fault(`${label}: ${text} names inode ${child}, which is not there`)
      return
    }
    known.dentries++
    if (known.isDamaged) return
    const { inode } = known
    if (kind !== (inode.mode & S_IFMT)) store.fault(`${label}: ${text} has another kind than inode ${child}`)
    if (inode.generation !== childGeneration) {
      store.fault(`${label}: ${text} has another generation than inode ${child}`)
    }
    if (!inode.isDirectory) return
    if (directory !== undefined) directory.subdirectories++
    if (child === ROOT_INODE) store.fault(`${label}: ${text} names the root directory`)
    if (this.#unsettled.has(child)) return
    if (inode.parent !== parent) store.fault(`inode ${child}: its parent is ${inode.parent}, but it is in ${parent}`)
    if (inode.parentGeneration !== (directory?.inode.generation ?? inode.parentGeneration)) {
      store.fault(`inode ${child}: its parent's generation is wrong`)
    }
  }

  /** The names of an inode, when all are known. */
  #links({ known, store }: Place): void {
    const { inode, isDamaged, isOrphan, dentries, subdirectories } = known
    if (isDamaged || this.#unsettled.has(inode.number)) return
    const fault = (text: string): void => store.fault(`inode ${inode.number}: ${text}`)
    if (isOrphan) {
      if (inode.nlink > 0) fault(`it is an orphan with ${inode.nlink} links`)
      if (dentries > 0) fault('it is an orphan with a name')
      return
    }
    const isRoot = inode.number === ROOT_INODE
    if (dentries === 0 && !isRoot) {
      fault('it has no name and is no orphan')
      return
    }
    if (inode.isDirectory) {
      if (dentries > 1) fault(`it is a directory with ${dentries} names`)
      const expected = 2 + subdirectories
      if (inode.nlink !== expected) fault(`it has ${inode.nlink} links, and ought to have ${expected}`)
      if (isRoot && inode.parent !== ROOT_INODE) fault('the root directory is not its own parent')
      if (this.#reach(known) === Reach.Lost) fault('the way up from it does not end at the root')
    } else if (inode.nlink !== dentries) {
      fault(`it has ${inode.nlink} links and ${dentries} names`)
    }
  }

  /** Follows the parents up; whatever lies on the way has the same answer. */
  #reach(from: Known): Reach {
    const way: Known[] = []
    let at: Known | undefined = from
    while (at !== undefined && at.reach === Reach.Unknown && at.inode.number !== ROOT_INODE) {
      at.reach = Reach.OnTheWay
      way.push(at)
      at = this.#inodes.get(at.inode.parent)?.known
    }
    const isFound = at !== undefined && (at.inode.number === ROOT_INODE || at.reach === Reach.Found)
    for (const known of way) known.reach = isFound ? Reach.Found : Reach.Lost
    return isFound ? Reach.Found : Reach.Lost
  }
}
