/**
 * What the operations of the simulation share: the world, the model, what the kernel holds, and the ways to run a call
 * and to compare what it says.
 */
import { EIO, ENOSPC, FsError } from '../../lib/base/errno.js'
import type { ByteRange } from '../../lib/base/ids.js'
import { ROOT_INODE } from '../../lib/base/ids.js'
import type { Inode } from '../../lib/meta/inode.js'
import { type Done, PENDING } from '../../lib/ports.js'
import { isDirectoryNode, Model, type Node } from './model.js'
import { Prng } from './prng.js'
import { type Plant, World } from './world.js'

/** What an operation may do to a node's times: 'm' modified, 'c' changed, '-' neither. */
export type Stamp = 'm' | 'c' | '-'

/** The commit that a sync makes safe; −1 while it is still to come. */
export interface Mark {
  commit: number
}

export interface RunOptions {
  readonly plant?: Plant
  /** Receives a line for each operation. */
  readonly trace?: (line: string) => void
  /** Turns in a run. */
  readonly turns?: number
}

export class Bench {
  readonly prng: Prng
  readonly world: World
  readonly model = new Model()
  /** How often the kernel holds each inode. */
  readonly holds = new Map<number, number>()
  readonly trace: (line: string) => void
  /** Operations that have not returned. */
  inFlight = 0
  /** The current turn is going to fail at its commit, so nothing may be done in it that cannot be taken back. */
  turnFails = false
  /** Which faults there may be in this run. */
  protected faults = 'none'
  /** The commit that a power cut must not take away. */
  protected required = 0
  #usable: number[] = []
  /** What the kernel holds even if the turn fails. */
  #answered = new Map<number, number>()
  #marks: Mark[] = []
  /** Raised by each crash: what was begun before is never answered. */
  #life = 0

  constructor(seed: number, { plant = {}, trace = () => {} }: RunOptions) {
    this.prng = new Prng(seed)
    this.trace = trace
    this.world = new World(this.prng, plant)
    this.world.kv.onCommit = (succeeded) => {
      if (!succeeded) this.model.rollback(this.world.kv.commits)
      else this.model.snapshot(this.world.kv.commits)
      if (succeeded) this.setMarks()
    }
  }

  check(condition: boolean, message: string): asserts condition {
    if (!condition) throw new Error(message)
  }

  /** Stands for the commit that has everything up to now, or will have it when the turn ends. */
  mark(): Mark {
    const mark = { commit: -1 }
    if (this.world.share.meta.isOpen) this.#marks.push(mark)
    else mark.commit = this.world.kv.commits
    return mark
  }

  /** The commit that the changes of this moment will be part of. */
  get nextCommit(): number {
    return this.world.kv.commits + 1
  }

  /** Runs a call that returns at once; its errno as a negative number where it fails. */
  attempt(call: () => number): number {
    try {
      return call()
    } catch (error) {
      if (error instanceof FsError) return -error.errno
      throw error
    }
  }

