import type { Cluster } from '../../lib/fs/cluster.js'
import type { Done } from '../../lib/ports.js'
import { noChange } from '../../lib/share/attributes.js'
import type { NumberedInode } from '../../lib/wire/struct.js'
import { named } from './names-client.js'
import type { SimPool } from './pool.js'

/** A call on a file, as a node's kernel would make it. */
export interface FileCall {
  /** Its result: bytes or 0, or a negative errno. */
  result: number
  /** What was read, or the inode's size where that was asked for. */
  bytes: Uint8Array
  size: number
  /** The inode, where that was asked for. */
  inode: NumberedInode | undefined
}

interface FileNode {
  readonly fs: Cluster
  readonly pool: SimPool
}

interface FileWorld<N> {
  /** Starts an operation; `ended` is called as its caller would be answered. */
  start(node: N, operation: (done: Done) => number, ended: Done): void
  until(isDone: () => boolean): void
}

type Ended = (call: FileCall) => void

/** The calls on files that tests make: each takes a slot of the node's pool, as a request of its kernel does. */
export class Files<N extends FileNode> {
  readonly world: FileWorld<N>

  constructor(world: FileWorld<N>) {
    this.world = world
  }

  read(node: N, number: number, offset: number, bytes: number, ended: Ended): void {
    this.#withSlot(node, ended, (at, call, done) =>
      node.fs.read(number, at, bytes, offset, (result) => {
        if (result > 0) call.bytes = node.pool.memory.slice(at, at + result)
        done(result)
      }),
    )
  }

  write(node: N, number: number, offset: number, data: Uint8Array, append: boolean, ended: Ended): void {
    this.#withSlot(node, ended, (at, _call, done) => {
      node.pool.memory.set(data, at)
      return node.fs.write(number, at, data.length, offset, { killPrivileges: false, append }, done)
    })
  }

  truncate(node: N, number: number, size: number, ended: Ended): void {
    const change = noChange()
    change.size = size
    this.#bare(node, ended, (done) => node.fs.setattr(number, change, done))
  }

  /** open(2) with O_TRUNC. */
  empty(node: N, number: number, ended: Ended): void {
    const flags = { exclusive: false, truncate: true, killPrivileges: false }
    this.#bare(node, ended, (done) => node.fs.open(number, flags, done))
  }

  open(node: N, number: number, ended: Ended): void {
    const flags = { exclusive: false, truncate: false, killPrivileges: false }
    this.#bare(node, ended, (done) => node.fs.open(number, flags, done))
  }

  allocate(node: N, number: number, mode: number, offset: number, bytes: number, ended: Ended): void {
    this.#bare(node, ended, (done) => node.fs.fallocate(number, mode, offset, bytes, done))
  }

  seek(node: N, number: number, offset: number, whence: number, ended: Ended): void {
    this.#bare(node, ended, (done) => node.fs.lseek(number, offset, whence, done))
  }

  fsync(node: N, number: number, ended: Ended): void {
    this.#bare(node, ended, (done) => node.fs.fsync(number, done))
  }

  stat(node: N, number: number, ended: Ended): void {
    const call = nothing(0)
    const seen = (result: number): number => {
      if (result === 0) {
        call.inode = { ...node.fs.found }
        call.size = call.inode.size
      }
      return result
    }
    this.world.start(
      node,
      (done) => seen(node.fs.getattr(number, (late) => done(seen(late)))),
      (result) => ended({ ...call, result }),
    )
  }

  chmod(node: N, number: number, mode: number, ended: Ended): void {
    const change = noChange()
    change.mode = mode
    this.#bare(node, ended, (done) => node.fs.setattr(number, change, done))
  }

  setxattr(node: N, number: number, name: string, value: Uint8Array, ended: Ended): void {
    this.#withSlot(node, ended, (at, _call, done) => {
      const { memory } = node.pool
      memory.set(value, at)
      const range = { bytes: memory, offset: at, length: value.length }
      return node.fs.setxattr(number, named(name), range, 0, false, done)
    })
  }

  getxattr(node: N, number: number, name: string, ended: Ended): void {
    this.#withSlot(node, ended, (at, call, done) =>
      node.fs.getxattr(number, named(name), at, 1000, (result) => {
        if (result > 0) call.bytes = node.pool.memory.slice(at, at + result)
        done(result)
      }),
    )
  }

  /** Runs one of these to its end. */
  now(start: (ended: Ended) => void): FileCall {
    let ended: FileCall | undefined
    start((call) => {
      ended = call
    })
    this.world.until(() => ended !== undefined)
    return ended as FileCall
  }

  #bare(node: N, ended: Ended, run: (done: Done) => number): void {
    this.world.start(node, run, (result) => ended(nothing(result)))
  }

  #withSlot(node: N, ended: Ended, run: (at: number, call: FileCall, done: Done) => number): void {
    const slot = node.pool.acquire()
    if (slot < 0) throw new Error('no slot is left')
    const at = node.pool.payloadOf(slot)
    const call = nothing(0)
    const seen = (result: number): number => {
      // What was read at once has not gone through the callback.
      if (result > 0 && call.bytes.length === 0)
        call.bytes = node.pool.memory.slice(at, at + Math.min(result, node.pool.payloadBytes))
      return result
    }
    this.world.start(
      node,
      (done) => seen(run(at, call, done)),
      (result) => {
        node.pool.release(slot)
        ended({ ...call, result })
      },
    )
  }
}

const nothing = (result: number): FileCall => ({ result, bytes: new Uint8Array(0), size: 0, inode: undefined })
