import { EAGAIN, EINVAL, EIO, ENXIO, ESTALE, fail } from '../../base/errno.js'
import { Gate } from '../../chunk/gate.js'
import { type ChunkStore, SEEK_DATA, SEEK_HOLE } from '../../chunk/store.js'
import { ending, type Step, sooner, then } from '../../chunk/then.js'
import type { Inode } from '../../meta/inode.js'
import { type Done, PENDING } from '../../ports.js'
import { NO_TRANSFER } from '../../rpc/call.js'
import type { AnyMethod, Asked } from '../../rpc/services.js'
import { type MemberOf, pieceOf, PIECE_CHUNKS_MAX } from '../../stripe/stripe.js'
import {
  PartAllocate,
  PartCut,
  PartFree,
  PartRegister,
  PartSeek,
  PartSync,
  PartWrite,
  type ReadChunk,
  type ReplyOf,
  type RequestOf,
} from '../../wire/methods.js'
import { INODE_IS_PART } from '../../wire/records.js'
import type { Serving } from './serving.js'

const PUNCH_HOLE = 2
/** No member. */
const NOBODY = -1

/** Runs of chunks that one question for a hole looks at. */
const SEEK_RUNS_MAX = 256

/** What a request about a part names. */
interface PartRef {
  readonly number: number
  readonly generation: number
}

/**
 * The services of a member that holds chunks of inodes that lie elsewhere: of each it keeps a part, an inode of its own
 * with the same number, generation and truncation epoch, whose size is the end of what was written here. A part is made
 * once the inode's member knows of it, and goes when that says so: so none is ever forgotten.
 */
export class PartServices {
  readonly #serving: Serving
  readonly #chunks: ChunkStore
  /** One change of a part at a time, also while it waits for the inode's member. */
  readonly #gate = new Gate()
  /** What waits until an inode's member knows of a part. */
  readonly #registering = new Set<{ readonly owner: number; readonly end: Done }>()

