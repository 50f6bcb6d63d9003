import { caught, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, fail } from '../../base/errno.js'
import type { ByteRange } from '../../base/ids.js'
import { isDirectory, S_IFDIR, S_IFMT } from '../../base/mode.js'
import { Gate } from '../../chunk/gate.js'
import { sooner } from '../../chunk/then.js'
import { Dentry } from '../../meta/dentries.js'
import { BURIED, FROZEN } from '../../meta/graves.js'
import type { Inode } from '../../meta/inode.js'
import { type Done, PENDING } from '../../ports.js'
import { NO_TRANSFER } from '../../rpc/call.js'
import type { Asked } from '../../rpc/services.js'
import { parseAcl } from '../../share/acl.js'
import type { Inherited } from '../../share/create.js'
import {
  DirectoryGrave,
  InodeLinks,
  MetadataCreate,
  MetadataDelete,
  MetadataLookup,
  type ReplyOf,
  type RequestOf,
} from '../../wire/methods.js'
import type { Serving } from './serving.js'

type Entry = ReplyOf<typeof MetadataLookup>

/** The services for entries: they are asked of the member that has the entry's position. */
export class NameServices {
  readonly #serving: Serving
  readonly #dentry = new Dentry()
  /** Lets one operation at a time take an entry away, by its position. */
  readonly #gate = new Gate()
  /** What waits until it is settled whether a directory goes. */
  readonly #frozen = new Map<number, (() => void)[]>()

