import { EAGAIN, EEXIST, EIO, EISDIR, ENOENT, ENOTDIR, ESTALE, fail } from '../../base/errno.js'
import { copyOf } from '../../base/ids.js'
import { S_IFDIR } from '../../base/mode.js'
import { Dentry } from '../../meta/dentries.js'
import type { AnyMethod, Asked } from '../../rpc/services.js'
import { REQUEST_AGE_MS_MAX } from '../../rpc/server.js'
import {
  DentryHold,
  DentryPeek,
  DentryPut,
  DentryTake,
  DirectoryParent,
  type ReplyOf,
  type RequestOf,
} from '../../wire/methods.js'
import { type Holder, isOlder } from '../held-names.js'
import { EXCHANGE, KEEP, REPLACE } from '../plans/move.js'
import type { RemovalPlan } from '../plans/removal.js'
import { unlessGone, Waits } from '../waits.js'
import type { Graves } from './graves.js'
import { directoryOf } from './names.js'
import type { Serving } from './serving.js'

type Put = RequestOf<typeof DentryPut>
type Child = ReplyOf<typeof DentryPut>

/** A request that has waited. */
interface Waiting {
  readonly isAbandoned?: boolean
  answer(error: number, reply: null): void
}

const NOTHING: Child = { child: 0, childGeneration: 0, kind: 0 }

/** An intent that is older than this looks whether the directory is there still: its grave may be gone. */
const TRUSTED_AGE_MS = REQUEST_AGE_MS_MAX / 2

/** What the intents of other nodes, and of this one, do with the entries that lie here. */
export class EntryServices {
  readonly #serving: Serving
  readonly #graves: Graves
  readonly #removal: RemovalPlan
  readonly #dentry = new Dentry()
  /** Numbers the holds of names that are being put: none is a saga's. */
  #putting = 0

