/**
 * The directory of a store: makes one where there is none, keeps others out, and says what it is. In it are:
 *
 * - `superblock`, see lib/wire/superblock.ts; whoever has one is a store
 * - `lock`, held with flock(2) as long as the store is open, so that it is free when its process dies
 * - `root`, `log.0`, `log.1`, `data.mdb` (and LMDB's own `data.mdb-lock`): the metadata, see addon/kv
 * - `data`: the backing files, see lib/native/disk.ts
 * - `log`: what the mount had to say, unless that goes elsewhere
 *
 * Nothing is written into a directory before it is known to be empty or a store of ours. Everything here runs before a
 * mount serves anybody, so it may block.
 */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import type { Hash32 } from '../ports.js'
import { type ClusterRecord, NO_CLUSTER } from '../wire/control.js'
import {
  changeSuperblock,
  decodeSuperblock,
  encodeSuperblock,
  invalidSuperblock,
  SUPERBLOCK_BLOCK_BYTES,
  SUPERBLOCK_FILE_BYTES_MAX,
  type Superblock,
  type SuperblockFault,
  superblockBytes,
} from '../wire/superblock.js'
import { addon } from './addon.js'
import { MappedPool } from './pool.js'
import { StoreError } from './store-error.js'

const { EAGAIN, EISDIR } = constants.errno

const SUPERBLOCK = 'superblock'
const NEW_SUPERBLOCK = 'superblock.new'
const LOCK = 'lock'
/** What a whole store has besides. */
const PARTS = ['root', 'log.0', 'log.1', 'data.mdb', 'data']
/** What may lie in a directory that still counts as empty: what an interrupted beginning leaves, and file systems. */
const HARMLESS: ReadonlySet<string> = new Set([LOCK, NEW_SUPERBLOCK, 'log', 'lost+found'])

const LOCK_SHARED = 1
const LOCK_EXCLUSIVE = 2
const LOCK_NONBLOCKING = 4

const VIRTUAL_NODES = 150

/** A superblock as it was found, with the bytes that it was read from. */
interface Found {
  readonly superblock: Superblock
  readonly record: Uint8Array
  readonly halfBytes: number
  /** One of the halves was torn or has rotted. */
  readonly isTorn: boolean
}

/** The member that a store is opened for. */
export interface Belonging {
  /** The member list, normalized. */
  readonly names: readonly string[]
  /** Its place in the list. */
  readonly self: number
  /** Of a store that is made now. */
  readonly virtualNodes: number
  readonly layout: number
}

const ALONE: Belonging = { names: [''], self: 0, virtualNodes: VIRTUAL_NODES, layout: 0 }

/** A store that nobody else can open meanwhile. */
export class StoreDirectory {
  readonly path: string
  /** One of the superblock's two copies was unreadable, and has been written again. */
  readonly wasTorn: boolean
  readonly #hash: Hash32
  readonly #lock: number
  readonly #belonging: Belonging
  #found: Found

  /**
   * Opens the store in `path` and raises its incarnation, or makes one there, with `chunkBytes` for its root directory.
   * One that belongs to another cluster, or to another member of this one, stays as it is.
   *
   * @throws {StoreError}
   */
  static open(path: string, chunkBytes: number, hash: Hash32, belonging: Belonging = ALONE): StoreDirectory {
    try {
      return new StoreDirectory(path, chunkBytes, hash, belonging)
    } catch (error) {
      throw StoreError.from(path, error)
    }
  }

