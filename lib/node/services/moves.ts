import { caught, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ESTALE, fail } from '../../base/errno.js'
import { ROOT_INODE } from '../../base/ids.js'
import { S_IFDIR } from '../../base/mode.js'
import { Dentry } from '../../meta/dentries.js'
import type { Done } from '../../ports.js'
import { NO_TRANSFER } from '../../rpc/call.js'
import type { Asked } from '../../rpc/services.js'
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../share/remove.js'
import { DentryPut, InodeLinks, Link, MetadataGet, Rename, type RequestOf } from '../../wire/methods.js'
import { copyOf, type NameServices } from './names.js'
import type { Serving } from './serving.js'

const KEEP = 0
const REPLACE = 1
const EXCHANGE = 2

type Child = { child: number; childGeneration: number; kind: number }
type Move = RequestOf<typeof Rename>

const NOTHING: Child = { child: 0, childGeneration: 0, kind: 0 }

/**
 * The services that give an inode another name. The new name always comes before the old one goes, so that whoever
 * looks finds at least one of them; the entry that goes is compared first, so that what somebody else put there stays.
 */
export class MoveServices {
  readonly #serving: Serving
  readonly #names: NameServices
  readonly #dentry = new Dentry()

  constructor(serving: Serving, names: NameServices) {
    this.#serving = serving
    this.#names = names
    const { services } = serving
    services.on(DentryPut, (request, asked) => this.#put(request, asked))
    services.on(Link, (request, asked) => this.#link(request, asked))
    services.on(Rename, (request, asked) => this.#rename(request, asked))
  }

  #put(request: RequestOf<typeof DentryPut>, asked: Asked<typeof DentryPut>): void {
    const own = { ...request, name: copyOf(request.name) }
    const replaced = this.#target(own)
    const isBuried = replaced.kind === S_IFDIR && own.replace === REPLACE && replaced.child !== own.child
    if (!isBuried) {
      this.#write(own, replaced)
      asked.answer(0, replaced)
      return
    }
    const write = (done: Done): void => {
      done(
        caught(() => {
          if (this.#target(own).child !== replaced.child) fail(ENOENT)
          this.#write(own, replaced)
          return 0
        }),
      )
    }
    const done = (result: number): void => asked.answer(result, result < 0 ? null : replaced)
    this.#names.bury(replaced.child, replaced.childGeneration, done, write)
  }

  /** What the new entry takes the place of. EEXIST, ENOENT, EISDIR, ENOTDIR. */
  #target({ parent, parentGeneration, name, replace, kind, child }: RequestOf<typeof DentryPut>): Child {
    const { meta } = this.#serving.share
    if (!meta.dentries.find({ number: parent, generation: parentGeneration }, name, this.#dentry)) {
      if (replace === EXCHANGE) fail(ENOENT)
      meta.mustGrow()
      return NOTHING
    }
    const { child: present, childGeneration, kind: presentKind } = this.#dentry
    if (replace === KEEP) fail(EEXIST)
    if (replace === REPLACE && present !== child && (kind === S_IFDIR) !== (presentKind === S_IFDIR)) {
      fail(kind === S_IFDIR ? ENOTDIR : EISDIR)
    }
    return { child: present, childGeneration, kind: presentKind }
  }

  /** Writes the entry at the place that was looked up last. */
  #write({ child, childGeneration, kind, name }: RequestOf<typeof DentryPut>, replaced: Child): void {
    if (replaced.child !== child) {
      this.#serving.share.meta.dentries.putChild(this.#dentry, name, child, childGeneration, kind)
    }
  }

  #link(request: RequestOf<typeof Link>, asked: Asked<typeof Link>): void {
    const { number, generation, parent, parentGeneration } = request
    const { router, parents } = this.#serving
    const name = copyOf(request.name)
    const inode = { number, generation }
    this.#links(inode, 1, 0, 0, (error) => {
      if (error < 0) {
        asked.answer(error, null)
        return
      }
      const { mode } = this.#serving.inode(number, generation)
      const entry = { parent, parentGeneration, name, replace: KEEP, child: number, childGeneration: generation }
      const member = router.ofDentry(parent, name)
      router.ask(member, DentryPut, { ...entry, kind: mode & 0o170000 }, NO_TRANSFER, (result) => {
        if (result < 0) this.#links(inode, -1, 0, 0, () => asked.answer(result, null))
        else
          parents.changed(parent, parentGeneration, 0, (failed) => {
            const linked = this.#serving.share.meta.find(number)
            asked.answer(Math.min(failed, 0), failed < 0 ? null : { inode: linked ?? null })
          })
      })
    })
  }

  #rename(request: Move, asked: Asked<typeof Rename>): void {
    const { flags, parent } = request
    if (flags !== 0 && flags !== RENAME_NOREPLACE && flags !== RENAME_EXCHANGE) fail(EINVAL)
    const own = { ...request, name: copyOf(request.name), toName: copyOf(request.toName) }
    this.#names.exclusively(
      parent,
      own.name,
      (result) => asked.answer(result, result < 0 ? null : {}),
      (done) => {
        const source = this.#source(own)
        this.#checkAncestors(source, own, (error) => {
          if (error < 0) done(error)
          else this.#move(own, source, done)
        })
      },
    )
  }

  #source({ parent, parentGeneration, name }: Move): Child {
    const { dentries } = this.#serving.share.meta
    if (!dentries.find({ number: parent, generation: parentGeneration }, name, this.#dentry)) fail(ENOENT)
    const { child, childGeneration, kind } = this.#dentry
    return { child, childGeneration, kind }
  }

  #move(move: Move, source: Child, done: Done): void {
    const { router } = this.#serving
    const replace = move.flags === RENAME_NOREPLACE ? KEEP : move.flags === RENAME_EXCHANGE ? EXCHANGE : REPLACE
    const { toParent: parent, toParentGeneration: parentGeneration, toName: name } = move
    const member = router.ofDentry(parent, name)
    router.ask(
      member,
      DentryPut,
      { parent, parentGeneration, name, replace, ...source },
      NO_TRANSFER,
      (result, reply) => {
        if (reply === null) done(result)
        // Two names of one inode: POSIX says that nothing happens.
        else if (reply.child === source.child) done(0)
        else if (replace === EXCHANGE) this.#exchange(move, source, reply, done)
        else this.#settle(move, source, reply, done)
      },
    )
  }

  /** The new name is there: the old one goes, and then what the new one has replaced. */
  #settle(move: Move, source: Child, replaced: Child, done: Done): void {
    const failed = caught(() => {
      if (this.#source(move).child !== source.child) fail(ENOENT)
      this.#serving.share.meta.dentries.remove(this.#dentry)
      return 0
    })
    if (failed < 0) {
      done(failed)
      return
    }
    const isDirectory = source.kind === S_IFDIR
    const across = isDirectory && move.parent !== move.toParent
    const lost = across ? -1 : 0
    const gained = (across ? 1 : 0) - (replaced.kind === S_IFDIR ? 1 : 0)
    const steps: ((next: Done) => void)[] = [
      (next) => this.#moved(move.toParent, move.toParentGeneration, source, next),
    ]
    if (replaced.child !== 0) steps.push((next) => this.#links(refOf(replaced), -1, 0, 0, next))
    steps.push((next) => this.#changed(move, lost, gained, next))
    inTurn(steps, done)
  }

  #exchange(move: Move, source: Child, other: Child, done: Done): void {
    const { dentries } = this.#serving.share.meta
    const failed = caught(() => {
      if (this.#source(move).child !== source.child) fail(ENOENT)
      dentries.putChild(this.#dentry, move.name, other.child, other.childGeneration, other.kind)
      return 0
    })
    if (failed < 0) {
      done(failed)
      return
    }
    const across = move.parent !== move.toParent
    const balance = across ? Number(source.kind === S_IFDIR) - Number(other.kind === S_IFDIR) : 0
    inTurn(
      [
        (next) => this.#moved(move.toParent, move.toParentGeneration, source, next),
        (next) => this.#moved(move.parent, move.parentGeneration, other, next),
        (next) => this.#changed(move, -balance, balance, next),
      ],
      done,
    )
  }

  /** The inode has another name, and a directory another parent. */
  #moved(parent: number, parentGeneration: number, moved: Child, done: Done): void {
    this.#links(refOf(moved), 0, parent, parentGeneration, done)
  }

  #changed({ parent, parentGeneration, toParent, toParentGeneration }: Move, lost: number, gained: number, done: Done) {
    const { parents } = this.#serving
    if (parent === toParent) parents.changed(parent, parentGeneration, lost + gained, done)
    else {
      parents.changed(parent, parentGeneration, lost, (error) => {
        if (error < 0) done(error)
        else parents.changed(toParent, toParentGeneration, gained, done)
      })
    }
  }

  #links(inode: { number: number; generation: number }, links: number, parent: number, generation: number, done: Done) {
    const { router } = this.#serving
    const request = { ...inode, links, parent, parentGeneration: generation }
    router.ask(router.ofInode(inode.number), InodeLinks, request, NO_TRANSFER, (result) => done(Math.min(result, 0)))
  }

  /** A directory must not move below itself: walks up from where it shall go. EINVAL. */
  #checkAncestors({ child, kind }: Child, { parent, toParent, toParentGeneration, flags }: Move, done: Done): void {
    if (kind !== S_IFDIR || parent === toParent) {
      if (flags !== RENAME_EXCHANGE) {
        done(0)
        return
      }
    }
    const { router } = this.#serving
    const walk = (number: number, generation: number): void => {
      if (number === child && kind === S_IFDIR) done(-EINVAL)
      else if (number === ROOT_INODE) done(0)
      else
        router.ask(router.ofInode(number), MetadataGet, { number, generation }, NO_TRANSFER, (result, reply) => {
          if (reply?.inode == null) done(result === -ESTALE ? -ENOENT : Math.min(result, 0))
          else walk(reply.inode.parent, reply.inode.parentGeneration)
        })
    }
    walk(toParent, toParentGeneration)
  }
}

const refOf = ({ child, childGeneration }: Child): { number: number; generation: number } => ({
  number: child,
  generation: childGeneration,
})

/** Runs one step after the other, up to the first error. */
function inTurn(steps: ((next: Done) => void)[], done: Done): void {
  const [first, ...rest] = steps
  if (first === undefined) done(0)
  else first((error) => (error < 0 ? done(error) : inTurn(rest, done)))
}
