/**
 * Several operations on names at a time, from all nodes, with troubles in between. Afterwards some order of them must
 * explain every result and the whole tree.
 */
import { EIO } from '../../lib/base/errno.js'
import type { Operation } from './cluster-node.js'
import { NamesClient } from './names-client.js'
import { type Call, explain } from './names-history.js'
import { NamesModel } from './names-model.js'
import { NamesPlans } from './names-plans.js'
import { treeOf } from './names-tree.js'
import { NamesWorld, ROOT, type WorldOptions } from './names-world.js'
import { Prng } from './prng.js'

const CALLS_MAX = 5

export interface StormOptions extends WorldOptions {
  /** Troubles that may come. */
  readonly troubles: readonly ('process' | 'power' | 'break' | 'store')[]
}

export class NamesStorm {
  readonly prng: Prng
  readonly world: NamesWorld
  readonly clients: NamesClient[]
  readonly #options: StormOptions
  readonly #trace: (line: string) => void
  readonly #plans: NamesPlans
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
    this.#plans = new NamesPlans(this.prng)
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
    const { text, run, apply, makes } = this.#plans.next(client, this.#model)
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
}
