/** A cluster in which each call's messages and syncs can be counted, and the calls themselves, as one kernel makes them. */

import { S_IFDIR, S_IFREG } from '../../lib/base/mode.js'
import { type Done, PENDING } from '../../lib/ports.js'
import { noChange } from '../../lib/share/attributes.js'
import { LOCK_END, type Lock } from '../../lib/share/locks.js'
import type { StatfsFigures } from '../../lib/wire/kernel.js'
import { NamesClient, named } from './names-client.js'
import { NamesWorld, ROOT } from './names-world.js'
import { Prng } from './prng.js'

/** Members of the cluster; the asker is none of them, so that whatever it does goes by messages. */
export const MEMBERS = 6
/** The root directory lies with the first one. */
export const [DIRECTORY_AT, ENTRY_AT, OTHER_AT, PARENT_AT, CHILD_AT] = [1, 2, 3, 4, 5]
const CHUNK_BYTES = 2 ** 16
/** What one request reads or writes. */
export const PAYLOAD_BYTES = 8192

export const FILE = S_IFREG | 0o644
export const DIRECTORY = S_IFDIR | 0o755
const CALLER = { uid: 1, gid: 2, pid: 3, umask: 0 }
const PLAIN = { killPrivileges: false, append: false }
/** Longer than anything goes on in the background. */
const REST_MS = 5000

/** What a call has cost. */
export interface Cost {
  /** Messages that had been answered, and syncs that had ended, when it returned. */
  readonly waited: number
  readonly syncs: number
  /** All messages, also those that came later. */
  readonly total: number
}

export class MessageStage {
  readonly world: NamesWorld
  readonly asker: NamesClient
  readonly directory: number

  constructor(seed: number) {
    this.world = new NamesWorld(new Prng(seed), { members: MEMBERS, storeless: 1 })
    this.asker = new NamesClient(this.world, this.world.nodes[MEMBERS] as NamesClient['node'])
    this.directory = this.directoryIn(ROOT, DIRECTORY_AT)
  }

  /** A name in the directory that lies with this member. */
  name(member: number, prefix = 'f', parent = this.directory): string {
    return this.asker.nameOn(parent, prefix, member)
  }

  directoryIn(parent: number, member: number, prefix = 'd'): number {
    return expect(this.asker.mknod(parent, this.name(member, prefix, parent), DIRECTORY))
  }

  /** A file whose entry and inode lie with this member; it is open. */
  file(member = ENTRY_AT, prefix = 'f'): number {
    return expect(this.asker.create(this.directory, this.name(member, prefix), FILE))
  }

  /** A file whose entry lies elsewhere than its inode; the entry's name. */
  movedFile(): string {
    this.file(ENTRY_AT, 'm')
    const to = this.name(OTHER_AT, 'm')
    expect(this.asker.rename(this.directory, this.name(ENTRY_AT, 'm'), this.directory, to))
    return to
  }

  /** A file with data beside its inode and with two more members. */
  spreadFile(): number {
    const number = this.file()
    expect(this.write(number, 0, PAYLOAD_BYTES))
    expect(this.write(number, this.between(number), PAYLOAD_BYTES))
    return number
  }

  /** Where a request has its first half with one member and its second half with another one, neither the inode's. */
  between(number: number): number {
    const { router } = this.asker.node.node
    for (let chunk = 1; ; chunk++) {
      const [first, second] = [router.ofChunk(number, chunk, 0), router.ofChunk(number, chunk + 1, 0)]
      if (first !== second && first !== ENTRY_AT && second !== ENTRY_AT) {
        return (chunk + 1) * CHUNK_BYTES - PAYLOAD_BYTES / 2
      }
    }
  }

