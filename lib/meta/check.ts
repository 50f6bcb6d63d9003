/**
 * Proves the metadata of stores consistent, or names what is not: every record by itself, and all of them against each
 * other and against the backing files that are there. Reads only. What a crash may leave is no fault: inodes in the
 * orphan queue, backing files in the free queue, files longer than their inode, truncations and freed inodes that other
 * members are still to be told of, and members that are known to hold chunks and have none.
 */
import { ROOT_INODE } from '../base/ids.js'
import type { Hash32, Kv } from '../ports.js'
import { INODE_HAS_XATTRS } from '../wire/records.js'
import { DentryCheck } from './check-names.js'
import { PartsCheck } from './check-parts.js'
import { type CheckedStore, type CheckTotals, inlineFaults, type Known, Reach } from './check-record.js'
import { StoreCheck } from './check-store.js'

export interface CheckOptions {
  /**
   * A file that is missing is no fault, since the power may have gone before anything of it was synced; it reads as
   * zeros, as unsynced data may.
   */
  readonly afterPowerCut: boolean
  /** These are the stores of all members: what is in none of them is nowhere. */
  readonly isWhole: boolean
}

/** Checks stores of one cluster. Calls `report` with one line for each fault. */
export function checkStores(
  stores: readonly CheckedStore[],
  hash: Hash32,
  options: CheckOptions,
  report: (fault: string) => void,
): CheckTotals {
  return new Checker(hash, options, report).run(stores)
}

/** Checks the store of a member that is alone. `files` are the ids of the backing files that exist. */
export function checkStore(
  kv: Kv,
  hash: Hash32,
  files: ReadonlySet<number>,
  afterPowerCut: boolean,
  report: (fault: string) => void,
): CheckTotals {
  return checkStores([{ label: '', kv, files, memberId: '' }], hash, { afterPowerCut, isWhole: true }, report)
}

class Checker {
  readonly #options: CheckOptions
  readonly #report: (fault: string) => void
  readonly #totals: CheckTotals = {
    inodes: 0,
    directories: 0,
    dentries: 0,
    parts: 0,
    backingFiles: 0,
    lost: 0,
    faults: 0,
  }
  readonly #inodes = new Map<number, Known>()
  readonly #dentries: DentryCheck
  readonly #parts = new PartsCheck(this.#inodes)

  constructor(hash: Hash32, options: CheckOptions, report: (fault: string) => void) {
    this.#options = options
    this.#report = report
    this.#dentries = new DentryCheck(this.#inodes, this.#totals, hash, options.isWhole)
  }

  run(checked: readonly CheckedStore[]): CheckTotals {
    const stores = checked.map((store) => new StoreCheck(store, this.#totals, this.#inodes, this.#report))
    for (const store of stores) store.inodes(this.#parts)
    for (const store of stores) store.records(this.#dentries, this.#parts)
    if (this.#options.isWhole && !this.#inodes.has(ROOT_INODE)) {
      this.#totals.faults++
      this.#report('the root directory is missing')
    }
    for (const known of this.#inodes.values()) this.#inode(known)
    if (this.#options.isWhole) this.#parts.check()
    for (const store of stores) store.backing(this.#options.afterPowerCut)
    return this.#totals
  }

  /** An inode, when everything about it is known. */
  #inode(known: Known): void {
    const { store, inode, isDamaged } = known
    if (isDamaged) return
    const fault = (text: string): void => store.fault(`inode ${inode.number}: ${text}`)
    if (inode.number !== ROOT_INODE && !store.isReserved(inode))
      fault('the counter says that its number was never given out')
    if (known.hasXattrs && (inode.flags & INODE_HAS_XATTRS) === 0) fault('it has attributes and no flag for them')
    for (const text of inlineFaults(known)) fault(text)
    if (known.isOrphan) {
      if (inode.nlink > 0) fault(`it is an orphan with ${inode.nlink} links`)
      if (known.dentries > 0) fault('it is an orphan with a name')
      return
    }
    if (this.#options.isWhole) this.#names(known, fault)
  }

  #names(known: Known, fault: (text: string) => void): void {
    const { inode } = known
    const isRoot = inode.number === ROOT_INODE
    if (known.dentries === 0 && !isRoot) {
      fault('it has no name and is no orphan')
      return
    }
    if (inode.isDirectory) {
      if (known.dentries > 1) fault(`it is a directory with ${known.dentries} names`)
      const expected = 2 + known.subdirectories
      if (inode.nlink !== expected) fault(`it has ${inode.nlink} links, and ought to have ${expected}`)
      if (isRoot && inode.parent !== ROOT_INODE) fault('the root directory is not its own parent')
      if (this.#reach(known) === Reach.Lost) fault('the way up from it does not end at the root')
    } else if (inode.nlink !== known.dentries) {
      fault(`it has ${inode.nlink} links and ${known.dentries} names`)
    }
  }

  /** Follows the parents up; whatever lies on the way has the same answer. */
  #reach(from: Known): Reach {
    const way: Known[] = []
    let at: Known | undefined = from
    while (at !== undefined && at.reach === Reach.Unknown && at.inode.number !== ROOT_INODE) {
      at.reach = Reach.OnTheWay
      way.push(at)
      at = this.#inodes.get(at.inode.parent)
    }
    const isFound = at !== undefined && (at.inode.number === ROOT_INODE || at.reach === Reach.Found)
    for (const known of way) known.reach = isFound ? Reach.Found : Reach.Lost
    return isFound ? Reach.Found : Reach.Lost
  }
}
