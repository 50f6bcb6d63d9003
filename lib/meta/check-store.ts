/**
 * Reads a store for the check: every record by itself, what hangs on an inode, and the backing files. How names and
 * inodes go together, which in a cluster lie in several stores, is for check-tree.ts. Reads only. What a crash may
 * leave is no fault: inodes in the orphan queue, backing files in the free queue, and files longer than their inode.
 */
import { EIO, ENOENT } from '../base/errno.js'
import { type InodeNumber, ROOT_INODE, SERIAL_SPAN } from '../base/ids.js'
import { NAME_BYTES_MAX, XATTR_BYTES_MAX } from '../base/limits.js'
import type { Hash32, Kv } from '../ports.js'
import { Positions } from '../ring/position.js'
import {
  DENTRY_HEAD_BYTES,
  DENTRY_KEY_BYTES,
  dentryKeyPosition,
  dentryKeySerial,
  getInode,
  getUint32BE,
  getUint64BE,
  getWords,
  INODE_HAS_XATTRS,
  INODE_IS_PART,
  KEY_CLIENT,
  KEY_COUNTER,
  KEY_CUT,
  KEY_DENTRY,
  KEY_DEPARTED,
  KEY_FREE,
  KEY_GRAVE,
  KEY_HELD,
  KEY_HOLDER,
  KEY_INLINE,
  KEY_INODE,
  KEY_INTENT,
  KEY_ORPHAN,
  KEY_OUTBOX,
  KEY_RESULT,
  KEY_XATTR,
  RECORD_HEAD_BYTES,
  RECORD_VERSION,
} from '../wire/records.js'
import {
  compare,
  fieldFaults,
  ID_KEY_BYTES,
  inlineFaults,
  KEY_BYTES,
  type Known,
  lengthOfKey,
  nameOf,
  Reach,
} from './check-record.js'
import { StoreParts } from './check-parts.js'
import { Unsettled } from './check-unsettled.js'
import { FIRST_SERIAL } from './dentries.js'
import { Inode } from './inode.js'

const COUNTER_RECORD_BYTES = 16
const SLASH = 0x2f

/** Records about what nodes owe each other. */
const UNSETTLED: ReadonlySet<number> = new Set([KEY_GRAVE, KEY_HELD, KEY_INTENT, KEY_OUTBOX])

/** Records about chunks that lie with other members than their inodes. */
const OF_PARTS: ReadonlySet<number> = new Set([KEY_CUT, KEY_DEPARTED, KEY_HOLDER])

/** Records that are a key and nothing else. */
const KEYS_ONLY: ReadonlySet<number> = new Set([KEY_CLIENT, KEY_DEPARTED, KEY_FREE, KEY_HOLDER, KEY_ORPHAN])

/** How much there is, for the summary. */
export interface CheckTotals {
  inodes: number
  directories: number
  dentries: number
  /** Inodes of which only chunks are here. */
  parts: number
  backingFiles: number
  /** Of these, files that are not there. */
  lost: number
  /** Records of what this node and others still owe each other. */
  unsettled: number
  faults: number
}

/** A store to be checked. */
export interface StoreToCheck {
  readonly kv: Kv
  readonly hash: Hash32
  /** The ids of the backing files that exist. */
  readonly files: ReadonlySet<number>
  /**
   * The power may have gone before anything of a file was synced: one that is missing is no fault, as it reads as
   * zeros.
   */
  readonly afterPowerCut: boolean
  /** Receives one line for each fault. */
  readonly report: (fault: string) => void
}

/** An entry, as long as it is being looked at. */
export interface CheckedDentry {
  readonly parent: number
  readonly parentGeneration: number
  readonly position: number
  /** False where its value cannot be read; then the fields below mean nothing. */
  readonly isReadable: boolean
  readonly child: number
  readonly childGeneration: number
  /** S_IFMT bits of the child. */
  readonly kind: number
  /** How it is called in a fault, and its name. */
  readonly label: string
  readonly text: string
}

/** Reads one store, and reports what is wrong with it whatever others say. */
export class StoreReader {
  readonly totals: CheckTotals = {
    inodes: 0,
    directories: 0,
    dentries: 0,
    parts: 0,
    backingFiles: 0,
    lost: 0,
    unsettled: 0,
    faults: 0,
  }
  readonly inodes = new Map<number, Known>()
  readonly unsettled = new Unsettled()
  readonly parts = new StoreParts((text) => this.fault(text))
  readonly #kv: Kv
  readonly #words: Uint32Array
  readonly #positions: Positions
  readonly #store: StoreToCheck
  /** Backing files by the inode that has them, or 0 for the free queue. */
  readonly #claims = new Map<number, number>()
  #counter = 1
  /** The names at the position of the last dentry. */
  #place = { key: '', names: new Set<string>() }

  constructor(store: StoreToCheck) {
    const { buffer, byteOffset, byteLength } = store.kv.value
    this.#store = store
    this.#kv = store.kv
    this.#words = new Uint32Array(buffer as ArrayBuffer, byteOffset, byteLength >>> 2)
    this.#positions = new Positions(store.hash)
  }

