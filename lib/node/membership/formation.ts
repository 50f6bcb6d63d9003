/**
 * How new stores become a cluster. The first member of the list decides, once it has met all others and all are new: it
 * draws the cluster's id, takes down the members' ids, and tells. Whoever is told writes it into its superblock, and
 * tells in turn. The cluster is formed once all have it: only then may anybody use its share, and only then is a store
 * made whole, so that a whole store proves that the cluster was formed.
 *
 * It is decided once: a member that has it in its superblock never takes another. So a crash at any step is harmless,
 * and who comes back goes on from what it has written: whoever has it tells those who have not.
 */
import type { Random } from '../../ports.js'
import { type ClusterRecord, type Hello, NO_CLUSTER } from '../../wire/control.js'
import { type Identity, randomHex } from './identity.js'
import type { Peer, Peers } from './peers.js'

const FIRST_EPOCH = 1

export class Formation {
  isFormed = false
  readonly #identity: Identity
  readonly #peers: Peers
  readonly #random: Random

  constructor(identity: Identity, peers: Peers, random: Random) {
    this.#identity = identity
    this.#peers = peers
    this.#random = random
  }

  /** What a hello says of it, which was found to be no objection. */
  learn(peer: Peer, hello: Hello): void {
    if (hello.isClient || hello.cluster.clusterId === NO_CLUSTER) return
    peer.isFormed = true
    if (hello.isWhole) for (const member of this.#peers.members) member.isFormed = true
  }

  /** A cluster that this node is to take over from the hello, or that it has to decide on; null if there is none. */
  next(hello: Hello | undefined): ClusterRecord | null {
    const { hasCluster, entry } = this.#identity
    if (hasCluster) return null
    if (hello?.isClient === false && hello.cluster.clusterId !== NO_CLUSTER) return hello.cluster
    const members = this.#peers.members
    const isFirst = entry === 0
    if (!isFirst || members.some(({ session, isFormed }) => session === undefined || isFormed)) return null
    const ids = [this.#identity.id, ...members.map(({ id }) => id as string)]
    return { clusterId: randomHex(this.#random, 4), epoch: FIRST_EPOCH, ids }
  }

  /** True the first time that all members are known to have it. */
  complete(): boolean {
    const { hasCluster, isWhole } = this.#identity
    if (this.isFormed || !hasCluster) return false
    this.isFormed = isWhole || this.#peers.members.every(({ isFormed }) => isFormed)
    return this.isFormed
  }
}
