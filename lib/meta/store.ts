import { LRUCache } from 'lru-cache'
import { EIO, ENOSPC, ESTALE, FsError, fail } from '../base/errno.js'
import { type InodeNumber, inodeNumber, ROOT_INODE } from '../base/ids.js'
import { S_IFDIR, S_IFREG } from '../base/mode.js'
import type { Clock, Done, Hash32, Kv, Log } from '../ports.js'
import { Positions } from '../ring/position.js'
import {
  getInode,
  INODE_HAS_PARTS,
  INODE_IS_PART,
  KEY_CLIENT,
  KEY_FREE,
  KEY_INODE,
  KEY_ORPHAN,
  putIdKey,
  putInode,
} from '../wire/records.js'
import { ABSENT, Batch } from './batch.js'
import { Counter, generationOf, serialOf } from './counter.js'
import { Cuts } from './cuts.js'
import { Dentries } from './dentries.js'
import { Departed } from './departed.js'
import { Graves } from './graves.js'
import { Holders } from './holders.js'
import { HeldNameRecords } from './held-names.js'
import { InlineData } from './inline.js'
import { Inode } from './inode.js'
import { Intents } from './intents.js'
import { Outbox } from './outbox.js'
import { Queue } from './queue.js'
import { Results } from './results.js'
import { Stamps } from './stamps.js'
import { Xattrs } from './xattrs.js'

/** What a store keeps in memory, and how far ahead it reserves. Tests make it small. */
export interface MetaLimits {
  /** Inodes kept decoded; an inode takes about 300 bytes. */
  readonly inodesCached: number
}

const LIMITS: MetaLimits = { inodesCached: 8192 }

/**
 * This node's share of the metadata. Changes of a turn gather in one batch; {@link commit} makes them atomic, and only
 * then may they be answered. An operation checks everything first and changes after, so that an error leaves nothing
 * behind; a store that fails in the middle undoes the whole batch.
 */
export class MetaStore {
  readonly stamps: Stamps
  readonly dentries: Dentries
  readonly xattrs: Xattrs
  readonly counter: Counter
  readonly inline: InlineData
  /** Backing files that are to be removed, unless an inode of the same batch or a later one claims them. */
  readonly free: Queue
  /** Inodes without a name that somebody still holds. */
  readonly orphans: Queue
  /** Numbers of nodes without a store that are here, or have not said that they are not: they may have locks. */
  readonly clients: Queue
  /** Directories that were removed, wherever their inodes were. */
  readonly graves: Graves
  /** What peers' changes have answered. */
  readonly results: Results
  /** The members that may hold chunks of inodes that lie here. */
  readonly holders: Holders
  /** Truncations that they are being told of. */
  readonly cuts: Cuts
  /** Freed inodes that they still have to be told of. */
  readonly departed: Departed
  /** Changes on several nodes that are under way from here. */
  readonly intents: Intents
  /** Names of this node that intents of other nodes hold. */
  readonly heldNames: HeldNameRecords
  /** What other nodes have yet to be told. */
  readonly outbox: Outbox
  readonly #batch: Batch
  readonly #log: Log
  readonly #cache: LRUCache<number, Inode>
  readonly #dirty = new Map<number, Inode>()
  /** What the open batch has to do after it was committed, or undone. */
  #followUps: (() => void)[] = []
  #undoing: (() => void)[] = []
  #turnFailure = 0
  /** Batches that were undone. What was begun before one may rest on what has never been, and must not go on. */
  undoneCount = 0
  /** Why the last of them was: a negative errno. */
  undoneError = 0
  /** Batches that were committed. */
  commitCount = 0
  /** Called when a batch was undone. */
  onUndone: () => void = () => {}
  /** Called when somebody waits for the open batch: it has to be committed, also where nobody is to be answered. */
  onAwaited: () => void = () => {}
  /** Called with every new inode of this node's own. */
  onCreated: (number: number) => void = () => {}
  /** Called when something joins {@link departed}, once that is committed. */
  onDeparted: () => void = () => {}

