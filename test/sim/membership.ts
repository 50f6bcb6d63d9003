/** Nodes that meet, in one process: their stores outlive them, and everything that they are told is written down. */

import type { MemberStore } from '../../lib/node/membership/identity.js'
import { type Cluster, Membership, type MembershipEvents, type Missing } from '../../lib/node/membership.js'
import type { Log } from '../../lib/ports.js'
import { type ClusterRecord, NO_CLUSTER } from '../../lib/wire/control.js'
import type { Superblock } from '../../lib/wire/superblock.js'
import { SimClock } from './clock.js'
import { SimControl, SimControlNetwork } from './control.js'
import { SimPool } from './pool.js'
import type { Prng } from './prng.js'
import { ProcessClock } from './process-clock.js'
import { SimNetwork, SimTransport } from './transport.js'

export const WAIT_MS = 60_000
export const LINGER_MS = 30_000

/** The superblock of a store: what was written stays, whatever happens to the process. */
export class SimStore implements MemberStore {
  superblock: Superblock
  /** Called before a cluster is written, and after. */
  onForm: (isWritten: boolean) => void = () => undefined
  readonly #names: () => readonly string[]
  readonly #isAlive: () => boolean

  constructor(memberId: string, names: () => readonly string[], isAlive: () => boolean, settings: Partial<Superblock>) {
    this.#names = names
    this.#isAlive = isAlive
    this.superblock = {
      ...{ compatible: 0, readOnlyCompatible: 0, incompatible: 0, isWhole: false, clusterId: NO_CLUSTER, memberId },
      ...{ incarnation: 0, ringEpoch: 0, virtualNodes: 150, chunkBytes: 4 << 20, layout: 0 },
      members: [{ id: memberId, name: '', address: '' }],
      ...settings,
    }
  }

