/** Chunks that lie with other members than their inodes, and what both sides know of each other; see check.ts. */
import { MEMBER_ID_BYTES } from '../base/ids.js'
import { getUint32BE, getUint64BE, INODE_HAS_PARTS, KEY_DEPARTED, KEY_HOLDER } from '../wire/records.js'
import { type Known, nameOf, type StoreUnderCheck } from './check-record.js'
import { CUT_HEAD_BYTES } from './cuts.js'
import type { Inode } from './inode.js'

const hexOf = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')

export class PartsCheck {
  readonly #inodes: ReadonlyMap<number, Known>
  readonly #parts: { readonly store: StoreUnderCheck; readonly part: Inode }[] = []
  /** By inode: the members that may hold chunks of it. */
  readonly #holders = new Map<number, Set<string>>()
  /** Freed inodes that a member is still to be told of, as "member:inode:generation". */
  readonly #departed = new Set<string>()
  /** Truncations under way: the epoch that they lead to. */
  readonly #cuts = new Map<number, number>()

  constructor(inodes: ReadonlyMap<number, Known>) {
    this.#inodes = inodes
  }

  addPart(store: StoreUnderCheck, part: Inode): void {
    if (!part.isRegular) store.fault(`inode ${part.number}: chunks of what is no regular file`)
    this.#parts.push({ store, part })
  }

  /** The record that the store's Kv has loaded. */
  addRecord(store: StoreUnderCheck, type: number, valueBytes: number): void {
    const { key } = store.store.kv
    if (type === KEY_DEPARTED) this.#addDeparted(store)
    else {
      const number = getUint64BE(key, 1)
      const known = this.#inodes.get(number)
      if (known === undefined || known.store !== store) {
        store.fault(`record ${nameOf(key.subarray(0, 9))}: there is no inode ${number}`)
        return
      }
      if (type === KEY_HOLDER) this.#addHolder(store, known)
      else this.#addCut(store, known, valueBytes)
    }
  }

  /** Where all members' stores are known: every part belongs to an inode that knows of it. */
  check(): void {
    for (const { store, part } of this.#parts) {
      const { number, generation } = part
      const { memberId } = store.store
      if (this.#departed.has(`${memberId}:${number}:${generation}`)) continue
      const known = this.#inodes.get(number)
      if (known === undefined) {
        store.fault(`inode ${number}: chunks are here, and there is no such inode anywhere`)
        continue
      }
      if (known.isDamaged) continue
      const { inode } = known
      if (inode.generation !== generation) {
        store.fault(`inode ${number}: chunks of generation ${generation} are here, and it has ${inode.generation}`)
      } else if (!this.#holders.get(number)?.has(memberId)) {
        store.fault(`inode ${number}: chunks are here, and it does not know that`)
      } else if (part.truncationEpoch !== inode.truncationEpoch && part.truncationEpoch !== this.#cuts.get(number)) {
        const epochs = `${part.truncationEpoch}, and that of the inode is ${inode.truncationEpoch}`
        store.fault(`inode ${number}: the truncation epoch of the chunks here is ${epochs}`)
      }
    }
  }

  #addDeparted(store: StoreUnderCheck): void {
    const { key } = store.store.kv
    const member = hexOf(key.subarray(1, 1 + MEMBER_ID_BYTES))
    const number = getUint64BE(key, 1 + MEMBER_ID_BYTES)
    const generation = getUint32BE(key, 9 + MEMBER_ID_BYTES)
    const known = this.#inodes.get(number)
    if (known?.store === store && known.inode.generation === generation) {
      store.fault(`inode ${number}: it is there, and member ${member} is to free its chunks`)
    }
    this.#departed.add(`${member}:${number}:${generation}`)
  }

  #addHolder(store: StoreUnderCheck, { inode, isDamaged }: Known): void {
    const { key } = store.store.kv
    const member = hexOf(key.subarray(9, 9 + MEMBER_ID_BYTES))
    const fault = (text: string): void => store.fault(`inode ${inode.number}: ${text}`)
    if (member === store.store.memberId) fault('its own member is among those that hold chunks of it')
    if (!isDamaged && !inode.isRegular) fault('members hold chunks of what is no regular file')
    else if (!isDamaged && (inode.flags & INODE_HAS_PARTS) === 0)
      fault('members hold chunks and it has no flag for that')
    const members = this.#holders.get(inode.number) ?? new Set()
    this.#holders.set(inode.number, members.add(member))
  }

  #addCut(store: StoreUnderCheck, { inode, isDamaged }: Known, valueBytes: number): void {
    if (valueBytes < 0) return
    const fault = (text: string): void => store.fault(`inode ${inode.number}: ${text}`)
    if (valueBytes < CUT_HEAD_BYTES || valueBytes % 4 !== 0) {
      fault(`the record of its truncation has ${valueBytes} bytes`)
      return
    }
    const epoch = store.words[1] as number
    this.#cuts.set(inode.number, epoch)
    if (!isDamaged && epoch !== (inode.truncationEpoch + 1) >>> 0) {
      fault(`its truncation under way leads to epoch ${epoch}, and it has ${inode.truncationEpoch}`)
    }
  }
}
