import { assert } from '../../base/assert.js'
import type { Clock, Random } from '../../ports.js'
import { type ClusterRecord, type Hello, NO_CLUSTER, NO_ENTRY, PROTOCOL } from '../../wire/control.js'
import type { Superblock } from '../../wire/superblock.js'
import type { Own, Settings } from './objection.js'

/** Where a member keeps who it is. */
export interface MemberStore {
  readonly superblock: Superblock
  /** Makes the store this cluster's, before it returns: also after a power cut. Throws where it cannot be written. */
  form(cluster: ClusterRecord): void
}

const NONE: ClusterRecord = { clusterId: NO_CLUSTER, epoch: 0, ids: [] }
/** A client's is new each time. */
const CLIENT_INCARNATION = 1

/** Who this node is: a member with a store, or a client without. */
export class Identity implements Own {
  /** Its place in the list; {@link NO_ENTRY} for a client. */
  readonly entry: number
  readonly names: readonly string[]
  readonly id: string
  readonly incarnation: number
  isUnmounted = false
  readonly #store: MemberStore | null
  readonly #address: Uint8Array
  /** A client's: what it was told. */
  #cluster = NONE
  #settings: Settings | undefined

  constructor(
    { names, self }: { names: readonly string[]; self: number },
    store: MemberStore | null,
    address: Uint8Array,
    random: Random,
  ) {
    this.names = names
    this.entry = store === null ? NO_ENTRY : self
    this.id = store?.superblock.memberId ?? randomHex(random, 2)
    this.incarnation = store?.superblock.incarnation ?? CLIENT_INCARNATION
    this.#store = store
    this.#address = address
  }

  get cluster(): ClusterRecord {
    if (this.#store === null) return this.#cluster
    const { clusterId, ringEpoch, members } = this.#store.superblock
    if (clusterId === NO_CLUSTER) return NONE
    return { clusterId, epoch: ringEpoch, ids: members.map(({ id }) => id) }
  }

  get hasCluster(): boolean {
    return this.cluster.clusterId !== NO_CLUSTER
  }

  get isWhole(): boolean {
    return this.#store?.superblock.isWhole ?? false
  }

  get settings(): Settings | undefined {
    if (this.#store === null) return this.#settings
    const { chunkBytes, virtualNodes, layout } = this.#store.superblock
    return { chunkBytes, virtualNodes, layout }
  }

  /** From now on it is of this cluster. `settings` are a client's to keep. */
  adopt(cluster: ClusterRecord, settings: Settings | undefined): void {
    if (this.#store !== null) {
      this.#store.form(cluster)
      return
    }
    assert(settings !== undefined, 'a client is told of its cluster')
    const { chunkBytes, virtualNodes, layout } = settings
    this.#cluster = cluster
    this.#settings = { chunkBytes, virtualNodes, layout }
  }

  hello(clock: Clock, attempt: number): Hello {
    clock.readRealtime()
    const { chunkBytes, virtualNodes, layout } = this.settings ?? { chunkBytes: 0, virtualNodes: 0, layout: 0 }
    return {
      kind: 'hello',
      ...{ protocolMin: PROTOCOL.min, protocolMax: PROTOCOL.max },
      ...{ isClient: this.#store === null, isWhole: this.isWhole, isUnmounted: this.isUnmounted },
      ...{ id: this.id, incarnation: this.incarnation, attempt, entry: this.entry, names: this.names },
      ...{ chunkBytes, virtualNodes, layout },
      ...{ seconds: clock.seconds, nanoseconds: clock.nanoseconds },
      cluster: this.cluster,
      address: this.#address,
    }
  }
}

/** `words` × 32 random bits in hexadecimal. */
export function randomHex(random: Random, words: number): string {
  return Array.from({ length: words }, () => random.uint32().toString(16).padStart(8, '0')).join('')
}

/** A node as the RPC knows it: its id and its incarnation, 16 bytes. */
export function clientOf(id: string, incarnation: number): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, BigInt(`0x${id}`))
  view.setBigUint64(8, BigInt(incarnation))
  return bytes
}
