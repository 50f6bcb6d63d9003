import { EEXIST, EINVAL, EMLINK, ENOENT, EPERM, EREMOTE, fail } from '../../base/errno.js'
import { bytesOf, copyOf, ROOT_INODE } from '../../base/ids.js'
import { LINKS_MAX } from '../../base/limits.js'
import { S_IFDIR, S_IFMT } from '../../base/mode.js'
import { Dentry } from '../../meta/dentries.js'
import type { AnyMethod, Asked } from '../../rpc/services.js'
import { setUnnamed } from '../../share/context.js'
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../share/remove.js'
import { Link, Rename, RenameAcross, type RequestOf } from '../../wire/methods.js'
import type { Line } from '../line.js'
import type { LinkPlan } from '../plans/link.js'
import type { MovePlan } from '../plans/move.js'
import type { MoveAcrossPlan } from '../plans/move-across.js'
import { directoryOf } from './names.js'
import type { Serving } from './serving.js'

type Move = RequestOf<typeof Rename>
type LinkRequest = RequestOf<typeof Link>

/** Since when somebody wants a name; undefined: since now. */
export interface Since {
  readonly seconds: number
  readonly nanoseconds: number
}

export interface MovePlans {
  readonly move: MovePlan
  readonly across: MoveAcrossPlan
  readonly link: LinkPlan
}

/** rename(2) and link(2). The requests that these methods are given must outlive their messages. */
export class MoveServices {
  readonly #serving: Serving
  readonly #plans: MovePlans
  readonly #line: Line
  readonly #dentry = new Dentry()

  constructor(serving: Serving, plans: MovePlans, line: Line) {
    this.#serving = serving
    this.#plans = plans
    this.#line = line
    const { services } = serving
    services.on(Link, (request, asked) => this.link({ ...request, name: copyOf(request.name) }, asked))
    services.on(Rename, (request, asked) => this.rename(ownedOf(request), asked))
    services.on(RenameAcross, (request, asked) => this.renameAcross(ownedOf(request), asked))
  }

  /** The older of two that start anew keeps its age, so that it is not the younger for ever. */
  rename(request: Move, asked: Asked<typeof Rename>, since = this.#now()): void {
    const { names, router, share, sagas } = this.#serving
    const { parent, toParent, toName, flags } = request
    const retry = (error: number): void => this.#retry(asked, error, () => this.rename(request, asked, since))
    mustBeKnown(flags)
    if (names.holder(request) !== undefined) {
      names.wait(request, retry)
      return
    }
    if (!share.meta.dentries.find(directoryOf(request), request.name, this.#dentry)) fail(ENOENT)
    if (isSame(request)) {
      if (flags === RENAME_NOREPLACE) fail(EEXIST)
      asked.answer(0, {})
      return
    }
    const { child, childGeneration, kind } = this.#dentry
    if (parent !== toParent && (kind === S_IFDIR || flags === RENAME_EXCHANGE)) fail(EREMOTE)
    const members = [router.ofDentry(toParent, toName), router.ofInode(child)]
    if (!router.areUp(members)) {
      router.whenUp(members, retry)
      return
    }
    const fields = { ...request, ...since, error: 0, child, childGeneration, kind, ...NO_OTHER }
    sagas.begin(this.#plans.move, fields, asked as unknown as Asked<AnyMethod>)
  }

  renameAcross(request: Move, asked: Asked<typeof RenameAcross>, since = this.#now()): void {
    const { router, sagas } = this.#serving
    const { parent, name, toParent, toName, flags } = request
    mustBeKnown(flags)
    if (router.ofInode(ROOT_INODE) !== router.self) fail(EREMOTE)
    const members = [router.ofDentry(parent, name), router.ofDentry(toParent, toName)]
    const again = (error: number): void => this.#retry(asked, error, () => this.renameAcross(request, asked, since))
    if (!router.areUp(members)) {
      router.whenUp(members, again)
      return
    }
    this.#line.enter(() => {
      if (!router.areUp(members)) {
        this.#line.leave()
        again(0)
        return
      }
      const fields = { ...request, ...since, error: 0, child: 0, childGeneration: 0, kind: 0, ...NO_OTHER }
      sagas.begin(this.#plans.across, fields, asked as unknown as Asked<AnyMethod>)
    })
  }

  link(request: LinkRequest, asked: Asked<typeof Link>): void {
    const { router, share, sagas } = this.#serving
    const { number, generation, parent, name } = request
    const inode = this.#serving.inode(number, generation)
    if (inode.isDirectory) fail(EPERM)
    if (inode.nlink >= LINKS_MAX) fail(EMLINK)
    const members = [router.ofDentry(parent, name)]
    if (!router.areUp(members)) {
      router.whenUp(members, (error) => this.#retry(asked, error, () => this.link(request, asked)))
      return
    }
    if (inode.nlink === 0) {
      share.meta.orphans.remove(number)
      setUnnamed(share.context, number, false)
    }
    inode.nlink++
    share.meta.stamp(inode, false)
    const child = { child: number, childGeneration: generation, kind: inode.mode & S_IFMT }
    const fields = { ...request, ...child, ...this.#now(), error: 0 }
    sagas.begin(this.#plans.link, fields, asked as unknown as Asked<AnyMethod>)
  }

  #now(): Since {
    const { stamps } = this.#serving.share.meta
    stamps.advance()
    return { seconds: stamps.seconds, nanoseconds: stamps.nanoseconds }
  }

  #retry(asked: { answer(error: number, reply: null): void }, error: number, step: () => void): void {
    if (error < 0) asked.answer(error, null)
    else this.#serving.guard(step, (failed) => asked.answer(failed, null))
  }
}

const NO_OTHER = { other: 0, otherGeneration: 0, otherKind: 0 }

const ownedOf = (request: Move): Move => ({
  ...request,
  name: copyOf(request.name),
  toName: copyOf(request.toName),
})

function mustBeKnown(flags: number): void {
  if (flags !== 0 && flags !== RENAME_NOREPLACE && flags !== RENAME_EXCHANGE) fail(EINVAL)
}

function isSame({ parent, name, toParent, toName }: Move): boolean {
  const [from, to] = [bytesOf(name), bytesOf(toName)]
  return parent === toParent && from.length === to.length && from.every((byte, at) => byte === to[at])
}
