/**
 * The metadata store of a node over LMDB: the port {@link Kv} on the addon's class of that name. What a commit, a
 * checkpoint and a publication are is in addon/kv/engine.hh; when they happen is decided here.
 *
 * - A **commit** appends the batch to the redo log with one pwrite: safe against a kill.
 * - A **sync** is an fdatasync of the log on the thread pool: safe against a power cut. One at a time; those who come
 *   meanwhile share the next.
 * - A **checkpoint** writes the changed pages into LMDB's file, unsynced. It runs on the loop, so it has to be short:
 *   how many operations go into one follows from how long the last ones took.
 * - A **publication** makes a checkpoint durable, on the thread pool. After it the log below may be overwritten and the
 *   pages that only older states used may be used again.
 */
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import type { Clock, Done, Kv, Log } from '../ports.js'

/** Sizes of a store, in bytes; those of a small test store are smaller. */
export interface KvOptions {
  /** Each of the two files of the redo log. At least 64 KiB. */
  segmentBytes: number
  /** Kept allocated beyond LMDB's last page, so that deletions succeed on a full disk. */
  reserveBytes: number
  /** LMDB's address space, the bound of the store; 0: the size of the file system, between 1 GiB and 1 TiB. */
  mapBytes: number
}

const OPTIONS: KvOptions = { segmentBytes: 16 << 20, reserveBytes: 16 << 20, mapBytes: 0 }

/** How long a checkpoint should take. Single ones take up to twice as long. */
const CHECKPOINT_TARGET_US = 700
const CHECKPOINT_OPERATIONS_MIN = 64
const CHECKPOINT_OPERATIONS_MAX = 8192
/** LMDB's file grows by the pages changed between two publications, about one an operation. */
const PUBLICATION_OPERATIONS = 16384
/** On a full disk pages have to come back soon. */
const PUBLICATION_OPERATIONS_TIGHT = 64
/** An idle store is published this long after its first unpublished commit. */
const PUBLICATION_DELAY_MS = 1000
/** The log may grow to so many segments before commits wait for the disk. */
const LOG_SEGMENTS_MAX = 4
/** While the disk is full, the kernel is asked for room this often at most. */
const TOP_UP_INTERVAL_MS = 100

const { EBUSY } = constants.errno

/** Indices into the figures, as addon/kv/kv.hh has them. */
enum Figure {
  Committed,
  Synced,
  Checkpointed,
  Published,
  OperationsSinceCheckpoint,
  OperationsSincePublication,
  DirtyPages,
  CheckpointMicroseconds,
  UsedBytes,
  LogUsedBytes,
  LogRoomBytes,
  IsOtherSegmentFree,
  CanGrow,
  ReserveBytes,
  IsTight,
  IsDead,
}

/** The addon's class. Results are 0 or a length, or a negative errno. */
interface NativeKv {
  readonly key: ArrayBuffer
  readonly value: ArrayBuffer
  readonly sizes: ArrayBuffer
  readonly figures: ArrayBuffer
  get(keyBytes: number): number
  put(keyBytes: number, valueBytes: number): number
  delete(keyBytes: number): number
  seek(keyBytes: number): number
  commit(): number
  abort(): number
  checkpoint(): number
  publishNow(): number
  topUp(): number
  extendLog(): number
  /** 1 where `done` will be called, 0 where there is nothing to publish. */
  publish(done: Done): number
  /** 1, and `done` will be called. */
  sync(done: Done): number
  close(): number
}

interface Addon {
  Kv: new (directory: string, segmentBytes: number, reserveBytes: number, mapBytes: number) => NativeKv
}

const addon = createRequire(import.meta.url)('../../../build/Release/chfs.node') as Addon

export class LmdbKv implements Kv {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly #native: NativeKv
  readonly #clock: Clock
  readonly #log: Log
  readonly #segmentBytes: number
  readonly #reserveBytes: number
  readonly #sizes: Int32Array
  readonly #figures: Float64Array
  #syncing = false
  #waiting: Done[] = []
  #publishing = false
  #stopTimer: (() => void) | null = null
  #operationsMax = CHECKPOINT_OPERATIONS_MIN
  #toppedUpMs = 0
  #closing: Done | null = null
  #closed = false

