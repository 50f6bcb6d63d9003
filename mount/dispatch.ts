import { EINTR, EINVAL, EIO, ENOSYS, FsError } from '../lib/base/errno.js'
import type { Operations } from '../lib/fs/operations.js'
import type { Turn } from '../lib/meta/turn.js'
import { type BufferPool, type Clock, type Kernel, type Log, MOUNT_ENDED, NO_REQUEST } from '../lib/ports.js'
import { OP_SINCE } from '../lib/wire/kernel.js'
import { DirectoryPlaces } from './directory-places.js'
import { attributeHandlers } from './handlers/attributes.js'
import { dataHandlers } from './handlers/data.js'
import { lockHandlers } from './handlers/locks.js'
import { nameHandlers } from './handlers/names.js'
import { sessionHandlers } from './handlers/session.js'
import { ASYNC, type Handler, type Mount, type MountSettings, NO_REPLY, PARKED } from './handlers/types.js'
import { OpenRequests } from './open-requests.js'
import { Request } from './request.js'

/** Requests handled before the changes of all of them are committed together and answered. */
const TURN_REQUESTS_MAX = 32

/** Turns in a row before timers and completions get theirs. */
const TURNS_MAX = 8

/** A request that a signal was meant for may go on this long, if only a peer is away. */
const INTERRUPT_DELAY_MS = 1000

/** What requests come from and go to. */
export interface DispatchPorts {
  readonly fs: Operations
  readonly turn: Turn
  readonly kernel: Kernel
  readonly pool: BufferPool
  readonly clock: Clock
  readonly log: Log
}

/**
 * From a request to its reply: decodes the opcode, calls the handler, answers. A request that changed nothing is
 * answered at once; the others of a turn wait for its commit, so that what was answered is never lost by a crash.
 */
export class Dispatch implements Mount {
  readonly fs: Operations
  readonly kernel: Kernel
  readonly log: Log
  readonly settings: MountSettings
  readonly places = new DirectoryPlaces()
  readonly #handlers: (Handler | undefined)[] = []
  readonly #turn: Turn
  readonly #clock: Clock
  readonly #request: Request
  readonly #onEnded: () => void
  readonly #unknown = new Set<number>()
  /** Replies that wait for the commit: slot, error, body bytes, data bytes. */
  readonly #waiting: Int32Array
  #waitingLength = 0
  readonly #open = new OpenRequests()
  /** The last turn has answered something at its end. */
  #answered = false
  #lastHandle = 0

  constructor(ports: DispatchPorts, settings: MountSettings, onEnded: () => void) {
    const { fs, turn, kernel, pool, clock, log } = ports
    this.fs = fs
    this.#turn = turn
    this.#clock = clock
    this.kernel = kernel
    this.log = log
    this.settings = settings
    this.#request = new Request(pool)
    this.#waiting = new Int32Array(pool.count * 4)
    this.#onEnded = onEnded
    turn.onEnd((failure) => this.#answerWaiting(failure))
    const groups = [nameHandlers, attributeHandlers, dataHandlers, lockHandlers, sessionHandlers]
    for (const [opcode, handler] of groups.flatMap((group) => group(this))) {
      if ((OP_SINCE.get(opcode) ?? 0) <= settings.protocolMinorMax) this.#handlers[opcode] = handler
    }
  }

  nextHandle(): number {
    return ++this.#lastHandle
  }

  /** Serves what the kernel has for us; to be called whenever its device is readable. */
  onReadable(): void {
    for (let turn = 0; turn < TURNS_MAX; turn++) {
      // A caller that was just answered has often asked again by now: cheaper to look than to be woken.
      if (!this.#runTurn()) return
    }
  }

  /** False where the kernel had nothing more when the last request had been answered. */
  #runTurn(): boolean {
    this.#turn.begin()
    let count = 0
    for (; count < TURN_REQUESTS_MAX; count++) {
      const slot = this.kernel.next()
      if (slot === MOUNT_ENDED) this.#onEnded()
      if (slot === MOUNT_ENDED || slot === NO_REQUEST) break
      this.#serve(slot)
    }
    this.#turn.end()
    return this.#answered || count === TURN_REQUESTS_MAX
  }

  /** Answers a request that was left open with ASYNC, after the commit of what it changed. */
  finish(slot: number, error: number, bodyBytes: number, dataBytes: number): void {
    this.#open.remove(slot)
    this.#wait(slot, error, bodyBytes, dataBytes)
    this.#turn.endSoon()
  }

  /** A signal, maybe a fatal one, should not have to wait for a peer that may never come back. */
  interrupted(unique: string): void {
    if (this.#open.slotOf(unique) === undefined) return
    this.#clock.after(INTERRUPT_DELAY_MS, () => {
      const slot = this.#open.slotOf(unique)
      if (slot === undefined) return
      if (this.fs.isHeldUp) this.kernel.abandon(slot, -EINTR)
      else this.interrupted(unique)
    })
  }

  endTurnSoon(): void {
    this.#turn.endSoon()
  }

  #serve(slot: number): void {
    const request = this.#request
    request.set(slot)
    const result = this.#handle(request)
    if (result === PARKED) return
    if (result === ASYNC) {
      if (this.settings.shared) this.#open.add(slot, request.unique)
      return
    }
    if (result === NO_REPLY) this.kernel.release(slot)
    else if (this.#turn.isOpen) this.#wait(slot, result, request.bodyBytes, request.dataBytes)
    else this.kernel.reply(slot, result, request.bodyBytes, request.dataBytes)
  }

  #handle(request: Request): number {
    const handler = this.#handlers[request.opcode]
    if (handler === undefined) return this.#refuse(request.opcode)
    if (request.argumentBytes < handler.argumentBytes) return handler.noReply ? NO_REPLY : -EINVAL
    try {
      return handler.run(request)
    } catch (error) {
      if (error instanceof FsError) return handler.noReply ? NO_REPLY : -error.errno
      // A bug. What the operation had changed so far cannot be told from the rest of the turn, so all of it goes.
      this.#turn.spoil()
      this.log.error({ err: error, opcode: request.opcode }, 'an operation failed by a fault in this program')
      return handler.noReply ? NO_REPLY : -EIO
    }
  }

  #refuse(opcode: number): number {
    if (!this.#unknown.has(opcode))
      this.log.info({ opcode }, 'the kernel asked for an operation that does not exist here')
    this.#unknown.add(opcode)
    return -ENOSYS
  }

  #wait(slot: number, error: number, bodyBytes: number, dataBytes: number): void {
    const [waiting, at] = [this.#waiting, this.#waitingLength]
    waiting[at] = slot
    waiting[at + 1] = error
    waiting[at + 2] = bodyBytes
    waiting[at + 3] = dataBytes
    this.#waitingLength = at + 4
  }

  /** The turn has ended: answers what waited for that. */
  #answerWaiting(failure: number): void {
    const waiting = this.#waiting
    const length = this.#waitingLength
    this.#waitingLength = 0
    this.#answered = length > 0
    for (let i = 0; i < length; i += 4) {
      const error = waiting[i + 1] as number
      // An error may rest on what was undone as well.
      const result = failure < 0 ? failure : error
      this.kernel.reply(waiting[i] as number, result, waiting[i + 2] as number, waiting[i + 3] as number)
    }
  }
}
