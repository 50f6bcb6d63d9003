import { ESTALE } from '../base/errno.js'
import type { Router } from '../node/router.js'
import type { BufferPool, Done } from '../ports.js'
import { NO_TRANSFER } from '../rpc/call.js'
import { isWithinChunk, type MemberOf, type Piece, piecesOf } from '../stripe/stripe.js'
import { MetadataGet } from '../wire/methods.js'
import type { Extent, Known } from './known.js'

/** A file whose chunks may lie with several members, as an operation on it has found it. */
export interface SpreadFile {
  readonly number: number
  readonly generation: number
  readonly chunkBits: number
  /** The member that has the inode. */
  readonly owner: number
  readonly memberOf: MemberOf
}

/** What operations on spread files have in common. */
export class Spread {
  readonly router: Router
  readonly known: Known
  readonly pool: BufferPool

  constructor(router: Router, known: Known, pool: BufferPool) {
    this.router = router
    this.known = known
    this.pool = pool
  }

  /** ESTALE where the kernel does not hold it. */
  file(number: number): SpreadFile {
    const { generation, chunkBits, layout } = this.known.get(number).inode
    const owner = this.router.ofInode(number)
    const memberOf: MemberOf = (chunk) => this.router.ofChunk(number, chunk, layout)
    return { number, generation, chunkBits, owner, memberOf }
  }

  /** Where a range lies; one piece or more. */
  piecesOf({ chunkBits, memberOf }: SpreadFile, offset: number, bytes: number): Piece[] {
    if (!isWithinChunk(offset, bytes, chunkBits)) return piecesOf(offset, bytes, chunkBits, memberOf)
    return [{ member: memberOf(Math.floor(offset / 2 ** chunkBits)), offset, bytes }]
  }

  /** Asks the inode's member how long the file is now, when no truncation is under way. */
  refresh({ number, generation, owner }: SpreadFile, failed: Done, refreshed: (extent: Extent) => void): void {
    this.router.ask(owner, MetadataGet, { number, generation }, NO_TRANSFER, (result, reply) => {
      if (reply === null || reply.inode === null) {
        failed(result < 0 ? result : -ESTALE)
        return
      }
      this.known.note(reply.inode, null)
      refreshed({ size: reply.inode.size, epoch: reply.inode.truncationEpoch })
    })
  }
}
