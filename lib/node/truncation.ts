import { EAGAIN, EFBIG, EIO } from '../base/errno.js'
import { FILE_BYTES_MAX } from '../base/limits.js'
import { ending, type Step, sooner, then } from '../chunk/then.js'
import type { Cut } from '../meta/cuts.js'
import type { Inode } from '../meta/inode.js'
import type { MetaStore } from '../meta/store.js'
import type { Turn } from '../meta/turn.js'
import type { Clock, Done, Log } from '../ports.js'
import type { Origin } from '../rpc/services.js'
import type { Share } from '../share/share.js'
import { MetadataUpdate, PartCut } from '../wire/methods.js'
import { areaOf } from '../wire/struct.js'
import type { FileHolders } from './holders.js'
import { Latch } from './latch.js'
import { changeOf, type Update } from './update.js'

/** How soon a truncation is tried again that could not reach all members. */
const RETRY_MS = 1000

const NO_CHANGE = new Uint32Array(0)
const NOBODY: Done = () => undefined

interface Pending {
  readonly cut: Cut
  readonly generation: number
  /** An earlier run of this node has begun it. */
  readonly isRecovered: boolean
  /** How often it could not be ended. */
  failures: number
}

/** What {@link Truncations} works with. */
export interface TruncationPorts {
  readonly share: Share
  readonly holders: FileHolders
  readonly turn: Turn
  readonly clock: Clock
  readonly log: Log
}

/**
 * Makes files shorter whose chunks lie with several members. Within a truncation epoch a file only grows, so that
 * whoever knows a size and its epoch may read up to it wherever the chunks are. A truncation goes through a record that
 * survives a power cut; then every member that holds chunks cuts them off and takes the new epoch, after which it
 * refuses whatever rests on the old one; then the inode gets size and epoch, with the end of the record. What has begun
 * is always ended, if need be after a restart.
 *
 * So that nobody's data is cut off unseen, no change of a file's data is under way meanwhile.
 */
export class Truncations {
  readonly #share: Share
  readonly #meta: MetaStore
  readonly #holders: FileHolders
  readonly #turn: Turn
  readonly #clock: Clock
  readonly #log: Log
  readonly #latch = new Latch()
  /** Those that have begun. */
  readonly #pending = new Map<number, Pending>()
  /** Those of them that are being done, and not only to be tried again. */
  readonly #underWay = new Set<number>()
  readonly #scratch = areaOf(new Uint32Array(256))
  #cancelRetry: (() => void) | undefined

  constructor({ share, holders, turn, clock, log }: TruncationPorts) {
    this.#share = share
    this.#meta = share.meta
    this.#holders = holders
    this.#turn = turn
    this.#clock = clock
    this.#log = log
  }

  /** Takes up what the last run of this node has begun. */
  recover(): void {
    for (const [number, cut] of this.#meta.cuts.list()) {
      const inode = this.#meta.find(number)
      if (inode === undefined) this.#meta.cuts.remove(number)
      else this.#pending.set(number, { cut, generation: inode.generation, isRecovered: true, failures: 0 })
    }
    this.#retry()
  }

  /** A truncation of the inode has begun: what is known of its size may be wrong at any moment. */
  isPending(inode: Inode): boolean {
    return this.#pending.get(inode.number)?.generation === inode.generation
  }

  /** Waits until no truncation of the inode is under way; or the error why one cannot be ended. */
  settled(inode: Inode, done: Done): number {
    return this.isPending(inode) ? this.shared(inode, done, () => 0) : 0
  }

  /** Runs a change of a file's data beside others. */
  shared(inode: Inode, done: Done, step: Step): number {
    const { number } = inode
    if (this.isPending(inode) && !this.#underWay.has(number)) return this.exclusive(number, done, step)
    return this.#latch.shared(number, done, (late) => (this.#pending.has(number) ? -EIO : step(late)))
  }

  /**
   * The same, but −EAGAIN where it would have to wait: for what comes with data, as its slot is not to be kept from
   * others for as long as some third node may be away.
   */
  sharedNow(inode: Inode, done: Done, step: Step): number {
    return this.isPending(inode) ? -EAGAIN : this.#latch.sharedNow(inode.number, done, step)
  }

  /** Runs a change of a file's data while there is no other one. */
  exclusive(number: number, done: Done, step: Step): number {
    const failures = this.#pending.get(number)?.failures ?? 0
    return this.#latch.exclusive(number, done, (late) => {
      const pending = this.#pending.get(number)
      if (pending === undefined) return step(late)
      // What has failed while this has waited is not tried again for each of those that wait.
      if (pending.failures > failures) return -EIO
      return then((next) => this.#carryOut(number, next), step, late)
    })
  }

