/** What goes wrong in a simulated cluster, by chance, in one round of a run; and its end. */
import type { ClusterWorld, MeetingNode } from './cluster-world.js'
import type { Prng } from './prng.js'

export const TROUBLES = [...(['process', 'power', 'cut', 'loss', 'slow', 'full', 'store', 'clock'] as const)] as const
export type Trouble = (typeof TROUBLES)[number]

/** How far clocks are wrong, all the time, and how far they jump; those that start anew are right. */
const SKEW_MS = 400
const JUMP_MS = 20_000

export class Troubles {
  /** Calls may give EIO, and then nobody knows whether they have happened. */
  mayFail = false
  /** Some disk has no room. */
  isFull = false
  /** Some store has failed, in any round. */
  storeHasFailed = false
  onPowerCut: () => void = () => undefined
  readonly #world: ClusterWorld
  readonly #prng: Prng
  readonly #all: readonly Trouble[]
  readonly #trace: (line: string) => void
  #kinds: readonly Trouble[] = []
  #isOver = true

  constructor(
    world: ClusterWorld,
    prng: Prng,
    troubles: readonly Trouble[] = TROUBLES,
    trace: (line: string) => void = () => undefined,
  ) {
    this.#world = world
    this.#prng = prng
    this.#all = troubles
    this.#trace = trace
  }

  /** A round begins: some kinds of trouble are to be expected, or none. */
  begin(): void {
    const count = this.#prng.pick([0, 1, 2, this.#all.length])
    this.#kinds = this.#all.filter(() => this.#prng.below(this.#all.length) < count)
    this.#isOver = false
    this.mayFail = false
    this.isFull = false
  }

  /** Something may go wrong now. */
  maybe(): void {
    if (this.#kinds.length > 0 && this.#prng.oneIn(6)) this.#make(this.#prng.pick(this.#kinds))
  }

  /** Everything is well again. */
  end(): void {
    this.#isOver = true
    this.#world.healAll()
    for (const { clock } of this.#world.nodes) clock.skewMs = this.#prng.below(SKEW_MS)
  }

  #make(kind: Trouble): void {
    const { nodes, members, network } = this.#world
    const node = this.#prng.pick(nodes)
    const member = this.#prng.pick(members)
    // What is slow, full or late for its clock says nothing that is not so.
    if (kind !== 'slow' && kind !== 'full' && kind !== 'clock') this.mayFail = true
    switch (kind) {
      case 'process':
      case 'power':
        this.#crash(node, kind)
        break
      case 'cut':
        this.#cut(node, this.#prng.pick(nodes))
        break
      case 'loss':
        network.weather.lossOneIn = this.#prng.pick([20, 100, 500])
        this.#trace(`  one message in ${network.weather.lossOneIn} is lost`)
        break
      case 'slow':
        this.#trace(`  the disk of ${member.index} is slow`)
        member.disk.faults.slowMs = member.kv.faults.slowMs = this.#prng.pick([50, 500, 3000])
        break
      case 'full':
        this.#trace(`  the disk of ${member.index} is full`)
        member.disk.faults.isFull = member.kv.faults.isFull = true
        this.isFull = true
        break
      case 'store':
        this.#trace(`  the store of ${member.index} fails`)
        this.#world.failStore(member)
        this.storeHasFailed = true
        break
      case 'clock':
        node.clock.skewMs = this.#prng.below(2 * JUMP_MS) - JUMP_MS
        this.#trace(`  the clock of ${node.index} jumps to ${node.clock.skewMs} ms`)
        break
    }
  }

  #crash(node: MeetingNode, kind: 'process' | 'power'): void {
    if (!node.isOn) return
    this.#trace(`  ${kind} of ${node.index} ends`)
    this.#world.crash(node, kind)
    if (kind === 'power') this.onPowerCut()
    this.#later(this.#briefly(3000), () => {
      if (node.isOn) return
      this.#trace(`  ${node.index} starts`)
      node.clock.skewMs = this.#prng.below(SKEW_MS)
      this.#world.restart(node)
    })
  }

  #cut(a: MeetingNode, b: MeetingNode): void {
    if (a === b) return
    const isOneWay = this.#prng.oneIn(2)
    this.#trace(`  nothing passes from ${a.index} to ${b.index}${isOneWay ? '' : ', nor back'}`)
    this.#world.cut(a, b)
    if (!isOneWay) this.#world.cut(b, a)
    this.#later(this.#briefly(8000), () => {
      this.#trace(`  ${a.index} and ${b.index} are joined`)
      this.#world.heal(a, b)
      this.#world.heal(b, a)
    })
  }

  /** A while, and now and then one that nobody waits for. */
  #briefly(ms: number): number {
    return this.#prng.oneIn(6) ? 40_000 : this.#prng.below(ms)
  }

  #later(delayMs: number, step: () => void): void {
    this.#world.clock.after(delayMs, () => {
      if (!this.#isOver) step()
    })
  }
}
