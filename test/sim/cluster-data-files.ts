import { noChange } from '../../lib/share/attributes.js'
import type { Done } from '../../lib/ports.js'
import { type DataNode, type DataWorld, PAYLOAD_BYTES } from './cluster-data-world.js'

/** A call on a file, as a node's kernel would make it. */
export interface FileCall {
  /** Its result: bytes or 0, or a negative errno. */
  result: number
  /** What was read, or the inode's size where that was asked for. */
  bytes: Uint8Array
  size: number
  /** Its ctime and its mtime where that was asked for, in seconds and nanoseconds. */
  times?: readonly (readonly [number, number])[]
}

type Ended = (call: FileCall) => void

/** The calls on files that tests make: each takes a slot of the node's pool, as a request of its kernel does. */
export class Files {
  readonly world: DataWorld

  constructor(world: DataWorld) {
    this.world = world
  }

  read(node: DataNode, number: number, offset: number, bytes: number, ended: Ended): void {
    this.#withSlot(node, ended, (at, call, done) =>
      node.fs.read(number, at, bytes, offset, (result) => {
        if (result > 0) call.bytes = node.pool.memory.slice(at, at + result)
        done(result)
      }),
    )
  }

  write(node: DataNode, number: number, offset: number, data: Uint8Array, append: boolean, ended: Ended): void {
    this.#withSlot(node, ended, (at, _call, done) => {
      node.pool.memory.set(data, at)
      return node.fs.write(number, at, data.length, offset, { killPrivileges: false, append }, done)
    })
  }

  truncate(node: DataNode, number: number, size: number, ended: Ended): void {
    const change = noChange()
    change.size = size
    this.#bare(node, ended, (done) => node.fs.setattr(number, change, done))
  }

  /** open(2) with O_TRUNC. */
  empty(node: DataNode, number: number, ended: Ended): void {
    const flags = { exclusive: false, truncate: true, killPrivileges: false }
    this.#bare(node, ended, (done) => node.fs.open(number, flags, done))
  }

  open(node: DataNode, number: number, ended: Ended): void {
    const flags = { exclusive: false, truncate: false, killPrivileges: false }
    this.#bare(node, ended, (done) => node.fs.open(number, flags, done))
  }

  allocate(node: DataNode, number: number, mode: number, offset: number, bytes: number, ended: Ended): void {
    this.#bare(node, ended, (done) => node.fs.fallocate(number, mode, offset, bytes, done))
  }

  seek(node: DataNode, number: number, offset: number, whence: number, ended: Ended): void {
    this.#bare(node, ended, (done) => node.fs.lseek(number, offset, whence, done))
  }

  fsync(node: DataNode, number: number, ended: Ended): void {
    this.#bare(node, ended, (done) => node.fs.fsync(number, done))
  }

  stat(node: DataNode, number: number, ended: Ended): void {
    const call: FileCall = { result: 0, bytes: new Uint8Array(0), size: 0 }
    const seen = (result: number): number => {
      if (result === 0) {
        const { size, ctime, ctimeNs, mtime, mtimeNs } = node.fs.found
        call.size = size
        call.times = [
          [ctime, ctimeNs],
          [mtime, mtimeNs],
        ]
      }
      return result
    }
    this.world.start(
      node,
      (done) => seen(node.fs.getattr(number, (late) => done(seen(late)))),
      (result) => ended({ ...call, result }),
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

  #bare(node: DataNode, ended: Ended, run: (done: Done) => number): void {
    this.world.start(node, run, (result) => ended({ result, bytes: new Uint8Array(0), size: 0 }))
  }

  #withSlot(node: DataNode, ended: Ended, run: (at: number, call: FileCall, done: Done) => number): void {
    const slot = node.pool.acquire()
    if (slot < 0) throw new Error('no slot is left')
    const at = node.pool.payloadOf(slot)
    const call: FileCall = { result: 0, bytes: new Uint8Array(0), size: 0 }
    const seen = (result: number): number => {
      // What was read at once has not gone through the callback.
      if (result > 0 && call.bytes.length === 0)
        call.bytes = node.pool.memory.slice(at, at + Math.min(result, PAYLOAD_BYTES))
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
