import { ESTALE } from '../base/errno.js'
import type { ByteRange } from '../base/ids.js'
import { ROOT_INODE } from '../base/ids.js'
import { S_IFLNK, S_IFREG } from '../base/mode.js'
import { sooner } from '../chunk/then.js'
import type { Node } from '../node/node.js'
import type { Router } from '../node/router.js'
import { updateOf } from '../node/update.js'
import type { BufferPool, Done } from '../ports.js'
import type { AttributeChange } from '../share/attributes.js'
import type { Caller } from '../share/context.js'
import type { Lock } from '../share/locks.js'
import type { VisitEntry } from '../share/share.js'
import type { StatfsFigures } from '../wire/kernel.js'
import { MetadataGet, MetadataUpdate } from '../wire/methods.js'
import type { NumberedInode } from '../wire/struct.js'
import { ClusterData } from './cluster-data.js'
import { ClusterLocks } from './cluster-locks.js'
import { ClusterNames } from './cluster-names.js'
import { ClusterOpens } from './cluster-opens.js'
import { Finding } from './finding.js'
import { Known } from './known.js'
import { Listings } from './listing.js'
import type { Listing, LockKind, OpenFlags, Operations, PoolRange, WriteFlags } from './operations.js'

/**
 * The file system of a node among peers: every operation goes to the members that have what it is about, and nothing is
 * cached. So a call that begins after another one has returned, on whatever node, sees its effect.
 */
export class Cluster implements Operations {
  readonly #router: Router
  readonly #belongings: Node['belongings']
  readonly #known: Known
  readonly #finding: Finding
  readonly #names: ClusterNames
  readonly #opens: ClusterOpens
  readonly #listings: Listings
  readonly #data: ClusterData
  readonly #locks: ClusterLocks

  constructor({ router, belongings }: Pick<Node, 'router' | 'belongings'>, pool: BufferPool) {
    this.#router = router
    this.#belongings = belongings
    this.#known = new Known((number) => router.session(router.ofInode(number)))
    this.#finding = new Finding(router, this.#known)
    this.#opens = new ClusterOpens(router, this.#known, this.#finding, belongings)
    this.#names = new ClusterNames(router, this.#known, this.#finding, this.#opens, belongings)
    this.#listings = new Listings(router, this.#known, pool)
    this.#data = new ClusterData(router, this.#known, pool)
    this.#locks = new ClusterLocks(router, this.#known, belongings)
  }

  get found(): NumberedInode {
    return this.#finding.inode
  }

  get isHeldUp(): boolean {
    return this.#router.isHeldUp
  }
  get blocker(): Lock | undefined {
    return this.#locks.blocker
  }

  /** Looks the root directory up; nothing may be asked before `done`. */
  start(done: Done): void {
    const request = { number: ROOT_INODE, generation: 0 }
    this.#router.askBriefly(this.#router.ofInode(ROOT_INODE), MetadataGet, request, (result, reply) => {
      if (reply?.inode != null) this.#known.start(reply.inode)
      done(Math.min(result, 0))
    })
  }

  hold(inode: NumberedInode): void {
    this.#known.hold(inode, inode === this.#finding.inode ? this.#finding.defaultAcl : null)
  }

  forget(number: number, count: number): void {
    this.#known.forget(number, count)
  }

  isLost(handle: number): boolean {
    return this.#belongings.isLost(handle)
  }

  lookup(parent: number, name: ByteRange, done: Done): number {
    return sooner(done, (finish) => this.#names.lookup(parent, name, finish))
  }

  /** What the kernel holds and is no more has no name any more; otherwise it is as it was when last seen. */
  getattr(number: number, done: Done): number {
    const ref = this.#known.ref(number)
    return sooner(done, (finish) => {
      this.#finding.get(ref, (result) => {
        if (result === -ESTALE && this.#known.has(number)) {
          this.#finding.set({ ...this.#known.get(number).inode, nlink: 0 }, null)
          finish(0)
        } else finish(result)
      })
    })
  }

  setattr(number: number, change: AttributeChange, done: Done): number {
    const request = updateOf(this.#known.ref(number), change)
    return sooner(done, (finish) => {
      const member = this.#router.ofInode(number)
      this.#router.askBriefly(member, MetadataUpdate, request, this.#finding.taken(finish))
    })
  }

  mknod(parent: number, name: ByteRange, mode: number, rdev: number, caller: Caller, done: Done): number {
    return sooner(done, (finish) => this.#names.make(parent, name, mode, rdev, caller, finish))
  }

  symlink(parent: number, name: ByteRange, target: ByteRange, caller: Caller, done: Done): number {
    const mode = S_IFLNK | 0o777
    return sooner(done, (finish) => this.#names.symlink(parent, name, mode, target, caller, finish))
  }

  link(number: number, parent: number, name: ByteRange, done: Done): number {
    return sooner(done, (finish) => this.#names.link(number, parent, name, finish))
  }

  tmpfile(parent: number, mode: number, caller: Caller, done: Done): number {
    return sooner(done, (finish) => this.#names.tmpfile(parent, S_IFREG | (mode & 0o7777), caller, finish))
  }

  create(parent: number, name: ByteRange, mode: number, flags: OpenFlags, caller: Caller, done: Done): number {
    const kind = S_IFREG | (mode & 0o7777)
    return sooner(done, (finish) => this.#names.create(parent, name, kind, flags, caller, finish))
  }

  open(number: number, flags: OpenFlags, done: Done): number {
    const ref = this.#known.ref(number)
    return sooner(done, (finish) => this.#opens.open(ref, flags, finish))
  }

  release(number: number, handle: number, flockOwner: string | undefined): void {
    this.#opens.release(number, handle, flockOwner)
  }

  unlink(parent: number, name: ByteRange, done: Done): number {
    return sooner(done, (finish) => this.#names.remove(parent, name, 0, finish))
  }

  rmdir(parent: number, name: ByteRange, done: Done): number {
    return sooner(done, (finish) => this.#names.remove(parent, name, 1, finish))
  }

  rename(
    fromParent: number,
    fromName: ByteRange,
    toParent: number,
    toName: ByteRange,
    flags: number,
    done: Done,
  ): number {
    return sooner(done, (finish) => this.#names.rename(fromParent, fromName, toParent, toName, flags, finish))
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

  copyFileRange(
    from: number,
    fromOffset: number,
    to: number,
    toOffset: number,
    bytes: number,
    via: PoolRange,
    done: Done,
  ): number {
    return this.#data.copyFileRange(from, fromOffset, to, toOffset, bytes, via, done)
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
    this.#known.outdate(number)
    return this.#data.setxattr(number, name, value, flags, killSetgid, done)
  }

  listxattr(number: number, at: number, size: number, privileged: boolean, done: Done): number {
    return this.#data.listxattr(number, at, size, privileged, done)
  }

  removexattr(number: number, name: ByteRange, done: Done): number {
    this.#known.outdate(number)
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
}