  /** Runs a call that may be pending; `done` gets its result, unless a crash comes first. */
  start(call: (done: Done) => number, done: Done): void {
    const life = this.#life
    let calls = 0
    this.inFlight++
    const finish = (result: number): void => {
      if (life !== this.#life) return
      this.check(++calls === 1, 'an operation was answered twice')
      this.inFlight--
      done(result)
    }
    const result = this.attempt(() => call(finish))
    if (result !== PENDING) finish(result)
  }

  /** Runs a call to its end. */
  finish(call: (done: Done) => number): number {
    let result = PENDING
    this.start(call, (late) => {
      result = late
    })
    while (result === PENDING) {
      this.world.share.meta.endTurn()
      if (result === PENDING) this.check(this.world.clock.step(), 'an operation is never answered')
    }
    return result
  }

  /** Compares a result; false where it is a fault that may be, and nothing has changed. */
  /** A turn that fails takes its syncs with it. */
  expect(what: string, result: number, expected: number, grows: boolean, touchesDisk = false): boolean {
    this.trace(`  ${what} → ${result}`)
    if (result === expected) return expected >= 0
    if (expected >= 0 && grows && this.faults === 'full' && result === -ENOSPC) return false
    if (touchesDisk && (this.faults === 'errors' || this.faults === 'commits') && result === -EIO) return false
    throw new Error(`${what}: ${result}, not ${expected}`)
  }

  hold(number: number): void {
    const { share } = this.world
    // A request that has nothing to wait for is answered at once, whatever becomes of its turn.
    if (!share.meta.isOpen) this.#answered.set(number, (this.#answered.get(number) ?? 0) + 1)
    share.hold(number)
    this.holds.set(number, (this.holds.get(number) ?? 0) + 1)
  }

  /** What the kernel does when it drops an inode from its cache. */
  forget(number: number): void {
    const count = this.holds.get(number) as number
    const part = this.prng.oneIn(4) ? this.prng.below(count) + 1 : count
    this.trace(`  forget ${number} ×${part}`)
    this.world.share.forget(number, part)
    if (part < count) {
      this.holds.set(number, count - part)
      return
    }
    this.holds.delete(number)
    if (this.model.node(number).nlink === 0) this.model.drop(number)
  }

  /** An inode that was held when the turn began, for which `suits` is true, or undefined. */
  held(suits: (node: Node) => boolean): Node | undefined {
    const usable = this.#usable.filter((number) => this.holds.has(number))
    const nodes = [ROOT_INODE, ...usable].map((number) => this.model.node(number)).filter(suits)
    return nodes.length === 0 ? undefined : this.prng.pick(nodes)
  }

  inode(number: number): Inode {
    const inode = this.world.share.meta.find(number)
    this.check(inode !== undefined, `inode ${number} is gone`)
    return inode
  }

  /** Compares an inode with its node, whose times must have moved as `stamp` says; then takes the times over. */
  verify(number: number, stamp: Stamp): void {
    const [inode, node] = [this.inode(number), this.model.change(number)]
    const fields = ['generation', 'mode', 'nlink', 'uid', 'gid', 'rdev', 'size'] as const
    for (const field of fields) {
      this.check(inode[field] === node[field], `${field} of ${number}: ${inode[field]}, not ${node[field]}`)
    }
    if (isDirectoryNode(node)) this.check(inode.parent === node.parent, `parent of ${number}`)
    const old = node.times
    const times = [inode.atime, inode.atimeNs, inode.mtime, inode.mtimeNs, inode.ctime, inode.ctimeNs]
    const moved = (at: number): boolean => times[at] !== old[at] || times[at + 1] !== old[at + 1]
    this.check(moved(4) === (stamp !== '-'), `ctime of ${number} after '${stamp}'`)
    this.check(moved(2) === (stamp === 'm'), `mtime of ${number} after '${stamp}'`)
    node.times = times
  }

  /** A sync has succeeded that began at this mark. */
  require({ commit }: Mark): void {
    this.check(commit >= 0, 'a sync is over before the commit')
    this.required = Math.max(this.required, commit)
    this.model.prune(Math.min(this.required, this.world.kv.synced))
  }

  name(text: string): ByteRange {
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0))
    return { bytes, offset: 0, length: bytes.length }
  }

  /** A turn begins: only what the kernel has an answer for can be used in it. */
  protected beginTurn(): void {
    this.#answered = new Map(this.holds)
    this.#usable = [...this.holds.keys()]
  }

  protected setMarks(): void {
    for (const mark of this.#marks.splice(0)) mark.commit = this.world.kv.commits
  }

  /** The turn has failed: the kernel got errors, and holds nothing of it. */
  protected dropTurn(): void {
    this.model.rollback(this.world.kv.commits)
    this.setMarks()
    this.holds.clear()
    for (const [number, count] of this.#answered) this.holds.set(number, count)
  }

  /** The process has ended, and with it all that was under way. */
  protected endLife(): void {
    this.#life++
    this.inFlight = 0
    this.#marks = []
    this.holds.clear()
  }
}