  constructor(kv: Kv, clock: Clock, hash: Hash32, log: Log, limits: MetaLimits = LIMITS) {
    const batch = new Batch(kv)
    this.#cache = new LRUCache<number, Inode>({ max: limits.inodesCached })
    this.#batch = batch
    this.#log = log
    this.stamps = new Stamps(clock)
    this.counter = new Counter(batch)
    this.dentries = new Dentries(batch, new Positions(hash))
    this.xattrs = new Xattrs(batch)
    this.inline = new InlineData(batch)
    this.free = new Queue(batch, KEY_FREE)
    this.orphans = new Queue(batch, KEY_ORPHAN)
    this.clients = new Queue(batch, KEY_CLIENT)
    this.graves = new Graves(batch)
    this.results = new Results(batch)
    this.holders = new Holders(batch)
    this.cuts = new Cuts(batch)
    this.departed = new Departed(batch)
    this.intents = new Intents(batch)
    this.heldNames = new HeldNameRecords(batch)
    this.outbox = new Outbox(batch)
  }

  /** Makes the root directory of an empty store; all that comes into it inherits its chunk size and layout. */
  format(mode: number, uid: number, gid: number, chunkBits: number, layout = 0): void {
    if (this.find(ROOT_INODE) !== undefined) return
    const root = new Inode(ROOT_INODE)
    root.chunkBits = chunkBits
    root.layout = layout
    this.#initialise(root, S_IFDIR | mode, uid, gid)
    root.nlink = 2
    root.parent = ROOT_INODE
  }

  /** The inode of a number that somebody holds. ESTALE where there is none. */
  inode(number: number): Inode {
    return this.find(number) ?? fail(ESTALE)
  }

