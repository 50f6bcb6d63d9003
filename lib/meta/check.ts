/**
 * Proves the metadata of a store consistent, or names what is not: every record by itself, and all of them against each
 * other and against the backing files that are there. Reads only. What a crash may leave is no fault: inodes in the
 * orphan queue, backing files in the free queue, and files longer than their inode.
 */
import { EIO, ENOENT } from '../base/errno.js'
import { type InodeNumber, ROOT_INODE, SERIAL_SPAN } from '../base/ids.js'
import { NAME_BYTES_MAX, XATTR_BYTES_MAX } from '../base/limits.js'
import { S_IFMT } from '../base/mode.js'
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
  KEY_COUNTER,
  KEY_DENTRY,
  KEY_FREE,
  KEY_INLINE,
  KEY_INODE,
  KEY_ORPHAN,
  KEY_XATTR,
  RECORD_HEAD_BYTES,
  RECORD_VERSION,
} from '../wire/records.js'
import {
  compare,
  fieldFaults,
  ID_KEY_BYTES,
  inlineFaults,
  type Known,
  lengthOfKey,
  nameOf,
  Reach,
} from './check-record.js'
import { FIRST_SERIAL } from './dentries.js'
import { Inode } from './inode.js'

const COUNTER_RECORD_BYTES = 16
const SLASH = 0x2f

/** How much there is, for the summary. */
export interface CheckTotals {
  inodes: number
  directories: number
  dentries: number
  backingFiles: number
  /** Of these, files that are not there. */
  lost: number
  faults: number
}

/** Which lengths the key of a record may have, inodes apart. */
const KEY_BYTES: ReadonlyMap<number, (bytes: number) => boolean> = new Map([
  [KEY_COUNTER, (bytes) => bytes === 1],
  [KEY_DENTRY, (bytes) => bytes === DENTRY_KEY_BYTES],
  [KEY_FREE, (bytes) => bytes === ID_KEY_BYTES],
  [KEY_INLINE, (bytes) => bytes === ID_KEY_BYTES],
  [KEY_ORPHAN, (bytes) => bytes === ID_KEY_BYTES],
  [KEY_XATTR, (bytes) => bytes > ID_KEY_BYTES],
])

/**
 * Checks everything behind `kv`. `files` are the ids of the backing files that exist. Calls `report` with one line for
 * each fault. `afterPowerCut`: a file that is missing is none, since the power may have gone before anything of it was
 * synced; it reads as zeros, as unsynced data may.
 */
export function checkStore(
  kv: Kv,
  hash: Hash32,
  files: ReadonlySet<number>,
  afterPowerCut: boolean,
  report: (fault: string) => void,
): CheckTotals {
  return new Checker(kv, hash, files, afterPowerCut, report).run()
}

class Checker {
  readonly #kv: Kv
  readonly #words: Uint32Array
  readonly #positions: Positions
  readonly #files: ReadonlySet<number>
  readonly #afterPowerCut: boolean
  readonly #report: (fault: string) => void
  readonly #totals: CheckTotals = { inodes: 0, directories: 0, dentries: 0, backingFiles: 0, lost: 0, faults: 0 }
  readonly #inodes = new Map<number, Known>()
  /** Backing files by the inode that has them, or 0 for the free queue. */
  readonly #claims = new Map<number, number>()
  #counter = 1
  /** The names at the position of the last dentry. */
  #place = { key: '', names: new Set<string>() }

  constructor(
    kv: Kv,
    hash: Hash32,
    files: ReadonlySet<number>,
    afterPowerCut: boolean,
    report: (fault: string) => void,
  ) {
    const { buffer, byteOffset, byteLength } = kv.value
    this.#kv = kv
    this.#words = new Uint32Array(buffer as ArrayBuffer, byteOffset, byteLength >>> 2)
    this.#positions = new Positions(hash)
    this.#files = files
    this.#afterPowerCut = afterPowerCut
    this.#report = report
  }

