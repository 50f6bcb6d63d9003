/**
 * Operations of one io_uring, each with a callback. What does not fit the ring waits here in order, so that a caller
 * never sees the ring's size; how much may wait is bounded by the slots of the pool that the operations work on.
 */
import type { Done } from '../ports.js'
import { addon, type NativeUring } from './addon.js'
import type { MappedPool } from './pool.js'

const READ = 1
const WRITE = 2
const FSYNC = 3
const FALLOCATE = 4

const DESCRIPTOR_WORDS = 16
const TWO_32 = 4294967296

/** A flag of an operation: give it to a worker thread at once, where trying it inline would block the loop. */
export const IOSQE_ASYNC = 16
/** A mode of `fsync`: data, and of the metadata only what reading it back needs. */
export const FSYNC_DATASYNC = 1

interface Waiting {
  operation: number
  flags: number
  file: number
  at: number
  bytes: number
  offset: number
  mode: number
  done: Done
}

export class Ring {
  readonly #native: NativeUring
  readonly #descriptors: Int32Array
  readonly #pending: Int32Array
  readonly #completions: Int32Array
  readonly #capacity: number
  readonly #callbacks: (Done | undefined)[]
  readonly #freeTokens: Int32Array
  #freeCount: number
  #backlog: Waiting[] = []
  #onIdle: (() => void) | undefined
  #closed = false
  #completing = false

  /** @param entries how many operations one submission takes; four times as many may be in flight */
  constructor(pool: MappedPool, entries = 256) {
    this.#native = new addon.Uring(pool.native, { entries }, (count) => this.#complete(count))
    this.#descriptors = this.#native.descriptors
    this.#pending = this.#native.pending
    this.#completions = this.#native.completions
    this.#capacity = entries
    const limit = this.#native.limit
    this.#callbacks = new Array<Done | undefined>(limit).fill(undefined)
    this.#freeTokens = Int32Array.from({ length: limit }, (_, index) => limit - 1 - index)
    this.#freeCount = limit
  }

  /** `done` gets the bytes read, possibly fewer than asked, or a negative errno. */
  read(file: number, to: number, bytes: number, offset: number, flags: number, done: Done): void {
    this.#place(READ, flags, file, to, bytes, offset, 0, done)
  }

  /** `done` gets the bytes written, possibly fewer than asked, or a negative errno. */
  write(file: number, at: number, bytes: number, offset: number, flags: number, done: Done): void {
    this.#place(WRITE, flags, file, at, bytes, offset, 0, done)
  }

  /** @param mode 0 or {@link FSYNC_DATASYNC} */
  fsync(file: number, mode: number, done: Done): void {
    this.#place(FSYNC, 0, file, 0, 0, 0, mode, done)
  }

  fallocate(file: number, mode: number, offset: number, bytes: number, done: Done): void {
    this.#place(FALLOCATE, 0, file, 0, bytes, offset, mode, done)
  }

  /** Submits at once what would go out with the next turn of the loop. Calls nobody back. */
  submit(): void {
    this.#native.submit()
  }

  /** How many operations have not called back. */
  get inFlight(): number {
    return this.#callbacks.length - this.#freeCount + this.#backlog.length
  }

  /** Takes nothing more, and calls `done` when everything in flight has called back. */
  close(done: () => void): void {
    this.#closed = true
    this.#onIdle = done
    // Never inside of this call, as with every completion.
    if (this.inFlight === 0) queueMicrotask(() => this.#finish())
  }

  #finish(): void {
    const onIdle = this.#onIdle
    this.#onIdle = undefined
    if (onIdle === undefined) return
    this.#native.close()
    onIdle()
  }

  #place(
    operation: number,
    flags: number,
    file: number,
    at: number,
    bytes: number,
    offset: number,
    mode: number,
    done: Done,
  ): void {
    // While it closes, what is in flight may still go on: the rest of a short write belongs to it.
    if (this.#closed && !this.#completing) throw new Error('the ring is closed')
    if (this.#backlog.length > 0 || !this.#hasRoom()) {
      this.#backlog.push({ operation, flags, file, at, bytes, offset, mode, done })
    } else {
      this.#describe(operation, flags, file, at, bytes, offset, mode, done)
    }
  }

  #hasRoom(): boolean {
    if (this.#freeCount === 0) return false
    if ((this.#pending[0] as number) === this.#capacity) this.#native.submit()
    return (this.#pending[0] as number) < this.#capacity
  }

  #describe(
    operation: number,
    flags: number,
    file: number,
    at: number,
    bytes: number,
    offset: number,
    mode: number,
    done: Done,
  ): void {
    const token = this.#freeTokens[--this.#freeCount] as number
    this.#callbacks[token] = done
    const index = this.#pending[0] as number
    const words = this.#descriptors
    const base = index * DESCRIPTOR_WORDS
    // Storing into an Int32Array takes a number modulo 2³², which is the low word of an offset beyond it.
    words[base] = operation
    words[base + 1] = flags
    words[base + 2] = file
    words[base + 3] = token
    words[base + 4] = at
    words[base + 5] = bytes
    words[base + 6] = bytes / TWO_32
    words[base + 7] = offset
    words[base + 8] = offset / TWO_32
    words[base + 9] = mode
    this.#pending[0] = index + 1
    if (index === 0) this.#native.arm()
  }

  #complete(count: number): void {
    const completions = this.#completions
    this.#completing = true
    for (let index = 0; index < count; index++) {
      const token = completions[2 * index] as number
      const done = this.#callbacks[token] as Done
      this.#callbacks[token] = undefined
      this.#freeTokens[this.#freeCount++] = token
      done(completions[2 * index + 1] as number)
    }
    this.#completing = false
    if (this.#backlog.length > 0) this.#admit()
    if (this.#closed && this.inFlight === 0) this.#finish()
  }

  #admit(): void {
    let admitted = 0
    while (admitted < this.#backlog.length && this.#hasRoom()) {
      const next = this.#backlog[admitted++] as Waiting
      this.#describe(next.operation, next.flags, next.file, next.at, next.bytes, next.offset, next.mode, next.done)
    }
    this.#backlog.splice(0, admitted)
  }
}
