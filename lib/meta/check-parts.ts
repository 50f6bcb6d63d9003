/** Chunks that lie with other members than their inodes, and what both sides know of each other; see check.ts. */
import { MEMBER_ID_BYTES } from '../base/ids.js'
import { getUint32BE, getUint64BE, INODE_HAS_PARTS, KEY_DEPARTED, KEY_HOLDER } from '../wire/records.js'
import { type Known, nameOf } from './check-record.js'
import { CUT_HEAD_BYTES } from './cuts.js'
import type { Inode } from './inode.js'

const hexOf = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')

/** What one store says of such chunks: of those that lie in it, and of those that others hold for its inodes. */
export class StoreParts {
  /** Inodes of which chunks are here. */
  readonly here: Inode[] = []
  /** By inode: the members that may hold chunks of it. */
  readonly holders = new Map<number, Set<string>>()
  /** Freed inodes that a member is still to be told of, as "member:inode:generation". */
  readonly departed = new Set<string>()
  /** Truncations under way: the epoch that they lead to. */
  readonly cuts = new Map<number, number>()
  readonly #fault: (text: string) => void

  constructor(fault: (text: string) => void) {
    this.#fault = fault
  }

  add(part: Inode): void {
    if (!part.isRegular) this.#fault(`inode ${part.number}: chunks of what is no regular file`)
    this.here.push(part)
  }

  /** A holder, a departed inode or a truncation. */
  record(key: Uint8Array, words: Uint32Array, valueBytes: number, inodes: ReadonlyMap<number, Known>): void {
    if (key[0] === KEY_DEPARTED) {
      this.#departed(key, inodes)
      return
    }
    const number = getUint64BE(key, 1)
    const known = inodes.get(number)
    if (known === undefined) this.#fault(`record ${nameOf(key)}: there is no inode ${number}`)
    else if (key[0] === KEY_HOLDER) this.#holder(key, known)
    else this.#cut(words, known, valueBytes)
  }

  #departed(key: Uint8Array, inodes: ReadonlyMap<number, Known>): void {
    const member = hexOf(key.subarray(1, 1 + MEMBER_ID_BYTES))
    const number = getUint64BE(key, 1 + MEMBER_ID_BYTES)
    const generation = getUint32BE(key, 9 + MEMBER_ID_BYTES)
    if (inodes.get(number)?.inode.generation === generation) {
      this.#fault(`inode ${number}: it is there, and member ${member} is to free its chunks`)
    }
    this.departed.add(`${member}:${number}:${generation}`)
  }

  #holder(key: Uint8Array, { inode, isDamaged }: Known): void {
    const fault = (text: string): void => this.#fault(`inode ${inode.number}: ${text}`)
    if (!isDamaged && !inode.isRegular) fault('members hold chunks of what is no regular file')
    else if (!isDamaged && (inode.flags & INODE_HAS_PARTS) === 0) {
      fault('members hold chunks and it has no flag for that')
    }
    const members = this.holders.get(inode.number) ?? new Set()
    this.holders.set(inode.number, members.add(hexOf(key.subarray(9, 9 + MEMBER_ID_BYTES))))
  }

  #cut(words: Uint32Array, { inode, isDamaged }: Known, valueBytes: number): void {
    if (valueBytes < 0) return
    const fault = (text: string): void => this.#fault(`inode ${inode.number}: ${text}`)
    if (valueBytes < CUT_HEAD_BYTES || valueBytes % 4 !== 0) {
      fault(`the record of its truncation has ${valueBytes} bytes`)
      return
    }
    const epoch = words[1] as number
    this.cuts.set(inode.number, epoch)
    if (!isDamaged && epoch !== (inode.truncationEpoch + 1) >>> 0) {
      fault(`its truncation under way leads to epoch ${epoch}, and it has ${inode.truncationEpoch}`)
    }
  }
}

/** A store of a cluster, as it was read. */
export interface StoreOfParts {
  /** Its member's id. */
  readonly id: Uint8Array
  readonly inodes: ReadonlyMap<number, Known>
  readonly parts: StoreParts
  fault(text: string): void
}

/** Where all members' stores are known: every part belongs to an inode that knows of it. */
export function checkParts(stores: readonly StoreOfParts[]): void {
  const departed = new Set(stores.flatMap(({ parts }) => [...parts.departed]))
  for (const store of stores) {
    const member = hexOf(store.id.subarray(0, MEMBER_ID_BYTES))
    for (const [number, members] of store.parts.holders) {
      if (members.has(member)) store.fault(`inode ${number}: its own member is among those that hold chunks of it`)
    }
    for (const part of store.parts.here) {
      const reason = departed.has(`${member}:${part.number}:${part.generation}`) ? null : reasonOf(part, member, stores)
      if (reason !== null) store.fault(`inode ${part.number}: ${reason}`)
    }
  }
}

/** What is wrong with chunks that this member has, or null. */
function reasonOf(part: Inode, member: string, stores: readonly StoreOfParts[]): string | null {
  const { number, generation, truncationEpoch } = part
  const owner = stores.find(({ inodes }) => inodes.has(number))
  if (owner === undefined) return 'chunks are here, and there is no such inode anywhere'
  const { inode, isDamaged } = owner.inodes.get(number) as Known
  if (isDamaged) return null
  if (inode.generation !== generation) {
    return `chunks of generation ${generation} are here, and it has ${inode.generation}`
  }
  if (owner.parts.holders.get(number)?.has(member) !== true) return 'chunks are here, and it does not know that'
  if (truncationEpoch === inode.truncationEpoch || truncationEpoch === owner.parts.cuts.get(number)) return null
  const epochs = `${truncationEpoch}, and that of the inode is ${inode.truncationEpoch}`
  return `the truncation epoch of the chunks here is ${epochs}`
}