  fault(text: string): void {
    this.totals.faults++
    this.#store.report(text)
  }

  /** First, since all other records are about inodes. */
  readInodes(): void {
    this.#each(KEY_INODE, KEY_INODE, (keyBytes, valueBytes) => this.#inode(keyBytes, valueBytes))
  }

  /** Second, since names and links need not fit yet where a change on several nodes is not finished. */
  readUnsettled(): void {
    for (const type of UNSETTLED) {
      this.#each(type, type, (keyBytes, valueBytes) => {
        const key = this.#kv.key.slice(0, keyBytes)
        if (!this.#isRecord(keyBytes, valueBytes) || valueBytes < 0) return
        const reason = this.unsettled.read(key, this.#words, valueBytes)
        if (reason !== null) this.fault(`record ${nameOf(key)}: ${reason}`)
      })
    }
    this.totals.unsettled = this.unsettled.count
  }

  /** Reads all other records; calls `visit` with each entry. */
  readOthers(visit: (dentry: CheckedDentry) => void): void {
    const read = (keyBytes: number, valueBytes: number): void => this.#record(keyBytes, valueBytes, visit)
    let first = 1
    for (const type of [...UNSETTLED, KEY_INODE].sort((a, b) => a - b)) {
      this.#each(first, type - 1, read)
      first = type + 1
    }
    this.#each(first, 0xff, read)
  }

  /** At last what is to be said about inodes apart from their names, and about backing files. */
  finish(): void {
    for (const known of this.inodes.values()) this.#whole(known)
    this.#backing()
  }

  /** Calls `visit` for every record whose key begins with a byte from `first` to `last`; −1 bytes: a wrong value. */
  #each(first: number, last: number, visit: (keyBytes: number, valueBytes: number) => void): void {
    const { key } = this.#kv
    key[0] = first
    let previous = new Uint8Array(0)
    for (let bytes = 1; ; bytes = previous.length + 1) {
      // So that the key found is followed by zeros, and its length is known even where its value is damaged.
      key.fill(0, bytes)
      const found = this.#kv.seek(bytes)
      if (found === -ENOENT) return
      const current = key.slice(0, found >= 0 ? found : lengthOfKey(key))
      if ((found < 0 && found !== -EIO) || compare(current, previous) <= 0) {
        this.fault(`the metadata cannot be read behind record ${nameOf(previous)}`)
        return
      }
      if ((current[0] as number) > last) return
      if (found < 0) this.fault(`record ${nameOf(current)}: its checksum is wrong`)
      visit(current.length, found < 0 ? -1 : this.#kv.valueBytes)
      previous = current
      key.set(previous)
    }
  }

  #inode(keyBytes: number, valueBytes: number): void {
    const { key } = this.#kv
    if (keyBytes !== ID_KEY_BYTES) {
      this.fault(`record ${nameOf(key.subarray(0, keyBytes))}: no inode's key`)
      return
    }
    const inode = new Inode(getUint64BE(key, 1) as InodeNumber)
    const reason = valueBytes < 0 ? null : getInode(this.#words, valueBytes, inode)
    if (reason !== null) this.fault(`inode ${inode.number}: ${reason}`)
    const isDamaged = valueBytes < 0 || reason !== null
    if (!isDamaged) {
      for (const fault of fieldFaults(inode)) this.fault(`inode ${inode.number}: ${fault}`)
      if (inode.backing !== 0) this.#claim(inode.backing, inode.number)
    }
    if ((inode.flags & INODE_IS_PART) !== 0) {
      this.totals.parts++
      this.parts.add(inode)
      return
    }
    const links = { dentries: 0, subdirectories: 0, inlineBytes: -1, hasXattrs: false, isOrphan: false }
    this.inodes.set(inode.number, { inode, isDamaged, ...links, reach: Reach.Unknown })
    this.totals.inodes++
    if (!isDamaged && inode.isDirectory) this.totals.directories++
  }

