import { EIO, fail } from '../base/errno.js'
import type { ByteRange, InodeNumber } from '../base/ids.js'
import { SERIAL_SPAN } from '../base/ids.js'
import { S_IFMT } from '../base/mode.js'
import type { Positions } from '../ring/position.js'
import {
  DENTRY_HEAD_BYTES,
  DENTRY_KEY_BYTES,
  dentryKeyPosition,
  dentryKeySerial,
  getUint32BE,
  getUint64BE,
  getWords,
  KEY_DENTRY,
  putDentryKey,
  putWords,
  RECORD_VERSION,
} from '../wire/records.js'
import type { Batch } from './batch.js'
import type { Inode } from './inode.js'

/** Serials below this one would give readdir cookies that mean something else: 0 start, 1 ".", 2 "..". */
export const FIRST_SERIAL = 4

/** A place in a directory: the entry of a name, or where one of that name would go. */
export class Dentry {
  parent = 0
  parentGeneration = 0
  position = 0
  serial = 0
  /** False: no such name, and the place is free. Then the fields below mean nothing. */
  exists = false
  child = 0 as InodeNumber
  childGeneration = 0
  /** S_IFMT bits of the child. */
  kind = 0

  /** The readdir cookie of this entry: position × 2^21 + serial. */
  get cookie(): number {
    return this.position * SERIAL_SPAN + this.serial
  }
}

/** A directory as its entries know it; its inode may lie elsewhere. */
export interface DirectoryRef {
  readonly number: number
  readonly generation: number
}

/** The entries of directories. Names that share a position are told apart by a serial. */
export class Dentries {
  readonly #batch: Batch
  readonly #positions: Positions
  /** The name of the entry that {@link next} found last: valid until the next use of the batch. */
  readonly name: ByteRange

  constructor(batch: Batch, positions: Positions) {
    this.#batch = batch
    this.#positions = positions
    this.name = { bytes: batch.value, offset: DENTRY_HEAD_BYTES, length: 0 }
  }

  /** Looks `name` up in `directory`; `into` says where it is, or where it would go. */
  find(directory: DirectoryRef, name: ByteRange, into: Dentry): boolean {
    const position = this.#positions.ofDentry(directory.number, name)
    into.parent = directory.number
    into.parentGeneration = directory.generation
    into.position = position
    into.serial = FIRST_SERIAL
    into.exists = false
    for (let from = 0; this.#seek(directory, position, from); ) {
      if (dentryKeyPosition(this.#batch.key) !== position) return false
      const serial = dentryKeySerial(this.#batch.key)
      if (this.#sameName(name)) {
        into.serial = serial
        this.#load(into)
        return true
      }
      if (serial === into.serial) into.serial++
      from = serial + 1
    }
    return false
  }

  /** Finds the first entry after (position, serial), in the order of cookies; its name is then in {@link name}. */
  next(directory: DirectoryRef, position: number, serial: number, into: Dentry): boolean {
    if (!this.#seek(directory, position, serial + 1)) return false
    into.parent = directory.number
    into.parentGeneration = directory.generation
    into.position = dentryKeyPosition(this.#batch.key)
    into.serial = dentryKeySerial(this.#batch.key)
    this.#load(into)
    this.name.length = this.#batch.value[3] as number
    return true
  }

  isEmpty(directory: DirectoryRef): boolean {
    return !this.#seek(directory, 0, 0)
  }

  /** Writes the entry `at`, new or replaced. */
  put(at: Dentry, name: ByteRange, child: Inode): void {
    this.putChild(at, name, child.number, child.generation, child.mode & S_IFMT)
  }

  /** The same for a child whose inode may lie elsewhere; `kind` is its S_IFMT bits. */
  putChild(at: Dentry, name: ByteRange, child: number, childGeneration: number, kind: number): void {
    at.exists = true
    at.child = child as InodeNumber
    at.childGeneration = childGeneration
    at.kind = kind
    const words = this.#batch.words
    words[0] = KEY_DENTRY | (RECORD_VERSION << 8) | ((at.kind >>> 12) << 16) | (name.length << 24)
    words[1] = childGeneration
    putWords(words, 2, child)
    const value = this.#batch.value
    const { bytes, offset, length } = name
    for (let i = 0; i < length; i++) value[DENTRY_HEAD_BYTES + i] = bytes[offset + i] as number
    this.#batch.put(this.#key(at), DENTRY_HEAD_BYTES + length)
  }

  remove(at: Dentry): void {
    at.exists = false
    if (!this.#batch.delete(this.#key(at))) fail(EIO)
  }

  #key(at: Dentry): number {
    return putDentryKey(this.#batch.key, at.parent, at.parentGeneration, at.position, at.serial)
  }

  #seek(directory: DirectoryRef, position: number, serial: number): boolean {
    const key = this.#batch.key
    const found = this.#batch.seek(putDentryKey(key, directory.number, directory.generation, position, serial))
    return (
      found === DENTRY_KEY_BYTES &&
      key[0] === KEY_DENTRY &&
      getUint64BE(key, 1) === directory.number &&
      getUint32BE(key, 9) === directory.generation
    )
  }

  #load(into: Dentry): void {
    const head = this.#batch.words[0] as number
    const bytes = this.#batch.valueBytes
    if ((head & 0xffff) !== (KEY_DENTRY | (RECORD_VERSION << 8))) fail(EIO)
    if (bytes !== DENTRY_HEAD_BYTES + (head >>> 24)) fail(EIO)
    into.exists = true
    into.kind = ((head >>> 16) & 0xff) << 12
    into.childGeneration = this.#batch.words[1] as number
    into.child = getWords(this.#batch.words, 2) as InodeNumber
  }

  #sameName(name: ByteRange): boolean {
    const value = this.#batch.value
    if (value[3] !== name.length) return false
    for (let i = 0; i < name.length; i++) {
      if (value[DENTRY_HEAD_BYTES + i] !== name.bytes[name.offset + i]) return false
    }
    return true
  }
}
