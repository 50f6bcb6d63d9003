/**
 * Several operations on names at a time, from all nodes, with troubles in between. Afterwards some order of them must
 * explain every result and the whole tree.
 */
import { EIO, ENOENT } from '../../lib/base/errno.js'
import { S_IFDIR, S_IFREG } from '../../lib/base/mode.js'
import type { Done } from '../../lib/ports.js'
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../lib/share/remove.js'
import { NamesClient, named } from './names-client.js'
import { type Call, explain } from './names-history.js'
import { NamesModel } from './names-model.js'
import { treeOf } from './names-tree.js'
import type { Operation } from './cluster-node.js'
import { NamesWorld, ROOT, type WorldOptions } from './names-world.js'
import { Prng } from './prng.js'

const NAMES = ['a', 'b', 'c']
const CALLS_MAX = 5
const INODES_MAX = 12
const CALLER = { uid: 1, gid: 2, pid: 3, umask: 0 }

export interface StormOptions extends WorldOptions {
  /** Troubles that may come. */
  readonly troubles: readonly ('process' | 'power' | 'break' | 'store')[]
}

/** What somebody is going to do. */
interface Plan {
  readonly text: string
  readonly run: (done: Done) => number
  readonly apply: Call['apply']
  readonly makes?: boolean
}

export class NamesStorm {
  readonly prng: Prng
  readonly world: NamesWorld
  readonly clients: NamesClient[]
  readonly #options: StormOptions
  readonly #trace: (line: string) => void
  #model = new NamesModel(ROOT)
  /** The calls of this round, and those of them that are under way. */
  #calls: Call[] = []
  readonly #running = new Map<Operation, Call>()
  #events = 0
  #isTroubled = false
  #incarnations: number[] = []

  constructor(seed: number, options: StormOptions, trace: (line: string) => void = () => {}) {
    this.prng = new Prng(seed)
    this.world = new NamesWorld(this.prng, options)
    this.clients = this.world.nodes.map((node) => new NamesClient(this.world, node))
    this.#options = options
    this.#trace = trace
  }

  run(rounds: number): void {
    for (let round = 0; round < rounds; round++) this.#round()
    this.world.settle()
    if (this.world.faults.length > 0) throw new Error(this.world.faults.join('\n'))
    const found = this.world.audit()
    if (found.length > 0) throw new Error(found.join('\n'))
  }

