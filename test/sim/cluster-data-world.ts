import { ROOT_INODE } from '../../lib/base/ids.js'
import { S_IFREG } from '../../lib/base/mode.js'
import { Cluster } from '../../lib/fs/cluster.js'
import { checkCluster } from '../../lib/meta/check.js'
import { MetaStore } from '../../lib/meta/store.js'
import { Turn } from '../../lib/meta/turn.js'
import { Node } from '../../lib/node/node.js'
import type { Owners } from '../../lib/node/router.js'
import { type Done, type Hash32, type Log, PENDING } from '../../lib/ports.js'
import { Positions } from '../../lib/ring/position.js'
import { Share } from '../../lib/share/share.js'
import { SimClock } from './clock.js'
import { SimDisk } from './disk.js'
import { type Crash, SimKv } from './kv.js'
import { SimPool } from './pool.js'
import type { Prng } from './prng.js'
import { ProcessClock } from './process-clock.js'
import { SimNetwork, SimTransport } from './transport.js'
import { weakHash } from './world.js'

const SLOTS = 24
const SLOTS_FOR_PEERS = 8
export const PAYLOAD_BYTES = 64 * 1024
/** Small, so that small files have many chunks. */
export const CHUNK_BITS = 13
export const CHUNK_BYTES = 2 ** CHUNK_BITS
const TIMEOUT_MS = 5000
/** Nothing takes longer than this, whatever it waits for. */
const PATIENCE_MS = 600_000
/** How long it takes until a node's death is noticed by others. */
const NOTICE_MS_MAX = 40

const encoder = new TextEncoder()
const named = (text: string) => {
  const bytes = encoder.encode(text)
  return { bytes, offset: 0, length: bytes.length }
}

const CALLER = { uid: 1, gid: 2, pid: 3, umask: 0 }

/** One node: its store, which stays, and the process that serves it, which may crash and come back. */
export class DataNode {
  readonly index: number
  readonly pool = new SimPool(SLOTS, PAYLOAD_BYTES, SLOTS_FOR_PEERS)
  readonly clock: ProcessClock
  readonly kv: SimKv
  readonly disk: SimDisk
  transport!: SimTransport
  share!: Share
  turn!: Turn
  node!: Node
  fs!: Cluster
  isUp = false
  isMounted = false
  incarnation = 0
  /** Channels to others, by member. */
  readonly channels = new Map<number, number>()
  /** Inodes that its kernel holds, by name. */
  readonly held = new Map<string, number>()

  constructor(index: number, clock: SimClock, prng: Prng) {
    this.index = index
    this.clock = new ProcessClock(clock)
    this.kv = new SimKv(this.clock, prng, 1 << 17)
    this.disk = new SimDisk(this.pool, this.clock, prng)
  }

  get id(): Uint8Array {
    return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, this.index + 1)
  }

  get hexId(): string {
    return Buffer.from(this.id).toString('hex')
  }

  /** Its id and its incarnation. */
  get client(): Uint8Array {
    return Uint8Array.of(...this.id, 0, 0, 0, 0, 0, 0, 0, this.incarnation)
  }
}

/** A cluster for tests of the data path: nodes that crash, sessions that break, and one clock. */
export class DataWorld {
  readonly clock = new SimClock()
  readonly network: SimNetwork
  readonly nodes: DataNode[] = []
  /** What no run may bring about. */
  readonly faults: string[] = []
  readonly hash: Hash32
  readonly owners: Owners
  readonly #prng: Prng
  readonly #chunkBits: number

  constructor(members: number, prng: Prng, { hash = weakHash(2 ** 32), chunkBits = CHUNK_BITS } = {}) {
    this.#prng = prng
    this.network = new SimNetwork(prng, this.clock)
    this.hash = hash
    this.#chunkBits = chunkBits
    for (let index = 0; index < members; index++) this.nodes.push(new DataNode(index, this.clock, prng))
    this.owners = {
      members,
      owner: (position) => position % members,
      idOf: (member) => this.node(member).id,
    }
    for (const node of this.nodes) this.#boot(node)
    for (const a of this.nodes) for (const b of this.nodes) if (a.index < b.index) this.connect(a, b)
  }

