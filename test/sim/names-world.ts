/**
 * Nodes of a cluster over simulated ports, each of which may crash, lose its power and come back, and whose sessions may
 * break at any time. Everything happens in the steps of one clock, so that a run can be repeated and cut anywhere.
 */
import { ROOT_INODE } from '../../lib/base/ids.js'
import { checkCluster } from '../../lib/meta/check.js'
import type { Done, Hash32, Kv, Log } from '../../lib/ports.js'
import { Positions } from '../../lib/ring/position.js'
import { SimClock } from './clock.js'
import { ClusterNode, type Operation } from './cluster-node.js'
import type { Crash, SimKv } from './kv.js'
import type { Prng } from './prng.js'
import { SimNetwork, SimTransport } from './transport.js'
import { weakHash } from './world.js'

const SIZES = { slots: 8, slotsForPeers: 4, payloadBytes: 8192 }
const CHUNK_BITS = 16
const TIMEOUT_MS = 30_000
/** How soon a peer's end is noticed, and a session opened. */
const NOTICE_MS = 20
/** So many events mean that something goes on for ever. */
const EVENTS_MAX = 100_000
/** How long a store fails that does. */
const STORE_FAILS_MS = 30

export interface WorldOptions {
  readonly members: number
  /** How many positions there are: few make names share them. */
  readonly positions?: number
  readonly delayMsMax?: number
  /** Calls of a rank that may be under way from one node to another. */
  readonly credits?: number
  /** Nodes without a store, after the members. */
  readonly storeless?: number
  /** Breaks a promise that the stores keep, as a mistake of ours would. */
  readonly plant?: Plant
}

/** What is put between the file system and a store: a mistake, from when it is armed on. */
export type Plant = (kv: SimKv, isArmed: () => boolean) => Kv

export class NamesWorld {
  readonly clock = new SimClock()
  readonly prng: Prng
  readonly network: SimNetwork
  readonly nodes: ClusterNode[] = []
  /** What nodes have logged as going wrong. */
  readonly faults: string[] = []
  readonly positions: Positions
  readonly hash: Hash32
  readonly #options: WorldOptions
  readonly #plant: Plant
  isArmed = false
  /** Channels of the session between two nodes, the one with the lower number first. */
  readonly #sessions = new Map<string, [number, number]>()
  readonly #cutOff = new Set<number>()
  #mayFail = false

  constructor(prng: Prng, options: WorldOptions) {
    const { members, positions = 2 ** 32, delayMsMax = 3, plant = (kv) => kv, storeless = 0 } = options
    this.prng = prng
    this.#options = options
    this.#plant = plant
    this.network = new SimNetwork(prng, this.clock)
    this.network.weather.delayMsMax = delayMsMax
    this.hash = weakHash(positions)
    this.positions = new Positions(this.hash)
    for (let index = 0; index < members + storeless; index++) {
      this.nodes.push(new ClusterNode(index, this.clock, prng, SIZES))
    }
    for (const node of this.nodes) this.#boot(node)
    this.gather()
  }

  owner(position: number): number {
    return position % this.#options.members
  }