  run(): CheckTotals {
    // Inodes first, since all other records are about them.
    this.#each(KEY_INODE, KEY_INODE, (keyBytes, valueBytes) => this.#inode(keyBytes, valueBytes))
    this.#each(1, KEY_INODE - 1, (keyBytes, valueBytes) => this.#record(keyBytes, valueBytes))
    this.#each(KEY_INODE + 1, 0xff, (keyBytes, valueBytes) => this.#record(keyBytes, valueBytes))
    if (!this.#inodes.has(ROOT_INODE)) this.#fault('the root directory is missing')
    for (const known of this.#inodes.values()) this.#whole(known)
    this.#backing()
    return this.#totals
  }

  #fault(text: string): void {
    this.#totals.faults++
    this.#report(text)
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
        this.#fault(`the metadata cannot be read behind record ${nameOf(previous)}`)
        return
      }
      if ((current[0] as number) > last) return
      if (found < 0) this.#fault(`record ${nameOf(current)}: its checksum is wrong`)
      visit(current.length, found < 0 ? -1 : this.#kv.valueBytes)
      previous = current
      key.set(previous)
    }
  }

  #inode(keyBytes: number, valueBytes: number): void {
    const { key } = this.#kv
    if (keyBytes !== ID_KEY_BYTES) {
      this.#fault(`record ${nameOf(key.subarray(0, keyBytes))}: no inode's key`)
      return
    }
    const inode = new Inode(getUint64BE(key, 1) as InodeNumber)
    const reason = valueBytes < 0 ? null : getInode(this.#words, valueBytes, inode)
    if (reason !== null) this.#fault(`inode ${inode.number}: ${reason}`)
    const isDamaged = valueBytes < 0 || reason !== null
    const links = { dentries: 0, subdirectories: 0, inlineBytes: -1, hasXattrs: false, isOrphan: false }
    this.#inodes.set(inode.number, { inode, isDamaged, ...links, reach: Reach.Unknown })
    this.#totals.inodes++
    if (isDamaged) return
    if (inode.isDirectory) this.#totals.directories++
    for (const fault of fieldFaults(inode)) this.#fault(`inode ${inode.number}: ${fault}`)
    if (inode.backing !== 0) this.#claim(inode.backing, inode.number)
  }