  constructor(serving: Serving, graves: Graves, removal: RemovalPlan) {
    this.#serving = serving
    this.#graves = graves
    this.#removal = removal
    const { services } = serving
    services.on(DentryPut, (request, asked) => this.put({ ...request, name: copyOf(request.name) }, asked))
    services.on(DentryPeek, (request, asked) => asked.answer(0, this.#find(request)))
    services.on(DentryHold, (request, asked) => this.#hold({ ...request, name: copyOf(request.name) }, asked))
    services.on(DentryTake, (request, asked) => this.#take({ ...request, name: copyOf(request.name) }, asked))
  }

  /** The request must outlive its message. `isSeen`: the directory was there a moment ago. */
  put(request: Put, asked: Asked<typeof DentryPut>, isSeen = asked.ageMs <= TRUSTED_AGE_MS): void {
    const { names, router } = this.#serving
    const { parent, parentGeneration, saga, seconds, nanoseconds } = request
    const retry = (error: number): void => this.#retry(asked, error, () => this.put(request, asked, isSeen))
    const holder = names.holder(request)
    if (holder !== undefined) {
      if (!holder.isLast && isOlder(holder, { member: asked.member, saga, seconds, nanoseconds })) fail(EAGAIN)
      names.wait(request, retry)
      return
    }
    if (!this.#graves.admits(directoryOf(request), retry)) return
    if (this.#serving.isHere(parent)) this.#mustBeThere(parent, parentGeneration)
    else if (!isSeen) {
      const seen = (result: number): void => {
        const error = result === -ESTALE ? -ENOENT : Math.min(result, 0)
        this.#retry(asked, error, () => this.put(request, asked, true))
      }
      const directory = { number: parent, generation: parentGeneration }
      router.askBriefly(router.ofInode(parent), DirectoryParent, directory, seen)
      return
    }
    const replaced = this.#target(request)
    // Two names of one inode: nothing happens.
    if (replaced.child === request.child) asked.answer(0, replaced)
    else if (replaced.kind === S_IFDIR && request.replace === REPLACE)
      this.#replaceDirectory(request, replaced, asked, retry)
    else this.#write(request, replaced, asked)
  }

  #mustBeThere(parent: number, generation: number): void {
    const directory = this.#serving.share.meta.find(parent)
    if (directory === undefined || directory.generation !== generation || directory.nlink === 0) fail(ENOENT)
    if (!directory.isDirectory) fail(ENOTDIR)
  }

  /** What the new entry takes the place of. EEXIST, ENOENT, EISDIR, ENOTDIR, EAGAIN, ENOSPC. */
  #target(request: Put): Child {
    const { meta } = this.#serving.share
    const { replace, kind, child, expected } = request
    if (!meta.dentries.find(directoryOf(request), request.name, this.#dentry)) {
      if (replace === EXCHANGE) fail(ENOENT)
      meta.mustGrow()
      return NOTHING
    }
    const present = childOf(this.#dentry)
    if (replace === KEEP) fail(EEXIST)
    if (expected !== 0 && expected !== present.child) fail(EAGAIN)
    const isDirectory = kind === S_IFDIR
    if (replace === REPLACE && present.child !== child && isDirectory !== (present.kind === S_IFDIR)) {
      fail(isDirectory ? ENOTDIR : EISDIR)
    }
    return present
  }

  /** Writes the entry at the place that was looked up last. */
  #write(request: Put, replaced: Child, asked: Asked<typeof DentryPut>): void {
    const { share, outgoing, names, router } = this.#serving
    const { parent, parentGeneration, name, child, childGeneration, kind, links, replace } = request
    share.meta.dentries.putChild(this.#dentry, name, child, childGeneration, kind)
    asked.record(replaced)
    const waits = new Waits()
    if (replace === REPLACE && replaced.child !== 0) {
      outgoing.unlinked(replaced.child, replaced.childGeneration, waits.add())
    }
    // Nobody has it before its directory has heard of it: it is taken back where that turns out to be gone.
    const saga = -++this.#putting
    const { seconds, nanoseconds } = share.meta.stamps
    names.take(request, { member: router.self, saga, seconds, nanoseconds, isLast: true })
    share.meta.ifUndone(() => names.free(request, router.self, saga))
    const settled = waits.add((error) => {
      if (error === -ESTALE) this.#takeBack(request)
      return error === -ESTALE ? -ENOENT : error
    })
    outgoing.subdirectories(parent, parentGeneration, links, {
      done: (error) => {
        settled.done(error)
        this.#serving.onceCommitted(() => names.free(request, router.self, saga))
      },
      late: settled.late,
    })
    this.#serving.answerAfter(asked, waits, () => replaced)
  }

  #takeBack(request: Put): void {
    const { dentries } = this.#serving.share.meta
    if (dentries.find(directoryOf(request), request.name, this.#dentry) && this.#dentry.child === request.child) {
      dentries.remove(this.#dentry)
    }
  }

  /** An empty directory gives way to another one. Every member has a say, see {@link RemovalPlan}. */
  #replaceDirectory(
    request: Put,
    replaced: Child,
    asked: Asked<typeof DentryPut>,
    retry: (error: number) => void,
  ): void {
    const { router, sagas } = this.#serving
    const members = router.everybody()
    if (!router.areUp(members)) {
      router.whenUp(members, retry)
      return
    }
    const { parent, parentGeneration, name, child, childGeneration, kind, links, seconds, nanoseconds } = request
    const fields = {
      ...{ seconds, nanoseconds, error: 0, method: DentryPut.number },
      ...{ parent, parentGeneration, name, child, childGeneration, kind, links: links - 1 },
      ...{ other: replaced.child, otherGeneration: replaced.childGeneration, otherKind: replaced.kind },
    }
    sagas.begin(this.#removal, fields, asked as unknown as Asked<AnyMethod>)
  }

  #hold(request: RequestOf<typeof DentryHold>, asked: Asked<typeof DentryHold>): void {
    const { names, share } = this.#serving
    if (names.holder(request) !== undefined) {
      names.wait(request, (error) => this.#retry(asked, error, () => this.#hold(request, asked)))
      return
    }
    const { saga, seconds, nanoseconds } = request
    const found = this.#find(request)
    const holder: Holder = { member: asked.member, saga, seconds, nanoseconds, isLast: false }
    names.take(request, holder)
    share.meta.ifUndone(() => names.free(request, asked.member, saga))
    share.meta.heldNames.put(ownerOf(asked), saga, request)
    asked.answer(0, found)
  }

  #take(request: RequestOf<typeof DentryTake>, asked: Asked<typeof DentryTake>): void {
    const { names, share, outgoing } = this.#serving
    const { parent, parentGeneration, name, take, child, childGeneration, kind, links, saga } = request
    const { meta } = share
    const waits = new Waits()
    if (!meta.heldNames.has(ownerOf(asked), saga)) fail(EIO)
    meta.heldNames.remove(ownerOf(asked), saga)
    if (take !== 0) {
      this.#find(request)
      if (child === 0) meta.dentries.remove(this.#dentry)
      else meta.dentries.putChild(this.#dentry, name, child, childGeneration, kind)
      outgoing.subdirectories(parent, parentGeneration, links, waits.add(unlessGone))
    }
    asked.record({})
    meta.onceCommitted((error) => {
      if (error === 0) names.free(request, asked.member, saga)
    })
    this.#serving.answerAfter(asked, waits, () => ({}))
  }

  /** ENOENT. */
  #find(request: RequestOf<typeof DentryPeek>): Child {
    if (!this.#serving.share.meta.dentries.find(directoryOf(request), request.name, this.#dentry)) fail(ENOENT)
    return childOf(this.#dentry)
  }

  #retry(asked: Waiting, error: number, step: () => void): void {
    if (asked.isAbandoned === true) return
    if (error < 0) asked.answer(error, null)
    else this.#serving.guard(step, (failed) => asked.answer(failed, null))
  }
}

const childOf = ({ child, childGeneration, kind }: Dentry): Child => ({ child, childGeneration, kind })

/** Whose intent holds a name here: the asker's durable stream begins with its member id. */
const ownerOf = ({ origin }: { origin: { client: Uint8Array } | null }): Uint8Array => origin?.client ?? fail(EIO)