  /**
   * Opens the store in `directory`, which must exist and belong to this process alone, or makes one there. Recovers
   * and blocks for that. Throws an Error with a one-line message and a positive `errno`: EBADMSG where the store is
   * damaged (then nothing has been changed), or what the file system said.
   */
  static open(directory: string, clock: Clock, log: Log, options: Partial<KvOptions> = {}): LmdbKv {
    return new LmdbKv(directory, clock, log, { ...OPTIONS, ...options })
  }

  private constructor(directory: string, clock: Clock, log: Log, options: KvOptions) {
    this.#native = new addon.Kv(directory, options.segmentBytes, options.reserveBytes, options.mapBytes)
    this.#clock = clock
    this.#log = log
    this.#segmentBytes = options.segmentBytes
    this.#reserveBytes = options.reserveBytes
    this.key = new Uint8Array(this.#native.key)
    this.value = new Uint8Array(this.#native.value)
    this.#sizes = new Int32Array(this.#native.sizes)
    this.#figures = new Float64Array(this.#native.figures)
  }

  get valueBytes(): number {
    return this.#sizes[0] as number
  }

  get(keyBytes: number): number {
    return this.#native.get(keyBytes)
  }

  put(keyBytes: number, valueBytes: number): number {
    return this.#native.put(keyBytes, valueBytes)
  }

  delete(keyBytes: number): number {
    return this.#native.delete(keyBytes)
  }

  seek(keyBytes: number): number {
    return this.#native.seek(keyBytes)
  }

  canGrow(): boolean {
    if (this.#figure(Figure.CanGrow) === 1) return true
    // Others may have made room on the disk while nothing was committed here.
    const now = this.#clock.monotonicMs()
    if (now - this.#toppedUpMs < TOP_UP_INTERVAL_MS) return false
    this.#toppedUpMs = now
    this.#native.topUp()
    return this.#figure(Figure.CanGrow) === 1
  }

  commit(): number {
    const before = this.#figure(Figure.Committed)
    const result = this.#native.commit()
    if (result < 0) this.#report(result, 'a batch could not be written to the log and was undone')
    else if (this.#figure(Figure.Committed) !== before) this.#keepUp()
    return result
  }

  abort(): void {
    this.#native.abort()
  }

  sync(done: Done): void {
    this.#waiting.push(done)
    if (!this.#syncing) this.#sync()
  }

  close(done: Done): void {
    this.#closing = done
    this.#native.abort()
    this.#stopTimer?.()
    this.#stopTimer = null
    queueMicrotask(() => this.#closeWhenIdle())
  }

  /** Bytes of LMDB's file in use at the last checkpoint. */
  get usedBytes(): number {
    return this.#figure(Figure.UsedBytes)
  }

  /** Makes everything committed so far part of the published state, and the log empty of it. Blocks. */
  publishNow(): number {
    const result = this.#native.publishNow()
    if (result < 0) this.#report(result, 'the store could not be published')
    return result
  }

  #figure(index: Figure): number {
    return this.#figures[index] as number
  }

  /** After a commit: whatever keeps log, memory and file within their bounds. */
  #keepUp(): void {
    if (this.#isOverfull()) {
      this.publishNow()
      return
    }
    const operations = this.#figure(Figure.OperationsSinceCheckpoint)
    if (operations >= this.#operationsMax || this.#figure(Figure.DirtyPages) * 4096 > this.#dirtyBytesMax()) {
      this.#checkpoint()
    }
    if (this.#publishing || this.#closing !== null) return
    if (this.#isPublicationDue()) this.#publish()
    else this.#startTimer()
  }

  /** The log or the reserve is nearly used up, and only waiting for the disk helps. */
  #isOverfull(): boolean {
    const isTight = this.#figure(Figure.IsTight) === 1
    if (this.#figure(Figure.LogRoomBytes) < this.#segmentBytes / 16 && this.#figure(Figure.IsOtherSegmentFree) === 0) {
      // Room for the next batch is taken now, while there still is another way: a publication frees the other file.
      const isLong = this.#figure(Figure.LogUsedBytes) >= this.#segmentBytes * LOG_SEGMENTS_MAX
      if (isTight || isLong || this.#native.extendLog() < 0) return true
    }
    const isSpent = isTight && this.#figure(Figure.ReserveBytes) < this.#reserveBytes / 4
    return isSpent && this.#figure(Figure.OperationsSincePublication) >= PUBLICATION_OPERATIONS_TIGHT
  }

  #dirtyBytesMax(): number {
    return this.#figure(Figure.IsTight) === 1 ? this.#reserveBytes / 8 : this.#reserveBytes * 2
  }

  #isPublicationDue(): boolean {
    const operations = this.#figure(Figure.OperationsSincePublication)
    const isTight = this.#figure(Figure.IsTight) === 1
    if (operations >= (isTight ? PUBLICATION_OPERATIONS_TIGHT : PUBLICATION_OPERATIONS)) return true
    const isHalf = this.#figure(Figure.LogUsedBytes) >= this.#segmentBytes / 2
    return isHalf && this.#figure(Figure.IsOtherSegmentFree) === 0
  }

  #checkpoint(): number {
    const operations = this.#figure(Figure.OperationsSinceCheckpoint)
    const result = this.#native.checkpoint()
    if (result < 0) {
      // A batch that is open waits for its own commit, and then comes the checkpoint.
      if (result !== -EBUSY) this.#report(result, 'a checkpoint failed')
      return result
    }
    const microseconds = Math.max(this.#figure(Figure.CheckpointMicroseconds), 1)
    // Half the way to what would have taken the time aimed at, so that one slow write does not decide.
    const fitting = (operations * CHECKPOINT_TARGET_US) / microseconds
    const next = this.#operationsMax + (Math.min(fitting, this.#operationsMax * 2) - this.#operationsMax) / 2
    this.#operationsMax = Math.min(Math.max(next, CHECKPOINT_OPERATIONS_MIN), CHECKPOINT_OPERATIONS_MAX)
    return result
  }

  #startTimer(): void {
    if (this.#stopTimer !== null) return
    this.#stopTimer = this.#clock.after(PUBLICATION_DELAY_MS, () => {
      this.#stopTimer = null
      if (!this.#publishing && !this.#closed) this.#publish()
    })
  }

  #publish(): void {
    // An open batch is not the checkpoint's to commit: its own commit, or the next tick of the timer, will be.
    const failure = this.#checkpoint()
    if (failure < 0) {
      this.#startTimerUnlessDead()
      return
    }
    const result = this.#native.publish((error) => this.#onPublished(error))
    this.#publishing = result === 1
    if (result < 0) this.#report(result, 'the store could not be published')
  }

  #onPublished(error: number): void {
    this.#publishing = false
    if (error < 0) this.#report(error, 'the store could not be published')
    if (this.#closing !== null) this.#closeWhenIdle()
    else if (this.#figure(Figure.Committed) > this.#figure(Figure.Published)) this.#startTimerUnlessDead()
  }

  #startTimerUnlessDead(): void {
    if (this.#figure(Figure.IsDead) === 0) this.#startTimer()
  }

  #sync(): void {
    const waiting = this.#waiting
    this.#waiting = []
    const result = this.#native.sync((error) => this.#onSynced(waiting, error))
    this.#syncing = result === 1
    if (result === 1) return
    this.#report(result, 'the log could not be synced')
    queueMicrotask(() => {
      for (const done of waiting) done(result)
    })
  }

  #onSynced(waiting: readonly Done[], error: number): void {
    this.#syncing = false
    if (error < 0) this.#report(error, 'the log could not be synced')
    if (this.#waiting.length > 0) this.#sync()
    for (const done of waiting) done(error)
    if (this.#closing !== null) this.#closeWhenIdle()
  }

  #closeWhenIdle(): void {
    if (this.#publishing || this.#syncing || this.#closed || this.#closing === null) return
    this.#closed = true
    // The published state includes every commit, so this is a sync too, and the next opening finds nothing to replay.
    const result = this.#native.publishNow()
    this.#native.close()
    this.#closing(result)
  }

  #report(errno: number, message: string): void {
    this.#log.error({ errno: -errno, isDead: this.#figure(Figure.IsDead) === 1 }, `metadata store: ${message}`)
  }

  /** Every call from now on fails with EIO: what is in memory is in doubt, and only opening the store again helps. */
  get isDead(): boolean {
    return this.#figure(Figure.IsDead) === 1
  }
}
