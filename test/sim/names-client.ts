/** What a process on one node of a simulated cluster does with names, by system calls, one at a time. */
import { ENOENT } from '../../lib/base/errno.js'
import type { ByteRange } from '../../lib/base/ids.js'
import type { OpenFlags } from '../../lib/fs/operations.js'
import type { Done } from '../../lib/ports.js'
import type { Positions } from '../../lib/ring/position.js'
import { noChange } from '../../lib/share/attributes.js'
import type { NumberedInode } from '../../lib/wire/struct.js'
import type { ClusterNode, Operation } from './cluster-node.js'

export const CALLER = { uid: 1, gid: 2, pid: 3, umask: 0 }

export const named = (text: string): ByteRange => {
  const bytes = new TextEncoder().encode(text)
  return { bytes, offset: 0, length: bytes.length }
}

export const OPEN: OpenFlags = { exclusive: false, truncate: false, killPrivileges: false }

/** What a client needs of its world: time that passes, and who has what. */
export interface ClientWorld {
  readonly positions: Positions
  owner(position: number): number
  /** Lets time pass until the operation has ended; its result. */
  run(node: ClusterNode, operation: (done: Done) => number): number
}

export class NamesClient {
  readonly world: ClientWorld
  readonly node: ClusterNode

  constructor(world: ClientWorld, node: ClusterNode) {
    this.world = world
    this.node = node
  }

  /** The inode of a path below the root, or a negative errno; the kernel holds all that lies on the way. */
  walk(path: readonly string[]): number {
    let number = 1
    for (const name of path) {
      number = this.lookup(number, name)
      if (number < 0) return number
    }
    return number
  }

  lookup(parent: number, name: string): number {
    return this.#found((done) => this.node.fs.lookup(parent, named(name), done))
  }

  mknod(parent: number, name: string, mode: number): number {
    return this.#found((done) => this.node.fs.mknod(parent, named(name), mode, 0, CALLER, done))
  }

  create(parent: number, name: string, mode: number, flags = OPEN): number {
    return this.#found((done) => this.node.fs.create(parent, named(name), mode, flags, CALLER, done))
  }

  tmpfile(parent: number, mode: number): number {
    return this.#found((done) => this.node.fs.tmpfile(parent, mode, CALLER, done))
  }

  open(number: number, flags = OPEN): number {
    return this.run((done) => this.node.fs.open(number, flags, done))
  }

  release(number: number, handle = 0): number {
    return this.run(() => {
      this.node.fs.release(number, handle, undefined)
      return 0
    })
  }

  link(number: number, parent: number, name: string): number {
    return this.#found((done) => this.node.fs.link(number, parent, named(name), done))
  }

  unlink(parent: number, name: string): number {
    return this.run((done) => this.node.fs.unlink(parent, named(name), done))
  }

  rmdir(parent: number, name: string): number {
    return this.run((done) => this.node.fs.rmdir(parent, named(name), done))
  }

  rename(parent: number, name: string, toParent: number, toName: string, flags = 0): number {
    return this.run((done) => this.node.fs.rename(parent, named(name), toParent, named(toName), flags, done))
  }

  chmod(number: number, mode: number): number {
    const change = noChange()
    change.mode = mode
    return this.run((done) => this.node.fs.setattr(number, change, done))
  }

  chown(number: number, gid: number): number {
    const change = noChange()
    change.gid = gid
    return this.run((done) => this.node.fs.setattr(number, change, done))
  }

  setxattr(number: number, name: string, value: Uint8Array): number {
    const { fs, pool } = this.node
    const slot = this.#slot()
    const at = pool.payloadOf(slot)
    pool.memory.set(value, at)
    const range = { bytes: pool.memory, offset: at, length: value.length }
    const result = this.run((done) => fs.setxattr(number, named(name), range, 0, false, done))
    pool.release(slot)
    return result
  }

  getxattr(number: number, name: string): Uint8Array | undefined {
    const { fs, pool } = this.node
    const slot = this.#slot()
    const at = pool.payloadOf(slot)
    const result = this.run((done) => fs.getxattr(number, named(name), at, 1000, done))
    const value = pool.memory.slice(at, at + Math.max(result, 0))
    pool.release(slot)
    return result < 0 ? undefined : value
  }

  /** Writes at the start of the file; bytes, or an errno. */
  write(number: number, text: string): number {
    const { fs, pool } = this.node
    const slot = this.#slot()
    const { bytes } = named(text)
    pool.memory.set(bytes, pool.payloadOf(slot))
    const how = { killPrivileges: false, append: false }
    const result = this.run((done) => fs.write(number, pool.payloadOf(slot), bytes.length, 0, how, done))
    pool.release(slot)
    return result
  }

