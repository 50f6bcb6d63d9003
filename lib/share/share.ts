import { EINVAL, EISDIR, ENAMETOOLONG, ENOTDIR, fail } from '../base/errno.js'
import type { ByteRange, InodeNumber } from '../base/ids.js'
import { SERIAL_SPAN } from '../base/ids.js'
import { NAME_BYTES_MAX } from '../base/limits.js'
import { S_IFDIR, S_IFREG } from '../base/mode.js'
import { type ChunkPorts, ChunkStore, type Extension } from '../chunk/store.js'
import { ending, type Step } from '../chunk/then.js'
import { Dentry } from '../meta/dentries.js'
import type { Inode } from '../meta/inode.js'
import type { MetaStore } from '../meta/store.js'
import type { Clock, Disk, DiskFigures, Done } from '../ports.js'
import type { StatfsFigures } from '../wire/kernel.js'
import { type AttributeChange, accessed, dropPrivileges, setattr } from './attributes.js'
import { type AccessTimes, type Caller, type Context, freeInode, isHeld, setUnnamed } from './context.js'
import { Creation } from './create.js'
import { Holds } from './holds.js'
import { Lingering } from './lingering.js'
import { Locks } from './locks.js'
import { Opens } from './opens.js'
import { Removal } from './remove.js'
import { ExtendedAttributes, removeCapability } from './xattr.js'

/** What an inode costs in the metadata store, for statfs(2): its record, its name, and their part of the pages. */
const BYTES_PER_INODE = 512

/** Cookies of "." and ".."; see FIRST_SERIAL. */
const COOKIE_SELF = 1
const COOKIE_PARENT = 2

const SELF: ByteRange = { bytes: new Uint8Array([0x2e, 0x2e]), offset: 0, length: 1 }
const PARENT: ByteRange = { bytes: SELF.bytes, offset: 0, length: 2 }

/**
 * Receives an entry of a directory; false ends the listing before it. `name` is valid until the next use of the store.
 */
export type VisitEntry = (child: InodeNumber, kind: number, cookie: number, name: ByteRange) => boolean

/**
 * The operations of a POSIX file system on inodes. They throw FsError; those that may wait for a disk return a negative
 * errno or PENDING instead. Nothing may be answered before {@link MetaStore.endTurn}.
 */
export class Share {
  readonly meta: MetaStore
  readonly create: Creation
  readonly remove: Removal
  readonly xattrs: ExtendedAttributes
  /** Record locks and flock(2) locks. */
  readonly recordLocks = new Locks(true)
  readonly fileLocks = new Locks(false)
  /** Which nodes have which inodes open; without peers nobody says. */
  readonly opens = new Opens()
  readonly accessTimes: AccessTimes = { ofFiles: true, ofDirectories: true }
  /** What operations on entries and inodes are made of, for those that span several nodes. */
  readonly context: Context
  readonly #disk: Disk
  readonly #dentry = new Dentry()
  readonly #figures: DiskFigures = { blockBytes: 0, blocks: 0, blocksFree: 0, blocksAvailable: 0 }

  constructor(ports: ChunkPorts) {
    const { meta, disk } = ports
    this.meta = meta
    this.#disk = disk
    const chunks = new ChunkStore(ports)
    const { accessTimes, opens } = this
    const nobody = { lingering: null, returning: null }
    this.context = { meta, chunks, holds: new Holds(), opens, unnamed: new Set(), ...nobody, accessTimes }
    opens.onKnown = () => this.#freeUnheld()
    this.create = new Creation(this.context)
    this.remove = new Removal(this.context)
    this.xattrs = new ExtendedAttributes(this.context)
  }

  /**
   * Frees what the last run of this node held without a name, and removes the backing files that it left to remove.
   * `done` is called with 0 when the file system may be used, or with a negative errno. `peers` may have opened what
   * has no name: it stays until they have said what they have open.
   */
  recover(done: Done, peers: readonly number[] = []): void {
    this.opens.await(peers)
    for (const number of this.meta.orphans.list()) {
      const inode = this.meta.find(number)
      if (inode === undefined) this.meta.orphans.remove(number)
      else if (this.opens.has(number)) setUnnamed(this.context, number, true)
      else freeInode(this.context, inode)
    }
    // On a full store names and files can be removed; new ones wait for room, and for the reservation.
    if (this.meta.canGrow) this.meta.counter.reserve()
    const failed = this.meta.commit()
    if (failed < 0) done(failed)
    else this.context.chunks.recover(done)
  }