  constructor(serving: Serving) {
    this.#serving = serving
    const { services } = serving
    services.on(MetadataLookup, (request, asked) => asked.answer(0, this.#lookup(request)))
    services.on(MetadataCreate, (request, asked) => this.#create(request, asked))
    services.on(MetadataDelete, (request, asked) => this.#delete(request, asked))
    services.on(DirectoryGrave, (request, asked) => this.#setGrave(request, asked))
  }

  /** Runs what takes an entry away, or moves it, when nobody else does the same. */
  exclusively(parent: number, name: ByteRange, done: Done, operation: (finish: Done) => void): void {
    const { positions } = this.#serving
    const result = this.#gate.run(positions.ofDentry(parent, name), done, (late) => sooner(late, operation))
    if (result !== PENDING) done(result)
  }

  #lookup({ parent, parentGeneration, name }: RequestOf<typeof MetadataLookup>): Entry {
    const { meta } = this.#serving.share
    const directory = { number: parent, generation: parentGeneration }
    if (!meta.dentries.find(directory, name, this.#dentry)) fail(ENOENT)
    return this.#entry(this.#dentry)
  }

  #entry({ child, childGeneration, kind }: Dentry): Entry {
    const inode = this.#serving.isHere(child) ? this.#serving.share.meta.find(child) : undefined
    return { child, childGeneration, kind, inode: inode ?? null }
  }

  #create(request: RequestOf<typeof MetadataCreate>, asked: Asked<typeof MetadataCreate>): void {
    const { share, parents } = this.#serving
    const { meta } = share
    const { parent, parentGeneration, name, mode, rdev, uid, gid, umask } = request
    if (meta.graves.state(parent, parentGeneration) === FROZEN) {
      const copy = copyOf(name)
      this.#wait(parent, () => this.#again(asked, () => this.#create({ ...request, name: copy }, asked)))
      return
    }
    const directory: Inherited = {
      number: parent,
      generation: parentGeneration,
      mode: request.directoryMode,
      gid: request.directoryGid,
      chunkBits: request.chunkBits,
      layout: request.layout,
      defaultAcl: request.defaultAcl.length === 0 ? null : parseAcl(bytesOf(request.defaultAcl)),
    }
    if (request.existing !== 0 && meta.dentries.find(directory, name, this.#dentry)) {
      const entry = this.#entry(this.#dentry)
      if (request.open !== 0 && entry.inode !== null) share.hold(entry.child)
      asked.answer(0, entry)
      return
    }
    const inode = share.create.mknodIn(directory, name, mode, rdev, { uid, gid, pid: 0, umask })
    if (asked.bytes > 0) {
      meta.inline.write(inode.number, 0, { bytes: this.#serving.pool.memory, offset: asked.at, length: asked.bytes })
      inode.size = asked.bytes
    }
    if (request.open !== 0) share.hold(inode.number)
    const reply = entryOf(inode)
    asked.record(reply)
    parents.changed(parent, parentGeneration, isDirectory(mode) ? 1 : 0, (error) => asked.answer(error, reply))
  }

  #delete(request: RequestOf<typeof MetadataDelete>, asked: Asked<typeof MetadataDelete>): void {
    const name = copyOf(request.name)
    const own = { ...request, name }
    let reply: Entry | null = null
    const remove = (finish: Done): void => {
      const entry = this.#find(own)
      reply = entry
      if (request.directory === 0) this.#unlink(own, entry, asked, finish)
      else this.#rmdir(own, entry, asked, finish)
    }
    this.exclusively(request.parent, name, (result) => asked.answer(result, reply), remove)
  }

  /** The entry that is to be taken away. ENOENT, EISDIR, ENOTDIR. */
  #find(request: RequestOf<typeof MetadataDelete>): Entry {
    const entry = this.#lookup(request)
    const isOne = entry.kind === S_IFDIR
    if (isOne && request.directory === 0) fail(EISDIR)
    if (!isOne && request.directory !== 0) fail(ENOTDIR)
    return entry
  }

  #unlink(
    request: RequestOf<typeof MetadataDelete>,
    entry: Entry,
    asked: Asked<typeof MetadataDelete>,
    done: Done,
  ): void {
    this.#removeEntry(request, entry.child)
    asked.record(entry)
    this.#dropLink(entry, (error) => {
      if (error < 0) done(error)
      else this.#serving.parents.changed(request.parent, request.parentGeneration, 0, done)
    })
  }

  #rmdir(
    request: RequestOf<typeof MetadataDelete>,
    entry: Entry,
    asked: Asked<typeof MetadataDelete>,
    done: Done,
  ): void {
    const { parent, parentGeneration } = request
    this.bury(entry.child, entry.childGeneration, done, (finish) => {
      const failed = caught(() => {
        this.#removeEntry(request, entry.child)
        asked.record(entry)
        return 0
      })
      if (failed < 0) {
        finish(failed)
        return
      }
      this.#dropLink(entry, (error) => {
        if (error < 0) finish(error)
        else this.#serving.parents.changed(parent, parentGeneration, -1, finish)
      })
    })
  }

  /**
   * Removes a directory: freezes it on every member, runs `remove` where it has no entries anywhere, and buries it, or
   * lets it go on. ENOTEMPTY.
   */
  bury(number: number, generation: number, done: Done, remove: (done: Done) => void): void {
    const { router } = this.#serving
    const frozen: number[] = []
    const setAll = (state: number, members: readonly number[], then: () => void): void => {
      let left = members.length
      if (left === 0) then()
      for (const member of members) {
        router.ask(member, DirectoryGrave, { number, generation, state }, NO_TRANSFER, () => {
          if (--left === 0) then()
        })
      }
    }
    const freeze = { number, generation, state: FROZEN }
    const note = (member: number): number => frozen.push(member)
    router.askAll(
      DirectoryGrave,
      freeze,
      () => NO_TRANSFER,
      note,
      (error) => {
        if (error < 0) setAll(0, frozen, () => done(error))
        else remove((result) => setAll(result < 0 ? 0 : BURIED, frozen, () => done(result)))
      },
    )
  }

  #setGrave(
    { number, generation, state }: RequestOf<typeof DirectoryGrave>,
    asked: Asked<typeof DirectoryGrave>,
  ): void {
    const { graves, dentries } = this.#serving.share.meta
    const present = graves.state(number, generation)
    if (state === FROZEN) {
      // Two that remove the same directory: the second one finds out when it looks for the entry.
      if (present !== 0) fail(ENOENT)
      if (!dentries.isEmpty({ number, generation })) fail(ENOTEMPTY)
    }
    if (state !== 0) graves.set(number, generation, state)
    else if (present === FROZEN) graves.remove(number, generation)
    asked.answer(0, {})
    if (state === FROZEN) return
    const waiting = this.#frozen.get(number) ?? []
    this.#frozen.delete(number)
    for (const go of waiting) go()
  }

  #wait(directory: number, go: () => void): void {
    const waiting = this.#frozen.get(directory)
    if (waiting === undefined) this.#frozen.set(directory, [go])
    else waiting.push(go)
  }

  /** Goes on with a request outside of the call that has brought it. */
  #again(asked: Asked<typeof MetadataCreate>, step: () => void): void {
    this.#serving.guard(step, (error) => asked.answer(error, null))
  }

  /** Takes the entry away, if it still is this child's. ENOENT. */
  #removeEntry({ parent, parentGeneration, name }: RequestOf<typeof MetadataDelete>, child: number): void {
    const { dentries } = this.#serving.share.meta
    const directory = { number: parent, generation: parentGeneration }
    if (!dentries.find(directory, name, this.#dentry) || this.#dentry.child !== child) fail(ENOENT)
    dentries.remove(this.#dentry)
  }

  /** The inode's part: in the same batch where it is here. */
  #dropLink({ child, childGeneration }: Entry, done: Done): void {
    const { router } = this.#serving
    const request = { number: child, generation: childGeneration, links: -1, parent: 0, parentGeneration: 0 }
    const drop = (): void =>
      router.ask(router.ofInode(child), InodeLinks, request, NO_TRANSFER, (result) => done(Math.min(result, 0)))
    if (this.#serving.isHere(child)) drop()
    else this.#serving.onceCommitted((error) => (error < 0 ? done(error) : drop()))
  }
}

export const entryOf = (inode: Inode): Entry => ({
  child: inode.number,
  childGeneration: inode.generation,
  kind: inode.mode & S_IFMT,
  inode,
})

export const bytesOf = ({ bytes, offset, length }: ByteRange): Uint8Array => bytes.subarray(offset, offset + length)

/** A name that outlives the message that brought it. */
export function copyOf(range: ByteRange): ByteRange {
  return { bytes: bytesOf(range).slice(), offset: 0, length: range.length }
}
