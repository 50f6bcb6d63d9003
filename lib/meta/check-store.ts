/** The records of one store, each by itself and against those beside it; see check.ts. */
import { EIO, ENOENT } from '../base/errno.js'
import { type InodeNumber, SERIAL_SPAN } from '../base/ids.js'
import { NAME_BYTES_MAX, XATTR_BYTES_MAX } from '../base/limits.js'
import {
  getInode,
  getUint64BE,
  getWords,
  INODE_IS_PART,
  KEY_COUNTER,
  KEY_CUT,
  KEY_DENTRY,
  KEY_DEPARTED,
  KEY_FREE,
  KEY_GRAVE,
  KEY_HOLDER,
  KEY_INLINE,
  KEY_INODE,
  KEY_ORPHAN,
  KEY_RESULT,
  KEY_XATTR,
  RECORD_HEAD_BYTES,
  RECORD_VERSION,
} from '../wire/records.js'
import type { DentryCheck } from './check-names.js'
import type { PartsCheck } from './check-parts.js'
import {
  type CheckedStore,
  type CheckTotals,
  compare,
  fieldFaults,
  ID_KEY_BYTES,
  KEY_BYTES,
  type Known,
  lengthOfKey,
  nameOf,
  Reach,
  type StoreUnderCheck,
} from './check-record.js'
import { Inode } from './inode.js'

const COUNTER_RECORD_BYTES = 16

/** Records that are a key and nothing else. */
const KEYS_ONLY: ReadonlySet<number> = new Set([KEY_FREE, KEY_ORPHAN, KEY_HOLDER, KEY_DEPARTED])

export class StoreCheck implements StoreUnderCheck {
  readonly store: CheckedStore
  readonly words: Uint32Array
  readonly #totals: CheckTotals
  readonly #inodes: Map<number, Known>
  readonly #report: (fault: string) => void
  /** Backing files by the inode that has them, or 0 for the free queue. */
  readonly #claims = new Map<number, number>()
  #counter = 1

  constructor(store: CheckedStore, totals: CheckTotals, inodes: Map<number, Known>, report: (fault: string) => void) {
    const { buffer, byteOffset, byteLength } = store.kv.value
    this.store = store
    this.words = new Uint32Array(buffer as ArrayBuffer, byteOffset, byteLength >>> 2)
    this.#totals = totals
    this.#inodes = inodes
    this.#report = report
  }

  fault(text: string): void {
    const { label } = this.store
    this.#totals.faults++
    this.#report(label === '' ? text : `${label}: ${text}`)
  }

  /** The inodes, since all other records are about them. */
  inodes(parts: PartsCheck): void {
    this.#each(KEY_INODE, KEY_INODE, (keyBytes, valueBytes) => this.#inode(keyBytes, valueBytes, parts))
  }

  /** Everything else. */
  records(dentries: DentryCheck, parts: PartsCheck): void {
    const visit = (keyBytes: number, valueBytes: number): void => this.#record(keyBytes, valueBytes, dentries, parts)
    this.#each(1, KEY_INODE - 1, visit)
    this.#each(KEY_INODE + 1, 0xff, visit)
  }

  /** The number of this inode was given out. */
  isReserved({ number, generation }: Inode): boolean {
    return generation * SERIAL_SPAN + (number % SERIAL_SPAN) < this.#counter
  }

  backing(afterPowerCut: boolean): void {
    const { files } = this.store
    for (const [id, inode] of this.#claims) {
      if (id >= this.#counter) this.fault(`backing file ${id}: the counter (${this.#counter}) never gave it out`)
      if (inode === 0) continue
      this.#totals.backingFiles++
      if (files.has(id)) continue
      this.#totals.lost++
      if (!afterPowerCut) this.fault(`backing file ${id}: inode ${inode} has it, and it is not there`)
    }
    for (const id of files) {
      if (!this.#claims.has(id)) this.fault(`backing file ${id}: it belongs to no inode and is in no queue`)
    }
  }

  /** Calls `visit` for every record whose key begins with a byte from `first` to `last`; −1 bytes: a wrong value. */
  #each(first: number, last: number, visit: (keyBytes: number, valueBytes: number) => void): void {
    const { kv } = this.store
    const { key } = kv
    key[0] = first
    let previous = new Uint8Array(0)
    for (let bytes = 1; ; bytes = previous.length + 1) {
      // So that the key found is followed by zeros, and its length is known even where its value is damaged.
      key.fill(0, bytes)
      const found = kv.seek(bytes)
      if (found === -ENOENT) return
      const current = key.slice(0, found >= 0 ? found : lengthOfKey(key))
      if ((found < 0 && found !== -EIO) || compare(current, previous) <= 0) {
        this.fault(`the metadata cannot be read behind record ${nameOf(previous)}`)
        return
      }
      if ((current[0] as number) > last) return
      if (found < 0) this.fault(`record ${nameOf(current)}: its checksum is wrong`)
      visit(current.length, found < 0 ? -1 : kv.valueBytes)
      previous = current
      key.set(previous)
    }
  }

  #inode(keyBytes: number, valueBytes: number, parts: PartsCheck): void {
    const { key } = this.store.kv
    if (keyBytes !== ID_KEY_BYTES) {
      this.fault(`record ${nameOf(key.subarray(0, keyBytes))}: no inode's key`)
      return
    }
    const inode = new Inode(getUint64BE(key, 1) as InodeNumber)
    const reason = valueBytes < 0 ? null : getInode(this.words, valueBytes, inode)
    if (reason !== null) this.fault(`inode ${inode.number}: ${reason}`)
    const isDamaged = valueBytes < 0 || reason !== null
    if (!isDamaged) {
      for (const fault of fieldFaults(inode)) this.fault(`inode ${inode.number}: ${fault}`)
      if (inode.backing !== 0) this.#claim(inode.backing, inode.number)
    }
    if ((inode.flags & INODE_IS_PART) !== 0) {
      this.#totals.parts++
      parts.addPart(this, inode)
      return
    }
    const other = this.#inodes.get(inode.number)
    if (other !== undefined) this.fault(`inode ${inode.number}: ${other.store.store.label} has it, too`)
    const links = { dentries: 0, subdirectories: 0, inlineBytes: -1, hasXattrs: false, isOrphan: false }
    this.#inodes.set(inode.number, { store: this, inode, isDamaged, ...links, reach: Reach.Unknown })
    this.#totals.inodes++
    if (!isDamaged && inode.isDirectory) this.#totals.directories++
  }