  constructor(serving: Serving) {
    this.#serving = serving
    this.#chunks = serving.share.context.chunks
    const { services } = serving
    services.on(PartWrite, (request, asked) => this.#write(request, asked))
    services.on(PartCut, (request, asked) => this.#cut(request, asked))
    services.on(PartFree, (request, asked) => this.#free(request, asked))
    services.on(PartSync, ({ number }, asked) => {
      const finish = (result: number): void => asked.answer(Math.min(result, 0), result < 0 ? null : {})
      const result = this.#chunks.sync(number, finish)
      if (result !== PENDING) finish(result)
    })
    services.on(PartAllocate, (request, asked) => this.#allocate(request, asked))
    services.on(PartSeek, (request, asked) => asked.answer(0, this.seek(request)))
  }

  /** A session has ended: who waits here for that member is to do so there. */
  memberLost(member: number): void {
    for (const registering of [...this.#registering]) {
      if (registering.owner === member && this.#registering.delete(registering)) registering.end(-EAGAIN)
    }
  }

  /** Reads of the part, as long as its truncation epoch is the one that was asked for, also at the end. */
  read(request: RequestOf<typeof ReadChunk>, asked: Asked<typeof ReadChunk>): void {
    const { number, generation, epoch, offset, bytes } = request
    if (this.#find(request) === undefined) {
      asked.answer(0, { absent: 1 })
      return
    }
    const refused = (): number => {
      const part = this.#serving.share.meta.find(number)
      return part?.generation === generation ? refusal(part, epoch) : -EAGAIN
    }
    const finish = (read: number): void => {
      // What was cut off while it was being read has been read as zeros.
      const result = read < 0 ? read : refused() || read
      asked.answer(result, result < 0 ? null : { absent: 0 })
    }
    asked.place(bytes, (at) => {
      const read = (): void => {
        const result = refused() || this.#chunks.read(number, at, bytes, offset, finish)
        if (result !== PENDING) finish(result)
      }
      this.#serving.guard(read, finish)
    })
  }

  /** Looks for data or a hole in those chunks of an inode, or of a part, that this member has. */
  seek(request: RequestOf<typeof PartSeek>): ReplyOf<typeof PartSeek> {
    const { number, offset, end, whence } = request
    if (whence !== SEEK_DATA) return this.#seekHole(request)
    const found = this.#has(request) ? this.#chunks.seek(number, offset, SEEK_DATA) : -ENXIO
    if (found < 0 && found !== -ENXIO) fail(-found)
    return found >= 0 && found < end ? { offset: found, found: 1 } : { offset: end, found: 0 }
  }

  #seekHole(request: RequestOf<typeof PartSeek>): ReplyOf<typeof PartSeek> {
    const { number, offset, end, chunkBits } = request
    const { router } = this.#serving
    const memberOf: MemberOf = (chunk) => router.ofChunk(number, chunk, 0)
    let at = offset
    for (let run = 0; run < SEEK_RUNS_MAX && at < end; run++) {
      const piece = pieceOf(router.self, at, end, chunkBits, memberOf, PIECE_CHUNKS_MAX)
      if (piece === undefined) {
        const scanned = (Math.floor(at / 2 ** chunkBits) + PIECE_CHUNKS_MAX) * 2 ** chunkBits
        return { offset: Math.min(end, scanned), found: 0 }
      }
      const hole = this.#has(request) ? this.#chunks.seek(number, piece.offset, SEEK_HOLE) : piece.offset
      if (hole === -ENXIO) return { offset: piece.offset, found: 1 }
      if (hole < 0) fail(-hole)
      at = piece.offset + piece.bytes
      if (hole < at) return { offset: hole, found: 1 }
    }
    return { offset: Math.min(at, end), found: 0 }
  }

  #write(request: RequestOf<typeof PartWrite>, asked: Asked<typeof PartWrite>): void {
    const { number, offset } = request
    this.#change(request, asked, (next) => this.#chunks.write(number, asked.at, asked.bytes, offset, next))
  }

  #allocate(request: RequestOf<typeof PartAllocate>, asked: Asked<typeof PartAllocate>): void {
    const { number, mode, offset, bytes } = request
    if ((mode & PUNCH_HOLE) === 0) this.#change(request, asked, (next) => this.#allocateFrom(request, offset, next))
    else if (this.#find(request) === undefined) asked.answer(0, { blocks: 0 })
    // A part has nothing but its own chunks, so all of the range goes at once.
    else this.#change(request, asked, (next) => this.#chunks.allocate(number, mode, offset, bytes, next))
  }

  /** Allocates this member's runs of chunks, one after the other. */
  #allocateFrom(request: RequestOf<typeof PartAllocate>, from: number, done: Done): number {
    const { number, mode, offset, bytes, chunkBits } = request
    const { router } = this.#serving
    const end = offset + bytes
    const memberOf: MemberOf = (chunk) => router.ofChunk(number, chunk, 0)
    const piece =
      from < end ? pieceOf(router.self, from, end, chunkBits, memberOf, Number.POSITIVE_INFINITY) : undefined
    if (piece === undefined) return 0
    return then(
      (next) => this.#chunks.allocate(number, mode, piece.offset, piece.bytes, next),
      (next) => this.#allocateFrom(request, piece.offset + piece.bytes, next),
      done,
    )
  }

  /** Runs a change of the part, which is made where there is none; the answer says how many blocks it took. */
  #change<M extends typeof PartWrite | typeof PartAllocate>(
    request: PartRef & { readonly epoch: number; readonly chunkBits: number },
    asked: Asked<M>,
    step: Step,
  ): void {
    const { number, epoch } = request
    let blocks = 0
    const change: Step = (late) => {
      const part = this.#serving.share.meta.inode(number)
      const refused = refusal(part, epoch)
      if (refused < 0) return refused
      const { blocks: before } = part
      const changed = (result: number): number => {
        // Where the batch that has made the part was undone meanwhile, there is none.
        if (result < 0) return result
        blocks = this.#serving.share.meta.inode(number).blocks - before
        return result
      }
      return ending(step, changed, late)
    }
    const finish = (result: number): void => {
      const reply = { blocks } as ReplyOf<M>
      if (result >= 0) asked.record(reply)
      this.#answer(asked, Math.min(result, 0), reply)
    }
    const result = this.#gate.run(number, finish, (late) => {
      return then((next) => this.#make(request, asked.bytes > 0, next), change, late)
    })
    if (result !== PENDING) finish(result)
  }

  /** Makes the part, unless there is one: the inode's member is told before. ESTALE, EAGAIN. */
  #make(
    request: PartRef & { readonly epoch: number; readonly chunkBits: number },
    hasData: boolean,
    done: Done,
  ): number {
    const { router, share } = this.#serving
    const { number, generation, epoch, chunkBits } = request
    if (this.#serving.isHere(number)) fail(EINVAL)
    if (this.#find(request) !== undefined) return 0
    share.meta.mustGrow()
    const owner = router.ofInode(number)
    // Whoever writes waits for the inode's member there: it is to keep no slot of this node for that.
    if (hasData && !router.areUp([owner])) return -EAGAIN
    const register: Step = (late) =>
      sooner(late, (finish) => {
        const registering = { owner: hasData ? owner : NOBODY, end: finish }
        this.#registering.add(registering)
        router.ask(owner, PartRegister, { number, generation, epoch }, NO_TRANSFER, (result) => {
          if (this.#registering.delete(registering)) finish(Math.min(result, 0))
        })
      })
    const make = (): number => {
      share.meta.createPart(number, generation, chunkBits, epoch)
      return 0
    }
    return then(register, make, done)
  }

  #cut(request: RequestOf<typeof PartCut>, asked: Asked<typeof PartCut>): void {
    const { number, size, epoch } = request
    const { meta } = this.#serving.share
    let blocks = 0
    const cut: Step = (late) => {
      const part = this.#find(request)
      if (part === undefined) return 0
      // Not what a repetition would cut off of what was written since.
      if (((epoch - part.truncationEpoch) | 0) <= 0) return 0
      return size < part.size ? this.#chunks.truncate(number, size, late) : 0
    }
    const note = (): number => {
      const part = this.#find(request)
      if (part === undefined) return 0
      if (((epoch - part.truncationEpoch) | 0) >= 0) {
        part.truncationEpoch = epoch
        meta.touch(part)
      }
      // The first chunk lies with the inode, so of it there is nothing here; what is cut off goes a little later.
      blocks = size <= 2 ** part.chunkBits ? 0 : part.blocks
      return 0
    }
    this.#settle(
      number,
      (late) => then(cut, note, late),
      (result) => asked.answer(result, result < 0 ? null : { blocks }),
    )
  }

  #free(request: RequestOf<typeof PartFree>, asked: Asked<typeof PartFree>): void {
    const free = (): number => {
      const part = this.#find(request)
      if (part !== undefined) this.#drop(part)
      return 0
    }
    this.#settle(request.number, free, (result) => asked.answer(result, result < 0 ? null : {}))
  }