  find(number: number): Inode | undefined {
    const cached = this.#cache.get(number) ?? this.#dirty.get(number)
    if (cached !== undefined) return cached
    const bytes = this.#batch.get(putIdKey(this.#batch.key, KEY_INODE, number))
    if (bytes === ABSENT) return undefined
    const inode = new Inode(number as InodeNumber)
    const reason = getInode(this.#batch.words, bytes, inode)
    if (reason !== null) {
      this.#log.error({ inode: number, reason }, 'damaged inode record')
      fail(EIO)
    }
    this.#cache.set(number, inode)
    return inode
  }

  /**
   * A new inode at this ring position, inheriting chunk size and layout from `parent`. Not linked yet: nlink is 0. A
   * serial that is taken there, be it by a file without a name, is skipped.
   */
  create(
    position: number,
    mode: number,
    uid: number,
    gid: number,
    parent: { readonly chunkBits: number; readonly layout: number },
  ): Inode {
    let value = this.counter.next()
    while (!this.#isFree(position, serialOf(value))) value = this.counter.next()
    const inode = new Inode(inodeNumber(position, serialOf(value)))
    inode.generation = generationOf(value)
    inode.chunkBits = parent.chunkBits
    inode.layout = parent.layout
    this.#initialise(inode, mode, uid, gid)
    this.onCreated(inode.number)
    return inode
  }

  /** A record for chunks of an inode that lies elsewhere; ENOSPC where there is no room for one. */
  createPart(number: number, generation: number, chunkBits: number, truncationEpoch: number): Inode {
    this.mustGrow()
    const part = new Inode(number as InodeNumber)
    part.flags = INODE_IS_PART
    part.generation = generation
    part.chunkBits = chunkBits
    part.truncationEpoch = truncationEpoch
    this.#initialise(part, S_IFREG, 0, 0)
    return part
  }

  /** A position for an inode that has no name yet. */
  freePosition(): number {
    return (Math.imul(this.counter.next(), 0x9e3779b1) ^ this.stamps.nanoseconds) >>> 0
  }

  /** Marks an inode as changed: its record joins the batch when the turn ends. */
  touch(inode: Inode): void {
    inode.change++
    this.#dirty.set(inode.number, inode)
  }

  /** Marks an inode as changed, and sets ctime and, where `modified`, mtime to a new stamp. */
  stamp(inode: Inode, modified: boolean): void {
    this.stamps.renew(inode)
    if (modified) {
      inode.mtime = inode.ctime
      inode.mtimeNs = inode.ctimeNs
    }
    this.touch(inode)
  }

  /**
   * Removes an inode and all that hangs on it; its backing file goes to the free queue, and the members that hold
   * chunks of it will be told.
   */
  drop(inode: Inode): void {
    if ((inode.flags & INODE_HAS_PARTS) !== 0) this.#depart(inode)
    if (inode.backing !== 0) this.free.add(inode.backing)
    else this.inline.remove(inode.number)
    if (inode.flags !== 0) this.xattrs.removeAll(inode.number)
    this.#dirty.delete(inode.number)
    this.#cache.delete(inode.number)
    this.orphans.remove(inode.number)
    this.#batch.delete(putIdKey(this.#batch.key, KEY_INODE, inode.number))
  }

  /** ENOSPC where the store has room for deletions only. */
  mustGrow(): void {
    if (!this.canGrow) fail(ENOSPC)
  }

  get canGrow(): boolean {
    return this.#batch.canGrow()
  }

  /** Something waits for {@link commit}. */
  get isOpen(): boolean {
    return this.#dirty.size > 0 || this.#batch.isOpen
  }

  /**
   * Ends a turn: commits, and tells whether any commit of this turn has failed; then none of its changes may be
   * answered.
   */
  endTurn(): number {
    // What came after a commit that failed is answered like what came before, so it must not happen either.
    do {
      if (this.#turnFailure !== 0) this.spoil(this.#turnFailure)
      this.commit()
      // Who has waited for the commit may have gone on at once, and is answered with this turn.
    } while (this.isOpen)
    const failure = this.#turnFailure
    this.#turnFailure = 0
    return failure
  }

  /**
   * 0 when every change since the last commit is safe against a crash of this process, else a negative errno, and none
   * of them has happened.
   */
  commit(): number {
    const isChanged = this.#flush()
    const error = isChanged ? this.#batch.commit() : 0
    if (isChanged && error === 0) this.commitCount++
    this.#dirty.clear()
    const [followUps, undoing] = [this.#followUps, this.#undoing]
    // Most batches have none; the assignment of a length costs as much as ten of these tests.
    if (followUps.length > 0) this.#followUps = []
    if (undoing.length > 0) this.#undoing = []
    if (error < 0) {
      this.#turnFailure = error
      this.undoneCount++
      this.undoneError = error
      this.onUndone()
      // An operation may have changed any of them and failed before it said so.
      this.#cache.clear()
      this.counter.forgetReservation()
      this.#log.error({ errno: -error }, 'the metadata store failed; the operations of this turn are undone')
    }
    for (const step of error < 0 ? undoing.reverse() : followUps) step()
    return error
  }

  /** `done` is called with 0 once all that was committed before is safe against a power cut, or with an errno. */
  sync(done: Done): void {
    this.#batch.sync(done)
  }

  /** Runs `step` once the open batch is safe against a crash of this process; never if it is undone. */
  afterCommit(step: () => void): void {
    this.#followUps.push(step)
  }

  /** Calls `step` with 0 once nothing is open that was before this call, or with the errno where it was undone. */
  onceCommitted(step: (error: number) => void): void {
    if (!this.isOpen) {
      step(0)
      return
    }
    this.#followUps.push(() => step(0))
    this.#undoing.push(() => step(this.#turnFailure))
    this.onAwaited()
  }

  /** Runs `step` if the open batch is undone: takes back what is remembered outside the store. */
  ifUndone(step: () => void): void {
    this.#undoing.push(step)
  }

  /** Makes {@link commit} undo the whole turn: for an operation that stopped half way, by a bug. */
  spoil(error = -EIO): void {
    if (this.isOpen) this.#batch.spoil(error)
  }

  /** Puts the changed inodes into the batch; false where there was nothing to commit at all. */
  #flush(): boolean {
    const { key, words } = this.#batch
    if (!this.isOpen) return false
    try {
      for (const inode of this.#dirty.values()) {
        this.#batch.put(putIdKey(key, KEY_INODE, inode.number), putInode(words, inode))
      }
    } catch (error) {
      if (!(error instanceof FsError)) throw error // The batch is spoilt, and its commit will say so.
    }
    return true
  }

  #depart({ number, generation }: Inode): void {
    for (const member of this.holders.list(number)) {
      this.holders.remove(number, member)
      this.departed.add(member, number, generation)
    }
    this.cuts.remove(number)
    this.afterCommit(() => this.onDeparted())
  }

  #isFree(position: number, serial: number): boolean {
    const number = inodeNumber(position, serial)
    return number > ROOT_INODE && this.find(number) === undefined
  }

  #initialise(inode: Inode, mode: number, uid: number, gid: number): void {
    inode.mode = mode
    inode.uid = uid
    inode.gid = gid
    this.stamp(inode, true)
    inode.atime = inode.btime = inode.mtime
    inode.atimeNs = inode.btimeNs = inode.mtimeNs
    this.#cache.set(inode.number, inode)
  }
}
