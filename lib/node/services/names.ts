import { EISDIR, ENOENT, ENOTDIR, ESTALE, fail } from '../../base/errno.js'
import { bytesOf, copyOf, EMPTY_RANGE } from '../../base/ids.js'
import { isDirectory, S_IFDIR, S_IFMT, S_ISGID } from '../../base/mode.js'
import { Dentry, type DirectoryRef } from '../../meta/dentries.js'
import type { Inode } from '../../meta/inode.js'
import type { Asked } from '../../rpc/services.js'
import { defaultAclOf } from '../../share/acls.js'
import type { Caller } from '../../share/context.js'
import type { Inherited } from '../../share/create.js'
import { MetadataCreate, MetadataLookup, MetadataTemporary, type ReplyOf, type RequestOf } from '../../wire/methods.js'
import { aclRange, inheritedFrom, type Legacy, legacyOf } from '../links.js'
import { Waits } from '../waits.js'
import type { Graves } from './graves.js'
import type { Serving } from './serving.js'

type Entry = ReplyOf<typeof MetadataLookup>
type Creation = RequestOf<typeof MetadataCreate>

/** The services that find and make entries: they are asked of the member that has the entry's position. */
export class NameServices {
  readonly #serving: Serving
  readonly #graves: Graves
  readonly #dentry = new Dentry()
  /** Counts directories that are being made: each holds its name. */
  #making = 0

