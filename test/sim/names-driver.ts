/** Random operations on names from all nodes, one at a time, each compared with the model. */
import { S_IFDIR, S_IFLNK, S_IFREG } from '../../lib/base/mode.js'
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../lib/share/remove.js'
import { NamesClient } from './names-client.js'
import { type ModelInode, NamesModel } from './names-model.js'
import { NamesWorld, ROOT, type WorldOptions } from './names-world.js'
import { Prng } from './prng.js'

const NAMES = ['a', 'b', 'c', 'd', 'e']
const INODES_MAX = 40

export class NamesDriver {
  readonly prng: Prng
  readonly world: NamesWorld
  readonly model = new NamesModel(ROOT)
  readonly clients: NamesClient[]
  /** Inodes that each node's kernel holds. */
  readonly #held: Set<number>[]
  /** Openings of each node. */
  readonly #opens: number[][]
  readonly #trace: (line: string) => void

  constructor(seed: number, options: WorldOptions, trace: (line: string) => void = () => {}) {
    this.prng = new Prng(seed)
    this.world = new NamesWorld(this.prng, options)
    this.clients = this.world.nodes.map((node) => new NamesClient(this.world, node))
    this.#held = this.clients.map(() => new Set([ROOT]))
    this.#opens = this.clients.map(() => [])
    this.#trace = trace
  }

  run(operations: number): void {
    for (let at = 0; at < operations; at++) {
      this.#operate()
      if (this.prng.oneIn(20)) this.compare()
    }
    this.compare()
  }

  /** Everything, as every node sees it. */
  compare(): void {
    this.world.rest(30)
    for (const client of this.clients) {
      for (const inode of this.model.inodes.values()) {
        if (this.model.path(inode.number) !== undefined) this.#compareInode(client, inode)
      }
    }
  }

  /** Ends all openings, and proves that nothing is left over. */
  end(): void {
    for (const [index, opens] of this.#opens.entries()) {
      for (const number of opens.splice(0)) this.#release(index, number)
    }
    this.compare()
    this.world.settle()
    this.check(this.world.faults.length === 0, this.world.faults.join('\n'))
    const found = this.world.audit()
    this.check(found.length === 0, found.join('\n'))
  }

  check(condition: boolean, message: string): void {
    if (!condition) throw new Error(message)
  }

  #compareInode(client: NamesClient, { number, nlink, isDirectory, entries, parent }: ModelInode): void {
    if (!this.#hold(client, number)) throw new Error(`inode ${number} is not found by node ${client.node.index}`)
    const found = client.stat(number)
    if (typeof found === 'number') throw new Error(`stat of ${number} by node ${client.node.index}: ${found}`)
    this.check(found.nlink === nlink, `inode ${number} has ${found.nlink} links, not ${nlink}`)
    if (!isDirectory) return
    this.check(found.parent === parent, `directory ${number} is in ${found.parent}, not in ${parent}`)
    const listed = client.list(number)
    if (typeof listed === 'number') throw new Error(`readdir of ${number}: ${listed}`)
    const [is, should] = [listed, entries].map((map) => JSON.stringify([...map].sort()))
    this.check(is === should, `directory ${number} has ${is}, not ${should}`)
  }

