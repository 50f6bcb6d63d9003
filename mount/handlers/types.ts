import { ENOSYS } from '../../lib/base/errno.js'
import type { Operations } from '../../lib/fs/operations.js'
import { type Done, type Kernel, type Log, PENDING } from '../../lib/ports.js'
import type { Timeouts } from '../../lib/wire/kernel.js'
import type { DirectoryPlaces } from '../directory-places.js'
import type { Request } from '../request.js'

/** Returned by a handler instead of 0 or a negative errno: the reply comes later, by {@link Mount.finish}. */
export const ASYNC = 1

/** Returned by a handler of a request that takes no reply. */
export const NO_REPLY = 2

/** Returned by a handler that has parked its request: the slot is another's by now. */
export const PARKED = 3

/** What a handler is given to work with. */
export interface Mount {
  readonly fs: Operations
  readonly kernel: Kernel
  readonly log: Log
  readonly settings: MountSettings
  readonly places: DirectoryPlaces
  /** Names an open file description; nothing is kept for it but the locks that were set through it. */
  nextHandle(): number
  finish(slot: number, error: number, bodyBytes: number, dataBytes: number): void
  /** A signal has come for whoever asked this; see INTERRUPT. */
  interrupted(unique: string): void
  /** Commits what was changed outside of a turn by an operation that goes on: what waits for the commit would hang. */
  endTurnSoon(): void
}

export interface MountSettings {
  readonly timeouts: Timeouts
  /** The kernel gathers small writes before it sends them: faster, but a crash loses what it had. */
  readonly writeback: boolean
  /**
   * Who keeps locks and open files: the kernel, while this is the only node (it sees every process then, and neither
   * open nor close nor a lock costs a request), or we, once processes of other nodes open and lock the same files.
   */
  readonly keeper: 'kernel' | 'node'
  /**
   * Other nodes change the same files: every read and write comes here, and nothing is read ahead, be it data or
   * attributes. The timeouts are 0 then.
   */
  readonly shared: boolean
  /** Highest minor version of the protocol to agree to; lowered by tests. */
  readonly protocolMinorMax: number
  /** Called once INIT has been answered. */
  readonly onReady: () => void
}

/**
 * Wraps an operation that only exists where open files are kept here. The first ENOSYS makes the kernel keep them by
 * itself from then on: it opens what it has looked up, makes new files by MKNOD and empties them by SETATTR.
 */
export const forKeeper =
  ({ settings }: Mount, run: (request: Request) => number): ((request: Request) => number) =>
  (request) =>
    settings.keeper === 'kernel' ? -ENOSYS : run(request)

/**
 * Runs an operation and answers the request with what it says; `encode` writes the reply's body and returns its length.
 * A reply that comes late is written when this object is about another request, so `encode` must not use it.
 */
export function settle(
  mount: Mount,
  request: Request,
  run: (done: Done) => number,
  encode: (result: number) => number,
): number {
  const { slot } = request
  const result = run((late) => mount.finish(slot, Math.min(late, 0), late < 0 ? 0 : encode(late), 0))
  if (result === PENDING) return ASYNC
  if (result < 0) return result
  request.bodyBytes = encode(result)
  return 0
}

const noBody = (): number => 0

/** {@link settle} for an operation whose reply has no body. */
export const bare = (mount: Mount, request: Request, run: (done: Done) => number): number =>
  settle(mount, request, run, noBody)

export interface Handler {
  /** Arguments that the request has at least. */
  readonly argumentBytes: number
  /** The kernel expects no reply, not even to a faulty request. */
  readonly noReply?: boolean
  /** 0, a negative errno, ASYNC, NO_REPLY or PARKED; may throw FsError. The reply's lengths go into the request. */
  run(request: Request): number
}

/** A group of handlers by opcode. */
export type HandlerGroup = (mount: Mount) => [number, Handler][]
