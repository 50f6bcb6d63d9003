import { EEXIST, EINVAL, EIO, EMLINK, ENAMETOOLONG, ENOENT, EREMOTE, ESTALE, fail } from '../base/errno.js'
import { type ByteRange, bytesOf, copyOf, ROOT_INODE } from '../base/ids.js'
import { LINKS_MAX, NAME_BYTES_MAX } from '../base/limits.js'
import { isDirectory, isRegular } from '../base/mode.js'
import type { Belongings } from '../node/belongings.js'
import { LAYOUT_LOCAL, type Router } from '../node/router.js'
import type { Done } from '../ports.js'
import { NO_TRANSFER, type Transfer } from '../rpc/call.js'
import type { Caller } from '../share/context.js'
import {
  Link,
  MetadataCreate,
  MetadataDelete,
  MetadataLookup,
  MetadataPlace,
  MetadataTemporary,
  Rename,
  RenameAcross,
  type ReplyOf,
} from '../wire/methods.js'
import type { ClusterOpens } from './cluster-opens.js'
import type { Finding } from './finding.js'
import type { Known } from './known.js'
import type { OpenFlags } from './operations.js'
import { step } from './waiting.js'

type Entry = ReplyOf<typeof MetadataLookup>

/** What is made: an inode of this mode, for this caller. */
interface Making {
  readonly mode: number
  readonly rdev: number
  readonly caller: Caller
  /** An existing entry will do, too. */
  readonly existing: boolean
  /** The id of an opening that goes with it, or 0. */
  readonly open: number
  readonly transfer: Transfer
}

/** How often an entry may be somebody else's by the time its inode is asked for. */
const TRIES_MAX = 1000

/** Names of inodes, for {@link Cluster}: asked of the members that have the entries. */
export class ClusterNames {
  readonly #router: Router
  readonly #known: Known
  readonly #finding: Finding
  readonly #opens: ClusterOpens
  readonly #belongings: Belongings

  constructor(router: Router, known: Known, finding: Finding, opens: ClusterOpens, belongings: Belongings) {
    this.#router = router
    this.#known = known
    this.#finding = finding
    this.#opens = opens
    this.#belongings = belongings
  }

  lookup(parent: number, name: ByteRange, finish: Done): void {
    this.#lookup(parent, checked(name), 0, finish)
  }

