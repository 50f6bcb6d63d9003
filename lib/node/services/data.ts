import { EAGAIN, ECANCELED, EFBIG, EINVAL, EIO, ESTALE, fail } from '../../base/errno.js'
import { FILE_BYTES_MAX } from '../../base/limits.js'
import type { Extension } from '../../chunk/store.js'
import { type Step, sooner, then } from '../../chunk/then.js'
import type { Inode } from '../../meta/inode.js'
import { type Done, PENDING } from '../../ports.js'
import type { Asked } from '../../rpc/services.js'
import { type MemberOf, piecesOf } from '../../stripe/stripe.js'
import type { StatfsFigures } from '../../wire/kernel.js'
import {
  AppendBegin,
  AppendEnd,
  PartRegister,
  PartSync,
  ReadChunk,
  type RequestOf,
  Statfs,
  Sync,
  WriteChunk,
  WriteFailed,
  WriteReady,
} from '../../wire/methods.js'
import type { PartServices } from './parts.js'
import type { Serving } from './serving.js'

type Write = RequestOf<typeof WriteChunk>

/** The services for what files hold, at the member that has the inode; parts are {@link PartServices}' business. */
export class DataServices {
  readonly #serving: Serving
  readonly #parts: PartServices

  constructor(serving: Serving, parts: PartServices) {
    this.#serving = serving
    this.#parts = parts
    const { services, appends, holders, leftovers } = serving
    services.on(ReadChunk, (request, asked) => this.#read(request, asked))
    services.on(WriteChunk, (request, asked) => this.#write(request, asked))
    services.on(AppendBegin, (request, asked) => this.#beginAppend(request, asked))
    services.on(AppendEnd, ({ number, turn }, asked) => {
      appends.end(number, asked.member, turn, false)
      leftovers.add([number])
      asked.answer(0, {})
    })
    services.on(WriteFailed, ({ number }, asked) => {
      holders.doubt(number)
      leftovers.add([number])
      asked.answer(0, {})
    })
    services.on(WriteReady, (request, asked) => this.#ready(request, asked))
    services.on(PartRegister, (request, asked) => this.#register(request, asked))
    services.on(Sync, (request, asked) => this.#sync(request, asked))
    services.on(Statfs, (_, asked) => this.#statfs(asked))
  }

  #read(request: RequestOf<typeof ReadChunk>, asked: Asked<typeof ReadChunk>): void {
    const { number, generation, offset, bytes, guarded, epoch } = request
    const { share, pool } = this.#serving
    if (bytes > pool.payloadBytes) fail(EINVAL)
    if (!this.#serving.isHere(number)) {
      this.#parts.read(request, asked)
      return
    }
    this.#serving.file(number, generation)
    const refuse = (error: number): void => asked.answer(error, null)
    const isOf = (epochNow: number): boolean => share.meta.find(number)?.truncationEpoch === epochNow
    asked.place(bytes, (at) => {
      const read = (): void => {
        const { truncationEpoch } = this.#serving.file(number, generation)
        const finish = (result: number): void => {
          // What was cut off while it was being read has been read as zeros.
          if (result >= 0 && guarded === 0 && !isOf(truncationEpoch)) this.#serving.guard(read, refuse)
          else if (result >= 0 && guarded !== 0 && !isOf(epoch)) refuse(-EAGAIN)
          else asked.answer(result, result < 0 ? null : { absent: 0 })
        }
        if (guarded !== 0 && truncationEpoch !== epoch) refuse(-EAGAIN)
        else {
          const result = share.read(number, at, bytes, offset, finish)
          if (result !== PENDING) finish(result)
        }
      }
      this.#serving.guard(read, refuse)
    })
  }

  #write(request: Write, asked: Asked<typeof WriteChunk>): void {
    const { number, generation } = request
    const { truncations, holders, appends, share, router } = this.#serving
    const inode = this.#serving.file(number, generation)
    if (request.bytes === 0) fail(EINVAL)
    const finish = (result: number): void => {
      if (result >= 0) appends.end(number, asked.member, request.turn, true)
      else if (result !== -EAGAIN) holders.doubt(number)
      const written = share.meta.find(number)
      if (result < 0 || written === undefined) asked.answer(result < 0 ? result : -ESTALE, null)
      else asked.answer(0, { size: written.size, epoch: written.truncationEpoch })
    }
    const write: Step = (late) => this.#writeNow(request, asked, late)
    // A turn that keeps nobody's slot waits: as others would, it could be overtaken for ever.
    const mayWait = request.turn !== 0 && (asked.bytes === 0 || asked.member === router.self)
    const result = mayWait ? truncations.shared(inode, finish, write) : truncations.sharedNow(inode, finish, write)
    if (result !== PENDING) finish(result)
  }

  #ready(request: RequestOf<typeof WriteReady>, asked: Asked<typeof WriteReady>): void {
    const { number, generation, offset, end } = request
    const { truncations, holders, share, pool } = this.#serving
    const inode = this.#serving.file(number, generation)
    if (end <= offset || end - offset > pool.payloadBytes) fail(EINVAL)
    const finish = (result: number): void => {
      const present = share.meta.find(number)
      if (result < 0 || present === undefined) asked.answer(result < 0 ? result : -ESTALE, null)
      else asked.answer(0, { size: present.size, epoch: present.truncationEpoch })
    }
    const clear: Step = (late) =>
      this.#mustClear(this.#serving.file(number, generation), offset, end) ? truncations.clear(number, late) : 0
    const enter: Step = (late) => {
      const present = this.#serving.file(number, generation)
      return this.#mustClear(present, offset, end)
        ? truncations.exclusiveAtAll(present, late, clear)
        : truncations.shared(present, late, () => 0)
    }
    // Whoever is to hold some of it must be able to tell this node so.
    const reach: Step = (late) => sooner(late, (done) => holders.whenReachable(inode, offset, end, done))
    const result = then(reach, enter, finish)
    if (result !== PENDING) finish(result)
  }

  /**
   * What somebody may have left beyond the size has to go before the file grows over it. Where there is no gap, and so
   * it is written over, it could come back only if what is written now is lost: then a holder that is away is not
   * waited for.
   */
  #mustClear(inode: Inode, offset: number, end: number): boolean {
    const { holders } = this.#serving
    return end > inode.size && holders.isInDoubt(inode) && (offset > inode.size || holders.areUp(inode))
  }

  /** Writes what lies here, and makes the file as long as it has to be. */
  #writeNow(request: Write, asked: Asked<typeof WriteChunk>, done: Done): number {
    const { number, generation, offset, bytes, turn, blocks, append } = request
    const { appends, share } = this.#serving
    const inode = this.#serving.file(number, generation)
    if (turn !== 0 && !appends.has(number, asked.member, turn)) return -ECANCELED
    const start = append === 0 ? offset : inode.size
    if (this.#mustClear(inode, start, start + bytes)) return -EAGAIN
    const plan = append === 0 ? this.#planOf(request, asked) : this.#planOfAppend(bytes, asked)
    return share.extend(number, plan, blocks, request.killPrivileges !== 0, done)
  }

  #planOf({ offset, bytes, dataOffset, epoch }: Write, { at, bytes: dataBytes }: Asked<typeof WriteChunk>) {
    const { self } = this.#serving.router
    const end = offset + bytes
    return (inode: Inode): Extension | number => {
      if (end > FILE_BYTES_MAX) return -EFBIG
      const pieces = piecesOf(offset, bytes, inode.chunkBits, this.#memberOf(inode))
      const own = pieces.filter(({ member }) => member === self)
      if (own.length < pieces.length && inode.truncationEpoch !== epoch) return -EAGAIN
      const isWhole = own.every((run) => run.offset >= dataOffset && run.offset + run.bytes <= dataOffset + dataBytes)
      if (!isWhole) return -EINVAL
      const runs = own.map((run) => ({ at: at + run.offset - dataOffset, offset: run.offset, bytes: run.bytes }))
      return { runs, end }
    }
  }

  #planOfAppend(bytes: number, { at, bytes: dataBytes }: Asked<typeof WriteChunk>) {
    const { appends, router } = this.#serving
    return (inode: Inode): Extension | number => {
      const { size, number, chunkBits } = inode
      if (bytes !== dataBytes) return -EINVAL
      if (size + bytes > FILE_BYTES_MAX) return -EFBIG
      const pieces = piecesOf(size, bytes, chunkBits, this.#memberOf(inode))
      if (appends.isTaken(number) || pieces.some(({ member }) => member !== router.self)) return -EAGAIN
      return { runs: [{ at, offset: size, bytes }], end: size + bytes }
    }
  }

  #memberOf({ number, layout }: Inode): MemberOf {
    const { router } = this.#serving
    return (chunk) => router.ofChunk(number, chunk, layout)
  }

  #beginAppend(request: RequestOf<typeof AppendBegin>, asked: Asked<typeof AppendBegin>): void {
    const { number, generation, bytes } = request
    const { holders, pool } = this.#serving
    const inode = this.#serving.file(number, generation)
    if (bytes === 0 || bytes > pool.payloadBytes) fail(EINVAL)
    const ready = this.#unlessLost(asked, () => this.#takeTurn(number, asked))
    // Not in the queue, where others would wait along.
    holders.whenReachable(inode, inode.size, inode.size + bytes, ready)
  }

  #takeTurn(number: number, asked: Asked<typeof AppendBegin>): void {
    const { appends, holders, share } = this.#serving
    appends.begin(number, asked.member, (error, turn) => {
      const inode = share.meta.find(number)
      if (inode === undefined) asked.answer(error < 0 ? error : -ESTALE, null)
      else if (error === -EAGAIN) {
        const again = this.#unlessLost(asked, () => this.#takeTurn(number, asked))
        holders.whenUp(inode, again)
      } else if (error < 0) asked.answer(error, null)
      else asked.answer(0, { turn, size: inode.size, epoch: inode.truncationEpoch })
      this.#serving.turn.endSoon()
    })
  }