  form({ clusterId, epoch, ids }: ClusterRecord): void {
    this.onForm(false)
    if (!this.#isAlive()) return
    const members = ids.map((id, index) => ({ id, name: this.#names()[index] as string, address: '' }))
    this.superblock = { ...this.superblock, clusterId, ringEpoch: epoch, members }
    this.onForm(true)
  }

  change(fields: Partial<Superblock>): void {
    this.superblock = { ...this.superblock, ...fields }
  }
}

/** How a node is started. */
export interface Start {
  readonly names: readonly string[]
  readonly key: string
  readonly skewMs: number
  /** Its place in the list, where that is not its number. */
  readonly self: number
  readonly waitMs: number
  /** It was started with something that the others do not have. */
  readonly isWrong: boolean
}

/** One process, from its start to its end. */
export class SimProcess {
  readonly node: SimMember
  readonly clock: ProcessClock
  readonly control: SimControl
  readonly transport: SimTransport
  readonly membership: Membership
  readonly start: Start
  readonly log: string[] = []
  /** Channels on which a member may ask, and may be asked. */
  readonly served = new Map<number, number>()
  readonly #clients = new Map<number, string>()
  readonly up = new Map<number, number>()
  /** Members that have answered on the channel that is up. */
  readonly answered = new Set<number>()
  readonly left = new Set<number>()
  /** How many sessions it has had. */
  sessions = 0
  cluster: Cluster | undefined
  isReady = false
  late: readonly Missing[] | undefined
  failure: Error | undefined
  /** When it was asked to leave, and when it was done. */
  leavingMs = -1
  doneMs = -1

  constructor(node: SimMember, start: Start) {
    const { world } = node
    this.node = node
    this.start = start
    this.clock = new ProcessClock(world.clock, start.skewMs)
    const address = node.isClient ? null : (start.names[start.self] as string)
    this.control = new SimControl(world.meeting, {
      node: node.name,
      address,
      key: start.key,
      isStopped: () => this.clock.isStopped,
    })
    const pool = new SimPool(2, 4096)
    this.transport = new SimTransport(world.network, pool)
    this.transport.attach({
      request: (channel, token, headAt) => this.#serve(channel, token, headAt),
      slotFree: () => undefined,
      failed: (channel, error) => this.membership.channelFailed(channel, error),
    })
    const { names, self, waitMs } = start
    const ports = { ...this, random: world.prng, log: this.#logger() }
    const settings = { names, self: node.isClient ? -1 : self, waitMs, lingerMs: LINGER_MS }
    this.membership = new Membership(ports, settings, node.store, this.#events())
    this.membership.start()
  }

  get isAlive(): boolean {
    return this.control.isAlive
  }

  leave(): void {
    this.leavingMs = this.clock.monotonicMs()
    this.membership.leave(() => {
      this.doneMs = this.clock.monotonicMs()
      this.control.end(() => this.die())
    })
  }

  die(): void {
    if (!this.isAlive) return
    this.clock.end()
    this.control.die()
    this.transport.die()
  }

  /** Asks a member; it answers with its own id. */
  #ask(member: number, channel: number): void {
    const at = this.transport.prepare()
    this.transport.outbox[at] = this.node.index
    this.transport.outbox[at + 1] = this.node.store?.superblock.incarnation ?? 0
    this.transport.request(channel, 8, 0, 0, 0, 0, (result, headAt) => {
      if (result < 0 || this.up.get(member) !== channel) return
      const isMember = member < this.node.world.names.length
      if (isMember && this.transport.inbox[headAt] !== member) this.#fault('another has answered')
      this.answered.add(member)
    })
  }

  #serve(channel: number, token: number, headAt: number): void {
    const member = this.served.get(channel)
    if (member === undefined) {
      this.#fault(`a request on channel ${channel}, which is not served`)
      return
    }
    const { world } = this.node
    const [asker, incarnation] = this.transport.inbox.subarray(headAt, headAt + 2) as unknown as [number, number]
    const isMember = member < world.names.length
    if (isMember && (asker !== member || this.#clients.get(channel) !== world.clientOf(asker, incarnation))) {
      this.#fault('another has asked')
    }
    this.transport.outbox[this.transport.prepare()] = this.node.index
    this.transport.reply(channel, token, 4, 0, 0, -1)
  }

  #events(): MembershipEvents {
    const { world } = this.node
    const unserve = (member: number): void => {
      for (const [channel, other] of this.served) if (other === member) this.served.delete(channel)
      this.up.delete(member)
      this.answered.delete(member)
    }
    return {
      formed: (cluster) => {
        if (this.cluster !== undefined) this.#fault('formed twice')
        this.cluster = cluster
        world.checkFormed(this)
        // What lies here takes a while to open.
        this.clock.after(world.prng.below(200), () => {
          this.node.store?.change({ isWhole: true })
          this.membership.serve()
        })
      },
      peerServed: (member, channel, client) => {
        if ([...this.served.values()].includes(member)) this.#fault(`${member} is served twice`)
        this.left.delete(member)
        this.sessions++
        this.served.set(channel, member)
        this.#clients.set(channel, Buffer.from(client).toString('hex'))
      },
      peerUp: (member, channel) => {
        if (this.served.get(channel) !== member) this.#fault(`${member} is up before it is served`)
        this.up.set(member, channel)
        this.#ask(member, channel)
      },
      heard: () => undefined,
      peerDown: (member) => {
        if (![...this.served.values()].includes(member)) this.#fault(`${member} goes down without having been served`)
        unserve(member)
      },
      peerLeft: (member) => {
        unserve(member)
        this.left.add(member)
      },
      ready: () => {
        if (this.isReady) this.#fault('ready twice')
        this.isReady = true
        world.checkReady(this)
      },
      late: (missing) => {
        if (this.isReady || this.late !== undefined) this.#fault('late twice, or ready')
        this.late = missing
      },
      failed: (error) => {
        this.failure = error
      },
    }
  }

  #logger(): Log {
    const note = (event: object, message: string): void => void this.log.push(`${message} ${JSON.stringify(event)}`)
    return { debug: () => undefined, info: note, warn: note, error: note }
  }

  #fault(message: string): void {
    this.node.world.faults.push(`${this.node.name} at ${this.clock.monotonicMs()}: ${message}`)
  }
}

/** A member of the list, or a client: its store, and the process that there is at the moment. */
export class SimMember {
  readonly world: SimMembership
  readonly index: number
  readonly isClient: boolean
  store: SimStore | null
  process: SimProcess | undefined

  constructor(world: SimMembership, index: number, isClient: boolean) {
    this.world = world
    this.index = index
    this.isClient = isClient
    this.store = isClient ? null : this.newStore()
  }

  get name(): string {
    return `n${this.index}`
  }

  /** A member's store. */
  get own(): SimStore {
    if (this.store === null) throw new Error('a client has no store')
    return this.store
  }

  get isAlive(): boolean {
    return this.process?.isAlive === true
  }

  newStore(settings: Partial<Superblock> = {}): SimStore {
    const { prng } = this.world
    const id = Array.from({ length: 16 }, () => prng.below(16).toString(16)).join('')
    const names = (): readonly string[] => this.process?.start.names ?? []
    return new SimStore(id, names, () => this.isAlive, settings)
  }

  boot(more: Partial<Start> = {}): SimProcess {
    this.process?.die()
    const { store } = this
    store?.change({ incarnation: store.superblock.incarnation + 1 })
    const { names } = this.world
    const start = {
      names,
      key: 'key',
      skewMs: 0,
      self: this.index,
      waitMs: WAIT_MS,
      isWrong: false,
      ...more,
    }
    this.process = new SimProcess(this, start)
    return this.process
  }

  kill(): void {
    this.process?.die()
  }
}

export class SimMembership {
  readonly prng: Prng
  readonly clock = new SimClock()
  readonly meeting: SimControlNetwork
  readonly network: SimNetwork
  readonly names: readonly string[]
  readonly members: readonly SimMember[]
  readonly clients: readonly SimMember[]
  readonly faults: string[] = []

  constructor(prng: Prng, members: number, clients = 0) {
    this.prng = prng
    this.meeting = new SimControlNetwork(prng, this.clock)
    this.network = new SimNetwork(prng, this.clock)
    this.names = Array.from({ length: members }, (_, index) => `n${index}:7400`)
    this.members = this.names.map((_, index) => new SimMember(this, index, false))
    this.clients = Array.from({ length: clients }, (_, index) => new SimMember(this, members + index, true))
  }

  get all(): SimMember[] {
    return [...this.members, ...this.clients]
  }

  /** Lets time pass until something holds; false where it does not in this time. */
  until(holds: () => boolean, limitMs: number): boolean {
    const end = this.clock.monotonicMs() + limitMs
    while (!holds()) {
      if (this.clock.monotonicMs() >= end || !this.clock.step()) return false
    }
    return true
  }

  pass(milliseconds: number): void {
    let isOver = false
    this.clock.after(milliseconds, () => {
      isOver = true
    })
    while (!isOver) this.clock.step()
  }

  /** Nothing passes from one node to another. */
  cut(from: SimMember, to: SimMember): void {
    this.meeting.cuts.add(`${from.name}>${to.name}`)
  }

  heal(): void {
    this.meeting.cuts.clear()
  }

  /** Everybody who lives can ask every member who lives, and has been answered. */
  get isConnected(): boolean {
    const living = this.all.filter(({ isAlive }) => isAlive).map(({ process }) => process as SimProcess)
    const members = this.members.filter(({ isAlive }) => isAlive)
    return living.every((process) =>
      members.every((member) => {
        return member === process.node || process.answered.has(member.process?.start.self as number)
      }),
    )
  }

  /** The id and the incarnation of a member's process, as its peers are told them. */
  clientOf(index: number, incarnation: number): string {
    return `${this.members[index]?.own.superblock.memberId}${incarnation.toString(16).padStart(16, '0')}`
  }

  /** Whoever is told of a cluster is told of one that every member has in its superblock. */
  checkFormed({ node, cluster }: SimProcess): void {
    for (const { own, name } of this.members) {
      const { clusterId, ringEpoch, members } = own.superblock
      const ids = members.map(({ id }) => id)
      if (clusterId === cluster?.clusterId && ringEpoch === cluster.epoch && ids.join() === cluster.ids.join()) continue
      this.faults.push(`${node.name} was told of a cluster that ${name} does not have`)
    }
  }

  /** All who are ready at the same time agree. */
  checkReady(process: SimProcess): void {
    for (const { process: other } of this.all) {
      if (!other?.isAlive || !other.isReady) continue
      const [a, b] = [process, other].map(({ cluster, start }) => JSON.stringify([cluster, start.names]))
      if (a !== b) this.faults.push(`${process.node.name} and ${other.node.name} are ready with ${a} and ${b}`)
    }
  }
}
