import { ENOENT, EOPNOTSUPP, ESTALE } from '../base/errno.js'
import type { ByteRange } from '../base/ids.js'
import { ROOT_INODE } from '../base/ids.js'
import { S_IFLNK, S_IFREG } from '../base/mode.js'
import { sooner } from '../chunk/then.js'
import type { Router } from '../node/router.js'
import { updateOf, updateToEmpty } from '../node/update.js'
import type { BufferPool, Done } from '../ports.js'
import { NO_TRANSFER, type Transfer } from '../rpc/call.js'
import type { AttributeChange } from '../share/attributes.js'
import type { Caller } from '../share/context.js'
import type { Lock } from '../share/locks.js'
import type { VisitEntry } from '../share/share.js'
import type { StatfsFigures } from '../wire/kernel.js'
import {
  InodeOpen,
  Link,
  MetadataCreate,
  MetadataDelete,
  MetadataGet,
  MetadataLookup,
  MetadataUpdate,
  Rename,
  type ReplyOf,
} from '../wire/methods.js'
import { INODE_HAS_ACL } from '../wire/records.js'
import type { NumberedInode } from '../wire/struct.js'
import { ClusterData } from './cluster-data.js'
import { ClusterLocks } from './cluster-locks.js'
import { Known } from './known.js'
import { Listings } from './listing.js'
import type { Listing, LockKind, OpenFlags, Operations, WriteFlags } from './operations.js'
import { step } from './waiting.js'

const NO_ACL: ByteRange = { bytes: new Uint8Array(0), offset: 0, length: 0 }

/**
 * The file system of a node among peers: every operation goes to the members that have what it is about, and nothing is
 * cached. So a call that begins after another one has returned, on whatever node, sees its effect.
 */
export class Cluster implements Operations {
  found!: NumberedInode
  readonly #router: Router
  readonly #known: Known
  readonly #listings: Listings
  readonly #data: ClusterData
  readonly #locks: ClusterLocks

  constructor(router: Router, pool: BufferPool) {
    this.#router = router
    this.#known = new Known((number) => router.session(router.ofInode(number)))
    this.#listings = new Listings(router, this.#known, pool)
    this.#data = new ClusterData(router, this.#known, pool)
    this.#locks = new ClusterLocks(router, this.#known)
  }

  get blocker(): Lock | undefined {
    return this.#locks.blocker
  }

