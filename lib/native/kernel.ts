/** The kernel's side of one mount, over the raw /dev/fuse session. */
import { constants } from 'node:os'
import { type Kernel, MOUNT_ENDED, NO_REQUEST } from '../ports.js'
import { addon, type NativeFuseSession, type SessionCounters } from './addon.js'
import type { MappedPool } from './pool.js'

const { ENOTCONN } = constants.errno

export class FuseKernel implements Kernel {
  readonly #pool: MappedPool
  #session: NativeFuseSession | undefined
  #stopped = false

  constructor(pool: MappedPool) {
    this.#pool = pool
  }

  /**
   * Serves the mount behind this non-blocking descriptor of /dev/fuse, which is ours from now on: `onReadable` is
   * called once a wake-up, to call {@link next} until there is no request. The first request is FUSE_INIT; nobody can
   * use the mount before it is answered.
   */
  attach(fd: number, onReadable: () => void): void {
    this.#session = new addon.FuseSession(this.#pool.native, fd, onReadable)
  }

  /** Answers every open request with EIO and gives the mount up, without unmounting it. */
  close(): void {
    this.#stopped = true
    this.#session?.close()
  }

  next(): number {
    if (this.#session === undefined) return this.#stopped ? MOUNT_ENDED : NO_REQUEST
    return this.#session.next()
  }

  reply(slot: number, error: number, bodyBytes: number, dataBytes: number): void {
    this.#open().reply(slot, error, bodyBytes, dataBytes)
  }

  release(slot: number): void {
    this.#open().release(slot)
  }

  park(slot: number): number {
    return this.#open().park(slot)
  }

  answer(ticket: number, error: number): void {
    this.#open().answer(ticket, error)
  }

  abandon(slot: number, error: number): void {
    this.#open().abandon(slot, error)
  }

  /** Answers every open request; their slots stay the caller's until it replies (in vain) or releases them. */
  answerAll(error: number): void {
    this.#session?.answerAll(error)
  }

  /**
   * Tells the kernel to drop what it caches (FUSE_NOTIFY_*). It may wait for a lock that an open request holds: no
   * reply may ever wait for `done`, which gets 0 or a negative errno (−ENOENT for what the kernel does not know).
   */
  notify(code: number, bytes: Uint8Array, done: (error: number) => void): void {
    if (this.#session === undefined) queueMicrotask(() => done(-ENOTCONN))
    else this.#session.notify(code, bytes, done)
  }

  counters(): SessionCounters {
    return this.#session?.counters() ?? { requests: 0, replies: 0, replyErrors: 0, wakes: 0 }
  }

  /** A request can only have come from a session, so without one the caller is wrong. */
  #open(): NativeFuseSession {
    if (this.#session === undefined) throw new Error('the kernel session has not started')
    return this.#session
  }
}