  /** What goes on after a wait, unless that has failed. Who has lost its session asks again: it would end no turn. */
  #unlessLost(asked: Asked<typeof AppendBegin>, goOn: () => void): (error: number) => void {
    const { router, turn } = this.#serving
    const session = router.session(asked.member)
    return (error) => {
      const failed = router.session(asked.member) === session ? error : -EIO
      if (failed < 0) asked.answer(failed, null)
      else goOn()
      turn.endSoon()
    }
  }

  /** Never waits for a truncation: that may be waiting for the one who asks. */
  #register({ number, generation, epoch }: RequestOf<typeof PartRegister>, asked: Asked<typeof PartRegister>): void {
    const { truncations, holders, share } = this.#serving
    const inode = this.#serving.file(number, generation)
    if (truncations.isPending(inode) || inode.truncationEpoch !== epoch) fail(EAGAIN)
    holders.register(inode, asked.member)
    const finish = (error: number): void => asked.answer(Math.min(error, 0), error < 0 ? null : {})
    // So that no power cut leaves chunks that nobody knows of.
    const result = share.fsyncdir(finish)
    if (result !== PENDING) finish(result)
  }

  /** Makes one inode safe, with what others hold of it; or everything here. */
  #sync({ number, generation, everything }: RequestOf<typeof Sync>, asked: Asked<typeof Sync>): void {
    const { share, holders } = this.#serving
    const finish = (result: number): void => asked.answer(Math.min(result, 0), result < 0 ? null : {})
    if (everything !== 0) {
      const result = share.syncfs(finish)
      if (result !== PENDING) finish(result)
      return
    }
    const inode = this.#serving.inode(number, generation)
    let [left, failure] = [2, 0]
    const ended = (result: number): void => {
      if (failure === 0) failure = Math.min(result, 0)
      if (--left === 0) finish(failure)
    }
    holders.ask(holders.of(inode), PartSync, { number, generation }, () => undefined, ended)
    const result = share.fsync(number, ended)
    if (result !== PENDING) ended(result)
  }

  #statfs(asked: Asked<typeof Statfs>): void {
    const figures: StatfsFigures = {
      blocks: 0,
      blocksFree: 0,
      blocksAvailable: 0,
      files: 0,
      filesFree: 0,
      blockBytes: 0,
      nameBytesMax: 0,
    }
    this.#serving.share.statfs(figures)
    if (figures.blockBytes === 0) fail(EIO)
    asked.answer(0, figures)
  }
}
