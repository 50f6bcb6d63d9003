import { EINVAL, EIO, EISDIR, ESTALE, FsError, fail } from '../../base/errno.js'
import type { Inode } from '../../meta/inode.js'
import type { Turn } from '../../meta/turn.js'
import type { BufferPool, Clock, Log } from '../../ports.js'
import type { Positions } from '../../ring/position.js'
import type { Services } from '../../rpc/services.js'
import type { Share } from '../../share/share.js'
import { INODE_IS_PART } from '../../wire/records.js'
import type { Appends } from '../appends.js'
import type { HeldNames } from '../held-names.js'
import type { FileHolders } from '../holders.js'
import type { Leftovers } from '../leftovers.js'
import type { Outgoing } from '../outbox.js'
import type { Router } from '../router.js'
import type { Sagas } from '../sagas.js'
import type { Stream } from '../stream.js'
import type { Truncations } from '../truncation.js'
import type { WaitingRoom } from '../waiting-room.js'
import type { Waits } from '../waits.js'

export interface ServingParts {
  readonly services: Services
  readonly share: Share
  readonly router: Router
  /** What changes here make others owe, and what is done on several nodes. */
  readonly outgoing: Outgoing
  readonly sagas: Sagas
  readonly stream: Stream
  /** Names that are being moved or removed, and requests that wait for directories. */
  readonly names: HeldNames
  readonly room: WaitingRoom
  readonly positions: Positions
  readonly pool: BufferPool
  readonly clock: Clock
  readonly turn: Turn
  /** Of files whose chunks lie with several members. */
  readonly holders: FileHolders
  readonly truncations: Truncations
  readonly appends: Appends
  readonly leftovers: Leftovers
  readonly log: Log
}

/** What the services of a node work with. */
export class Serving {
  readonly services: Services
  readonly share: Share
  readonly router: Router
  readonly outgoing: Outgoing
  readonly sagas: Sagas
  readonly stream: Stream
  readonly names: HeldNames
  readonly room: WaitingRoom
  readonly positions: Positions
  readonly pool: BufferPool
  readonly clock: Clock
  readonly turn: Turn
  /** Of files whose chunks lie with several members. */
  readonly holders: FileHolders
  readonly truncations: Truncations
  readonly appends: Appends
  readonly leftovers: Leftovers
  readonly #log: Log

  constructor(parts: ServingParts) {
    this.services = parts.services
    this.share = parts.share
    this.router = parts.router
    this.outgoing = parts.outgoing
    this.sagas = parts.sagas
    this.stream = parts.stream
    this.names = parts.names
    this.room = parts.room
    this.positions = parts.positions
    this.pool = parts.pool
    this.clock = parts.clock
    this.turn = parts.turn
    this.holders = parts.holders
    this.truncations = parts.truncations
    this.appends = parts.appends
    this.leftovers = parts.leftovers
    this.#log = parts.log
  }

  /** The inode's record lies on this node. */
  isHere(inode: number): boolean {
    return this.router.ofInode(inode) === this.router.self
  }

  /** The inode of this generation. ESTALE where there is none any more. */
  inode(number: number, generation: number): Inode {
    const inode = this.share.meta.inode(number)
    const isOne = inode.generation === generation && (inode.flags & INODE_IS_PART) === 0
    return isOne ? inode : fail(ESTALE)
  }

  /** The same, of a regular file. EISDIR, EINVAL. */
  file(number: number, generation: number): Inode {
    const inode = this.inode(number, generation)
    if (inode.isDirectory) fail(EISDIR)
    return inode.isRegular ? inode : fail(EINVAL)
  }

  /** Calls `step` with 0 once what was changed so far is committed, or with the errno for which it was undone. */
  onceCommitted(step: (error: number) => void): void {
    this.share.meta.onceCommitted(step)
    this.turn.endSoon()
  }

  /**
   * Answers with `reply`, which is in the open batch already, when that is committed and all that `waits` waits for has
   * ended, and gives the request up where that takes too long.
   */
  answerAfter<R>(
    asked: { answer(result: number, reply: R | null): void; giveUp(error: number): void },
    waits: Waits,
    reply: () => R,
  ): void {
    this.onceCommitted(waits.add().done)
    waits.whenDone(
      (error) => asked.answer(error, error < 0 ? null : reply()),
      (error) => asked.giveUp(error),
    )
  }

  /** Runs a step of a request that has waited; what it throws is the request's answer. */
  guard(step: () => void, failed: (error: number) => void): void {
    try {
      step()
    } catch (error) {
      if (error instanceof FsError) failed(-error.errno)
      else {
        this.turn.spoil()
        this.#log.error({ err: error }, 'a request failed by a fault in this program')
        failed(-EIO)
      }
    }
    this.turn.endSoon()
  }
}
