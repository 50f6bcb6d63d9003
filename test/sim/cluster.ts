import { ROOT_INODE } from '../../lib/base/ids.js'
import { Cluster } from '../../lib/fs/cluster.js'
import { MetaStore } from '../../lib/meta/store.js'
import { Turn } from '../../lib/meta/turn.js'
import { Node } from '../../lib/node/node.js'
import { type Done, type Hash32, type Log, PENDING } from '../../lib/ports.js'
import { Positions } from '../../lib/ring/position.js'
import { Share } from '../../lib/share/share.js'
import { SimClock } from './clock.js'
import { SimDisk } from './disk.js'
import { SimKv } from './kv.js'
import { SimPool } from './pool.js'
import type { Prng } from './prng.js'
import { SimNetwork, SimTransport } from './transport.js'
import { weakHash } from './world.js'

const SLOTS = 12
const SLOTS_FOR_PEERS = 4
const PAYLOAD_BYTES = 65536
const CHUNK_BITS = 16
const TIMEOUT_MS = 5000

/** One node of a simulated cluster. */
export class SimNode {
  readonly index: number
  readonly pool = new SimPool(SLOTS, PAYLOAD_BYTES, SLOTS_FOR_PEERS)
  readonly kv: SimKv
  readonly disk: SimDisk
  transport!: SimTransport
  share!: Share
  turn!: Turn
  node!: Node
  fs!: Cluster
  incarnation = 0

  constructor(index: number, clock: SimClock, prng: Prng) {
    this.index = index
    this.kv = new SimKv(clock, prng, 1 << 20)
    this.disk = new SimDisk(this.pool, clock, prng)
  }

  /** Its id and its incarnation. */
  get client(): Uint8Array {
    const bytes = new Uint8Array(16)
    bytes[7] = this.index + 1
    bytes[15] = this.incarnation
    return bytes
  }
}

/** A cluster of nodes in one process, with one clock, and every link open. */
export class SimCluster {
  readonly clock = new SimClock()
  readonly network: SimNetwork
  readonly nodes: SimNode[] = []
  readonly faults: string[] = []
  readonly #prng: Prng
  readonly #hash: Hash32
  readonly #timeoutMs: number

  constructor(members: number, prng: Prng, timeoutMs = TIMEOUT_MS) {
    this.#prng = prng
    this.#timeoutMs = timeoutMs
    this.network = new SimNetwork(prng, this.clock)
    // Neighbouring positions belong to different members.
    this.#hash = weakHash(prng.pick([16, 2 ** 32]))
    for (let index = 0; index < members; index++) this.nodes.push(new SimNode(index, this.clock, prng))
    for (const node of this.nodes) this.#boot(node)
    this.#connect()
    for (const { fs } of this.nodes) this.wait((done) => fs.start(done))
  }

  /** Lets time pass until the operation has ended; its result. */
  wait(operation: (done: Done) => unknown): number {
    let result: number | undefined
    const immediate = operation((late) => {
      if (result !== undefined) throw new Error('called back twice')
      result = late
    })
    if (typeof immediate === 'number' && immediate !== PENDING) result = immediate
    for (const { turn } of this.nodes) turn.endSoon()
    while (result === undefined) {
      if (!this.clock.step()) throw new Error('an operation never ends')
    }
    return result
  }

  settle(): void {
    while (this.clock.step());
  }

  #boot(node: SimNode): void {
    const { clock } = this
    const { kv, disk, pool, index } = node
    const note = (event: object, message: string): void => {
      const { err } = event as { err?: Error }
      this.faults.push(`${index}: ${message} ${err?.stack ?? JSON.stringify(event)}`)
    }
    const log: Log = { debug: () => undefined, info: () => undefined, warn: note, error: note }
    const meta = new MetaStore(kv, clock, this.#hash, log, { inodesCached: 16 })
    if (this.#owner(0) === index) meta.format(0o755, 0, 0, CHUNK_BITS)
    node.incarnation++
    node.share = new Share({ meta, kv, disk, pool, clock, log, openFilesMax: 3, stockIds: 4 })
    let isReady = false
    node.share.recover((error) => {
      if (error < 0) throw new Error(`recovery has failed: ${error}`)
      isReady = true
    })
    while (!isReady) if (!clock.step()) throw new Error('recovery never ends')
    const defer = (step: () => void): void => void clock.after(0, step)
    node.turn = new Turn(meta, defer)
    node.transport = new SimTransport(this.network, pool)
    const owners = {
      members: this.nodes.length,
      owner: (position: number) => this.#owner(position),
      idOf: (member: number) => (this.nodes[member] as SimNode).client.subarray(0, 8),
    }
    const { share, turn, transport } = node
    const positions = new Positions(this.#hash)
    node.node = new Node({
      ...{ self: index, owners, epoch: 1, timeoutMs: this.#timeoutMs, positions },
      ...{ transport, pool, clock, log, turn, share },
    })
    transport.attach({
      request: (...args) => node.node.request(...args),
      slotFree: () => node.node.onSlotFree(),
      failed: () => undefined,
    })
    node.fs = new Cluster(node.node, pool)
  }

  #owner(position: number): number {
    return position % Math.max(1, this.nodes.length)
  }

  /** Opens a session between every two nodes. */
  #connect(): void {
    for (const a of this.nodes) {
      for (const b of this.nodes) {
        if (a.index >= b.index) continue
        const [secretA, secretB] = [this.#secret(), this.#secret()]
        const [channelA, channelB] = [a.transport.expect(secretA), b.transport.expect(secretB)]
        a.transport.connect(channelA, b.transport.address, channelB, secretB)
        b.transport.connect(channelB, a.transport.address, channelA, secretA)
        a.node.peerServed(b.index, channelA, b.client)
        b.node.peerServed(a.index, channelB, a.client)
        a.node.peerUp(b.index)
        b.node.peerUp(a.index)
      }
    }
  }

  #secret(): Uint8Array {
    return Uint8Array.from({ length: 16 }, () => this.#prng.below(256))
  }
}

export const ROOT = ROOT_INODE
