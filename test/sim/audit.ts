/** Compares everything there is with the model, and the records and files below with each other. */

import type { InodeNumber } from '../../lib/base/ids.js'
import { isDirectory, isSymlink } from '../../lib/base/mode.js'
import { Inode } from '../../lib/meta/inode.js'
import {
  getInode,
  getUint32BE,
  getUint64BE,
  getWords,
  KEY_DENTRY,
  KEY_FREE,
  KEY_INLINE,
  KEY_INODE,
  KEY_ORPHAN,
  KEY_XATTR,
} from '../../lib/wire/records.js'
import type { Bench } from './bench.js'
import type { Crash } from './kv.js'
import { isDirectoryNode, type Node, WINDOW_BYTES } from './model.js'
import { PAYLOAD_BYTES } from './world.js'

export class Audit {
  readonly #bench: Bench

  constructor(bench: Bench) {
    this.#bench = bench
  }

  /** The whole tree, when nothing is under way. */
  tree(): void {
    if (this.#bench.inFlight > 0) return
    this.#nodes((node, seen) => {
      const wrong = node.contents.firstWrong(seen, 0, [node.data])
      if (node.contents.hasFaults) this.#adopt(node, seen, false)
      return wrong
    })
    this.#records()
  }

  /** The same after a crash that has left the state of commit `kept`; what may be of several kinds is now settled. */
  afterCrash(kind: Crash, kept: number): void {
    this.#nodes((node, seen) => {
      const { contents, data, isLarge } = node
      const inline = seen.findIndex((byte, index) => byte !== data[index])
      let wrong = inline
      if (isLarge && kind === 'process') wrong = contents.firstWrong(seen, 0, [data])
      else if (isLarge) wrong = contents.firstWrongAfterPowerCut(seen, kept)
      this.#adopt(node, seen, kind === 'power')
      return wrong
    })
    this.#records()
  }

  /** After enough time nothing is left to be removed. */
  settled(): void {
    this.#bench.world.settle()
    const { claimed, free } = this.#records()
    for (const id of this.#files()) {
      this.#bench.check(claimed.has(id), `file ${id} is nobody's${free.has(id) ? ', and still queued' : ''}`)
    }
  }

  /** After a clean end the queues are empty. */
  nothingQueued(): void {
    const { claimed, free, orphans } = this.#records()
    this.#bench.check(free.size === 0, `${free.size} backing files are still to be removed`)
    this.#bench.check(orphans.size === 0, `${orphans.size} inodes without a name are left`)
    for (const id of this.#files()) this.#bench.check(claimed.has(id), `file ${id} is nobody's`)
  }

  #files(): number[] {
    return this.#bench.world.disk.list(0, Number.MAX_SAFE_INTEGER)
  }

  #adopt(node: Node, seen: Uint8Array, durable: boolean): void {
    const changed = this.#bench.model.change(node.number)
    changed.data = seen
    changed.contents.adopt(seen, durable)
  }

  /** Compares each node; `firstWrong` judges the bytes that were read. */
  #nodes(firstWrong: (node: Node, seen: Uint8Array) => number): void {
    const bench: Bench = this.#bench
    const { meta, xattrs } = bench.world.share
    for (const { number } of [...bench.model.nodes.values()]) {
      bench.verify(number, '-')
      const node = bench.model.node(number)
      if (isDirectoryNode(node)) this.#directory(node)
      else if (isSymlink(node.mode)) {
        const { bytes, offset, length } = bench.world.share.readlink(number)
        const target = String.fromCharCode(...bytes.subarray(offset, offset + length))
        bench.check(target === node.target, `target of ${number}`)
      } else {
        const wrong = firstWrong(node, this.#read(node))
        bench.check(wrong < 0, `byte ${wrong} of ${number} is wrong`)
      }
      const into = new Uint8Array(8192)
      const names = xattrs.list(number, into, 0, into.length, true)
      const expected = [...node.xattrs.keys()].sort().map((name) => `${name}\0`)
      bench.check(String.fromCharCode(...into.subarray(0, names)) === expected.join(''), `attributes of ${number}`)
      for (const [name, value] of node.xattrs) {
        const length = xattrs.get(number, bench.name(name), into, 0, into.length)
        bench.check(String.fromCharCode(...into.subarray(0, length)) === value, `${name} of ${number}`)
      }
    }
    bench.check(!meta.isOpen || meta.endTurn() === 0, 'a commit failed')
    bench.model.snapshot(bench.world.kv.commits)
  }

  #directory(node: Node): void {
    const left = new Map(node.entries)
    this.#bench.world.share.readdir(node.number, 0, (child, _, cookie, name) => {
      const text = String.fromCharCode(...name.bytes.subarray(name.offset, name.offset + name.length))
      if (cookie > 2) {
        this.#bench.check(left.get(text) === child, `entry ${text.slice(0, 9)} of ${node.number} is ${child}`)
        left.delete(text)
      }
      return true
    })
    this.#bench.check(left.size === 0, `${node.number} has lost ${[...left.keys()]}`)
  }

  #read({ number, size }: Node): Uint8Array {
    const { pool, share } = this.#bench.world
    const seen = new Uint8Array(Math.min(size, WINDOW_BYTES))
    const slot = pool.acquire()
    const at = pool.payloadOf(slot)
    for (let offset = 0; offset < seen.length; offset += PAYLOAD_BYTES) {
      const bytes = Math.min(PAYLOAD_BYTES, seen.length - offset)
      let result: number
      do result = this.#bench.finish((done) => share.read(number, at, bytes, offset, done))
      while (result === -5 && this.#bench.world.disk.faults.errorOneIn > 0)
      this.#bench.check(result === bytes, `reading ${bytes} of ${number} at ${offset}: ${result}`)
      seen.set(pool.memory.subarray(at, at + bytes), offset)
    }
    pool.release(slot)
    this.#bench.verify(number, '-')
    return seen
  }

  /** The records among themselves and with the files: nothing dangles, and nothing is counted wrongly. */
  #records(): { claimed: Set<number>; free: Set<number>; orphans: Set<number> } {
    const { world, model, holds } = this.#bench
    const check: (condition: boolean, message: string) => void = (condition, message) =>
      this.#bench.check(condition, message)
    const inodes = new Map<number, Inode>()
    const links = new Map<number, number>()
    const [claimed, free, orphans] = [new Set<number>(), new Set<number>(), new Set<number>()]
    const owners: [string, number][] = []
    const link = (number: number): void => void links.set(number, (links.get(number) ?? 0) + 1)
    for (const [key, value] of world.kv.records()) {
      const id = key.length >= 9 ? getUint64BE(key, 1) : 0
      const words = new Uint32Array(value.buffer.slice(0, value.length & ~3))
      if (key[0] === KEY_INODE) {
        const inode = new Inode(id as InodeNumber)
        check(getInode(words, value.length, inode) === null, 'a damaged inode')
        inodes.set(id, inode)
        check(!claimed.has(inode.backing), `file ${inode.backing} is claimed twice`)
        if (inode.backing !== 0) claimed.add(inode.backing)
      } else if (key[0] === KEY_DENTRY) {
        owners.push(['entry', id], ['child', getWords(words, 2)])
        link(getWords(words, 2))
        if (isDirectory((value[2] as number) << 12)) link(id)
        check(getUint32BE(key, 9) === model.node(id).generation, 'an entry of a directory that is gone')
      } else if (key[0] === KEY_FREE) free.add(id)
      else if (key[0] === KEY_ORPHAN) orphans.add(id)
      else if (key[0] === KEY_INLINE || key[0] === KEY_XATTR) owners.push(['record', id])
    }
    for (const [what, id] of owners) check(inodes.has(id), `${what} of inode ${id}, which is gone`)
    check(inodes.size === model.nodes.size, `inodes ${[...inodes.keys()]}, not ${[...model.nodes.keys()]}`)
    for (const [number, inode] of inodes) {
      const own = number === 1 ? 2 : inode.isDirectory && inode.nlink > 0 ? 1 : 0
      check(inode.nlink === (links.get(number) ?? 0) + own, `nlink of ${number} is ${inode.nlink}`)
      if (inode.nlink === 0) check(orphans.has(number) && holds.has(number), `inode ${number} is nobody's`)
    }
    for (const number of orphans) check(inodes.get(number)?.nlink === 0, `inode ${number} is no orphan`)
    for (const id of claimed) check(!free.has(id), `file ${id} is claimed and free`)
    for (const id of this.#files()) check(claimed.has(id) || free.has(id), `file ${id} is nobody's`)
    return { claimed, free, orphans }
  }
}