  #round(): void {
    this.#prepare()
    const count = 2 + this.prng.below(CALLS_MAX - 1)
    const { troubles } = this.#options
    const trouble = troubles.length > 0 && this.prng.oneIn(2) ? this.prng.below(60) : -1
    const mayAsk = (): boolean => this.clients.some((client) => this.#mayAsk(client))
    while ((this.#calls.length < count && mayAsk()) || this.#running.size > 0 || this.#events <= trouble) {
      if (this.#events === trouble) this.#trouble()
      const client = this.prng.pick(this.clients)
      if (this.#calls.length < count && this.prng.oneIn(3) && this.#mayAsk(client)) this.#begin(client)
      for (const [operation, { text }] of this.#running) {
        if (!operation.isLost) continue
        this.#trace(`  ${text}: lost`)
        this.#running.delete(operation)
      }
      this.#events++
      if (!this.world.clock.step() && this.#running.size > 0) throw new Error('a call never ends')
    }
    this.world.healStores()
    this.world.gather()
    // What was begun by somebody who is no more goes on by itself.
    this.world.rest(this.#isTroubled ? 2500 : 200)
    this.#judge()
  }

  /** Every kernel holds every inode, and everything is safe. */
  #prepare(): void {
    this.#calls = []
    this.#events = 0
    this.#isTroubled = false
    this.#incarnations = this.clients.map(({ node }) => node.incarnation)
    for (const client of this.clients) {
      for (const { number } of this.#model.inodes.values()) client.walk(this.#model.path(number) ?? [])
    }
    const [client] = this.clients as [NamesClient]
    if (client.run((done) => client.node.fs.syncfs(done)) !== 0) throw new Error('syncfs fails')
    this.#trace('round')
  }

  /** Its kernel holds what was prepared: it has not started anew since. */
  #mayAsk({ node }: NamesClient): boolean {
    return node.isReady && node.incarnation === this.#incarnations[node.index]
  }

  #begin(client: NamesClient): void {
    const { text, run, apply, makes = false } = this.#plan(client)
    const call: Call = {
      ...{ text: `node ${client.node.index}: ${text}`, apply, makes, beganAt: this.#events },
      ...{ endedAt: Number.POSITIVE_INFINITY, result: undefined, mayBeLost: false },
    }
    this.#calls.push(call)
    this.#trace(`  ${call.text}`)
    const operation = client.begin(run, (over) => {
      // In trouble nobody can say what has become of it.
      call.result = over.result === -EIO && this.#isTroubled ? undefined : over.result
      call.endedAt = this.#events
      this.#running.delete(over)
      this.#trace(`  ${call.text}: ${over.result}`)
    })
    if (!operation.isOver) this.#running.set(operation, call)
  }

  #trouble(): void {
    const { prng, world } = this
    const kind = prng.pick(this.#options.troubles)
    const node = prng.below(this.clients.length)
    this.#isTroubled = true
    if (kind === 'break') {
      const other = (node + 1 + prng.below(this.clients.length - 1)) % this.clients.length
      this.#trace(`  the session of ${node} and ${other} breaks`)
      world.break(node, other, prng.below(50))
      return
    }
    if (kind === 'store') {
      this.#trace(`  the store of ${node} fails`)
      world.failStore(node)
      return
    }
    this.#trace(`  ${kind} of ${node} ends`)
    world.crash(node, kind)
    // An answer may be on its way that the node does not remember.
    if (kind === 'power') for (const call of this.#calls) call.mayBeLost = true
    world.clock.after(prng.below(100), () => world.restart(node))
  }

  #judge(): void {
    const trees = this.clients.map((client) => treeOf(client).join('\n'))
    const [tree] = trees as [string]
    for (const other of trees) if (other !== tree) throw new Error(`nodes disagree:\n${tree}\n---\n${other}`)
    const known = new Set([...this.#model.inodes.keys(), ...this.#calls.map(({ result }) => result ?? 0)])
    const numbers = new Set(tree.split('\n').map((line) => Number(line.split(' ')[1])))
    const unclaimed = [...numbers].filter((number) => !known.has(number))
    const next = explain(this.#model, this.#calls, tree, unclaimed)
    if (next === undefined) throw new Error(`no order of the calls explains this tree:\n${tree}`)
    this.#model = next
  }

  #plan(client: NamesClient): Plan {
    const parent = this.#directory()
    const name = this.prng.pick(NAMES)
    const plans = [
      () => this.#make(client, parent, name),
      () => this.#make(client, parent, name),
      () => this.#link(client, parent, name),
      () => this.#unlink(client, parent, name),
      () => this.#rmdir(client, parent, name),
      () => this.#rename(client, parent, name),
      () => this.#rename(client, parent, name),
      () => this.#rename(client, parent, name),
      () => this.#lookup(client, parent, name),
    ]
    return this.prng.pick(plans)()
  }

  #directory(): number {
    return this.prng.pick([...this.#model.inodes.values()].filter(({ isDirectory }) => isDirectory)).number
  }

  #make({ node }: NamesClient, parent: number, name: string): Plan {
    const isFull = this.#model.inodes.size >= INODES_MAX
    const mode = this.prng.oneIn(2) && !isFull ? S_IFDIR | 0o755 : S_IFREG | 0o644
    const isDirectory = (mode & S_IFDIR) !== 0
    return {
      text: `${isDirectory ? 'mkdir' : 'mknod'} ${parent}/${name}`,
      run: (done) => {
        const found = (result: number): number => (result === 0 ? node.fs.found.number : result)
        const result = node.fs.mknod(parent, named(name), mode, 0, CALLER, (late) => done(found(late)))
        return found(result)
      },
      apply: (model, number) => {
        const errors = model.errorsOfNew(parent, name)
        if (errors.length === 0) model.make(parent, name, number, isDirectory)
        return errors
      },
      makes: true,
    }
  }

  #link({ node }: NamesClient, parent: number, name: string): Plan {
    const { number } = this.prng.pick([...this.#model.inodes.values()])
    let isDone = false
    return {
      text: `link ${number} ${parent}/${name}`,
      run: (done) => {
        const taken = (result: number): number => {
          isDone = result === 0
          return result
        }
        return taken(node.fs.link(number, parent, named(name), (late) => done(taken(late))))
      },
      // The kernel had found the inode, so it may get a name even where it has lost its last one meanwhile.
      apply: (model) => {
        const isGone = model.get(number) === undefined
        return isGone && isDone ? model.revive(number, parent, name) : model.link(number, parent, name)
      },
    }
  }

  #unlink({ node }: NamesClient, parent: number, name: string): Plan {
    return {
      text: `unlink ${parent}/${name}`,
      run: (done) => node.fs.unlink(parent, named(name), done),
      apply: (model) => model.unlink(parent, name),
    }
  }

  #rmdir({ node }: NamesClient, parent: number, name: string): Plan {
    return {
      text: `rmdir ${parent}/${name}`,
      run: (done) => node.fs.rmdir(parent, named(name), done),
      apply: (model) => model.rmdir(parent, name),
    }
  }

  #rename({ node }: NamesClient, parent: number, name: string): Plan {
    const toParent = this.prng.oneIn(3) ? parent : this.#directory()
    const toName = this.prng.pick(NAMES)
    const flags = this.prng.pick([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE])
    return {
      text: `rename ${parent}/${name} ${toParent}/${toName} ${flags}`,
      run: (done) => node.fs.rename(parent, named(name), toParent, named(toName), flags, done),
      apply: (model) => model.rename(parent, name, toParent, toName, flags),
    }
  }

  #lookup({ node }: NamesClient, parent: number, name: string): Plan {
    let found = 0
    return {
      text: `lookup ${parent}/${name}`,
      run: (done) => {
        const taken = (result: number): number => {
          found = result === 0 ? node.fs.found.number : 0
          return result
        }
        return taken(node.fs.lookup(parent, named(name), (late) => done(taken(late))))
      },
      apply: (model) => {
        const number = model.lookup(parent, name)
        if (number === undefined) return [ENOENT]
        // Another one than was found: no errno fits.
        return found !== 0 && number !== found ? [0] : []
      },
    }
  }
}