  symlink(name: string, target: string): number {
    const { fs, pool } = this.asker.node
    return this.#withSlot((at) => {
      const { bytes } = named(target)
      pool.memory.set(bytes, at)
      const range = { bytes: pool.memory, offset: at, length: bytes.length }
      return this.asker.run((done) => fs.symlink(this.directory, named(name), range, CALLER, done))
    })
  }

  readlink(number: number): number {
    return this.#withSlot((at) => this.asker.run((done) => this.asker.node.fs.readlink(number, at, done)))
  }

  write(number: number, offset: number, bytes: number, append = false): number {
    const { fs, pool } = this.asker.node
    return this.#withSlot((at) => {
      pool.memory.fill(1, at, at + bytes)
      return this.asker.run((done) => fs.write(number, at, bytes, offset, { ...PLAIN, append }, done))
    })
  }

  read(number: number, offset: number, bytes: number): number {
    return this.#withSlot((at) => this.asker.run((done) => this.asker.node.fs.read(number, at, bytes, offset, done)))
  }

  copy(from: number, to: number, bytes: number): number {
    const { fs, pool } = this.asker.node
    return this.#withSlot((at) =>
      this.asker.run((done) => fs.copyFileRange(from, 0, to, 0, bytes, { at, bytes: pool.payloadBytes }, done)),
    )
  }

  truncate(number: number, size: number): number {
    const change = noChange()
    change.size = size
    return this.run((done) => this.asker.node.fs.setattr(number, change, done))
  }

  getxattr(number: number, name: string): number {
    const { fs } = this.asker.node
    return this.#withSlot((at) => this.asker.run((done) => fs.getxattr(number, named(name), at, 100, done)))
  }

  listxattr(number: number): number {
    return this.#withSlot((at) => this.asker.run((done) => this.asker.node.fs.listxattr(number, at, 100, false, done)))
  }

  /** One listing of a directory, as one getdents(2) asks for. */
  readdir(number: number): number {
    const { fs, pool } = this.asker.node
    return this.#withSlot((at) => {
      const listing = { plus: true, wanted: 4096, at, bytes: pool.payloadBytes }
      return this.asker.run((done) => fs.readdir(number, 0, () => true, listing, done))
    })
  }

  statfs(): number {
    const figures = { blocks: 0, blocksFree: 0, blocksAvailable: 0, files: 0, filesFree: 0, blockBytes: 0 }
    const out: StatfsFigures = { ...figures, nameBytesMax: 0 }
    return this.run((done) => this.asker.node.fs.statfs(out, done))
  }

  lock(type: number): Lock {
    return { owner: 'owner', handle: 1, pid: 100, type, start: 0, end: LOCK_END }
  }

  /** close(2) of a file's last descriptor: first it is flushed, and then it is no more. */
  close(number: number): number {
    const { fs } = this.asker.node
    const result = this.run((done) => fs.flush(number, 'owner', done))
    fs.release(number, 1, undefined)
    return result
  }

  run(operation: (done: Done) => number): number {
    return this.asker.run(operation)
  }

  /** True where a call returns although no sync ever ends. */
  returnsUnsynced(call: () => number): boolean {
    this.world.rest(REST_MS)
    for (const { kv, disk } of this.world.nodes) {
      kv.sync = () => undefined
      disk.sync = () => PENDING
    }
    return call() >= 0
  }

  /** What a call costs when nothing else goes on. */
  cost(call: () => number): Cost {
    const { world } = this
    world.rest(REST_MS)
    let [requests, replies] = [0, 0]
    world.network.keeps = (_method, isReply) => {
      if (isReply) replies++
      else requests++
      return false
    }
    const before = this.#syncs()
    expect(call())
    const [waited, syncs] = [replies, this.#syncs() - before]
    world.rest(REST_MS)
    return { waited, syncs, total: requests }
  }

  #syncs(): number {
    return this.world.nodes.reduce((sum, { kv, disk }) => sum + kv.syncs + disk.syncs, 0)
  }

  #withSlot(run: (at: number) => number): number {
    const { pool } = this.asker.node
    const slot = pool.acquire()
    const result = run(pool.payloadOf(slot))
    pool.release(slot)
    return result
  }
}

function expect(result: number): number {
  if (result < 0) throw new Error(`a call has failed: ${result}`)
  return result
}