  /**
   * The same for what may need the members that hold chunks of the file: it is not begun before all of them can be
   * reached, so that nobody else has to wait with it for one that is away. EIO.
   */
  exclusiveAtAll(inode: Inode, done: Done, step: Step): number {
    const { number } = inode
    const up: Step = (next) => sooner(next, (finish) => this.#holders.whenUp(inode, finish))
    return then(up, (next) => this.exclusive(number, next, step), done)
  }

  /** setattr(2) with a size, of a regular file. What `origin` has asked for is not done a second time. */
  setSize(update: Update, origin: Origin | null, done: Done): number {
    const { number, size } = update
    if (size > FILE_BYTES_MAX) return -EFBIG
    const inode = this.#meta.inode(number)
    const cuts = size < inode.size || (size > inode.size && this.#holders.isInDoubt(inode))
    const set: Step = (late) => this.#setSize(update, origin, late)
    return cuts ? this.exclusiveAtAll(inode, done, set) : this.exclusive(number, done, set)
  }

  #setSize(update: Update, origin: Origin | null, done: Done): number {
    const { number, size } = update
    const { results } = this.#meta
    if (origin !== null && results.get(origin.client, origin.sequence) !== null) return 0
    const inode = this.#meta.inode(number)
    const set: Step = (next) => this.#share.setattr(number, changeOf(update), next)
    const hasHolders = this.#holders.of(inode).length > 0
    if (hasHolders && size < inode.size) return this.#begin(inode, size, origin, this.#wordsOf(update), done)
    if (size > inode.size && this.#holders.isInDoubt(inode)) return then((next) => this.clear(number, next), set, done)
    return set(done)
  }

  /** Cuts off what writers may have left beyond the inode's size. Within {@link exclusive}. */
  clear(number: number, done: Done): number {
    const inode = this.#meta.inode(number)
    return this.#begin(inode, inode.size, null, NO_CHANGE, done)
  }

  #begin(inode: Inode, size: number, origin: Origin | null, change: Uint32Array, done: Done): number {
    const { number, generation } = inode
    const cut: Cut = { size, epoch: (inode.truncationEpoch + 1) >>> 0, origin, change }
    this.#meta.cuts.put(number, cut)
    this.#pending.set(number, { cut, generation, isRecovered: false, failures: 0 })
    this.#meta.ifUndone(() => this.#pending.delete(number))
    return this.#carryOut(number, done)
  }

  /** Does what has begun: once its record is safe against a power cut, at the holders, and then here. */
  #carryOut(number: number, done: Done): number {
    const pending = this.#pending.get(number)
    const inode = this.#meta.find(number)
    if (pending === undefined || inode?.generation !== pending.generation) {
      this.#pending.delete(number)
      return 0
    }
    const { cut, generation } = pending
    const request = { number, generation, size: cut.size, epoch: cut.epoch }
    let blocks = 0
    const tell: Step = (next) =>
      sooner(next, (finish) => {
        const each = (reply: { blocks: number }): void => {
          blocks += reply.blocks
        }
        this.#holders.ask(this.#holders.of(inode), PartCut, request, each, finish)
      })
    const settled: Step = (next) => then((late) => this.#share.fsyncdir(late), tell, next)
    const apply: Step = (next) => this.#apply(number, cut, blocks, next)
    const applied: Step = (next) => then(settled, apply, next)
    this.#underWay.add(number)
    const ended = (result: number): number => {
      this.#underWay.delete(number)
      if (result < 0 && this.#pending.get(number) === pending) this.#failed(pending, number, result)
      this.#turn.endSoon()
      return result
    }
    return ending((late) => then(applied, (next) => this.#commit(number, pending, next), late), ended, done)
  }

  #apply(number: number, cut: Cut, blocks: number, done: Done): number {
    const applied = (result: number): number => {
      if (result < 0) return result
      const inode = this.#meta.inode(number)
      inode.truncationEpoch = cut.epoch
      inode.blocksElsewhere = blocks
      this.#meta.touch(inode)
      this.#meta.cuts.remove(number)
      this.#record(cut, inode)
      return 0
    }
    if (cut.change.length === 0) return applied(0)
    const update = MetadataUpdate.request.get(areaOf(cut.change), 0, cut.change.length)
    if (update === null) return -EIO
    return ending((late) => this.#share.setattr(number, changeOf(update), late), applied, done)
  }

  /**
   * Nobody, on this node either, may go on with the new epoch before it is there for good: what was written under it
   * would not be cut off when the truncation is done again after a crash. After a power cut just that may be the case.
   */
  #commit(number: number, { isRecovered }: Pending, done: Done): number {
    return sooner(done, (finish) =>
      this.#meta.onceCommitted((error) => {
        if (error === 0) {
          this.#pending.delete(number)
          if (isRecovered) this.#holders.doubt(number)
          else this.#holders.settle(number)
        }
        finish(error)
      }),
    )
  }

  /** Whoever has asked for it, and asks again after a restart, is answered. */
  #record({ origin }: Cut, inode: Inode): void {
    if (origin === null) return
    const end = MetadataUpdate.reply.put(this.#scratch, 0, { inode })
    this.#meta.results.put(origin.client, origin.sequence, this.#scratch.words.slice(0, end))
  }

  #wordsOf(update: Update): Uint32Array {
    return this.#scratch.words.slice(0, MetadataUpdate.request.put(this.#scratch, 0, update))
  }

  #failed(pending: Pending, inode: number, error: number): void {
    pending.failures++
    this.#log.warn({ inode, errno: -error }, 'a truncation waits for a node that is away')
    this.#cancelRetry ??= this.#clock.after(RETRY_MS, () => this.#retry())
  }

  #retry(): void {
    this.#cancelRetry = undefined
    for (const number of this.#pending.keys()) this.exclusive(number, NOBODY, () => 0)
    this.#turn.endSoon()
  }
}