  /** Looks the root directory up; nothing may be asked before `done`. */
  start(done: Done): void {
    const request = { number: ROOT_INODE, generation: 0 }
    this.#router.ask(this.#router.ofInode(ROOT_INODE), MetadataGet, request, NO_TRANSFER, (result, reply) => {
      if (reply?.inode != null) this.#known.start(reply.inode)
      done(Math.min(result, 0))
    })
  }

  hold(inode: NumberedInode): void {
    this.#known.hold(inode)
  }

  forget(number: number, count: number): void {
    this.#known.forget(number, count)
  }

  lookup(parent: number, name: ByteRange, done: Done): number {
    const request = { ...this.#directory(parent), name }
    const member = this.#router.ofDentry(parent, name)
    return sooner(done, (finish) => {
      this.#router.ask(member, MetadataLookup, request, NO_TRANSFER, (result, reply) => {
        if (reply === null) finish(result)
        else this.#entry(reply, finish)
      })
    })
  }

  getattr(number: number, done: Done): number {
    const ref = this.#known.ref(number)
    return sooner(done, (finish) => this.#get(ref, finish))
  }

  setattr(number: number, change: AttributeChange, done: Done): number {
    const request = updateOf(this.#known.ref(number), change)
    return sooner(done, (finish) => {
      const member = this.#router.ofInode(number)
      this.#router.ask(member, MetadataUpdate, request, NO_TRANSFER, this.#inode(finish))
    })
  }

  mknod(parent: number, name: ByteRange, mode: number, rdev: number, caller: Caller, done: Done): number {
    return sooner(done, (finish) => this.#make(parent, name, mode, rdev, caller, NOT_OPENED, NO_TRANSFER, finish))
  }

  symlink(parent: number, name: ByteRange, target: ByteRange, caller: Caller, done: Done): number {
    const transfer = { at: target.offset, bytes: target.length, to: 0, room: 0 }
    const mode = S_IFLNK | 0o777
    return sooner(done, (finish) => this.#make(parent, name, mode, 0, caller, NOT_OPENED, transfer, finish))
  }

  link(number: number, parent: number, name: ByteRange, done: Done): number {
    const request = { ...this.#known.ref(number), ...this.#directory(parent), name }
    const member = this.#router.ofInode(number)
    return sooner(done, (finish) => this.#router.ask(member, Link, request, NO_TRANSFER, this.#inode(finish)))
  }

  tmpfile(): number {
    return -EOPNOTSUPP
  }

  create(parent: number, name: ByteRange, mode: number, flags: OpenFlags, caller: Caller, done: Done): number {
    const how = { existing: flags.exclusive ? 0 : 1, open: 1 }
    const kind = S_IFREG | (mode & 0o7777)
    return sooner(done, (finish) => {
      this.#make(
        parent,
        name,
        kind,
        0,
        caller,
        how,
        NO_TRANSFER,
        (result) => {
          if (result < 0 || result === OPENED) finish(Math.min(result, 0))
          else this.#open(this.found, flags, finish)
        },
        flags,
      )
    })
  }

  open(number: number, flags: OpenFlags, done: Done): number {
    const inode = this.#known.get(number).inode
    return sooner(done, (finish) => this.#open(inode, flags, finish))
  }

  release(number: number, handle: number, flockOwner: string | undefined): void {
    this.#locks.release(number, handle, flockOwner)
  }

  unlink(parent: number, name: ByteRange, done: Done): number {
    return this.#delete(parent, name, 0, done)
  }

  rmdir(parent: number, name: ByteRange, done: Done): number {
    return this.#delete(parent, name, 1, done)
  }

  rename(
    fromParent: number,
    fromName: ByteRange,
    toParent: number,
    toName: ByteRange,
    flags: number,
    done: Done,
  ): number {
    const to = this.#known.ref(toParent)
    const request = {
      ...this.#directory(fromParent),
      ...{ toParent: to.number, toParentGeneration: to.generation },
      ...{ flags, name: fromName, toName },
    }
    const member = this.#router.ofDentry(fromParent, fromName)
    return sooner(done, (finish) =>
      this.#router.ask(member, Rename, request, NO_TRANSFER, (result) => finish(Math.min(result, 0))),
    )
  }

  readlink(number: number, at: number, done: Done): number {
    return this.#data.readlink(number, at, done)
  }

  readdir(number: number, cookie: number, visit: VisitEntry, listing: Listing, done: Done): number {
    return sooner(done, (finish) => this.#listings.readdir(number, cookie, visit, listing, finish))
  }

  peek(): NumberedInode | undefined {
    return this.#listings.inode
  }

  read(number: number, to: number, bytes: number, offset: number, done: Done): number {
    return this.#data.read(number, to, bytes, offset, done)
  }

  write(number: number, at: number, bytes: number, offset: number, how: WriteFlags, done: Done): number {
    return this.#data.write(number, at, bytes, offset, how, done)
  }

  fallocate(number: number, mode: number, offset: number, bytes: number, done: Done): number {
    return this.#data.fallocate(number, mode, offset, bytes, done)
  }

  /** The kernel then copies by reading and writing. */
  copyFileRange(): number {
    return -EOPNOTSUPP
  }

  lseek(number: number, offset: number, whence: number, done: Done): number {
    return this.#data.lseek(number, offset, whence, done)
  }

  fsync(number: number, done: Done): number {
    return this.#data.fsync(number, done)
  }

  fsyncdir(_number: number, done: Done): number {
    return this.#data.syncfs(done)
  }

  syncfs(done: Done): number {
    return this.#data.syncfs(done)
  }

  statfs(out: StatfsFigures, done: Done): number {
    return this.#data.statfs(out, done)
  }

  getxattr(number: number, name: ByteRange, at: number, size: number, done: Done): number {
    return this.#data.getxattr(number, name, at, size, done)
  }

  setxattr(number: number, name: ByteRange, value: ByteRange, flags: number, killSetgid: boolean, done: Done): number {
    return this.#data.setxattr(number, name, value, flags, killSetgid, done)
  }

  listxattr(number: number, at: number, size: number, privileged: boolean, done: Done): number {
    return this.#data.listxattr(number, at, size, privileged, done)
  }

  removexattr(number: number, name: ByteRange, done: Done): number {
    return this.#data.removexattr(number, name, done)
  }

  testLock(number: number, kind: LockKind, lock: Lock, done: Done): number {
    return this.#locks.test(number, kind, lock, done)
  }

  setLock(number: number, kind: LockKind, lock: Lock, done: Done): number {
    return this.#locks.set(number, kind, lock, done)
  }

  waitLock(number: number, kind: LockKind, lock: Lock, id: string, done: Done): number {
    return this.#locks.wait(number, kind, lock, id, done)
  }

  interrupt(id: string): void {
    this.#locks.interrupt(id)
  }

  flush(number: number, owner: string, done: Done): number {
    return this.#locks.flush(number, owner, done)
  }

  #directory(parent: number): { parent: number; parentGeneration: number } {
    const { number, generation } = this.#known.ref(parent)
    return { parent: number, parentGeneration: generation }
  }

  /** Takes an answer that is an inode. */
  #inode(finish: Done): (result: number, reply: { inode: NumberedInode | null } | null) => void {
    return (result, reply) => {
      if (reply === null) finish(result)
      else if (reply.inode === null) finish(-ESTALE)
      else {
        this.#known.note(reply.inode)
        this.found = reply.inode
        finish(0)
      }
    }
  }

  #get(ref: { number: number; generation: number }, finish: Done): void {
    this.#router.ask(this.#router.ofInode(ref.number), MetadataGet, ref, NO_TRANSFER, (result, reply) => {
      if (reply !== null) {
        const { bytes, offset, length } = reply.defaultAcl
        this.#known.noteAcl(ref.number, bytes.slice(offset, offset + length))
      }
      this.#inode(finish)(result, reply)
    })
  }

  /** Finds the inode of an entry: it came along, or it lies elsewhere. */
  #entry({ child, childGeneration, inode }: ReplyOf<typeof MetadataLookup>, finish: Done): void {
    if (inode !== null) {
      this.#inode(finish)(0, { inode })
      return
    }
    // An entry whose inode is gone was taken away since.
    const found = (result: number): void => finish(result === -ESTALE ? -ENOENT : result)
    this.#get({ number: child, generation: childGeneration }, found)
  }

  #open(inode: NumberedInode, flags: OpenFlags, finish: Done): void {
    const request = {
      ...{ number: inode.number, generation: inode.generation },
      ...{ truncate: flags.truncate ? 1 : 0, killPrivileges: flags.killPrivileges ? 1 : 0 },
    }
    const member = this.#router.ofInode(inode.number)
    this.#router.ask(member, InodeOpen, request, NO_TRANSFER, this.#inode(finish))
  }

  /** Makes an entry; `finish` gets OPENED where its inode was opened with it, 0 where it was not. */
  #make(
    parent: number,
    name: ByteRange,
    mode: number,
    rdev: number,
    { uid, gid, umask }: Caller,
    how: { existing: number; open: number },
    transfer: Transfer,
    finish: Done,
    flags?: OpenFlags,
  ): void {
    const directory = this.#directory(parent)
    const known = this.#known.get(parent)
    const needsAcl = (known.inode.flags & INODE_HAS_ACL) !== 0 && known.defaultAcl === null
    if (needsAcl) {
      const copy = { bytes: name.bytes.slice(name.offset, name.offset + name.length), offset: 0, length: name.length }
      const caller = { uid, gid, umask, pid: 0 }
      this.#get(this.#known.ref(parent), (result) => {
        if (result < 0) finish(result)
        else step(finish, () => this.#make(parent, copy, mode, rdev, caller, how, transfer, finish, flags))
      })
      return
    }
    const { inode, defaultAcl } = known
    const acl = defaultAcl === null ? NO_ACL : { bytes: defaultAcl, offset: 0, length: defaultAcl.length }
    const request = {
      ...directory,
      ...{ directoryMode: inode.mode, directoryGid: inode.gid, chunkBits: inode.chunkBits, layout: inode.layout },
      ...{ defaultAcl: acl, ...how, mode, rdev, uid, gid, umask, name },
    }
    const member = this.#router.ofDentry(parent, name)
    this.#router.ask(member, MetadataCreate, request, transfer, (result, reply) => {
      if (reply === null) finish(result)
      else this.#made(reply, how.open !== 0, flags, finish)
    })
  }

  #made(reply: ReplyOf<typeof MetadataCreate>, opens: boolean, flags: OpenFlags | undefined, finish: Done): void {
    const wasHere = reply.inode !== null
    const mustEmpty = flags?.truncate === true && (reply.inode?.size ?? 0) > 0
    const made = (result: number): void => {
      if (result < 0) finish(result)
      else if (!opens || (wasHere && !mustEmpty)) finish(opens ? OPENED : 0)
      else if (!wasHere) finish(0)
      else this.#empty(this.found.number, flags?.killPrivileges === true, finish)
    }
    this.#entry(reply, made)
  }

  /** Empties a file that is open already. */
  #empty(number: number, killPrivileges: boolean, finish: Done): void {
    const request = updateToEmpty(number, this.found.generation, killPrivileges)
    const emptied = this.#inode((result) => finish(result < 0 ? result : OPENED))
    this.#router.ask(this.#router.ofInode(number), MetadataUpdate, request, NO_TRANSFER, emptied)
  }

  #delete(parent: number, name: ByteRange, directory: number, done: Done): number {
    const request = { ...this.#directory(parent), directory, name }
    const member = this.#router.ofDentry(parent, name)
    return sooner(done, (finish) =>
      this.#router.ask(member, MetadataDelete, request, NO_TRANSFER, (result) => finish(Math.min(result, 0))),
    )
  }
}

const NOT_OPENED = { existing: 0, open: 0 }

/** The inode was opened by the message that has made it. */
const OPENED = 1
