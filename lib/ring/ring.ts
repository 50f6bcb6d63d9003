import { assert } from '../base/assert.js'
import { MEMBER_ID_BYTES } from '../base/ids.js'
import type { Hash32 } from '../ports.js'

/** Points of a member on the ring, unless the cluster was made with another number. */
export const VIRTUAL_NODES = 150

const MEMBERS_MAX = 2 ** 16
const POSITIONS = 2 ** 32

export interface RingSettings {
  /** Names this ring among those that the cluster has had and will have. */
  readonly epoch: number
  /** The members' ids (8 bytes each, no two alike): a member is its index here. Their order does not move anything. */
  readonly members: readonly Uint8Array[]
  readonly virtualNodes?: number
}

/**
 * Who has which position: a consistent-hash ring. Each member has {@link VIRTUAL_NODES} points, at XXH32 (seed 0) of
 * its id (8 bytes) and the point's number (32 bits, little-endian), and every position belongs to the first point at or
 * after it. Of points that coincide, the one of the smaller id comes first. A ring never changes: one with other
 * members is another ring, of another epoch. The share of a member that joins comes from all others alike, and nothing
 * else moves.
 */
export class Ring {
  readonly epoch: number
  readonly members: number
  readonly #ids: readonly Uint8Array[]
  /** Ascending. */
  readonly #points: Uint32Array
  /** The member of each point. */
  readonly #owners: Uint16Array
  /** By the upper bits of a position: the first point that is not below such positions. */
  readonly #buckets: Uint32Array
  /** How many lower bits of a position its bucket does not tell. */
  readonly #shift: number

  constructor({ epoch, members, virtualNodes = VIRTUAL_NODES }: RingSettings, hash: Hash32) {
    assert(members.length > 0 && members.length <= MEMBERS_MAX, 'a ring has 1 to 65536 members')
    assert(virtualNodes > 0, 'a member has at least one point')
    const ascending = [...members.keys()].sort((a, b) => compareIds(idAt(members, a), idAt(members, b)))
    for (const [rank, member] of ascending.entries()) {
      const isOnce = rank === 0 || compareIds(idAt(members, ascending[rank - 1] as number), idAt(members, member)) < 0
      assert(
        idAt(members, member).length === MEMBER_ID_BYTES && isOnce,
        'member ids have 8 bytes, and no two are alike',
      )
    }
    this.epoch = epoch
    this.members = members.length
    this.#ids = members.map((id) => id.slice())
    const ordered = pointsOf(
      ascending.map((member) => idAt(members, member)),
      virtualNodes,
      hash,
    )
    this.#points = Uint32Array.from(ordered, (point) => Math.floor(point / MEMBERS_MAX))
    this.#owners = Uint16Array.from(ordered, (point) => ascending[point % MEMBERS_MAX] as number)
    // As many buckets as points or more, so that a lookup looks at one or two points.
    const bits = Math.min(24, Math.max(1, Math.ceil(Math.log2(ordered.length))))
    this.#shift = 32 - bits
    this.#buckets = bucketsOf(this.#points, bits)
  }

  /** The member that has this position (0 … 2^32 − 1). */
  owner(position: number): number {
    return this.#owners[this.#pointAt(position)] as number
  }

  /**
   * The first `count` distinct members from this position on, the owner first; all members where there are not so many.
   */
  ownersOf(position: number, count: number): number[] {
    const owners: number[] = []
    const start = this.#pointAt(position)
    for (let step = 0; step < this.#points.length && owners.length < count; step++) {
      const member = this.#owners[(start + step) % this.#points.length] as number
      if (!owners.includes(member)) owners.push(member)
    }
    return owners
  }

  /** The id of a member: 8 bytes. */
  idOf(member: number): Uint8Array {
    return this.#ids[member] as Uint8Array
  }

  /** The index of the first point at or after the position. */
  #pointAt(position: number): number {
    const points = this.#points
    let index = this.#buckets[position >>> this.#shift] as number
    while (index < points.length && (points[index] as number) < position) index++
    return index === points.length ? 0 : index
  }
}

const idAt = (members: readonly Uint8Array[], member: number): Uint8Array => members[member] as Uint8Array

/** Every point as position × 2^16 + member, ascending: so those of one position stand in the order of ids. */
function pointsOf(members: readonly Uint8Array[], virtualNodes: number, hash: Hash32): Float64Array {
  const key = new Uint8Array(MEMBER_ID_BYTES + 4)
  const view = new DataView(key.buffer)
  const points = new Float64Array(members.length * virtualNodes)
  for (const [member, id] of members.entries()) {
    key.set(id)
    for (let number = 0; number < virtualNodes; number++) {
      view.setUint32(MEMBER_ID_BYTES, number, true)
      points[member * virtualNodes + number] = hash(key, 0) * MEMBERS_MAX + member
    }
  }
  return points.sort()
}

function bucketsOf(points: Uint32Array, bits: number): Uint32Array {
  const buckets = new Uint32Array(2 ** bits)
  const span = POSITIONS / buckets.length
  let index = 0
  for (let bucket = 0; bucket < buckets.length; bucket++) {
    while (index < points.length && (points[index] as number) < bucket * span) index++
    buckets[bucket] = index
  }
  return buckets
}

function compareIds(a: Uint8Array, b: Uint8Array): number {
  for (let at = 0; at < MEMBER_ID_BYTES; at++) {
    if (a[at] !== b[at]) return (a[at] as number) - (b[at] as number)
  }
  return 0
}