  #claim(id: number, inode: number): void {
    const other = this.#claims.get(id)
    const nameOfOther = other === 0 ? 'the free queue' : `inode ${other}`
    if (other !== undefined) this.fault(`backing file ${id}: inode ${inode} and ${nameOfOther} have it both`)
    this.#claims.set(id, inode)
  }

  /** Any record but an inode. */
  #record(keyBytes: number, valueBytes: number, dentries: DentryCheck, parts: PartsCheck): void {
    const { key } = this.store.kv
    const type = key[0] as number
    const name = nameOf(key.subarray(0, keyBytes))
    const isKey = KEY_BYTES.get(type)?.(keyBytes) ?? false
    if (!isKey) {
      this.fault(`record ${name}: a key that no record has`)
      return
    }
    if (valueBytes > 0 && type !== KEY_FREE && KEYS_ONLY.has(type)) this.fault(`record ${name}: it is not empty`)
    if (valueBytes >= 0 && !KEYS_ONLY.has(type)) {
      const head = this.words[0] as number
      if (valueBytes < RECORD_HEAD_BYTES || (head & 0xffff) !== (type | (RECORD_VERSION << 8))) {
        this.fault(`record ${name}: its head says another type or version`)
        return
      }
    }
    if (type === KEY_COUNTER) this.#setCounter(valueBytes)
    else if (type === KEY_DENTRY) dentries.add(this, valueBytes)
    else if (type === KEY_FREE) this.#free(valueBytes)
    else if (type === KEY_HOLDER || type === KEY_DEPARTED || type === KEY_CUT) parts.addRecord(this, type, valueBytes)
    else if (type !== KEY_GRAVE && type !== KEY_RESULT) this.#attached(type, keyBytes, valueBytes, name)
  }

  #setCounter(valueBytes: number): void {
    if (valueBytes < 0) this.#counter = Number.POSITIVE_INFINITY
    else if (valueBytes === COUNTER_RECORD_BYTES) this.#counter = getWords(this.words, 2)
    else this.fault(`the counter has ${valueBytes} bytes`)
  }

  #free(valueBytes: number): void {
    const id = getUint64BE(this.store.kv.key, 1)
    if (valueBytes > 0) this.fault(`backing file ${id}: its record in the free queue is not empty`)
    const inode = this.#claims.get(id)
    if (inode !== undefined) this.fault(`backing file ${id}: inode ${inode} and the free queue have it both`)
    else this.#claims.set(id, 0)
  }

  /** Inline data, an orphan or an attribute: what an inode has. */
  #attached(type: number, keyBytes: number, valueBytes: number, name: string): void {
    const number = getUint64BE(this.store.kv.key, 1)
    const known = this.#inodes.get(number)
    if (known === undefined || known.store !== this) {
      this.fault(`record ${name}: there is no inode ${number}`)
      return
    }
    const bytes = valueBytes - RECORD_HEAD_BYTES
    if (type === KEY_INLINE)
      known.inlineBytes = valueBytes < 0 && known.inode.isSymlink ? known.inode.size : Math.max(0, bytes)
    else if (type === KEY_XATTR) {
      known.hasXattrs = true
      const nameBytes = keyBytes - ID_KEY_BYTES
      if (nameBytes < 1 || nameBytes > NAME_BYTES_MAX) this.fault(`record ${name}: a name of ${nameBytes} bytes`)
      if (bytes > XATTR_BYTES_MAX) this.fault(`record ${name}: a value of ${bytes} bytes`)
    } else known.isOrphan = true
  }
}
