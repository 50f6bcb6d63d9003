/**
 * Records that all nodes append to one file at the same time: in the end each is there once and whole, in an order that
 * the callers can have seen. `CHFS_SIM_SEED=n` runs one seed, `CHFS_SIM_SECONDS=s` new ones for so long.
 */
import t from 'tap'
import { EIO } from '../../lib/base/errno.js'
import { Scene } from './cluster-data-scene.js'
import { CHUNK_BYTES, type DataNode } from './cluster-data-world.js'
import { Prng } from './prng.js'

const SECONDS = Number(process.env['CHFS_SIM_SECONDS'] ?? 10)

const KEEP_SIZE = 1
/** Of one node at a time: it has no room for more. */
const CALLS_MAX = 10

interface Record {
  readonly text: string
  readonly start: number
  /** Infinity where it was not answered. */
  end: number
}

class Race {
  readonly #scene: Scene
  readonly #prng: Prng
  readonly #records: Record[] = []
  readonly #calls = new Map<DataNode, number>()
  #now = 0

  constructor(seed: number) {
    this.#prng = new Prng(seed ^ 0x5eed)
    this.#scene = new Scene(seed, 2 + this.#prng.below(3))
    this.#scene.world.network.weather.delayMsMax = this.#prng.pick([0, 2, 20])
    // Somewhere near the end of a chunk, so that records lie with two members.
    const [node] = this.#scene.others as [DataNode]
    this.#scene.truncate(node, this.#prng.below(4) * CHUNK_BYTES + this.#prng.pick([0, 1, 8000, CHUNK_BYTES - 10]))
  }

  run(trouble: 'none' | 'sessions' | 'kill'): void {
    const { world } = this.#scene
    const start = this.#scene.size(world.node(0))
    for (let count = 0; count < 40; count++) {
      const node = this.#prng.pick(world.nodes.filter(({ isUp }) => isUp))
      const isFree = node.held.has('f') && (this.#calls.get(node) ?? 0) < CALLS_MAX
      if (isFree) this.#append(node)
      if (isFree && this.#prng.oneIn(6)) this.#allocate(node)
      for (let steps = this.#prng.below(30); steps > 0; steps--) world.clock.step()
      if (trouble !== 'none' && this.#prng.oneIn(8)) this.#makeTrouble(trouble)
    }
    for (const node of world.nodes) if (!node.isUp) world.restart(node)
    world.until(() => [...this.#calls.values()].every((count) => count === 0))
    world.settle()
    for (const node of world.nodes) world.find(node, 'f')
    this.#judge(this.#scene.contents(world.node(0)).slice(start))
    const faults = [...world.check(false), ...world.faults]
    if (faults.length > 0) throw new Error(faults.join('\n'))
  }

  #append(node: DataNode): void {
    const length = this.#prng.pick([1, 30, 500, CHUNK_BYTES])
    const text = `<${this.#records.length}:${'x'.repeat(length)}>`
    const record = { text, start: ++this.#now, end: Number.POSITIVE_INFINITY }
    this.#records.push(record)
    this.#calls.set(node, (this.#calls.get(node) ?? 0) + 1)
    this.#scene.files.write(node, this.#scene.number, 0, Buffer.from(text), true, ({ result }) => {
      this.#calls.set(node, (this.#calls.get(node) as number) - 1)
      if (result === text.length) record.end = ++this.#now
      else if (result !== -EIO) throw new Error(`append: ${result}`)
    })
  }

  /** Changes nothing, but needs the file for itself. */
  #allocate(node: DataNode): void {
    this.#scene.files.allocate(node, this.#scene.number, KEEP_SIZE, 0, 100, () => undefined)
  }

  #makeTrouble(trouble: string): void {
    const { world } = this.#scene
    const [a, b] = [this.#prng.pick(world.nodes), this.#prng.pick(world.nodes)]
    if (trouble === 'kill' && !a.isUp) world.restart(a)
    else if (trouble === 'kill' && world.nodes.every(({ isUp }) => isUp)) {
      world.crash(a, 'process')
      this.#calls.set(a, 0)
    } else if (a !== b && a.isUp && b.isUp) world.connect(a, b)
  }

  #judge(contents: string): void {
    const found = [...contents.matchAll(/<(\d+):x*>/g)]
    const rest = contents.replaceAll(/<\d+:x*>/g, '')
    if (rest !== '') throw new Error(`between the records there is ${JSON.stringify(rest.slice(0, 60))}`)
    const order = found.map((match) => this.#records[Number(match[1])] as Record)
    for (const [index, match] of found.entries()) {
      if (order[index]?.text !== match[0]) throw new Error(`record ${match[1]} is not whole`)
    }
    if (new Set(order).size !== order.length) throw new Error('a record is there twice')
    for (const record of this.#records) {
      if (record.end < Number.POSITIVE_INFINITY && !order.includes(record)) throw new Error('a record is lost')
    }
    let latest = 0
    for (const { start, end } of order) {
      if (end < latest) throw new Error('a record stands behind one that was begun when it had ended')
      latest = Math.max(latest, start)
    }
  }
}

const seed = process.env['CHFS_SIM_SEED']
for (const trouble of ['none', 'sessions', 'kill'] as const) {
  t.test(`trouble: ${trouble}`, async (t) => {
    if (seed !== undefined) {
      new Race(Number(seed)).run(trouble)
      t.pass(`seed ${seed}`)
      return
    }
    const first = (Date.now() % 1_000_000) * 1000
    const end = Date.now() + (SECONDS * 1000) / 3
    let next = first
    for (; Date.now() < end; next++) {
      try {
        new Race(next).run(trouble)
      } catch (error) {
        t.fail(`CHFS_SIM_SEED=${next}, trouble ${trouble}: ${(error as Error).stack}`)
        return
      }
    }
    t.comment(`${next - first} seeds from ${first} on`)
    t.ok(next > first)
  })
}