  /** Other nodes find names here: what loses its last one stays for a while. `freed` is called when one has gone. */
  linger(clock: Clock, lingerMs: number, freed: () => void): void {
    this.context.lingering = new Lingering(clock, lingerMs, (number) => {
      this.#freeIfUnheld(number)
      freed()
    })
  }

  /**
   * Nodes of which nobody here knows may have open what has no name: it stays for so long after {@link recover}, until
   * they have come and said so. `freed` is called when one has gone.
   */
  awaitReturn(clock: Clock, returnMs: number, freed: () => void): void {
    const returning = new Lingering(clock, returnMs, (number) => {
      this.#freeIfUnheld(number)
      freed()
    })
    this.context.returning = returning
    for (const number of this.context.unnamed) returning.add(number)
  }

  /** The inode of a name, or undefined. */
  lookup(parent: number, name: ByteRange): Inode | undefined {
    const directory = this.meta.inode(parent)
    if (!directory.isDirectory) fail(ENOTDIR)
    if (name.length > NAME_BYTES_MAX) fail(ENAMETOOLONG)
    if (!this.meta.dentries.find(directory, name, this.#dentry)) return undefined
    return this.meta.inode(this.#dentry.child)
  }

  /**
   * Counts a reference that the kernel is given; it comes back by {@link forget}. Where the turn is undone the kernel
   * gets an error instead, and no reference.
   */
  hold(number: number): void {
    const { holds, meta } = this.context
    holds.add(number)
    if (meta.isOpen) meta.ifUndone(() => holds.drop(number, 1))
  }

  /** Takes `count` references back; an inode without a name is freed with the last one. */
  forget(number: number, count: number): void {
    if (this.context.holds.drop(number, count)) this.#freeIfUnheld(number)
  }

  /** A node opens an inode; where the turn is undone, it has not. */
  opened(number: number, member: number, id: number): void {
    this.opens.add(number, member, id)
    if (this.meta.isOpen) this.meta.ifUndone(() => this.opens.remove(number, member, id))
  }

  /** A node closes an inode; one without a name is freed with the last one. */
  closed(number: number, member: number, id: number): void {
    if (this.opens.remove(number, member, id)) this.#freeIfUnheld(number)
  }

  /**
   * All that a node has open. What it has asked for and got no answer stays open, if it is: it will ask again, and must
   * find the file still there, be it without a name.
   */
  reopened(
    member: number,
    opens: Iterable<readonly [inode: number, id: number]>,
    asked: ReadonlySet<number> = new Set(),
  ): void {
    for (const number of this.opens.replace(member, opens, asked)) this.#freeIfUnheld(number)
  }

  setattr(number: number, change: AttributeChange, done: Done): number {
    return setattr(this.context, number, change, done)
  }

  /** The target of a symbolic link: valid until the next use of the store. EINVAL for anything else. */
  readlink(number: number): ByteRange {
    const inode = this.meta.inode(number)
    if (!inode.isSymlink) fail(EINVAL)
    accessed(this.context, inode)
    this.meta.inline.load(number)
    return this.meta.inline.data
  }

  /** Reads into the pool's memory at `to`: bytes, fewer at the end of the file. EISDIR, EINVAL. */
  read(number: number, to: number, bytes: number, offset: number, done: Done): number {
    const inode = this.#regular(number)
    accessed(this.context, inode)
    return this.context.chunks.read(number, to, bytes, offset, done)
  }

  /** Writes from the pool's memory at `at`; `killPrivileges` clears the set-id bits. EISDIR, EINVAL, EFBIG, ENOSPC. */
  write(number: number, at: number, bytes: number, offset: number, killPrivileges: boolean, done: Done): number {
    this.#regular(number)
    const write: Step = (late) => this.context.chunks.write(number, at, bytes, offset, late)
    return this.#changing(number, write, killPrivileges, done)
  }

  /**
   * A write of which parts may lie elsewhere, where they took `blocks` blocks more; what of it lies here, and how long
   * the file is then, is up to `plan` (see {@link ChunkStore.extend}).
   */
  extend(
    number: number,
    plan: (inode: Inode) => Extension | number,
    blocks: number,
    killPrivileges: boolean,
    done: Done,
  ): number {
    const extend: Step = (late) => this.context.chunks.extend(number, plan, late)
    const extended = (result: number): number => {
      if (result < 0) return result
      const inode = this.meta.inode(number)
      inode.blocksElsewhere = Math.max(0, inode.blocksElsewhere + blocks)
      if (killPrivileges) dropPrivileges(this.context, inode, true)
      else removeCapability(this.context, inode)
      return result
    }
    return ending(extend, extended, done)
  }

  fallocate(number: number, mode: number, offset: number, bytes: number, done: Done): number {
    this.#regular(number)
    return this.context.chunks.allocate(number, mode, offset, bytes, done)
  }

  copyFileRange(from: number, fromOffset: number, to: number, toOffset: number, bytes: number, done: Done): number {
    this.#regular(from)
    this.#regular(to)
    const copy: Step = (late) => this.context.chunks.copy(from, fromOffset, to, toOffset, bytes, late)
    return this.#changing(to, copy, false, done)
  }

  lseek(number: number, offset: number, whence: number): number {
    this.#regular(number)
    return this.context.chunks.seek(number, offset, whence)
  }

  /** fsync(2): the inode's data and metadata, and all that was committed before, survive a power cut. */
  fsync(number: number, done: Done): number {
    return this.context.chunks.sync(number, done)
  }

  /** fsync(2) of a directory: all metadata that was committed before survives a power cut. */
  fsyncdir(done: Done): number {
    return this.context.chunks.syncMetadata(done)
  }

  /** syncfs(2): everything survives a power cut. */
  syncfs(done: Done): number {
    return this.context.chunks.syncAll(done)
  }

  /**
   * Lists a directory from `cookie` on (0: from the start; otherwise after the entry that had this cookie). Entries
   * that stay are seen exactly once, whatever comes and goes meanwhile. ENOTDIR.
   */
  readdir(number: number, cookie: number, visit: VisitEntry): void {
    const directory = this.meta.inode(number)
    if (!directory.isDirectory) fail(ENOTDIR)
    accessed(this.context, directory)
    if (cookie < COOKIE_SELF && !visit(directory.number, S_IFDIR, COOKIE_SELF, SELF)) return
    const parent = directory.parent as InodeNumber
    if (cookie < COOKIE_PARENT && !visit(parent, S_IFDIR, COOKIE_PARENT, PARENT)) return
    const entry = this.#dentry
    entry.position = Math.floor(cookie / SERIAL_SPAN)
    entry.serial = cookie % SERIAL_SPAN
    while (this.meta.dentries.next(directory, entry.position, entry.serial, entry)) {
      if (!visit(entry.child, entry.kind, entry.cookie, this.meta.dentries.name)) return
    }
  }

  statfs(out: StatfsFigures): void {
    const figures = this.#figures
    const error = this.#disk.statfs(figures)
    if (error < 0) fail(-error)
    out.blocks = figures.blocks
    out.blocksFree = figures.blocksFree
    out.blocksAvailable = figures.blocksAvailable
    out.blockBytes = figures.blockBytes
    const perBlock = figures.blockBytes / BYTES_PER_INODE
    out.files = Math.floor(figures.blocks * perBlock)
    out.filesFree = Math.floor(figures.blocksAvailable * perBlock)
    out.nameBytesMax = NAME_BYTES_MAX
  }

  /** Ends all work: frees what is held without a name, and waits for the removal of backing files. */
  stop(done: () => void): void {
    for (const number of this.context.unnamed) {
      if (!this.opens.has(number)) freeInode(this.context, this.meta.inode(number))
    }
    this.meta.commit()
    this.context.chunks.close(done)
  }

  /** The new regular file of open(2) with O_CREAT. EEXIST where `exclusive`; an existing one is found otherwise. */
  open(parent: number, name: ByteRange, mode: number, exclusive: boolean, caller: Caller): Inode {
    const existing = exclusive ? undefined : this.lookup(parent, name)
    if (existing === undefined) return this.create.mknod(parent, name, S_IFREG | (mode & 0o7777), 0, caller)
    if (existing.isDirectory) fail(EISDIR)
    return existing
  }

  /** Runs a change of a file's data, and takes privileges away in the same batch that says so: both or none. */
  #changing(number: number, change: Step, killPrivileges: boolean, done: Done): number {
    const changed = (result: number): number => {
      if (result <= 0) return result
      const inode = this.meta.inode(number)
      if (killPrivileges) dropPrivileges(this.context, inode, true)
      else removeCapability(this.context, inode)
      return result
    }
    return ending(change, changed, done)
  }

  #freeUnheld(): void {
    for (const number of [...this.context.unnamed]) this.#freeIfUnheld(number)
  }

  #freeIfUnheld(number: number): void {
    if (!this.context.unnamed.has(number) || isHeld(this.context, number)) return
    freeInode(this.context, this.meta.inode(number))
  }

  #regular(number: number): Inode {
    const inode = this.meta.inode(number)
    if (inode.isDirectory) fail(EISDIR)
    if (!inode.isRegular) fail(EINVAL)
    return inode
  }
}
