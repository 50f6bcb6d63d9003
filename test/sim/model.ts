/**
 * The oracle: what the file system must be like, kept in the plainest way. Nodes are copied before they change, so that
 * the state of every commit that a crash may bring back is at hand.
 */
import { isDirectory } from '../../lib/base/mode.js'
import { Contents } from './contents.js'

/** Sizes may be larger, but nothing is ever written beyond. */
export const WINDOW_BYTES = 32768

export interface Node {
  readonly number: number
  readonly generation: number
  mode: number
  nlink: number
  uid: number
  gid: number
  rdev: number
  size: number
  /** The first bytes of the file, up to {@link WINDOW_BYTES}; the rest is a hole. */
  data: Uint8Array
  /** The data does not lie in the metadata store. */
  isLarge: boolean
  readonly contents: Contents
  entries: ReadonlyMap<string, number>
  parent: number
  target: string
  xattrs: ReadonlyMap<string, string>
  /** Seconds and nanoseconds of atime, mtime and ctime. */
  times: readonly number[]
  epoch: number
}

export class Model {
  #nodes = new Map<number, Node>()
  /** Every inode that there ever was. */
  readonly #given = new Set<string>()
  #epoch = 0
  readonly #snapshots = new Map<number, Map<number, Node>>()

  get nodes(): ReadonlyMap<number, Node> {
    return this.#nodes
  }

  /** Throws where there is none: the driver only asks for what it holds. */
  node(number: number): Node {
    const node = this.#nodes.get(number)
    if (node === undefined) throw new Error(`the model has no inode ${number}`)
    return node
  }

  /** The node, to be changed. */
  change(number: number): Node {
    const node = this.node(number)
    if (node.epoch === this.#epoch) return node
    const copy = { ...node, epoch: this.#epoch }
    this.#nodes.set(number, copy)
    return copy
  }

  add(number: number, generation: number, mode: number): Node {
    // Not even after a power cut that has taken the first one away.
    const name = `${number}:${generation}`
    if (this.#given.has(name)) throw new Error(`inode ${number} was given twice`)
    this.#given.add(name)
    const node: Node = {
      number,
      generation,
      mode,
      nlink: 0,
      uid: 0,
      gid: 0,
      rdev: 0,
      size: 0,
      data: new Uint8Array(0),
      isLarge: false,
      contents: new Contents(),
      entries: new Map(),
      parent: 0,
      target: '',
      xattrs: new Map(),
      times: [0, 0, 0, 0, 0, 0],
      epoch: this.#epoch,
    }
    this.#nodes.set(number, node)
    return node
  }

  drop(number: number): void {
    this.#nodes.delete(number)
  }

  setEntry(directory: number, name: string, child: number | undefined): void {
    const node = this.change(directory)
    const entries = new Map(node.entries)
    if (child === undefined) entries.delete(name)
    else entries.set(name, child)
    node.entries = entries
  }

  write(number: number, offset: number, bytes: Uint8Array, commit: number): void {
    const end = offset + bytes.length
    if (end > this.node(number).size) this.resize(number, end, commit)
    const node = this.change(number)
    const data = Uint8Array.from(node.data)
    data.set(bytes, offset)
    node.data = data
  }

  resize(number: number, size: number, commit: number): void {
    const node = this.change(number)
    const data = new Uint8Array(Math.min(size, WINDOW_BYTES))
    data.set(node.data.subarray(0, data.length))
    if (size < node.size) node.contents.noteCut(size, commit)
    if (size === 0 && node.size > 0) node.isLarge = false
    node.data = data
    node.size = size
  }

  /** Remembers the present state as that of a commit. */
  snapshot(commit: number): void {
    this.#snapshots.set(commit, new Map(this.#nodes))
    this.#epoch++
  }

  /** Goes back to the state of a commit. */
  rollback(commit: number): void {
    const snapshot = this.#snapshots.get(commit)
    if (snapshot === undefined) throw new Error(`no snapshot of commit ${commit}`)
    for (const node of this.#nodes.values()) node.contents.undoAfter(commit)
    this.#nodes = new Map(snapshot)
    for (const node of this.#nodes.values()) node.contents.undoAfter(commit)
    this.#epoch++
    for (const later of this.#snapshots.keys()) if (later > commit) this.#snapshots.delete(later)
  }

  /** Forgets the states before a commit. */
  prune(commit: number): void {
    for (const earlier of this.#snapshots.keys()) {
      if (earlier >= commit) return
      this.#snapshots.delete(earlier)
    }
  }

  isBelow(number: number, ancestor: number): boolean {
    for (let at = number; ; at = this.node(at).parent) {
      if (at === ancestor) return true
      if (at === this.node(at).parent) return false
    }
  }
}

export const isDirectoryNode = (node: Node): boolean => isDirectory(node.mode)