  /** Runs a change that is not to be lost any more once it is answered. */
  #settle(number: number, change: Step, finish: Done): void {
    const settled: Step = (late) => then(change, (next) => this.#serving.share.fsyncdir(next), late)
    const ended = (result: number): void => finish(Math.min(result, 0))
    const result = this.#gate.run(number, ended, settled)
    if (result !== PENDING) ended(result)
  }

  /** Answers after the commit, this node itself, too: what it does next may rest on it. */
  #answer<M extends AnyMethod>(asked: Asked<M>, result: number, reply: ReplyOf<M>): void {
    this.#serving.onceCommitted((error) => {
      const status = result < 0 ? result : error
      asked.answer(status, status < 0 ? null : reply)
    })
  }

  /** An inode, or a part, of this generation is here. */
  #has({ number, generation }: PartRef): boolean {
    return this.#serving.share.meta.find(number)?.generation === generation
  }

  /** The part; undefined where there is none. One of an earlier inode of the number is gone. ESTALE of a later one. */
  #find({ number, generation }: PartRef): Inode | undefined {
    const part = this.#serving.share.meta.find(number)
    if (part === undefined || (part.flags & INODE_IS_PART) === 0) return undefined
    if (part.generation === generation) return part
    if (((part.generation - generation) | 0) > 0) fail(ESTALE)
    this.#drop(part)
    return undefined
  }

  #drop(part: Inode): void {
    const { meta } = this.#serving.share
    this.#chunks.free(part)
    meta.drop(part)
    this.#serving.turn.endSoon()
  }
}

/**
 * 0, or why a part has nothing to do with a message of this truncation epoch: EAGAIN where the file was truncated
 * since. A part is never behind, as all parts are cut before anybody learns of a new epoch.
 */
function refusal({ truncationEpoch }: Inode, epoch: number): number {
  const ahead = (epoch - truncationEpoch) | 0
  if (ahead === 0) return 0
  return ahead < 0 ? -EAGAIN : -EIO
}
