/** A node of a simulated cluster, put together as a mount is, and what its kernel asks of it. */
import { EIO, FsError } from '../../lib/base/errno.js'
import { Cluster } from '../../lib/fs/cluster.js'
import { MetaStore } from '../../lib/meta/store.js'
import { NO_STORE, Turn } from '../../lib/meta/turn.js'
import { Node } from '../../lib/node/node.js'
import type { NodeParts } from '../../lib/node/parts.js'
import { type Disk, type Done, type Hash32, type Kv, type Log, PENDING } from '../../lib/ports.js'
import { Share } from '../../lib/share/share.js'
import type { SimClock } from './clock.js'
import { SimDisk } from './disk.js'
import { type Crash, SimKv } from './kv.js'
import { SimPool } from './pool.js'
import type { Prng } from './prng.js'
import { ProcessClock } from './process-clock.js'
import type { SimTransport } from './transport.js'

/** An operation of a node's kernel. */
export class Operation {
  readonly node: ClusterNode
  /** Undefined as long as it has not returned; a crash of its node ends it without a result. */
  result: number | undefined
  isLost = false
  readonly #ended: (operation: Operation) => void

  constructor(node: ClusterNode, ended: (operation: Operation) => void) {
    this.node = node
    this.#ended = ended
  }

  get isOver(): boolean {
    return this.isLost || this.result !== undefined
  }

  /** What it has returned; EIO where its node has died. */
  get resultOrError(): number {
    return this.result ?? -EIO
  }

  end(result: number): void {
    if (this.result !== undefined) throw new Error('an operation has ended twice')
    this.result = result
    this.#ended(this)
  }
}

export interface NodeSizes {
  readonly slots: number
  readonly slotsForPeers: number
  readonly payloadBytes: number
  readonly valueBytesMax?: number
}

/** One node: its store lasts, the rest is its present process's. */
export class ClusterNode {
  readonly index: number
  readonly clock: ProcessClock
  readonly pool: SimPool
  readonly kv: SimKv
  readonly disk: SimDisk
  transport!: SimTransport
  share!: Share
  turn!: Turn
  node!: Node
  fs!: Cluster
  /** Its process runs; it serves; and its kernel may ask. */
  isOn = false
  isUp = false
  isReady = false
  incarnation = 0
  /** Operations of its kernel that have not returned, and those that return when the turn is committed. */
  readonly running = new Set<Operation>()
  #returning: [Operation, number][] = []

  constructor(index: number, base: SimClock, prng: Prng, sizes: NodeSizes) {
    const { payloadBytes, slots, slotsForPeers, valueBytesMax } = sizes
    this.index = index
    this.clock = new ProcessClock(base)
    this.pool = new SimPool(slots, payloadBytes, slotsForPeers)
    this.kv = new SimKv(this.clock, prng, valueBytesMax)
    this.disk = new SimDisk(this.pool, this.clock, prng)
  }

  /** Opens what lies here. `kv` and `disk` may be others than its own, with a mistake in them. */
  openShare(hash: Hash32, log: Log, kv: Kv = this.kv, disk: Disk = this.disk): MetaStore {
    const { clock, pool } = this
    const meta = new MetaStore(kv, clock, hash, log, { inodesCached: 16 })
    this.share = new Share({ meta, kv, disk, pool, clock, log, openFilesMax: 3, stockIds: 4 })
    return meta
  }

  /** Serves its share, or none, to whom `transport` connects it. */
  serve(
    parts: Omit<NodeParts, 'transport' | 'pool' | 'clock' | 'turn'>,
    transport: SimTransport,
    failed: (channel: number, error: number) => void = () => undefined,
  ): void {
    const { clock, pool } = this
    this.turn = new Turn(parts.share?.meta ?? NO_STORE, (step) => void clock.after(0, step))
    this.turn.onEnd((failure) => this.#endTurn(failure))
    this.transport = transport
    this.node = new Node({ ...parts, transport, pool, clock, turn: this.turn })
    transport.attach({
      request: (...args) => this.node.request(...args),
      slotFree: () => this.node.onSlotFree(),
      failed,
    })
    this.fs = new Cluster(this.node, pool)
    this.isUp = true
  }

  /** Begins an operation, in a turn of its own as the border to the kernel has it. */
  begin(run: (done: Done) => number, ended: (operation: Operation) => void = () => {}): Operation {
    const operation = new Operation(this, ended)
    this.running.add(operation)
    const done = (result: number): void => {
      this.#returning.push([operation, result])
      this.turn.endSoon()
    }
    this.turn.begin()
    let result: number
    try {
      result = run(done)
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      result = -error.errno
    }
    if (result !== PENDING) this.#returning.push([operation, result])
    this.turn.end()
    return operation
  }

  /** Ends its process, or its power. */
  end(kind: Crash): void {
    if (this.isUp) this.transport.die()
    this.isOn = false
    this.isUp = false
    this.isReady = false
    this.clock.end()
    this.kv.crash(kind)
    this.disk.crash(kind)
    this.pool.reset()
    this.#returning = []
    for (const operation of this.running) operation.isLost = true
    this.running.clear()
  }

  #endTurn(failure: number): void {
    for (const [operation, result] of this.#returning.splice(0)) {
      this.running.delete(operation)
      operation.end(failure < 0 ? failure : result)
    }
  }
}