  constructor(serving: Serving, graves: Graves) {
    this.#serving = serving
    this.#graves = graves
    const { services } = serving
    services.on(MetadataLookup, (request, asked) => this.#lookup(request, asked))
    services.on(
      MetadataCreate,
      (request, asked) => this.#create(ownedOf(request), asked),
      ({ open }, { child }, member) => reopen(serving, open, child, member),
    )
    services.on(
      MetadataTemporary,
      (request, asked) => this.#temporary(request, asked),
      ({ open }, { inode }, member) => reopen(serving, open, inode?.number ?? 0, member),
    )
  }

  #lookup(request: RequestOf<typeof MetadataLookup>, asked: Asked<typeof MetadataLookup>): void {
    const { names, share } = this.#serving
    if (names.holder(request) !== undefined) {
      const own = { ...request, name: copyOf(request.name) }
      names.wait(own, (error) => this.#retry(asked, error, () => this.#lookup(own, asked)))
      return
    }
    if (!share.meta.dentries.find(directoryOf(request), request.name, this.#dentry)) fail(ENOENT)
    asked.answer(0, this.#entry(this.#dentry))
  }

  #create(request: Creation, asked: Asked<typeof MetadataCreate>): void {
    const { share, names } = this.#serving
    const retry = (error: number): void => this.#retry(asked, error, () => this.#create(request, asked))
    if (names.holder(request) !== undefined) {
      names.wait(request, retry)
      return
    }
    const directory = directoryOf(request)
    if (!this.#graves.admits(directory, retry)) return
    const heir = heirOf(this.#serving, directory, request)
    if (request.existing !== 0 && share.meta.dentries.find(directory, request.name, this.#dentry)) {
      const entry = this.#entry(this.#dentry)
      if (entry.kind === S_IFDIR) fail(EISDIR)
      const isOpened = request.open !== 0 && entry.inode !== null && asked.isGivenUp !== true
      if (isOpened) share.opened(entry.child, asked.member, request.open)
      asked.answer(0, entry)
    } else this.#make(request, heir, asked)
  }

  #make(request: Creation, heir: Inherited, asked: Asked<typeof MetadataCreate>): void {
    const { share, outgoing, pool } = this.#serving
    const { parent, parentGeneration, name, mode, rdev, open } = request
    const caller = callerOf(request)
    const inode = share.create.mknodIn(heir, name, mode, rdev, caller)
    if (asked.bytes > 0) {
      share.meta.inline.write(inode.number, 0, { bytes: pool.memory, offset: asked.at, length: asked.bytes })
      inode.size = asked.bytes
    }
    if (open !== 0) share.opened(inode.number, asked.member, open)
    let entry = snapshotOf(this.#entryOf(inode))
    asked.record(entry)
    const { generation, ctime, ctimeNs } = inode
    const { number } = inode
    const waits = new Waits()
    const delivery = waits.add<Legacy>((error, legacy) => {
      if (legacy === undefined || !differs(heir, legacy)) return error === -ESTALE ? -ENOENT : error
      // The directory has changed since the asker has seen it, and with it what it hands down.
      const made = share.meta.find(number)
      const isUntouched = made?.generation === generation && made.ctime === ctime && made.ctimeNs === ctimeNs
      if (made === undefined || !isUntouched) return 0
      share.create.reinherit(made, inheritedFrom(parent, parentGeneration, legacy), mode, caller)
      entry = snapshotOf(this.#entryOf(made))
      asked.record(entry)
      return 0
    })
    if (isDirectory(mode)) this.#hold(request, waits)
    outgoing.subdirectories(parent, parentGeneration, isDirectory(mode) ? 1 : 0, delivery)
    this.#serving.answerAfter(asked, waits, () => {
      if (open !== 0) this.#settleOpening(number, open, asked)
      return entry
    })
  }

  /**
   * Whoever has given the creation up, or has died over it, has nothing open; nor has one that has lost the session and
   * has not asked again by now: then it has it open from when it does. A restart of this node has forgotten openings.
   */
  #settleOpening(number: number, open: number, { isGivenUp, member }: Asked<typeof MetadataCreate>): void {
    if (isGivenUp === true) this.#serving.share.closed(number, member, open)
    else reopen(this.#serving, open, number, member)
  }

  /**
   * What others build in a directory must not outlive it in a power cut: nobody finds it before it is safe.
   */
  #hold(request: Creation, waits: Waits): void {
    const { names, router, stream, share } = this.#serving
    const { seconds, nanoseconds } = share.meta.stamps
    const saga = -++this.#making
    names.take(request, { member: router.self, saga, seconds, nanoseconds, isLast: true })
    const { done } = waits.add()
    stream.onceDurable((error) => {
      names.free(request, router.self, saga)
      done(error)
    })
  }

  #temporary(request: RequestOf<typeof MetadataTemporary>, asked: Asked<typeof MetadataTemporary>): void {
    const { share } = this.#serving
    const { mode, open } = request
    const heir = heirOf(this.#serving, directoryOf(request), request)
    const inode = share.create.tmpfileAt(ownPosition(this.#serving), heir, mode, callerOf(request))
    if (open !== 0) share.opened(inode.number, asked.member, open)
    asked.answer(0, { inode })
  }

  #entry({ child, childGeneration, kind }: Dentry): Entry {
    const inode = this.#serving.isHere(child) ? this.#serving.share.meta.find(child) : undefined
    return inode === undefined
      ? { child, childGeneration, kind, inode: null, defaultAcl: EMPTY_RANGE }
      : this.#entryOf(inode)
  }

  #entryOf(inode: Inode): Entry {
    const acl = inode.isDirectory ? defaultAclOf(this.#serving.share.context, inode) : null
    const { number, generation, mode } = inode
    return { child: number, childGeneration: generation, kind: mode & S_IFMT, inode, defaultAcl: aclRange(acl) }
  }

  #retry(asked: { answer(error: number, reply: null): void }, error: number, step: () => void): void {
    if (error < 0) asked.answer(error, null)
    else this.#serving.guard(step, (failed) => asked.answer(failed, null))
  }
}

export const directoryOf = ({
  parent,
  parentGeneration,
}: {
  parent: number
  parentGeneration: number
}): DirectoryRef => ({
  number: parent,
  generation: parentGeneration,
})

/** A request that outlives its message. */
const ownedOf = (request: Creation): Creation => ({
  ...request,
  name: copyOf(request.name),
  defaultAcl: copyOf(request.defaultAcl),
})

/** The entry as it is now, to be answered with later. */
const snapshotOf = (entry: Entry): Entry => ({ ...entry, inode: entry.inode && { ...entry.inode } })

export const callerOf = ({ uid, gid, umask }: { uid: number; gid: number; umask: number }): Caller => ({
  uid,
  gid,
  umask,
  pid: 0,
})

/** What a new inode takes over from its directory: as that is, where it lies here, or as the asker has seen it. */
export function heirOf(serving: Serving, { number, generation }: DirectoryRef, request: Legacy): Inherited {
  const { share } = serving
  if (!serving.isHere(number)) return inheritedFrom(number, generation, request)
  const directory = share.meta.find(number)
  if (directory === undefined || directory.generation !== generation || directory.nlink === 0) fail(ENOENT)
  if (!directory.isDirectory) fail(ENOTDIR)
  return inheritedFrom(number, generation, legacyOf(share.context, directory))
}

/** A position that belongs to this node. */
export function ownPosition({ share, router }: Serving): number {
  for (;;) {
    const position = share.meta.freePosition()
    if (router.ofPosition(position) === router.self) return position
  }
}

/** A restart has forgotten that the inode is open, which its kept answer speaks of. */
export function reopen({ share }: Serving, open: number, number: number, member: number): void {
  if (open !== 0 && share.meta.find(number) !== undefined) share.opened(number, member, open)
}

/** Whether a new inode would have got another group, other permissions or another list. */
function differs(heir: Inherited, legacy: Legacy): boolean {
  const [was, is] = [heir.mode & S_ISGID, legacy.directoryMode & S_ISGID]
  if (was !== is || (is !== 0 && heir.gid !== legacy.directoryGid)) return true
  const [before, now] = [bytesOf(aclRange(heir.defaultAcl)), bytesOf(legacy.defaultAcl)]
  return before.length !== now.length || before.some((byte, at) => byte !== now[at])
}
