/**
 * A whole cluster in one process, put together as mounts put it together (mount/member.ts): members with their stores and
 * clients without, who meet over control connections, form a cluster, and serve one file system over a ring. Each may
 * crash, lose its power, be cut off one way or both, have a slow or full disk, and a wrong clock.
 */
import { ROOT_INODE, SERIAL_SPAN } from '../../lib/base/ids.js'
import { checkCluster } from '../../lib/meta/check.js'
import { loadHash32 } from '../../lib/native/hash.js'
import { type Cluster as Agreed, Membership, type MembershipEvents } from '../../lib/node/membership.js'
import type { Done, Hash32, Log } from '../../lib/ports.js'
import { Positions } from '../../lib/ring/position.js'
import { Ring } from '../../lib/ring/ring.js'
import { getUint64BE, KEY_FREE } from '../../lib/wire/records.js'
import { SimClock } from './clock.js'
import { ClusterNode, type Operation } from './cluster-node.js'
import { SimControl, SimControlNetwork } from './control.js'
import type { Crash } from './kv.js'
import { SimStore } from './membership.js'
import type { Prng } from './prng.js'
import { SimNetwork, SimTransport } from './transport.js'
import type { Plant } from './world.js'

/** As large as what a request may carry, and a chunk of it, so that small files have many chunks. */
const SIZES = { slots: 24, slotsForPeers: 8, payloadBytes: 64 * 1024, valueBytesMax: 1 << 17 }
export const CHUNK_BITS = 13
export const CHUNK_BYTES = 2 ** CHUNK_BITS
const WAIT_MS = 600_000
const LINGER_MS = 30_000
const TIMEOUT_MS = 30_000
/** After a process has ended by itself, and how often the root directory is asked for. */
const AGAIN_MS = 50
/** So long nothing takes, whatever it waits for. */
const PATIENCE_MS = 700_000
/** How long a store fails that does. */
const STORE_FAILS_MS = 30
const POSITIONS = 2 ** 32

const hash: Hash32 = await loadHash32()

/** What the messages say that a cluster in trouble may write into its log, but not one without. */
const EXPECTED = [
  /^the (metadata )?store (failed|cannot be synced)/,
  /^a member (is away|has left)/,
  /^it has been away for too long/,
  /^a node (was|has) refused/,
  /^clocks differ/,
  /^a truncation waits for a node that is away/,
  /^a backing file is gone/,
  /^the end of a file that was cut off stays/,
  /^the disk cannot be synced/,
]

export interface ClusterOptions {
  readonly members: number
  /** Nodes without a store. */
  readonly clients?: number
  /** How many positions there are for names and chunks: few make them share. */
  readonly positions?: number
  readonly credits?: number
  /** How long an inode that has lost its last name stays for those who have just found it. */
  readonly graceMs?: number
  readonly plant?: Plant
}

/** A node with what it needs to meet others. */
export class MeetingNode extends ClusterNode {
  readonly name: string
  /** A client has none. */
  store: SimStore | null = null
  control!: SimControl
  membership!: Membership
  ring: Ring | undefined

  constructor(index: number, base: SimClock, prng: Prng) {
    super(index, base, prng, SIZES)
    this.name = `n${index}`
  }
}

export class ClusterWorld {
  readonly clock = new SimClock()
  readonly prng: Prng
  readonly network: SimNetwork
  readonly meeting: SimControlNetwork
  readonly nodes: MeetingNode[] = []
  readonly names: readonly string[]
  readonly positions: Positions
  readonly #hash: Hash32
  /** What nodes have logged as going wrong that no trouble explains. */
  readonly faults: string[] = []
  readonly #options: ClusterOptions
  readonly #cuts = new Set<string>()