  #claim(id: number, inode: number): void {
    const other = this.#claims.get(id)
    const nameOfOther = other === 0 ? 'the free queue' : `inode ${other}`
    if (other !== undefined) this.fault(`backing file ${id}: inode ${inode} and ${nameOfOther} have it both`)
    this.#claims.set(id, inode)
  }

  /** Any record but an inode and those that are read first. */
  #record(keyBytes: number, valueBytes: number, visit: (dentry: CheckedDentry) => void): void {
    const { key } = this.#kv
    const type = key[0] as number
    const name = nameOf(key.subarray(0, keyBytes))
    if (!this.#isRecord(keyBytes, valueBytes)) return
    if (type === KEY_COUNTER) this.#setCounter(valueBytes)
    else if (type === KEY_DENTRY) this.#dentry(valueBytes, visit)
    else if (type === KEY_FREE) this.#free()
    else if (OF_PARTS.has(type)) this.parts.record(key.subarray(0, keyBytes), this.#words, valueBytes, this.inodes)
    else if (type !== KEY_RESULT && type !== KEY_CLIENT) this.#attached(type, keyBytes, valueBytes, name)
  }

  /** The record that was read last has a key and a head that there are. */
  #isRecord(keyBytes: number, valueBytes: number): boolean {
    const { key } = this.#kv
    const type = key[0] as number
    const name = nameOf(key.subarray(0, keyBytes))
    if (KEY_BYTES.get(type)?.(keyBytes) !== true) {
      this.fault(`record ${name}: a key that no record has`)
      return false
    }
    if (valueBytes > 0 && KEYS_ONLY.has(type)) this.fault(`record ${name}: it is not empty`)
    if (valueBytes < 0 || KEYS_ONLY.has(type)) return true
    const head = this.#words[0] as number
    if (valueBytes >= RECORD_HEAD_BYTES && (head & 0xffff) === (type | (RECORD_VERSION << 8))) return true
    this.fault(`record ${name}: its head says another type or version`)
    return false
  }

  #setCounter(valueBytes: number): void {
    if (valueBytes < 0) this.#counter = Number.POSITIVE_INFINITY
    else if (valueBytes === COUNTER_RECORD_BYTES) this.#counter = getWords(this.#words, 2)
    else this.fault(`the counter has ${valueBytes} bytes`)
  }

  #free(): void {
    const id = getUint64BE(this.#kv.key, 1)
    const inode = this.#claims.get(id)
    if (inode !== undefined) this.fault(`backing file ${id}: inode ${inode} and the free queue have it both`)
    else this.#claims.set(id, 0)
  }

  /** Inline data, an orphan or an attribute: what an inode has. */
  #attached(type: number, keyBytes: number, valueBytes: number, name: string): void {
    const number = getUint64BE(this.#kv.key, 1)
    const known = this.inodes.get(number)
    if (known === undefined) {
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

  #dentry(valueBytes: number, visit: (dentry: CheckedDentry) => void): void {
    const { key, value } = this.#kv
    const parent = getUint64BE(key, 1)
    const label = `dentry ${nameOf(key.subarray(0, DENTRY_KEY_BYTES))} in directory ${parent}`
    const place = { parent, parentGeneration: getUint32BE(key, 9), position: dentryKeyPosition(key), label }
    this.totals.dentries++
    if (dentryKeySerial(key) < FIRST_SERIAL) this.fault(`${label}: its serial is reserved`)
    const length = value[3] as number
    const isReadable = valueBytes >= 0 && valueBytes === DENTRY_HEAD_BYTES + length && length > 0
    if (!isReadable) {
      if (valueBytes >= 0) this.fault(`${label}: its length is wrong`)
      visit({ ...place, isReadable, child: 0, childGeneration: 0, kind: 0, text: '' })
      return
    }
    const name = { bytes: value, offset: DENTRY_HEAD_BYTES, length }
    const raw = value.subarray(DENTRY_HEAD_BYTES, valueBytes)
    const text = JSON.stringify(new TextDecoder().decode(raw))
    if (text === '"."' || text === '".."' || raw.includes(SLASH) || raw.includes(0)) {
      this.fault(`${label}: ${text} is no name`)
    }
    if (this.#positions.ofDentry(parent, name) !== place.position) {
      this.fault(`${label}: ${text} does not belong at its position`)
    }
    this.#duplicate(label, text, nameOf(raw))
    const kind = (((this.#words[0] as number) >>> 16) & 0xff) << 12
    const [child, childGeneration] = [getWords(this.#words, 2), this.#words[1] as number]
    visit({ ...place, isReadable, child, childGeneration, kind, text })
  }

  /** Entries that share a position follow each other. */
  #duplicate(label: string, text: string, bytes: string): void {
    const place = nameOf(this.#kv.key.subarray(0, DENTRY_KEY_BYTES - 3))
    if (place !== this.#place.key) this.#place = { key: place, names: new Set() }
    if (this.#place.names.has(bytes)) this.fault(`${label}: ${text} is there twice`)
    this.#place.names.add(bytes)
  }

  #whole(known: Known): void {
    const { inode, isDamaged } = known
    if (isDamaged) return
    const fault = (text: string): void => this.fault(`inode ${inode.number}: ${text}`)
    if (!this.#isReserved(inode)) fault(`the counter (${this.#counter}) says that its number was never given out`)
    if (known.hasXattrs && (inode.flags & INODE_HAS_XATTRS) === 0) fault('it has attributes and no flag for them')
    for (const text of inlineFaults(known)) fault(text)
  }

  #isReserved({ number, generation }: Inode): boolean {
    return number === ROOT_INODE || generation * SERIAL_SPAN + (number % SERIAL_SPAN) < this.#counter
  }

  #backing(): void {
    for (const [id, inode] of this.#claims) {
      if (id >= this.#counter) this.fault(`backing file ${id}: the counter (${this.#counter}) never gave it out`)
      if (inode === 0) continue
      this.totals.backingFiles++
      if (this.#store.files.has(id)) continue
      this.totals.lost++
      if (!this.#store.afterPowerCut) this.fault(`backing file ${id}: inode ${inode} has it, and it is not there`)
    }
    for (const id of this.#store.files) {
      if (!this.#claims.has(id)) this.fault(`backing file ${id}: it belongs to no inode and is in no queue`)
    }
  }
}
