/** The entries of directories against the inodes that they name; see check.ts. */
import { ROOT_INODE } from '../base/ids.js'
import { S_IFMT } from '../base/mode.js'
import type { Hash32 } from '../ports.js'
import { Positions } from '../ring/position.js'
import {
  DENTRY_HEAD_BYTES,
  DENTRY_KEY_BYTES,
  dentryKeyPosition,
  dentryKeySerial,
  getUint32BE,
  getUint64BE,
  getWords,
} from '../wire/records.js'
import { type CheckTotals, type Known, nameOf, type StoreUnderCheck } from './check-record.js'
import { FIRST_SERIAL } from './dentries.js'

const SLASH = 0x2f

export class DentryCheck {
  readonly #inodes: ReadonlyMap<number, Known>
  readonly #totals: CheckTotals
  readonly #isWhole: boolean
  readonly #positions: Positions
  /** The names at the position of the last dentry. */
  #place = { key: '', names: new Set<string>() }

  /** `isWhole`: there are no other inodes than these. */
  constructor(inodes: ReadonlyMap<number, Known>, totals: CheckTotals, hash: Hash32, isWhole: boolean) {
    this.#inodes = inodes
    this.#totals = totals
    this.#isWhole = isWhole
    this.#positions = new Positions(hash)
  }

  /** The record that the store's Kv has loaded. */
  add(store: StoreUnderCheck, valueBytes: number): void {
    const { key, value } = store.store.kv
    const parent = getUint64BE(key, 1)
    const label = `dentry ${nameOf(key.subarray(0, DENTRY_KEY_BYTES))} in directory ${parent}`
    this.#totals.dentries++
    const directory = this.#inodes.get(parent)
    if (directory === undefined) {
      if (this.#isWhole) store.fault(`${label}: there is no such directory`)
    } else if (!directory.isDamaged) {
      if (!directory.inode.isDirectory) store.fault(`${label}: that is no directory`)
      if (directory.inode.generation !== getUint32BE(key, 9)) {
        store.fault(`${label}: the directory has another generation`)
      }
      if (directory.inode.nlink === 0) store.fault(`${label}: the directory has been removed`)
    }
    if (dentryKeySerial(key) < FIRST_SERIAL) store.fault(`${label}: its serial is reserved`)
    if (valueBytes < 0) return
    const length = value[3] as number
    if (valueBytes !== DENTRY_HEAD_BYTES + length || length === 0) {
      store.fault(`${label}: its length is wrong`)
      return
    }
    const name = { bytes: value, offset: DENTRY_HEAD_BYTES, length }
    const raw = value.subarray(DENTRY_HEAD_BYTES, valueBytes)
    const text = JSON.stringify(new TextDecoder().decode(raw))
    if (text === '"."' || text === '".."' || raw.includes(SLASH) || raw.includes(0)) {
      store.fault(`${label}: ${text} is no name`)
    }
    if (this.#positions.ofDentry(parent, name) !== dentryKeyPosition(key)) {
      store.fault(`${label}: ${text} does not belong at its position`)
    }
    this.#duplicate(store, label, text, nameOf(raw))
    this.#child(store, label, text, parent, directory)
  }

  /** Entries that share a position follow each other. */
  #duplicate(store: StoreUnderCheck, label: string, text: string, bytes: string): void {
    const place = nameOf(store.store.kv.key.subarray(0, DENTRY_KEY_BYTES - 3))
    if (place !== this.#place.key) this.#place = { key: place, names: new Set() }
    if (this.#place.names.has(bytes)) store.fault(`${label}: ${text} is there twice`)
    this.#place.names.add(bytes)
  }

  #child(store: StoreUnderCheck, label: string, text: string, parent: number, directory: Known | undefined): void {
    const { words } = store
    const number = getWords(words, 2)
    const known = this.#inodes.get(number)
    if (known === undefined) {
      if (this.#isWhole) store.fault(`${label}: ${text} names inode ${number}, which is not there`)
      return
    }
    known.dentries++
    if (known.isDamaged) return
    const { inode } = known
    const kind = (((words[0] as number) >>> 16) & 0xff) << 12
    if (kind !== (inode.mode & S_IFMT)) store.fault(`${label}: ${text} has another kind than inode ${number}`)
    if (inode.generation !== words[1]) store.fault(`${label}: ${text} has another generation than inode ${number}`)
    if (!inode.isDirectory) return
    if (directory !== undefined) directory.subdirectories++
    if (number === ROOT_INODE) store.fault(`${label}: ${text} names the root directory`)
    if (inode.parent !== parent) store.fault(`inode ${number}: its parent is ${inode.parent}, but it is in ${parent}`)
    if (inode.parentGeneration !== (directory?.inode.generation ?? inode.parentGeneration)) {
      store.fault(`inode ${number}: its parent's generation is wrong`)
    }
  }
}
