/**
 * Many operations on few names at a time, without end and without a look at what they say: nobody may wait for ever,
 * and in the end everything fits together.
 */
import { S_IFDIR, S_IFREG } from '../../lib/base/mode.js'
import type { Done } from '../../lib/ports.js'
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../lib/share/remove.js'
import { NamesClient, named } from './names-client.js'
import type { StormOptions } from './names-storm.js'
import { treeOf } from './names-tree.js'
import { NamesWorld, ROOT } from './names-world.js'
import { Prng } from './prng.js'

const NAMES = ['a', 'b', 'c', 'd']
const CALLER = { uid: 1, gid: 2, pid: 3, umask: 0 }

export class NamesCrowd {
  readonly prng: Prng
  readonly world: NamesWorld
  readonly clients: NamesClient[]
  /** What calls have said, by errno, and how many. */
  readonly results = new Map<number, number>()
  readonly #options: StormOptions
  #left: number
  #running = 0

  constructor(seed: number, options: StormOptions, operations: number) {
    this.prng = new Prng(seed)
    this.world = new NamesWorld(this.prng, options)
    this.clients = this.world.nodes.map((node) => new NamesClient(this.world, node))
    this.#options = options
    this.#left = operations
  }

  /** `hands` operations of each node at a time. */
  run(hands: number): void {
    const { world, prng } = this
    for (const client of this.clients) for (let hand = 0; hand < hands; hand++) this.#next(client)
    const { troubles } = this.#options
    while (this.#left > 0 || this.#running > 0) {
      if (this.#left > 0 && troubles.length > 0 && prng.oneIn(400)) this.#trouble(hands)
      if (!world.clock.step()) throw new Error(`${this.#running} calls never end`)
    }
    world.healStores()
    world.gather()
    world.settle()
    if (world.faults.length > 0) throw new Error(world.faults.join('\n'))
    const trees = this.clients.map((client) => treeOf(client).join('\n'))
    if (trees.some((tree) => tree !== trees[0])) throw new Error(`nodes disagree: ${trees.join('\n---\n')}`)
    world.settle()
    const found = world.audit()
    if (found.length > 0) throw new Error(found.join('\n'))
  }

  #next(client: NamesClient): void {
    if (this.#left === 0 || !client.node.isReady) return
    this.#left--
    this.#running++
    const operation = client.begin(this.#call(client), ({ result = 0 }) => {
      this.#running--
      this.results.set(result, (this.results.get(result) ?? 0) + 1)
      // Outside of the turn in which this one has ended.
      client.node.clock.after(0, () => this.#next(client))
    })
    if (operation.isLost) this.#running--
  }

  /** A call on what the node's kernel holds; what it finds, the kernel holds from then on. */
  #call(client: NamesClient): (done: Done) => number {
    const { fs } = client.node
    const [parent, toParent] = [this.#directory(client), this.#directory(client)]
    const [name, toName] = [named(this.prng.pick(NAMES)), named(this.prng.pick(NAMES))]
    const holding =
      (run: (done: Done) => number) =>
      (done: Done): number => {
        const held = (result: number): number => {
          if (result === 0) this.#hold(client)
          return result
        }
        const result = run((late) => done(held(late)))
        return held(result)
      }
    const calls: ((done: Done) => number)[] = [
      holding((done) => fs.mknod(parent, name, S_IFREG | 0o644, 0, CALLER, done)),
      holding((done) => fs.mknod(parent, name, S_IFDIR | 0o755, 0, CALLER, done)),
      holding((done) => fs.lookup(parent, name, done)),
      (done) => fs.unlink(parent, name, done),
      (done) => fs.rmdir(parent, name, done),
      (done) => fs.link(this.#inode(client), toParent, toName, done),
      (done) => fs.rename(parent, name, toParent, toName, 0, done),
      (done) => fs.rename(parent, name, toParent, toName, this.prng.pick([RENAME_NOREPLACE, RENAME_EXCHANGE]), done),
      (done) => fs.rename(parent, name, parent, toName, this.prng.pick([0, RENAME_EXCHANGE]), done),
    ]
    return this.prng.pick(calls)
  }

  readonly #directories = new Map<NamesClient['node']['fs'], number[]>()
  readonly #inodes = new Map<NamesClient['node']['fs'], number[]>()

  #hold({ node }: NamesClient): void {
    const { fs } = node
    fs.hold(fs.found)
    const isDirectory = (fs.found.mode & S_IFDIR) !== 0
    const held = isDirectory ? this.#directories : this.#inodes
    held.set(fs, [...(held.get(fs) ?? []).slice(-6), fs.found.number])
  }

  #directory({ node }: NamesClient): number {
    return this.prng.pick([ROOT, ...(this.#directories.get(node.fs) ?? [])])
  }

  #inode({ node }: NamesClient): number {
    return this.prng.pick(this.#inodes.get(node.fs) ?? [ROOT])
  }

  #trouble(hands: number): void {
    const { prng, world } = this
    const kind = prng.pick(this.#options.troubles)
    const node = prng.below(this.#options.members)
    if (kind === 'break') {
      world.break(node, (node + 1 + prng.below(this.clients.length - 1)) % this.clients.length, prng.below(50))
      return
    }
    if (kind === 'store') {
      world.failStore(node)
      return
    }
    const client = this.clients[node] as NamesClient
    this.#running -= client.node.running.size
    world.crash(node, kind)
    world.clock.after(prng.below(100), () => {
      world.restart(node)
      this.#whenReady(client, hands)
    })
  }

  #whenReady(client: NamesClient, hands: number): void {
    if (client.node.isReady) for (let hand = 0; hand < hands; hand++) this.#next(client)
    else if (client.node.isOn) this.world.clock.after(20, () => this.#whenReady(client, hands))
  }
}
