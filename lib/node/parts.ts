import type { Turn } from '../meta/turn.js'
import type { BufferPool, Clock, Log, Transport } from '../ports.js'
import type { Positions } from '../ring/position.js'
import type { Share } from '../share/share.js'
import type { Owners } from './router.js'

/** What a node of a cluster is made of. */
export interface NodeParts {
  /** This node's number among the members; −1 where it has no share. */
  readonly self: number
  readonly owners: Owners
  readonly epoch: number
  /** How long a call waits for a peer that is away; Infinity: for ever. */
  readonly timeoutMs: number
  /** Calls of one rank that may be under way from this node to one other. */
  readonly credits?: number
  readonly positions: Positions
  readonly transport: Transport
  readonly pool: BufferPool
  readonly clock: Clock
  readonly log: Log
  readonly turn: Turn
  /** What of the file system lies here, recovered; undefined where nothing does. */
  readonly share: Share | undefined
  /** How long an inode that has lost its last name stays for those who have just found it; see Lingering. */
  readonly graceMs?: number
}