  /** Lets time pass until all nodes are up and know each other. */
  gather(): void {
    const isWhole = ({ isReady, node, share, index }: ClusterNode): boolean =>
      isReady && node.router.areUp(node.router.everybody()) && (this.#isStoreless(index) || share.opens.isKnown)
    for (let left = EVENTS_MAX; !this.nodes.every(isWhole); left--) {
      if (left === 0) throw new Error('the nodes never get to know each other')
      this.step()
    }
  }

  /** Begins an operation of a node's kernel. */
  begin(node: ClusterNode, run: (done: Done) => number, ended?: (operation: Operation) => void): Operation {
    return node.begin(run, ended)
  }

  /** Lets time pass until the operation has ended; its result. */
  finish(operation: Operation): number {
    for (let left = EVENTS_MAX; !operation.isOver; left--) {
      if (left === 0) throw new Error('an operation never ends')
      this.step()
    }
    return operation.resultOrError
  }

  run(node: ClusterNode, run: (done: Done) => number): number {
    return this.finish(this.begin(node, run))
  }

  /** Lets some time pass. */
  rest(ms: number): void {
    const untilMs = this.clock.monotonicMs() + ms
    this.clock.after(ms, () => undefined)
    while (this.clock.monotonicMs() < untilMs) this.step()
  }

  /** One event, of whatever node. */
  step(): void {
    if (!this.clock.step()) throw new Error('nothing happens any more')
  }

  /** Lets time pass until nothing is left to happen. */
  settle(): void {
    for (let left = EVENTS_MAX; this.clock.step(); left--) if (left === 0) throw new Error('it never settles')
  }

  /** Ends a node's process, or its power. */
  crash(index: number, kind: Crash): void {
    const node = this.nodes[index] as ClusterNode
    if (!node.isOn) return
    node.end(kind)
    for (const peer of this.nodes) this.#noticeEnd(node, peer)
  }

  /** The node's next commit fails, if there is one soon, and nothing of it has happened; so do syncs meanwhile. */
  failStore(index: number): void {
    const { kv } = this.nodes[index] as ClusterNode
    kv.faults.failCommit = true
    kv.faults.failSync = this.prng.oneIn(2)
    this.#mayFail = true
    this.clock.after(this.prng.below(STORE_FAILS_MS), () => this.healStores())
  }

  healStores(): void {
    for (const { kv } of this.nodes) {
      kv.faults.failCommit = false
      kv.faults.failSync = false
    }
  }

  restart(index: number): void {
    const node = this.nodes[index] as ClusterNode
    // A store that fails while it is opened is not served at all.
    node.kv.faults.failCommit = node.kv.faults.failSync = false
    if (!node.isOn) this.#boot(node)
  }

  /** The session of two nodes breaks; both notice, and then they meet again after `awayMs`. */
  break(a: number, b: number, awayMs = 0): void {
    const key = keyOf(a, b)
    const channels = this.#sessions.get(key)
    if (channels === undefined) return
    this.#sessions.delete(key)
    for (const [self, other, channel] of ends(a, b, channels)) {
      const node = this.nodes[self] as ClusterNode
      if (!node.isUp) continue
      node.transport.close(channel)
      node.node.peerDown(other)
    }
    const [first, second] = [this.nodes[a] as ClusterNode, this.nodes[b] as ClusterNode]
    const [incarnationA, incarnationB] = [first.incarnation, second.incarnation]
    this.clock.after(awayMs + this.prng.below(NOTICE_MS), () => {
      if (first.incarnation === incarnationA && second.incarnation === incarnationB) this.#meet(first, second)
    })
  }

  /** A node is cut off from all others, until {@link rejoin}. */
  cutOff(index: number): void {
    this.#cutOff.add(index)
    for (const peer of this.nodes) if (peer.index !== index) this.break(index, peer.index)
  }

  rejoin(index: number): void {
    this.#cutOff.delete(index)
    for (const peer of this.nodes) {
      if (peer.index !== index) this.#meet(this.nodes[index] as ClusterNode, peer)
    }
  }

  /** What the stores say that is wrong, or not finished. */
  audit(): string[] {
    const found: string[] = []
    const stores = this.nodes.slice(0, this.#options.members)
    const members = stores.map((node) => ({
      id: clientOf(node).subarray(0, 8),
      kv: node.kv,
      hash: this.hash,
      files: new Set(node.disk.list(0, Number.MAX_SAFE_INTEGER)),
      afterPowerCut: true,
      report: (fault: string): void => void found.push(`${node.index}: ${fault}`),
    }))
    const totals = checkCluster(members, (position) => this.owner(position))
    for (const [index, { unsettled }] of totals.entries()) {
      if (unsettled > 0) found.push(`${index}: ${unsettled} records of unfinished changes`)
    }
    return found
  }

  #boot(node: ClusterNode): void {
    const { index } = node
    const kv = this.#plant(node.kv, () => this.isArmed)
    const note = (event: object, message: string): void => {
      const { err } = event as { err?: Error }
      if (this.#mayFail && /^the (metadata )?store (failed|cannot be synced)/.test(message)) return
      this.faults.push(`${index}: ${message} ${err?.stack ?? JSON.stringify(event)}`)
    }
    const log: Log = { debug: () => undefined, info: () => undefined, warn: note, error: note }
    const meta = node.openShare(this.hash, log, kv)
    if (this.owner(0) === index) meta.format(0o755, 0, 0, CHUNK_BITS)
    node.incarnation++
    const peers = this.nodes.map((peer) => peer.index).filter((peer) => peer !== index && !this.#isStoreless(peer))
    node.isOn = true
    if (this.#isStoreless(index)) {
      this.#serve(node, log)
      return
    }
    node.share.recover((error) => {
      if (error === 0) this.#serve(node, log)
      // Somebody tries again.
      else {
        this.crash(index, 'process')
        this.clock.after(NOTICE_MS, () => this.restart(index))
      }
    }, peers)
  }

  #serve(node: ClusterNode, log: Log): void {
    const { pool, index, clock, share } = node
    const isStoreless = this.#isStoreless(index)
    const owners = {
      members: this.#options.members,
      owner: (position: number) => this.owner(position),
      idOf: (member: number) => clientOf(this.nodes[member] as ClusterNode).subarray(0, 8),
    }
    const parts = {
      ...{ self: isStoreless ? -1 : index, owners, epoch: 1, timeoutMs: TIMEOUT_MS, positions: this.positions, log },
      share: isStoreless ? undefined : share,
      credits: this.#options.credits ?? 128,
      // What nobody holds is to be gone at once, so that a check finds what stays for ever.
      graceMs: 0,
    }
    node.serve(parts, new SimTransport(this.network, pool))
    for (const peer of this.nodes) {
      // Those without a store have nothing for each other.
      if (peer === node || (isStoreless && this.#isStoreless(peer.index))) continue
      clock.after(this.prng.below(NOTICE_MS), () => this.#meet(node, peer))
    }
    this.#start(node)
  }

  #isStoreless(index: number): boolean {
    return index >= this.#options.members
  }

  #start(node: ClusterNode): void {
    node.fs.start((error) => {
      if (error === 0) node.isReady = true
      else node.clock.after(NOTICE_MS, () => this.#start(node))
    })
  }

  #noticeEnd(dead: ClusterNode, peer: ClusterNode): void {
    const key = keyOf(dead.index, peer.index)
    const channels = this.#sessions.get(key)
    if (channels === undefined || !peer.isUp) {
      this.#sessions.delete(key)
      return
    }
    const channel = peer.index < dead.index ? channels[0] : channels[1]
    this.#sessions.delete(key)
    peer.clock.after(this.prng.below(NOTICE_MS), () => {
      peer.transport.close(channel)
      // Unless it has come back since.
      if (!this.#sessions.has(key)) peer.node.peerDown(dead.index)
    })
  }

  /** Opens a session, if both are there and have none. */
  #meet(a: ClusterNode, b: ClusterNode): void {
    const key = keyOf(a.index, b.index)
    if (!a.isUp || !b.isUp || this.#sessions.has(key)) return
    if (this.#cutOff.has(a.index) || this.#cutOff.has(b.index)) return
    const [first, second] = a.index < b.index ? [a, b] : [b, a]
    const [secretA, secretB] = [this.#secret(), this.#secret()]
    const channels: [number, number] = [first.transport.expect(secretA), second.transport.expect(secretB)]
    first.transport.connect(channels[0], second.transport.address, channels[1], secretB)
    second.transport.connect(channels[1], first.transport.address, channels[0], secretA)
    this.#sessions.set(key, channels)
    const isOpen = (): boolean => this.#sessions.get(key) === channels
    let served = 0
    const up = (self: ClusterNode, other: ClusterNode): void => {
      self.clock.after(this.prng.below(3), () => {
        if (isOpen()) self.node.peerUp(other.index)
      })
    }
    const serve = (self: ClusterNode, other: ClusterNode, channel: number): void => {
      const client = clientOf(other)
      self.clock.after(this.prng.below(3), () => {
        if (!isOpen()) return
        self.node.peerServed(other.index, channel, client)
        if (++served < 2) return
        up(first, second)
        up(second, first)
      })
    }
    serve(first, second, channels[0])
    serve(second, first, channels[1])
  }

  #secret(): Uint8Array {
    return Uint8Array.from({ length: 16 }, () => this.prng.below(256))
  }
}

export const ROOT = ROOT_INODE

/** Its id and its incarnation. */
function clientOf({ index, incarnation }: ClusterNode): Uint8Array {
  const bytes = new Uint8Array(16)
  bytes[7] = index + 1
  bytes[14] = incarnation >>> 8
  bytes[15] = incarnation
  return bytes
}

const keyOf = (a: number, b: number): string => `${Math.min(a, b)}-${Math.max(a, b)}`

function ends(a: number, b: number, [low, high]: [number, number]): [number, number, number][] {
  const [first, second] = [Math.min(a, b), Math.max(a, b)]
  return [
    [first, second, low],
    [second, first, high],
  ]
}