  node(index: number): DataNode {
    return this.nodes[index] as DataNode
  }

  /** Lets time pass until the operation of a node has ended and is safe against a crash of it; its result. */
  wait(node: DataNode, operation: (done: Done) => number): number {
    let result: number | undefined
    this.start(node, operation, (late) => {
      result = late
    })
    this.until(() => result !== undefined)
    return result as number
  }

  /** Starts an operation; `ended` is called as its caller would be answered. */
  start(node: DataNode, operation: (done: Done) => number, ended: Done): void {
    const life = node.incarnation
    const answer = (result: number): void => {
      node.share.meta.onceCommitted((error) => {
        if (node.isUp && node.incarnation === life) ended(error < 0 ? error : result)
      })
      node.turn.endSoon()
    }
    let hasEnded = false
    const once: Done = (result) => {
      if (hasEnded) throw new Error('an operation is answered twice')
      hasEnded = true
      answer(result)
    }
    const result = operation(once)
    if (result !== PENDING) once(result)
    node.turn.endSoon()
  }

  until(isDone: () => boolean): void {
    const limitMs = this.clock.monotonicMs() + PATIENCE_MS
    while (!isDone()) {
      if (!this.clock.step() || this.clock.monotonicMs() > limitMs) throw new Error('an operation never ends')
    }
  }

  /** Lets so much time pass. */
  pass(delayMs: number): void {
    let isOver = false
    this.clock.after(delayMs, () => {
      isOver = true
    })
    this.until(() => isOver)
  }

  /** Lets time pass until nothing is left to do. */
  settle(): void {
    while (this.clock.step());
  }

  /** Makes an empty file; a node that wants to use it calls {@link find}. */
  create(node: DataNode, name: string): number {
    this.#mount(node)
    const make = (done: Done): number => node.fs.mknod(ROOT_INODE, named(name), S_IFREG | 0o644, 0, CALLER, done)
    const error = this.wait(node, make)
    if (error < 0) throw new Error(`mknod ${name}: ${error}`)
    return this.find(node, name)
  }

  /** The inode number of a file, which the node's kernel holds from then on. */
  find(node: DataNode, name: string): number {
    const known = node.held.get(name)
    if (known !== undefined) return known
    this.#mount(node)
    const lookup = (done: Done): number =>
      node.fs.lookup(ROOT_INODE, named(name), (result) => {
        if (result === 0) node.fs.hold(node.fs.found)
        done(result)
      })
    let number = 0
    const error = this.wait(node, (done) => {
      const result = lookup((late) => {
        number = node.fs.found.number
        done(late)
      })
      if (result !== PENDING) {
        node.fs.hold(node.fs.found)
        number = node.fs.found.number
      }
      return result
    })
    if (error < 0) throw new Error(`lookup ${name}: ${error}`)
    node.held.set(name, number)
    return number
  }

  /** All stores against each other, when nothing is under way: the faults. */
  check(afterPowerCut: boolean): string[] {
    const faults: string[] = []
    const stores = this.nodes.map(({ index, id, kv, disk }) => ({
      id,
      kv,
      hash: this.hash,
      files: new Set(disk.list(0, Number.MAX_SAFE_INTEGER)),
      afterPowerCut,
      report: (fault: string): void => void faults.push(`store ${index}: ${fault}`),
    }))
    checkCluster(stores, (position) => this.owners.owner(position))
    // Chunks as small as these are for tests only.
    return faults.filter((fault) => !fault.includes(`its chunks of 2^${CHUNK_BITS} bytes`))
  }

  unlink(node: DataNode, name: string): number {
    this.#mount(node)
    const error = this.wait(node, (done) => node.fs.unlink(ROOT_INODE, named(name), done))
    for (const { fs, held } of this.nodes) {
      const number = held.get(name)
      if (number !== undefined) fs.forget(number, 1)
      held.delete(name)
    }
    return error
  }