  constructor(prng: Prng, options: ClusterOptions) {
    const { members, clients = 0, positions = POSITIONS } = options
    this.prng = prng
    this.#options = options
    this.network = new SimNetwork(prng, this.clock)
    this.meeting = new SimControlNetwork(prng, this.clock)
    this.names = Array.from({ length: members }, (_, index) => `n${index}:7400`)
    const span = POSITIONS / positions
    this.#hash = (bytes, seed) => Math.floor(hash(bytes, seed) / span) * span
    this.positions = new Positions(this.#hash)
    for (let index = 0; index < members + clients; index++) {
      const node = new MeetingNode(index, this.clock, prng)
      if (index < members) node.store = this.#newStore(node)
      this.nodes.push(node)
    }
    for (const node of this.nodes) this.clock.after(prng.below(3000), () => this.restart(node))
  }

  get members(): MeetingNode[] {
    return this.nodes.slice(0, this.#options.members)
  }

  /** The member that has a position: every node decides by its own ring. */
  owner(position: number): number {
    const [{ ring }] = this.members as [MeetingNode]
    return (ring as Ring).owner(position)
  }

  /** Every node may ask every member. */
  get isWhole(): boolean {
    return this.nodes.every(
      ({ isReady, node, store, share }) =>
        isReady && node.router.areUp(node.router.everybody()) && (store === null || share.opens.isKnown),
    )
  }

  /** Starts an operation; `ended` is called as its caller would be answered, and never where its node dies before. */
  start(node: ClusterNode, operation: (done: Done) => number, ended: Done): Operation {
    return node.begin(operation, ({ resultOrError }) => ended(resultOrError))
  }

  run(node: ClusterNode, operation: (done: Done) => number): number {
    const begun = node.begin(operation)
    this.until(() => begun.isOver)
    return begun.resultOrError
  }

  until(isDone: () => boolean, limitMs = PATIENCE_MS): void {
    const endMs = this.clock.monotonicMs() + limitMs
    while (!isDone()) {
      if (!this.clock.step()) throw new Error('nothing happens any more')
      if (this.clock.monotonicMs() > endMs) throw new Error(`not within ${limitMs} ms`)
    }
  }

  /** Lets so much time pass. */
  rest(delayMs: number): void {
    let isOver = false
    this.clock.after(delayMs, () => {
      isOver = true
    })
    this.until(() => isOver, delayMs)
  }

  /** A client has died, of which nobody knows that it will not come back. */
  get hasLostClients(): boolean {
    return this.nodes.some(({ store, incarnation }) => store === null && incarnation > 1)
  }

  /** Ends a node's process, or its power. */
  crash(node: MeetingNode, kind: Crash): void {
    if (!node.isOn) return
    // Of a process that has not begun to serve.
    if (!node.isUp) node.transport.die()
    node.end(kind)
    node.control.die()
  }

  restart(node: MeetingNode): void {
    if (node.isOn) return
    node.kv.faults.failCommit = node.kv.faults.failSync = false
    this.#boot(node)
  }

  /** Nothing passes from one node to another. */
  cut(from: MeetingNode, to: MeetingNode): void {
    const cut = `${from.name}>${to.name}`
    this.#cuts.add(cut)
    this.meeting.cuts.add(cut)
    this.#cutTransports()
  }

  heal(from: MeetingNode, to: MeetingNode): void {
    const cut = `${from.name}>${to.name}`
    if (!this.#cuts.delete(cut)) return
    this.meeting.cuts.delete(cut)
    for (const transports of this.#transportsOf(from, to)) this.network.heal(transports)
  }

  /** Everything runs, and nothing is in the way any more. */
  healAll(): void {
    for (const from of this.nodes) for (const to of this.nodes) this.heal(from, to)
    this.network.weather.lossOneIn = 0
    for (const node of this.nodes) {
      Object.assign(node.kv.faults, { isFull: false, failCommit: false, failSync: false, slowMs: 0 })
      Object.assign(node.disk.faults, { isFull: false, slowMs: 0 })
      this.restart(node)
    }
  }

  /** The node's next commit fails, if there is one soon, and nothing of it has happened; so may syncs meanwhile. */
  failStore({ kv }: ClusterNode): void {
    kv.faults.failCommit = true
    kv.faults.failSync = this.prng.oneIn(2)
    this.clock.after(this.prng.below(STORE_FAILS_MS), () => {
      kv.faults.failCommit = kv.faults.failSync = false
    })
  }

  /** Requests that have been delivered, and that nobody has answered. */
  get unanswered(): number {
    return this.nodes.reduce((sum, { transport }) => sum + transport.unanswered, 0)
  }

  /** What the stores say that is wrong, and how many changes are not finished. */
  audit(): { faults: string[]; unsettled: number } {
    const faults: string[] = []
    const stores = this.members.map(({ index, kv, disk, store }) => ({
      id: idOf((store as SimStore).superblock.memberId),
      kv,
      hash: this.#hash,
      files: new Set(disk.list(0, Number.MAX_SAFE_INTEGER)),
      afterPowerCut: true,
      report: (fault: string): void => void faults.push(`${index}: ${fault}`),
    }))
    const totals = checkCluster(stores, (position) => this.owner(position))
    return {
      // Chunks as small as these are for tests only.
      faults: faults.filter((fault) => !fault.includes(`its chunks of 2^${CHUNK_BITS} bytes`)),
      unsettled: totals.reduce((sum, { unsettled }) => sum + unsettled, 0),
    }
  }

  /**
   * What there is beyond an empty root directory, by the kind of its record; graves and results stay for a while, and
   * where a store has failed, files that are queued to be removed stay until the next start (`mayBeQueued`).
   */
  leftovers(mayBeQueued: boolean): string[] {
    const left: string[] = []
    const kinds = new Map([...'DFHILNOPSTUX'].map((kind) => [kind.charCodeAt(0), kind]))
    for (const { index, kv, disk } of this.members) {
      const queued = new Set<number>()
      for (const [key] of kv.records()) {
        if (key[0] === KEY_FREE) queued.add(getUint64BE(key, 1))
        const kind = kinds.get(key[0] as number)
        const isRoot = kind === 'I' && getUint64BE(key, 1) === ROOT_INODE
        // Numbers of files in stock, none of which exists.
        if (kind !== undefined && kind !== 'F' && !isRoot)
          left.push(`${kind} ${Buffer.from(key).toString('hex')} on ${index}`)
      }
      for (const file of disk.list(0, Number.MAX_SAFE_INTEGER)) {
        if (!mayBeQueued || !queued.has(file)) left.push(`file ${file} on ${index}`)
      }
    }
    return left
  }

  #newStore(node: MeetingNode): SimStore {
    const id = Array.from({ length: 16 }, () => this.prng.below(16).toString(16)).join('')
    const settings = { chunkBytes: CHUNK_BYTES }
    return new SimStore(
      id,
      () => this.names,
      () => node.isOn,
      settings,
    )
  }

  #boot(node: MeetingNode): void {
    const { store, pool, clock, name, index } = node
    node.isOn = true
    node.incarnation++
    store?.change({ incarnation: node.incarnation })
    node.transport = new SimTransport(this.network, pool)
    this.#cutTransports()
    const address = store === null ? null : (this.names[index] as string)
    node.control = new SimControl(this.meeting, { node: name, address, key: 'key', isStopped: () => clock.isStopped })
    const log = this.#logOf(node)
    const { control, transport } = node
    node.membership = new Membership(
      { control, transport, clock, random: this.prng, log },
      { names: this.names, self: store === null ? -1 : index, waitMs: WAIT_MS, lingerMs: LINGER_MS },
      store,
      this.#eventsOf(node, log),
    )
    node.membership.start()
  }

  #eventsOf(node: MeetingNode, log: Log): MembershipEvents {
    const ifServing = (tell: () => void): void => {
      if (node.isUp) tell()
    }
    return {
      formed: (cluster) => this.#open(node, cluster, log),
      peerServed: (member, channel, client) => ifServing(() => node.node.peerServed(member, channel, client)),
      peerUp: (member) => ifServing(() => node.node.peerUp(member)),
      heard: (member) => ifServing(() => node.node.heard(member)),
      peerDown: (member) => ifServing(() => node.node.peerDown(member)),
      peerLeft: (member) => ifServing(() => node.node.peerLeft(member)),
      ready: () => this.#mount(node),
      late: (missing) => void this.faults.push(`${node.name} is late: ${missing.map(({ name }) => name).join()}`),
      failed: (error) => void this.faults.push(`${node.name}: ${error.message}`),
    }
  }

  /** Opens what lies here, as soon as it is known who has what. */
  #open(node: MeetingNode, { ids, virtualNodes, epoch }: Agreed, log: Log): void {
    const ring = new Ring({ epoch, members: ids.map(idOf), virtualNodes }, hash)
    node.ring = ring
    if (node.store === null) {
      this.#serve(node, ring, log)
      return
    }
    const { kv, disk } = this.#options.plant ?? {}
    const [plantedKv, plantedDisk] = [kv?.(node.kv, this.clock), disk?.(node.disk, this.clock)]
    const meta = node.openShare(this.#hash, log, plantedKv, plantedDisk)
    if (!node.store.superblock.isWhole) {
      if (ring.owner(Math.floor(ROOT_INODE / SERIAL_SPAN)) === node.index) meta.format(0o755, 0, 0, CHUNK_BITS)
      if (meta.commit() < 0) {
        this.#endAndStart(node)
        return
      }
    }
    const peers = this.members.map(({ index }) => index).filter((peer) => peer !== node.index)
    node.kv.sync((unsynced) => {
      if (unsynced < 0) {
        this.#endAndStart(node)
        return
      }
      node.store?.change({ isWhole: true })
      node.share.recover((error) => {
        if (error < 0) this.#endAndStart(node)
        else this.#serve(node, ring, log)
      }, peers)
    })
  }

  /** What stands in the way of a start ends the process; somebody tries again. */
  #endAndStart(node: MeetingNode): void {
    this.crash(node, 'process')
    this.clock.after(AGAIN_MS, () => this.restart(node))
  }

