import { caught, EFBIG, EINVAL, ENXIO, EOPNOTSUPP, fail } from '../../base/errno.js'
import { FILE_BYTES_MAX } from '../../base/limits.js'
import { SEEK_DATA } from '../../chunk/store.js'
import { type Step, sooner, then } from '../../chunk/then.js'
import type { Inode } from '../../meta/inode.js'
import { type Done, PENDING } from '../../ports.js'
import type { Asked } from '../../rpc/services.js'
import { chunkAt, isWithinChunk, type MemberOf, pieceOf } from '../../stripe/stripe.js'
import { Fallocate, PartAllocate, PartSeek, type RequestOf, Seek } from '../../wire/methods.js'
import { LAYOUT_LOCAL } from '../router.js'
import type { PartServices } from './parts.js'
import type { Serving } from './serving.js'

const KEEP_SIZE = 1
const PUNCH_HOLE = 2
const ZERO_RANGE = 16

/** Where the next data or hole of one member's chunks is, as far as it has looked. */
interface Candidate {
  readonly member: number
  offset: number
  isFound: boolean
}

/** The services for where files have room and where they have holes, at the member that has the inode. */
export class SpaceServices {
  readonly #serving: Serving
  readonly #parts: PartServices

  constructor(serving: Serving, parts: PartServices) {
    this.#serving = serving
    this.#parts = parts
    serving.services.on(Fallocate, (request, asked) => this.#fallocate(request, asked))
    serving.services.on(Seek, (request, asked) => this.#seek(request, asked))
  }

  #fallocate(request: RequestOf<typeof Fallocate>, asked: Asked<typeof Fallocate>): void {
    const { number, generation, mode, offset, bytes } = request
    const { truncations, holders, router } = this.#serving
    const file = this.#serving.file(number, generation)
    const kind = mode & ~KEEP_SIZE
    if (bytes === 0) fail(EINVAL)
    if (kind !== 0 && kind !== ZERO_RANGE && mode !== (PUNCH_HOLE | KEEP_SIZE)) fail(EOPNOTSUPP)
    if (offset + bytes > FILE_BYTES_MAX) fail(EFBIG)
    const finish = (result: number): void => asked.answer(Math.min(result, 0), result < 0 ? null : {})
    const mustClear = (inode: Inode): boolean =>
      (mode & KEEP_SIZE) === 0 && offset + bytes > inode.size && holders.isInDoubt(inode)
    const allocate: Step = (late) => {
      const inode = this.#serving.file(number, generation)
      const clear: Step = (next) => (mustClear(inode) ? truncations.clear(number, next) : 0)
      return then(clear, (next) => this.#allocate(request, next), late)
    }
    const enter: Step = (late) =>
      mustClear(file) ? truncations.exclusiveAtAll(file, late, allocate) : truncations.exclusive(number, late, allocate)
    // Nobody else is to wait along for a member that is away.
    const reach: Step = (late) => sooner(late, (done) => router.whenUp(this.#members(file, request), done))
    const result = then(reach, enter, finish)
    if (result !== PENDING) finish(result)
  }

  #allocate(request: RequestOf<typeof Fallocate>, done: Done): number {
    const { number, generation, mode, offset, bytes } = request
    const { share, holders, router } = this.#serving
    const inode = this.#serving.file(number, generation)
    const { truncationEpoch: epoch, chunkBits } = inode
    const isPunch = (mode & PUNCH_HOLE) !== 0
    const others = this.#members(inode, request).filter((member) => member !== router.self)
    if (others.length === 0) return share.fallocate(number, mode, offset, bytes, done)
    let blocks = 0
    const elsewhere: Step = (next) =>
      sooner(next, (finish) => {
        const ask = { number, generation, mode, offset, bytes, epoch, chunkBits }
        holders.ask(others, PartAllocate, ask, (reply) => (blocks += reply.blocks), finish)
      })
    const here: Step = (next) =>
      isPunch ? share.fallocate(number, mode, offset, bytes, next) : this.#allocateHere(request, offset, next)
    const end = (mode & KEEP_SIZE) === 0 ? offset + bytes : 0
    const grow: Step = (next) => share.extend(number, () => ({ runs: [], end }), blocks, false, next)
    return then(elsewhere, (next) => then(here, grow, next), done)
  }

  /** Allocates the runs of chunks that lie with the inode, one after the other. The size comes last. */
  #allocateHere(request: RequestOf<typeof Fallocate>, from: number, done: Done): number {
    const { number, generation, mode, offset, bytes } = request
    const { share, router } = this.#serving
    const inode = this.#serving.file(number, generation)
    const end = offset + bytes
    const memberOf = this.#memberOf(inode)
    const piece =
      from < end ? pieceOf(router.self, from, end, inode.chunkBits, memberOf, Number.POSITIVE_INFINITY) : undefined
    if (piece === undefined) return 0
    return then(
      (next) => share.fallocate(number, mode | KEEP_SIZE, piece.offset, piece.bytes, next),
      (next) => this.#allocateHere(request, piece.offset + piece.bytes, next),
      done,
    )
  }

  /** The members that have to do something: those with chunks of the range, or of the file where some are to go. */
  #members(inode: Inode, { mode, offset, bytes }: RequestOf<typeof Fallocate>): number[] {
    if ((mode & PUNCH_HOLE) !== 0) return this.#serving.holders.of(inode)
    if (inode.layout === LAYOUT_LOCAL) return [this.#serving.router.self]
    const memberOf = this.#memberOf(inode)
    const members = new Set<number>()
    const last = chunkAt(offset + bytes - 1, inode.chunkBits)
    for (let chunk = chunkAt(offset, inode.chunkBits); chunk <= last; chunk++) {
      members.add(memberOf(chunk))
      if (members.size === this.#serving.router.members) break
    }
    return [...members]
  }

  #memberOf({ number, layout }: Inode): MemberOf {
    const { router } = this.#serving
    return (chunk) => router.ofChunk(number, chunk, layout)
  }

  #seek(request: RequestOf<typeof Seek>, asked: Asked<typeof Seek>): void {
    const { number, generation, offset, whence } = request
    const { share, holders, router } = this.#serving
    const inode = this.#serving.file(number, generation)
    const answer = (found: number): void => asked.answer(Math.min(found, 0), found < 0 ? null : { offset: found })
    const others = holders.of(inode)
    if (others.length === 0 || offset >= inode.size || isWithinChunk(0, inode.size, inode.chunkBits)) {
      answer(share.lseek(number, offset, whence))
      return
    }
    // What nobody has ever written is a hole; whoever holds nothing need not be asked for data.
    const isData = whence === SEEK_DATA
    const members = isData ? [router.self, ...others] : Array.from({ length: router.members }, (_, member) => member)
    const candidates = members.map((member): Candidate => ({ member, offset, isFound: false }))
    this.#look({ ...request, end: inode.size, chunkBits: inode.chunkBits }, candidates, new Set(others), (result) => {
      if (result === inode.size && isData) answer(-ENXIO)
      else answer(result)
    })
  }

  /** Asks those on which it depends, until what is found first is known; the end where there is nothing before it. */
  #look(
    request: Omit<RequestOf<typeof PartSeek>, 'offset'>,
    candidates: Candidate[],
    others: ReadonlySet<number>,
    done: Done,
  ): void {
    const least = Math.min(...candidates.map(({ offset }) => offset))
    const first = candidates.filter(({ offset }) => offset === least)
    if (least >= request.end || first.some(({ isFound }) => isFound)) {
      done(least)
      return
    }
    let [left, failure] = [first.length, 0]
    for (const candidate of first) {
      this.#ask({ ...request, offset: candidate.offset }, candidate, others, (error) => {
        if (failure === 0) failure = error
        if (--left > 0) return
        if (failure < 0) done(failure)
        else this.#look(request, candidates, others, done)
      })
    }
  }

  #ask(request: RequestOf<typeof PartSeek>, candidate: Candidate, others: ReadonlySet<number>, done: Done): void {
    const { member } = candidate
    const { router } = this.#serving
    const take = ({ offset, found }: { offset: number; found: number }): void => {
      candidate.offset = offset
      candidate.isFound = found !== 0
      done(0)
    }
    if (member === router.self) {
      let own = { offset: 0, found: 0 }
      const failed = caught(() => {
        own = this.#parts.seek(request)
        return 0
      })
      if (failed < 0) done(failed)
      else take(own)
    } else if (others.has(member)) {
      this.#serving.holders.ask([member], PartSeek, request, take, (error) => {
        if (error < 0) done(error)
      })
    } else take(this.#firstOf(member, request))
  }

  /** The first chunk of a member that holds nothing of the file. */
  #firstOf(member: number, { number, offset, end, chunkBits }: RequestOf<typeof PartSeek>) {
    const memberOf: MemberOf = (chunk) => this.#serving.router.ofChunk(number, chunk, 0)
    const piece = pieceOf(member, offset, end, chunkBits, memberOf, Number.POSITIVE_INFINITY)
    return { offset: piece?.offset ?? end, found: piece === undefined ? 0 : 1 }
  }
}
