/** Why two nodes cannot work together, as one of them sees it when the other has said hello. */
import { type ClusterRecord, type Hello, NO_CLUSTER, NO_ENTRY, PROTOCOL } from '../../wire/control.js'

/** What a node compares. */
export interface Own {
  /** Its place in the list; {@link NO_ENTRY} for a client. */
  readonly entry: number
  readonly id: string
  readonly names: readonly string[]
  readonly isWhole: boolean
  readonly cluster: ClusterRecord
  /** A client takes over those of the members. */
  readonly settings: Settings | undefined
}

export interface Settings {
  readonly chunkBytes: number
  readonly virtualNodes: number
  readonly layout: number
}

/** The reason, which names what differs and who has what; or null. `dialled` is the member that was meant, or −1. */
export function objection(own: Own, hello: Hello, dialled: number): string | null {
  const { protocolMin, protocolMax, names } = hello
  if (protocolMin > PROTOCOL.max || protocolMax < PROTOCOL.min) {
    return `it speaks version ${protocolMin} to ${protocolMax}, this node ${PROTOCOL.min} to ${PROTOCOL.max}`
  }
  if (names.join() !== own.names.join()) return `its members are ${names}, those of this node ${own.names}`
  if (hello.id === own.id) return 'it is this node itself, or has a copy of its store'
  const ofEntry = objectionToEntry(own, hello, dialled)
  if (ofEntry !== null) return ofEntry
  if (own.entry === NO_ENTRY || hello.isClient) return objectionToCluster(own, hello)
  return objectionToSettings(own.settings, hello) ?? objectionToCluster(own, hello)
}

function objectionToEntry(own: Own, hello: Hello, dialled: number): string | null {
  if (hello.isClient) {
    if (hello.entry !== NO_ENTRY) return 'it is a client and a member'
    return dialled >= 0 ? 'a client answers there' : own.entry === NO_ENTRY ? 'both are clients' : null
  }
  const name = own.names[hello.entry]
  if (name === undefined) return 'it is no member of the list'
  if (hello.entry === own.entry) return `it takes itself for ${name}, which is this node`
  return dialled >= 0 && dialled !== hello.entry ? `${name} answers there` : null
}

const SETTINGS: readonly [keyof Settings, string][] = [
  ['chunkBytes', 'chunk size (chunk=)'],
  ['virtualNodes', 'number of virtual nodes (vnodes=)'],
  ['layout', 'layout (layout=)'],
]

function objectionToSettings(settings: Settings | undefined, hello: Hello): string | null {
  for (const [name, words] of SETTINGS) {
    const own = settings?.[name]
    if (own !== undefined && own !== hello[name]) return `its ${words} is ${hello[name]}, that of this node ${own}`
  }
  return null
}

function objectionToCluster(own: Own, hello: Hello): string | null {
  const { cluster } = hello
  const [ownId, theirId] = [own.cluster.clusterId, cluster.clusterId]
  if (theirId !== NO_CLUSTER && new Set(cluster.ids).size !== own.names.length) {
    return `it knows ${cluster.ids.length} members of ${own.names.length}`
  }
  if (ownId !== NO_CLUSTER && theirId !== NO_CLUSTER) return objectionToRecord(own, hello)
  if (theirId !== NO_CLUSTER) {
    if (own.entry === NO_ENTRY) return null
    if (cluster.ids[own.entry] !== own.id)
      return `this node's store is new to its cluster ${theirId}, which had another one`
    return hello.isWhole ? `this node's store is older than its cluster ${theirId}` : null
  }
  if (ownId === NO_CLUSTER || hello.isClient) return null
  if (own.cluster.ids[hello.entry] !== hello.id)
    return `its store is new to the cluster ${ownId}, which had another one`
  return own.isWhole ? `its store is older than the cluster ${ownId}` : null
}

function objectionToRecord(own: Own, { cluster, entry, id, isClient }: Hello): string | null {
  const { clusterId, epoch, ids } = own.cluster
  if (cluster.clusterId !== clusterId) return `its cluster is ${cluster.clusterId}, that of this node ${clusterId}`
  if (cluster.epoch !== epoch) return `its epoch is ${cluster.epoch}, that of this node ${epoch}`
  if (cluster.ids.join() !== ids.join()) return `it knows the members as ${cluster.ids}, this node as ${ids}`
  if (isClient || ids[entry] === id) return null
  const owner = own.names[ids.indexOf(id)] ?? 'nobody in the cluster'
  return `it is ${own.names[entry]}, and has the store of ${owner}`
}