  #serve(node: MeetingNode, ring: Ring, log: Log): void {
    const { store, share, transport, membership } = node
    const { credits, graceMs } = this.#options
    node.serve(
      {
        ...{ self: store === null ? -1 : node.index, owners: ring, epoch: ring.epoch, timeoutMs: TIMEOUT_MS, log },
        ...{ positions: this.positions, share: store === null ? undefined : share },
        ...(credits === undefined ? {} : { credits }),
        ...(graceMs === undefined ? {} : { graceMs }),
      },
      transport,
      (channel, error) => membership.channelFailed(channel, error),
    )
    membership.serve()
  }

  #mount(node: MeetingNode): void {
    node.fs.start((error) => {
      if (error === 0) node.isReady = true
      else node.clock.after(AGAIN_MS, () => this.#mount(node))
    })
  }

  #cutTransports(): void {
    for (const cut of this.#cuts) {
      const [from, to] = cut.split('>').map((name) => this.nodes.find((node) => node.name === name) as MeetingNode)
      for (const transports of this.#transportsOf(from as MeetingNode, to as MeetingNode)) {
        this.network.cuts.add(transports)
      }
    }
  }

  #transportsOf(from: MeetingNode, to: MeetingNode): string[] {
    if (!from.isOn || !to.isOn) return []
    return [`${textOf(from.transport.address)}>${textOf(to.transport.address)}`]
  }

  #logOf({ name }: MeetingNode): Log {
    const note = (event: object, message: string): void => {
      const { err } = event as { err?: Error }
      if (EXPECTED.some((pattern) => pattern.test(message))) return
      this.faults.push(`${name}: ${message} ${err?.stack ?? JSON.stringify(event)}`)
    }
    return { debug: () => undefined, info: () => undefined, warn: note, error: note }
  }
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const idOf = (id: string): Uint8Array => new Uint8Array(Buffer.from(id, 'hex'))