  /** Makes the node's kernel hold an inode; false where it cannot. */
  #hold(client: NamesClient, number: number): boolean {
    const held = this.#held[client.node.index] as Set<number>
    if (held.has(number)) return true
    const path = this.model.path(number)
    if (path === undefined) return false
    const found = client.walk(path)
    this.check(found === number, `${path.join('/')} is ${found}, not ${number}, for node ${client.node.index}`)
    held.add(number)
    return true
  }

  #operate(): void {
    const client = this.prng.pick(this.clients)
    const operations: ((client: NamesClient, parent: number, name: string) => void)[] = [
      (by, parent, name) => this.#make(by, parent, name),
      (by, parent, name) => this.#make(by, parent, name),
      (by, parent, name) => this.#create(by, parent, name),
      (by, parent, name) => this.#link(by, parent, name),
      (by, parent, name) => this.#expect('unlink', by.unlink(parent, name), this.model.unlink(parent, name)),
      (by, parent, name) => this.#expect('rmdir', by.rmdir(parent, name), this.model.rmdir(parent, name)),
      (by, parent, name) => this.#rename(by, parent, name),
      (by, parent, name) => this.#rename(by, parent, name),
      (by, parent, name) => this.#lookup(by, parent, name),
      (by) => this.#openOrRelease(by),
      (by, parent) => this.#temporary(by, parent),
    ]
    const parent = this.#directory(client)
    const name = this.prng.pick(NAMES)
    this.#trace(`node ${client.node.index}, directory ${parent}, name ${name}`)
    this.prng.pick(operations)(client, parent, name)
  }

  /** A directory that the node holds; by chance one that was removed. */
  #directory(client: NamesClient): number {
    const directories = [...this.model.inodes.values()].filter(({ isDirectory }) => isDirectory)
    const number = this.prng.pick(directories).number
    return this.#hold(client, number) ? number : ROOT
  }

  #expect(what: string, result: number, errors: readonly number[]): boolean {
    this.#trace(`  ${what}: ${result}`)
    const isRight = errors.length === 0 ? result >= 0 : errors.includes(-result)
    this.check(isRight, `${what}: ${result}, not ${errors.join(' or ')}`)
    return result >= 0
  }

  #make(client: NamesClient, parent: number, name: string): void {
    const isFull = this.model.inodes.size >= INODES_MAX
    const kind = this.prng.pick(isFull ? [S_IFREG] : [S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK])
    if (kind === S_IFLNK) return
    const errors = this.model.errorsOfNew(parent, name)
    const number = client.mknod(parent, name, kind | 0o755)
    if (!this.#expect(`mknod ${kind.toString(8)}`, number, errors)) return
    this.model.make(parent, name, number, kind === S_IFDIR)
    this.#held[client.node.index]?.add(number)
  }

  #create(client: NamesClient, parent: number, name: string): void {
    const exclusive = this.prng.oneIn(2)
    const existing = this.model.lookup(parent, name)
    const inode = this.model.get(existing ?? 0)
    // The kernel opens what is no file by itself.
    if (inode?.isDirectory === true) return
    const errors = existing !== undefined && !exclusive ? [] : this.model.errorsOfNew(parent, name)
    const number = client.create(parent, name, 0o644, { exclusive, truncate: false, killPrivileges: false })
    if (!this.#expect(`create ${exclusive}`, number, errors)) return
    if (existing === undefined) this.model.make(parent, name, number, false)
    else this.check(number === existing, `create has opened ${number}, not ${existing}`)
    this.model.open(number)
    this.#held[client.node.index]?.add(number)
    this.#opens[client.node.index]?.push(number)
  }

  #link(client: NamesClient, parent: number, name: string): void {
    const { number } = this.prng.pick([...this.model.inodes.values()])
    if (!this.#hold(client, number)) return
    this.#expect(`link ${number}`, client.link(number, parent, name), this.model.link(number, parent, name))
  }

  #rename(client: NamesClient, parent: number, name: string): void {
    const toParent = this.prng.oneIn(3) ? parent : this.#directory(client)
    const toName = this.prng.pick(NAMES)
    const flags = this.prng.pick([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE])
    const result = client.rename(parent, name, toParent, toName, flags)
    const errors = this.model.rename(parent, name, toParent, toName, flags)
    this.#expect(`rename to ${toName} in ${toParent}, flags ${flags}`, result, errors)
  }

  #lookup(client: NamesClient, parent: number, name: string): void {
    const number = this.model.lookup(parent, name)
    const found = client.lookup(parent, name)
    this.#expect('lookup', found, number === undefined ? [2] : [])
    if (number === undefined) return
    this.check(found === number, `lookup has found ${found}, not ${number}`)
    this.#held[client.node.index]?.add(number)
  }

  #openOrRelease(client: NamesClient): void {
    const opens = this.#opens[client.node.index] as number[]
    if (opens.length > 0 && this.prng.oneIn(2)) {
      const [number] = opens.splice(this.prng.below(opens.length), 1)
      this.#release(client.node.index, number as number)
      return
    }
    const files = [...this.model.inodes.values()].filter(({ isDirectory }) => !isDirectory)
    if (files.length === 0) return
    const { number } = this.prng.pick(files)
    if (!this.#hold(client, number)) return
    if (this.#expect(`open ${number}`, client.open(number), this.model.open(number))) opens.push(number)
  }

  #release(index: number, number: number): void {
    const client = this.clients[index] as NamesClient
    // Whatever has become of its names, what is open can be looked at.
    const found = client.stat(number)
    this.check(typeof found === 'object', `inode ${number} is open at node ${index}, and is gone: ${found}`)
    client.release(number)
    this.model.release(number)
    this.#trace(`  release ${number}`)
    if (this.model.get(number) !== undefined) return
    this.world.rest(30)
    const isGone = this.world.nodes.every(({ share }) => share.meta.find(number) === undefined)
    this.check(isGone, `inode ${number} is still there`)
  }

  #temporary(client: NamesClient, parent: number): void {
    if (this.model.inodes.size >= INODES_MAX) return
    const number = client.tmpfile(parent, 0o600)
    if (!this.#expect('tmpfile', number, [])) return
    this.model.temporary(number)
    this.#held[client.node.index]?.add(number)
    this.#opens[client.node.index]?.push(number)
  }
}