  #claim(id: number, inode: number): void {
    const other = this.#claims.get(id)
    const nameOfOther = other === 0 ? 'the free queue' : `inode ${other}`
    if (other !== undefined) this.#fault(`backing file ${id}: inode ${inode} and ${nameOfOther} have it both`)
    this.#claims.set(id, inode)
  }

  /** Any record but an inode. */
  #record(keyBytes: number, valueBytes: number): void {
    const { key } = this.#kv
    const type = key[0] as number
    const name = nameOf(key.subarray(0, keyBytes))
    const isKey = KEY_BYTES.get(type)?.(keyBytes) ?? false
    if (!isKey) {
      this.#fault(`record ${name}: a key that no record has`)
      return
    }
    if (valueBytes >= 0 && type !== KEY_FREE && type !== KEY_ORPHAN) {
      const head = this.#words[0] as number
      if (valueBytes < RECORD_HEAD_BYTES || (head & 0xffff) !== (type | (RECORD_VERSION << 8))) {
        this.#fault(`record ${name}: its head says another type or version`)
        return
      }
    }
    if (type === KEY_COUNTER) this.#setCounter(valueBytes)
    else if (type === KEY_DENTRY) this.#dentry(valueBytes)
    else if (type === KEY_FREE) this.#free(valueBytes)
    else this.#attached(type, keyBytes, valueBytes, name)
  }

  #setCounter(valueBytes: number): void {
    if (valueBytes < 0) this.#counter = Number.POSITIVE_INFINITY
    else if (valueBytes === COUNTER_RECORD_BYTES) this.#counter = getWords(this.#words, 2)
    else this.#fault(`the counter has ${valueBytes} bytes`)
  }

  #free(valueBytes: number): void {
    const id = getUint64BE(this.#kv.key, 1)
    if (valueBytes > 0) this.#fault(`backing file ${id}: its record in the free queue is not empty`)
    const inode = this.#claims.get(id)
    if (inode !== undefined) this.#fault(`backing file ${id}: inode ${inode} and the free queue have it both`)
    else this.#claims.set(id, 0)
  }

  /** Inline data, an orphan or an attribute: what an inode has. */
  #attached(type: number, keyBytes: number, valueBytes: number, name: string): void {
    const number = getUint64BE(this.#kv.key, 1)
    const known = this.#inodes.get(number)
    if (known === undefined) {
      this.#fault(`record ${name}: there is no inode ${number}`)
      return
    }
    const bytes = valueBytes - RECORD_HEAD_BYTES
    if (type === KEY_INLINE)
      known.inlineBytes = valueBytes < 0 && known.inode.isSymlink ? known.inode.size : Math.max(0, bytes)
    else if (type === KEY_XATTR) {
      known.hasXattrs = true
      const nameBytes = keyBytes - ID_KEY_BYTES
      if (nameBytes < 1 || nameBytes > NAME_BYTES_MAX) this.#fault(`record ${name}: a name of ${nameBytes} bytes`)
      if (bytes > XATTR_BYTES_MAX) this.#fault(`record ${name}: a value of ${bytes} bytes`)
    } else {
      known.isOrphan = true
      if (valueBytes > 0) this.#fault(`record ${name}: it is not empty`)
    }
  }

  #dentry(valueBytes: number): void {
    const { key, value } = this.#kv
    const parent = getUint64BE(key, 1)
    const label = `dentry ${nameOf(key.subarray(0, DENTRY_KEY_BYTES))} in directory ${parent}`
    this.#totals.dentries++
    const directory = this.#inodes.get(parent)
    if (directory === undefined) this.#fault(`${label}: there is no such directory`)
    else if (!directory.isDamaged) {
      if (!directory.inode.isDirectory) this.#fault(`${label}: that is no directory`)
      if (directory.inode.generation !== getUint32BE(key, 9)) {
        this.#fault(`${label}: the directory has another generation`)
      }
      if (directory.inode.nlink === 0) this.#fault(`${label}: the directory has been removed`)
    }
    if (dentryKeySerial(key) < FIRST_SERIAL) this.#fault(`${label}: its serial is reserved`)
    if (valueBytes < 0) return
    const length = value[3] as number
    if (valueBytes !== DENTRY_HEAD_BYTES + length || length === 0) {
      this.#fault(`${label}: its length is wrong`)
      return
    }
    const name = { bytes: value, offset: DENTRY_HEAD_BYTES, length }
    const raw = value.subarray(DENTRY_HEAD_BYTES, valueBytes)
    const text = JSON.stringify(new TextDecoder().decode(raw))
    if (text === '"."' || text === '".."' || raw.includes(SLASH) || raw.includes(0)) {
      this.#fault(`${label}: ${text} is no name`)
    }
    if (this.#positions.ofDentry(parent, name) !== dentryKeyPosition(key)) {
      this.#fault(`${label}: ${text} does not belong at its position`)
    }
    this.#duplicate(label, text, nameOf(raw))
    this.#child(label, text, parent, directory)
  }

  /** Entries that share a position follow each other. */
  #duplicate(label: string, text: string, bytes: string): void {
    const place = nameOf(this.#kv.key.subarray(0, DENTRY_KEY_BYTES - 3))
    if (place !== this.#place.key) this.#place = { key: place, names: new Set() }
    if (this.#place.names.has(bytes)) this.#fault(`${label}: ${text} is there twice`)
    this.#place.names.add(bytes)
  }

  #child(label: string, text: string, parent: number, directory: Known | undefined): void {
    const number = getWords(this.#words, 2)
    const known = this.#inodes.get(number)
    if (known === undefined) {
      this.#fault(`${label}: ${text} names inode ${number}, which is not there`)
      return
    }
    known.dentries++
    if (known.isDamaged) return
    const { inode } = known
    const kind = (((this.#words[0] as number) >>> 16) & 0xff) << 12
    if (kind !== (inode.mode & S_IFMT)) this.#fault(`${label}: ${text} has another kind than inode ${number}`)
    if (inode.generation !== this.#words[1])
      this.#fault(`${label}: ${text} has another generation than inode ${number}`)
    if (!inode.isDirectory) return
    if (directory !== undefined) directory.subdirectories++
    if (number === ROOT_INODE) this.#fault(`${label}: ${text} names the root directory`)
    if (inode.parent !== parent) this.#fault(`inode ${number}: its parent is ${inode.parent}, but it is in ${parent}`)
    if (inode.parentGeneration !== (directory?.inode.generation ?? inode.parentGeneration)) {
      this.#fault(`inode ${number}: its parent's generation is wrong`)
    }
  }

  /** An inode, when everything about it is known. */
  #whole(known: Known): void {
    const { inode, isDamaged } = known
    if (isDamaged) return
    const fault = (text: string): void => this.#fault(`inode ${inode.number}: ${text}`)
    if (!this.#isReserved(inode)) fault(`the counter (${this.#counter}) says that its number was never given out`)
    if (known.hasXattrs && (inode.flags & INODE_HAS_XATTRS) === 0) fault('it has attributes and no flag for them')
    for (const text of inlineFaults(known)) fault(text)
    if (known.isOrphan) {
      if (inode.nlink > 0) fault(`it is an orphan with ${inode.nlink} links`)
      if (known.dentries > 0) fault('it is an orphan with a name')
      return
    }
    const isRoot = inode.number === ROOT_INODE
    if (known.dentries === 0 && !isRoot) {
      fault('it has no name and is no orphan')
      return
    }
    if (inode.isDirectory) {
      if (known.dentries > 1) fault(`it is a directory with ${known.dentries} names`)
      const expected = 2 + known.subdirectories
      if (inode.nlink !== expected) fault(`it has ${inode.nlink} links, and ought to have ${expected}`)
      if (isRoot && inode.parent !== ROOT_INODE) fault('the root directory is not its own parent')
      if (this.#reach(known) === Reach.Lost) fault('the way up from it does not end at the root')
    } else if (inode.nlink !== known.dentries) {
      fault(`it has ${inode.nlink} links and ${known.dentries} names`)
    }
  }

  #isReserved({ number, generation }: Inode): boolean {
    return number === ROOT_INODE || generation * SERIAL_SPAN + (number % SERIAL_SPAN) < this.#counter
  }

  /** Follows the parents up; whatever lies on the way has the same answer. */
  #reach(from: Known): Reach {
    const way: Known[] = []
    let at: Known | undefined = from
    while (at !== undefined && at.reach === Reach.Unknown && at.inode.number !== ROOT_INODE) {
      at.reach = Reach.OnTheWay
      way.push(at)
      at = this.#inodes.get(at.inode.parent)
    }
    const isFound = at !== undefined && (at.inode.number === ROOT_INODE || at.reach === Reach.Found)
    for (const known of way) known.reach = isFound ? Reach.Found : Reach.Lost
    return isFound ? Reach.Found : Reach.Lost
  }

  #backing(): void {
    for (const [id, inode] of this.#claims) {
      if (id >= this.#counter) this.#fault(`backing file ${id}: the counter (${this.#counter}) never gave it out`)
      if (inode === 0) continue
      this.#totals.backingFiles++
      if (this.#files.has(id)) continue
      this.#totals.lost++
      if (!this.#afterPowerCut) this.#fault(`backing file ${id}: inode ${inode} has it, and it is not there`)
    }
    for (const id of this.#files) {
      if (!this.#claims.has(id)) this.#fault(`backing file ${id}: it belongs to no inode and is in no queue`)
    }
  }
}