  /** Ends a node's process, or its power. The others notice later. */
  crash(node: DataNode, kind: Crash): void {
    node.isUp = false
    node.clock.end()
    node.transport.die()
    node.disk.crash(kind)
    node.kv.crash(kind)
    node.pool.reset()
    node.held.clear()
    node.channels.clear()
    for (const other of this.nodes) {
      const channel = other.channels.get(node.index)
      if (channel === undefined) continue
      other.clock.after(this.#prng.below(NOTICE_MS_MAX), () => {
        if (other.channels.get(node.index) === channel) this.#end(other, node)
      })
    }
  }

  restart(node: DataNode): void {
    this.#boot(node)
    for (const other of this.nodes) if (other !== node && other.isUp) this.connect(node, other)
  }

  /** Ends the session between two nodes, if there is one, and begins another. `a` may ask `b` somewhat later. */
  connect(a: DataNode, b: DataNode, lateMs = 0): void {
    this.disconnect(a, b)
    const [secretA, secretB] = [this.#secret(), this.#secret()]
    const [channelA, channelB] = [a.transport.expect(secretA), b.transport.expect(secretB)]
    a.transport.connect(channelA, b.transport.address, channelB, secretB)
    b.transport.connect(channelB, a.transport.address, channelA, secretA)
    a.channels.set(b.index, channelA)
    b.channels.set(a.index, channelB)
    a.node.peerServed(b.index, channelA, b.client)
    b.node.peerServed(a.index, channelB, a.client)
    const up = (): void => a.node.peerUp(b.index)
    if (lateMs > 0) a.clock.after(lateMs, up)
    else up()
    b.node.peerUp(a.index)
  }

  disconnect(a: DataNode, b: DataNode): void {
    this.#end(a, b)
    this.#end(b, a)
  }

  #end(at: DataNode, peer: DataNode): void {
    const channel = at.channels.get(peer.index)
    if (channel === undefined) return
    at.channels.delete(peer.index)
    at.node.peerDown(peer.index)
    at.transport.close(channel)
  }

  /** The root directory's member has to be there for that. */
  #mount(node: DataNode): void {
    if (node.isMounted) return
    const error = this.wait(node, (done) => node.fs.start(done) ?? PENDING)
    if (error < 0) throw new Error(`mount of ${node.index}: ${error}`)
    node.isMounted = true
  }

  #boot(node: DataNode): void {
    const { kv, disk, pool, index, clock } = node
    const note = (event: object, message: string): void => {
      const { err } = event as { err?: Error }
      this.faults.push(`node ${index}: ${message} ${err?.stack ?? JSON.stringify(event)}`)
    }
    const ignore = (): void => undefined
    const log: Log = { debug: ignore, info: ignore, warn: ignore, error: note }
    const meta = new MetaStore(kv, clock, this.hash, log, { inodesCached: 16 })
    if (this.owners.owner(0) === index) meta.format(0o755, 0, 0, this.#chunkBits)
    node.incarnation++
    node.share = new Share({ meta, kv, disk, pool, clock, log, openFilesMax: 3, stockIds: 4 })
    let isReady = false
    const peers = this.nodes.map((other) => other.index).filter((other) => other !== index)
    node.share.recover((error) => {
      if (error < 0) throw new Error(`recovery of ${index}: ${error}`)
      isReady = true
    }, peers)
    this.until(() => isReady)
    node.turn = new Turn(meta, (step) => void clock.after(0, step))
    node.transport = new SimTransport(this.network, pool)
    const { share, turn, transport } = node
    const positions = new Positions(this.hash)
    node.node = new Node({
      ...{ self: index, owners: this.owners, epoch: 1, timeoutMs: TIMEOUT_MS, positions },
      ...{ transport, pool, clock, log, turn, share },
      graceMs: 0,
    })
    transport.attach({
      request: (...args) => node.node.request(...args),
      slotFree: () => node.node.onSlotFree(),
      failed: () => undefined,
    })
    node.fs = new Cluster(node.node, pool)
    node.isUp = true
    node.isMounted = false
  }

  #secret(): Uint8Array {
    return Uint8Array.from({ length: 16 }, () => this.#prng.below(256))
  }
}