  /** What the file begins with, or an errno. */
  read(number: number): string | number {
    const { fs, pool } = this.node
    const slot = this.#slot()
    const at = pool.payloadOf(slot)
    const result = this.run((done) => fs.read(number, at, 100, 0, done))
    const text = new TextDecoder().decode(pool.memory.slice(at, at + Math.max(result, 0)))
    pool.release(slot)
    return result < 0 ? result : text
  }

  fsync(number: number): number {
    return this.run((done) => this.node.fs.fsync(number, done))
  }

  named(text: string): ByteRange {
    return named(text)
  }

  /** A name in the directory whose entry lies with this member: always the same one. */
  nameOn(parent: number, prefix: string, member: number): string {
    for (let count = 0; ; count++) {
      const text = `${prefix}${count}`
      if (this.world.owner(this.world.positions.ofDentry(parent, named(text))) === member) return text
    }
  }

  /** The inode's attributes, or an errno. */
  stat(number: number): NumberedInode | number {
    const error = this.run((done) => this.node.fs.getattr(number, done))
    return error < 0 ? error : { ...this.node.fs.found }
  }

  /** The entries of a directory by name, or an errno. */
  list(directory: number): Map<string, number> | number {
    const entries = new Map<string, number>()
    const error = this.#list(directory, (name, child) => void entries.set(name, child))
    return error < 0 ? error : entries
  }

  /** The names in a directory as they are listed. */
  listAll(directory: number): string[] {
    const names: string[] = []
    const error = this.#list(directory, (name) => void names.push(name))
    if (error < 0) throw new Error(`readdir: ${error}`)
    return names
  }

  /** Lists a directory by as many calls as it takes; `ended` gets 0 or an errno, unless the node dies. */
  beginList(directory: number, visit: (name: string, child: number) => void, ended: Done): void {
    const slot = this.#slot()
    let cookie = 0
    const next = (): void => {
      const before = cookie
      const seen = (at: number): void => {
        cookie = at
      }
      this.begin(this.#readdir(directory, cookie, slot, visit, seen), ({ resultOrError: result }) => {
        // The next one is no part of the turn in which this one has ended.
        if (result === 0 && cookie !== before) this.node.clock.after(0, next)
        else {
          this.node.pool.release(slot)
          ended(result)
        }
      })
    }
    next()
  }

  #list(directory: number, visit: (name: string, child: number) => void): number {
    const slot = this.#slot()
    let [cookie, before, error] = [0, -1, 0]
    while (error === 0 && cookie !== before) {
      before = cookie
      const seen = (at: number): void => {
        cookie = at
      }
      error = this.run(this.#readdir(directory, cookie, slot, visit, seen))
    }
    this.node.pool.release(slot)
    return error
  }

  #readdir(
    directory: number,
    cookie: number,
    slot: number,
    visit: (name: string, child: number) => void,
    seen: (cookie: number) => void,
  ): (done: Done) => number {
    const { fs, pool } = this.node
    const listing = { plus: true, wanted: 4096, at: pool.payloadOf(slot), bytes: pool.payloadBytes }
    return (done) =>
      fs.readdir(
        directory,
        cookie,
        (child, _kind, next, { bytes, offset, length }) => {
          seen(next)
          const name = new TextDecoder().decode(bytes.slice(offset, offset + length))
          if (next > 2) visit(name, child)
          return true
        },
        listing,
        done,
      )
  }

  run(operation: (done: Done) => number): number {
    return this.world.run(this.node, operation)
  }

  begin(operation: (done: Done) => number, ended?: (operation: Operation) => void): Operation {
    return this.node.begin(operation, ended)
  }

  #slot(): number {
    const slot = this.node.pool.acquire()
    if (slot < 0) throw new Error('no slot is free')
    return slot
  }

  #found(operation: (done: Done) => number): number {
    let number = -ENOENT
    // What was found is right only until the next operation begins.
    const taken = (result: number): number => {
      if (result < 0) return result
      const { found } = this.node.fs
      this.node.fs.hold(found)
      number = found.number
      return 0
    }
    const result = this.run((done) => {
      const immediate = operation((late) => done(taken(late)))
      return immediate >= 0 ? taken(immediate) : immediate
    })
    return result < 0 ? result : number
  }
}