  private constructor(path: string, chunkBytes: number, hash: Hash32, belonging: Belonging) {
    this.path = path
    this.#hash = hash
    this.#belonging = belonging
    makeDirectory(path)
    // Before the lock's file is made: a directory of somebody else stays as it is.
    refuseOthers(path, examine(path, hash), belonging)
    this.#lock = fs.openSync(join(path, LOCK), 'a', 0o600)
    try {
      lock(path, this.#lock, LOCK_EXCLUSIVE)
      const found = examine(path, hash) ?? format(path, chunkBytes, hash, belonging)
      this.wasTorn = found.isTorn
      this.#found = found
      this.#change(found.superblock.incarnation + 1, found.superblock.isWhole)
    } catch (error) {
      fs.closeSync(this.#lock)
      throw error
    }
  }

  get superblock(): Superblock {
    return this.#found.superblock
  }

  /** The members have agreed on what they are: from now on the store is this cluster's, also after a power cut. */
  form({ clusterId, epoch, ids }: ClusterRecord): void {
    const members = ids.map((id, index) => ({ id, name: this.#belonging.names[index] as string, address: '' }))
    const superblock = { ...this.superblock, clusterId, ringEpoch: epoch, members }
    try {
      this.#found = writeNew(this.path, superblock, this.#hash)
    } catch (error) {
      throw StoreError.from(this.path, error)
    }
  }

  /** The store has all its parts, safe on the disk: from now on one that is missing is damage. */
  finish(): void {
    if (this.superblock.isWhole) return
    try {
      syncDirectory(this.path)
      this.#change(this.superblock.incarnation, true)
    } catch (error) {
      throw StoreError.from(this.path, error)
    }
  }

  /** Lets others in. */
  close(): void {
    fs.closeSync(this.#lock)
  }

  /** Writes over both copies: that needs no room, so a store on a full disk can be opened to delete from it. */
  #change(incarnation: number, isWhole: boolean): void {
    const { record, halfBytes } = this.#found
    const changed = changeSuperblock(record, incarnation, isWhole, this.#hash)
    const file = fs.openSync(join(this.path, SUPERBLOCK), 'r+')
    try {
      for (const at of [0, halfBytes]) {
        const written = fs.writeSync(file, changed, 0, changed.length, at)
        if (written !== changed.length) throw new StoreError(this.path, 'system', 'its superblock could not be written')
        fs.fsyncSync(file)
      }
    } finally {
      fs.closeSync(file)
    }
    this.#found = { superblock: decodeSuperblock(changed), record: changed, halfBytes, isTorn: false }
  }
}

/** A store that is only looked at. Nothing of it is changed, and nobody can open it for writing until it is closed. */
export interface StoreView {
  readonly superblock: Superblock
  close(): void
}

/** @throws {StoreError} */
export function viewStore(path: string, hash: Hash32): StoreView {
  let file = -1
  try {
    // A store without its lock's file is not in use: whoever opens it makes one.
    if (fs.existsSync(join(path, LOCK))) {
      file = fs.openSync(join(path, LOCK), 'r')
      lock(path, file, LOCK_SHARED)
    }
    const found = examine(path, hash)
    if (found === null) throw new StoreError(path, 'foreign', 'it is not a store of chfs: it is empty')
    return { superblock: found.superblock, close: () => closeUnless(file) }
  } catch (error) {
    closeUnless(file)
    throw StoreError.from(path, error)
  }
}

function closeUnless(file: number): void {
  if (file >= 0) fs.closeSync(file)
}

/** By hand, since Node's own recursion says ENOENT for whatever goes wrong on the way. */
function makeDirectory(path: string): void {
  try {
    fs.mkdirSync(path, 0o700)
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'EEXIST' && fs.statSync(path).isDirectory()) return
    if (code !== 'ENOENT' || path === dirname(path)) throw error
    makeDirectory(dirname(path))
    fs.mkdirSync(path, 0o700)
  }
  syncDirectory(dirname(path))
}

/** flock(2), which Node does not have. The device that has it wants a pool, which it does not use for this. */
function lock(path: string, file: number, operation: number): void {
  const files = new addon.Files(new MappedPool({ count: 16, payloadBytes: 8192 }).native)
  const error = files.flock(file, operation | LOCK_NONBLOCKING)
  if (error === -EAGAIN) throw new StoreError(path, 'in-use', 'it is in use by another process')
  if (error < 0) throw new StoreError(path, 'system', `it cannot be locked (errno ${-error})`)
}

/** What lies in a store is a part of its cluster's files, and of no use to another one or to another of its members. */
function refuseOthers(path: string, found: Found | null, { names, self }: Belonging): void {
  if (found === null) return
  const { clusterId, memberId, members } = found.superblock
  const refuse = (reason: string): never => {
    throw new StoreError(path, 'foreign', reason)
  }
  if (clusterId === NO_CLUSTER) {
    if (names.length === 1) refuse('it was begun as that of a member of a cluster, and holds nothing yet')
    return
  }
  // One that is alone may have been called anything.
  if (members.length === 1 && names.length === 1) return
  const own = members.map(({ id, name }) => name || id)
  if (members.length === 1) refuse(`it is that of a node which is alone, and of no member of ${names}`)
  if (own.join() !== names.join()) {
    const asked = names.length === 1 ? 'this node is to be alone' : `the members are now to be ${names}`
    refuse(`it is a share of another cluster (${clusterId}, of ${own}), and ${asked}`)
  }
  if (members[self]?.id !== memberId) {
    const owner = members.findIndex(({ id }) => id === memberId)
    refuse(`it is that of ${own[owner]}, and this is ${names[self]}`)
  }
}

/** What the directory holds: a store of ours, or (null) nothing yet. Throws where it is neither. Changes nothing. */
function examine(path: string, hash: Hash32): Found | null {
  const names = fs.readdirSync(path)
  if (!names.includes(SUPERBLOCK)) {
    const other = names.find((name) => !HARMLESS.has(name))
    if (other === undefined) return null
    if (PARTS.every((part) => names.includes(part))) throw new StoreError(path, 'damaged', 'its superblock is missing')
    throw new StoreError(path, 'foreign', `it is not a store of chfs, and not empty (it holds ${other})`)
  }
  const found = readSuperblock(path, hash)
  const missing = PARTS.find((part) => !names.includes(part))
  if (found.superblock.isWhole && missing !== undefined)
    throw new StoreError(path, 'damaged', `its ${missing} is missing`)
  return found
}

function readSuperblock(path: string, hash: Hash32): Found {
  const name = join(path, SUPERBLOCK)
  const { size } = fs.statSync(name)
  if (size > SUPERBLOCK_FILE_BYTES_MAX) throw new StoreError(path, 'foreign', `its superblock has ${size} bytes`)
  let bytes: Uint8Array
  try {
    bytes = fs.readFileSync(name)
  } catch (error) {
    if ((error as { errno?: number }).errno !== -EISDIR) throw error
    throw new StoreError(path, 'foreign', 'its superblock is a directory')
  }
  const half = Math.floor(bytes.length / 2 / SUPERBLOCK_BLOCK_BYTES) * SUPERBLOCK_BLOCK_BYTES
  const halves = [bytes.subarray(0, half), bytes.subarray(half)]
  const faults = halves.map((half) => invalidSuperblock(half, hash))
  const worst = worstOf(faults)
  if (worst !== null) {
    const kind = worst.kind === 'locked' ? 'newer' : worst.kind
    throw new StoreError(path, kind, `its superblock is ${kind === 'newer' ? 'too new' : kind}: ${worst.reason}`)
  }
  const valid = halves.filter((_, index) => faults[index] === null)
  const superblocks = valid.map((half) => decodeSuperblock(half))
  const newest = superblocks.reduce((best, { incarnation }, index) => {
    return incarnation > (superblocks[best] as Superblock).incarnation ? index : best
  }, 0)
  const chosen = valid[newest] as Uint8Array
  const record = chosen.subarray(0, superblockBytes(chosen))
  // A file that was cut short gets its second half back.
  const halfBytes = Math.max(half, blocksOf(record.length))
  return { superblock: superblocks[newest] as Superblock, record, halfBytes, isTorn: valid.length < 2 }
}

/** Null where at least one half can be used and the other does not say that it may not. */
function worstOf(faults: readonly (SuperblockFault | null)[]): SuperblockFault | null {
  for (const kind of ['newer', 'locked']) {
    const fault = faults.find((candidate) => candidate?.kind === kind)
    if (fault) return fault
  }
  if (faults.includes(null)) return null
  return faults.find((fault) => fault?.kind === 'damaged') ?? (faults[0] as SuperblockFault)
}

function blocksOf(bytes: number): number {
  return Math.ceil(bytes / SUPERBLOCK_BLOCK_BYTES) * SUPERBLOCK_BLOCK_BYTES
}

/** Makes an empty directory a store: from the moment its superblock has its name. */
function format(
  path: string,
  chunkBytes: number,
  hash: Hash32,
  { names, self, virtualNodes, layout }: Belonging,
): Found {
  const memberId = randomBytes(8).toString('hex')
  const isAlone = names.length === 1
  const superblock: Superblock = {
    compatible: 0,
    readOnlyCompatible: 0,
    incompatible: 0,
    isWhole: false,
    clusterId: isAlone ? randomBytes(16).toString('hex') : NO_CLUSTER,
    memberId,
    incarnation: 0,
    ringEpoch: isAlone ? 1 : 0,
    virtualNodes,
    chunkBytes,
    layout,
    members: [{ id: memberId, name: names[self] as string, address: '' }],
  }
  return writeNew(path, superblock, hash)
}

/** In place of the one that is there, if any: a reader finds that one or this one, whole. */
function writeNew(path: string, superblock: Superblock, hash: Hash32): Found {
  const record = encodeSuperblock(superblock, hash)
  const halfBytes = blocksOf(record.length)
  const bytes = new Uint8Array(2 * halfBytes)
  bytes.set(record)
  bytes.set(record, halfBytes)
  const file = fs.openSync(join(path, NEW_SUPERBLOCK), 'w', 0o600)
  try {
    fs.writeFileSync(file, bytes)
    fs.fsyncSync(file)
  } finally {
    fs.closeSync(file)
  }
  fs.renameSync(join(path, NEW_SUPERBLOCK), join(path, SUPERBLOCK))
  syncDirectory(path)
  return { superblock, record, halfBytes, isTorn: false }
}

function syncDirectory(path: string): void {
  const directory = fs.openSync(path, 'r')
  try {
    fs.fsyncSync(directory)
  } finally {
    fs.closeSync(directory)
  }
}