  /** An entry whose inode is gone was given to another inode since, or taken away: the name says which. */
  #lookup(parent: number, name: ByteRange, last: number, finish: Done): void {
    const request = { ...this.#directory(parent), name }
    this.#router.askBriefly(this.#router.ofDentry(parent, name), MetadataLookup, request, (result, reply) => {
      if (reply === null) finish(result)
      else
        this.#entry(reply, (found) => {
          if (found !== -ESTALE) finish(found)
          // An entry without an inode that stays is damage.
          else if (reply.child === last) finish(-EIO)
          else step(finish, () => this.#lookup(parent, name, reply.child, finish))
        })
    })
  }

  make(parent: number, name: ByteRange, mode: number, rdev: number, caller: Caller, finish: Done): void {
    this.#make(parent, checked(name), { ...NOT_OPENED, mode, rdev, caller }, (result, entry) => {
      if (entry === null) finish(result)
      else this.#entry(entry, finish)
    })
  }

  /** A symbolic link; its target lies in the pool's memory. */
  symlink(parent: number, name: ByteRange, mode: number, target: ByteRange, caller: Caller, finish: Done): void {
    const transfer = { at: target.offset, bytes: target.length, to: 0, room: 0 }
    this.#make(parent, checked(name), { ...NOT_OPENED, mode, rdev: 0, caller, transfer }, (result, entry) => {
      if (entry === null) finish(result)
      else this.#entry(entry, finish)
    })
  }

  /** The open(2) that may create. */
  create(parent: number, name: ByteRange, mode: number, flags: OpenFlags, caller: Caller, finish: Done): void {
    this.#create(parent, checked(name), mode, flags, caller, finish, 0)
  }

  #create(
    parent: number,
    name: ByteRange,
    mode: number,
    flags: OpenFlags,
    caller: Caller,
    finish: Done,
    tries: number,
  ): void {
    const again = (): void => {
      if (tries > TRIES_MAX) finish(-ESTALE)
      else step(finish, () => this.#create(parent, name, mode, flags, caller, finish, tries + 1))
    }
    const open = this.#belongings.newId()
    const making = { mode, rdev: 0, caller, existing: !flags.exclusive, open, transfer: NO_TRANSFER }
    // It was taken away between the two messages: then it is to be made after all.
    const opened = (result: number): void => (result === -ESTALE ? again() : finish(result))
    this.#make(parent, name, making, (result, entry) => {
      if (result === -EEXIST && making.existing) this.#openExisting(parent, name, flags, again, finish)
      else if (entry === null) finish(result)
      else if (entry.inode === null) {
        this.#opens.open({ number: entry.child, generation: entry.childGeneration }, flags, opened)
      } else {
        this.#finding.set(entry.inode, null)
        this.#belongings.open(entry.child, entry.childGeneration, open)
        if (flags.truncate && entry.inode.size > 0) this.#opens.empty(entry.inode, flags, finish)
        else finish(0)
      }
    })
  }

  /** What could not be made as it is there. */
  #openExisting(parent: number, name: ByteRange, flags: OpenFlags, again: () => void, finish: Done): void {
    this.#lookup(parent, name, 0, (found) => {
      if (found === -ENOENT) again()
      else if (found < 0) finish(found)
      else this.#opens.open(this.#finding.inode, flags, (result) => (result === -ESTALE ? again() : finish(result)))
    })
  }

  tmpfile(parent: number, mode: number, caller: Caller, finish: Done): void {
    this.#knowing(parent, finish, (directory) => {
      const member = this.#router.self >= 0 ? this.#router.self : this.#router.ofInode(parent)
      const open = this.#belongings.newId()
      const { uid, gid, umask } = caller
      const request = { ...directory, open, mode, rdev: 0, uid, gid, umask }
      this.#belongings.asking(open)
      this.#router.askBriefly(member, MetadataTemporary, request, (result, reply) => {
        this.#belongings.answered(open)
        if (reply?.inode != null) this.#belongings.open(reply.inode.number, reply.inode.generation, open)
        this.#finding.taken(finish)(result, reply)
      })
    })
  }

  link(number: number, parent: number, name: ByteRange, finish: Done): void {
    const request = { ...this.#known.ref(number), ...this.#directory(parent), name: checked(name) }
    // An inode that has lost its last name since it was found cannot be given another one.
    const linked = this.#finding.taken((result) => finish(result === -ESTALE ? -ENOENT : result))
    this.#router.askBriefly(this.#router.ofInode(number), Link, request, linked)
  }

  remove(parent: number, name: ByteRange, directory: number, finish: Done): void {
    const request = { ...this.#directory(parent), directory, name: checked(name) }
    const member = this.#router.ofDentry(parent, name)
    this.#router.askBriefly(member, MetadataDelete, request, (result) => finish(Math.min(result, 0)))
  }

  rename(
    fromParent: number,
    fromName: ByteRange,
    toParent: number,
    toName: ByteRange,
    flags: number,
    finish: Done,
  ): void {
    const to = this.#known.ref(toParent)
    const request = {
      ...this.#directory(fromParent),
      ...{ toParent: to.number, toParentGeneration: to.generation },
      ...{ flags, name: checked(fromName), toName: checked(toName) },
    }
    const ended = (result: number): void => finish(Math.min(result, 0))
    this.#router.askBriefly(this.#router.ofDentry(fromParent, fromName), Rename, request, (result) => {
      if (result !== -EREMOTE) ended(result)
      else this.#router.askBriefly(this.#router.ofInode(ROOT_INODE), RenameAcross, request, ended)
    })
  }

  #directory(parent: number): { parent: number; parentGeneration: number } {
    const { number, generation } = this.#known.ref(parent)
    return { parent: number, parentGeneration: generation }
  }

  /** Finds the inode of an entry: it came along, or it lies elsewhere. */
  #entry({ child, childGeneration, inode, defaultAcl }: Entry, finish: Done): void {
    if (inode === null) this.#finding.get({ number: child, generation: childGeneration }, finish)
    else {
      this.#finding.set(inode, defaultAcl)
      finish(0)
    }
  }

  #make(parent: number, name: ByteRange, making: Making, done: (result: number, entry: Entry | null) => void): void {
    const { mode, rdev, caller, existing, open, transfer } = making
    const failed = (error: number): void => done(error, null)
    this.#knowing(parent, failed, (directory) => {
      if (isDirectory(mode) && this.#known.get(parent).inode.nlink >= LINKS_MAX) fail(EMLINK)
      const { uid, gid, umask } = caller
      const made = { ...directory, open, mode, rdev, uid, gid, umask, name }
      const { self } = this.#router
      const member = this.#router.ofDentry(parent, name)
      const answered: typeof done = (result, entry) => {
        this.#belongings.answered(open)
        done(result, entry)
      }
      if (open !== 0) this.#belongings.asking(open)
      const isPlaced = isRegular(mode) && directory.layout === LAYOUT_LOCAL && self >= 0 && member !== self
      if (isPlaced) this.#router.askBriefly(self, MetadataPlace, made, answered)
      else this.#router.ask(member, MetadataCreate, { ...made, existing: existing ? 1 : 0 }, transfer, answered)
    })
  }

  /** Goes on with what the directory hands down; asks for it first where that is not known. */
  #knowing(parent: number, failed: Done, go: (directory: Directory) => void): void {
    const defaultAcl = this.#known.defaultAcl(parent)
    if (defaultAcl === null) {
      this.#finding.get(this.#known.ref(parent), (result) => {
        if (result < 0) failed(result)
        else step(failed, () => this.#knowing(parent, failed, go))
      })
      return
    }
    const { mode, gid, chunkBits, layout } = this.#known.get(parent).inode
    const acl = { bytes: defaultAcl, offset: 0, length: defaultAcl.length }
    const legacy = { directoryMode: mode, directoryGid: gid, chunkBits, layout, defaultAcl: acl }
    go({ ...this.#directory(parent), ...legacy })
  }
}

/** A directory and what it hands down. */
interface Directory {
  readonly parent: number
  readonly parentGeneration: number
  readonly directoryMode: number
  readonly directoryGid: number
  readonly chunkBits: number
  readonly layout: number
  readonly defaultAcl: ByteRange
}

const NOT_OPENED = { existing: false, open: 0, transfer: NO_TRANSFER }

/** A copy of a name that may be one. */
function checked(name: ByteRange): ByteRange {
  if (name.length > NAME_BYTES_MAX) fail(ENAMETOOLONG)
  if (bytesOf(name).length === 0) fail(EINVAL)
  return copyOf(name)
}
