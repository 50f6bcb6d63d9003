/**
 * Random calls on files from all nodes of a cluster, one at a time or many at once, over a network that delays and
 * reorders, with sessions that break and nodes that crash. Everything follows from the seed.
 */
import { EIO, ENXIO } from '../../lib/base/errno.js'
import { SEEK_DATA, SEEK_HOLE } from '../../lib/chunk/store.js'
import type { NumberedInode } from '../../lib/wire/struct.js'
import { type FileCall, Files } from './cluster-data-files.js'
import { ABSENT, type Change, FileOracle } from './cluster-data-oracle.js'
import { CHUNK_BYTES, type DataNode, DataWorld, PAYLOAD_BYTES } from './cluster-data-world.js'
import { Prng } from './prng.js'

const KEEP_SIZE = 1
const PUNCH_HOLE = 2
const ZERO_RANGE = 16
/** Files reach at most so far. */
const REACH = 12 * CHUNK_BYTES

/** What happens to nodes and sessions: nothing, sessions break, nodes are killed, their power goes. */
export const TROUBLES = ['none', 'sessions', 'kill', 'power'] as const
export type Trouble = (typeof TROUBLES)[number]

export interface DataRunOptions {
  /** Calls under way at most. */
  readonly concurrency: number
  readonly rounds?: number
  readonly trouble: Trouble
  readonly trace?: (line: string) => void
}

/** ctime and mtime, in seconds and nanoseconds. */
type Times = readonly (readonly [number, number])[]

interface File {
  readonly name: string
  readonly oracle: FileOracle
  /** What stat(2) has said of its times, and when. */
  looks: { readonly end: number; readonly times: Times }[]
}

const timesOf = ({ ctime, ctimeNs, mtime, mtimeNs }: NumberedInode): Times => [
  [ctime, ctimeNs],
  [mtime, mtimeNs],
]

const isBefore = ([seconds, nanoseconds]: readonly [number, number], than: readonly [number, number]): boolean =>
  seconds < than[0] || (seconds === than[0] && nanoseconds < than[1])

export class DataDriver {
  readonly world: DataWorld
  readonly #prng: Prng
  readonly #seed: number
  readonly #options: DataRunOptions
  readonly #files: Files<DataNode>
  readonly #all: File[] = []
  /** Calls under way at each node. */
  readonly #calls = new Map<DataNode, Set<object>>()
  /** When the power went last. */
  #powerCut = -1
  #now = 0
  #tag = 0

  constructor(seed: number, options: DataRunOptions) {
    this.#seed = seed
    this.#options = options
    this.#prng = new Prng(seed)
    this.world = new DataWorld(2 + this.#prng.below(4), this.#prng)
    this.world.network.weather.delayMsMax = this.#prng.pick([0, 3, 20])
    this.#files = new Files(this.world)
    for (const name of ['a', 'b']) {
      this.world.create(this.#node(), name)
      this.#all.push({ name, oracle: new FileOracle(), looks: [] })
    }
    this.world.wait(this.world.node(0), (done) => this.world.node(0).fs.syncfs(done))
  }

  run(): void {
    for (let round = 0; round < (this.#options.rounds ?? 12); round++) {
      this.#trace(`round ${round}`)
      this.#round()
      this.#quiesce()
    }
    this.world.settle()
  }

  get #inFlight(): number {
    return [...this.#calls.values()].reduce((sum, calls) => sum + calls.size, 0)
  }

  #round(): void {
    const { concurrency, trouble } = this.#options
    for (let count = concurrency === 1 ? 12 : 2 + this.#prng.below(3 * concurrency); count > 0; count--) {
      if (this.#inFlight >= concurrency) {
        this.#restartAll()
        this.world.until(() => this.#inFlight < concurrency)
      }
      if (this.#prng.oneIn(10)) this.#node().clock.skewMs = (this.#prng.below(41) - 20) * 3_600_000
      this.#call()
      for (let steps = this.#prng.below(12); steps > 0; steps--) this.world.clock.step()
      if (trouble !== 'none' && this.#prng.oneIn(8)) this.#makeTrouble()
    }
  }

  #makeTrouble(): void {
    const { trouble } = this.#options
    const { nodes } = this.world
    const [a, b] = [this.#prng.pick(nodes), this.#prng.pick(nodes)]
    if (trouble === 'sessions' || this.#prng.oneIn(4)) {
      if (a === b || !a.isUp || !b.isUp) return
      this.#trace(`  session of ${a.index} and ${b.index} ends`)
      this.world.connect(a, b)
    } else if (!a.isUp) this.#restart(a)
    else if (nodes.filter(({ isUp }) => isUp).length > 1) this.#crash(a)
  }

  #crash(node: DataNode): void {
    const kind = this.#options.trouble === 'power' && this.#prng.oneIn(2) ? 'power' : 'process'
    this.#trace(`  crash of the ${kind} of ${node.index}`)
    this.world.crash(node, kind)
    this.#calls.delete(node)
    if (kind === 'process') return
    this.#powerCut = this.#tick()
    for (const { oracle } of this.#all) oracle.doubt(this.#now)
  }

  #restart(node: DataNode): void {
    this.#trace(`  restart of ${node.index}`)
    this.world.restart(node)
  }

  #restartAll(): void {
    for (const node of this.world.nodes) if (!node.isUp) this.#restart(node)
  }

  #call(): void {
    const calls = [
      () => this.#write(),
      () => this.#write(),
      () => this.#write(),
      () => this.#append(),
      () => this.#read(),
      () => this.#read(),
      () => this.#read(),
      () => this.#truncate(),
      () => this.#allocate(),
      () => this.#stat(),
      () => this.#fsync(),
      () => this.#seek(),
      () => this.#churn(),
    ]
    this.#prng.pick(calls)()
  }

  #node(): DataNode {
    return this.#prng.pick(this.world.nodes.filter(({ isUp }) => isUp))
  }

  /** 0 where the node cannot find it out at the moment. */
  #find(node: DataNode, name: string): number {
    const held = node.held.get(name)
    if (held !== undefined) return held
    if (!this.world.nodes.every(({ isUp }) => isUp)) return 0
    const number = this.world.find(node, name)
    const { result } = this.#files.now((ended) => this.#files.open(node, number, ended))
    this.#check(result === 0, `open of ${name}: ${result}`)
    return number
  }

  #range(): [offset: number, bytes: number] {
    const near = this.#prng.below(REACH / CHUNK_BYTES) * CHUNK_BYTES + this.#prng.pick([0, 1, -1, 100, 4096])
    const offset = Math.max(0, this.#prng.oneIn(2) ? near : this.#prng.below(REACH))
    const lengths = [1, 100, 4096, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, PAYLOAD_BYTES]
    return [offset, Math.max(1, Math.min(this.#prng.pick(lengths), REACH - offset))]
  }

  /** Begins a call: `run` makes it, and `ended` judges it. */
  #start(
    node: DataNode,
    what: string,
    change: Change | undefined,
    run: (ended: (call: FileCall) => void) => void,
    ended: (call: FileCall, start: number, end: number) => void,
  ): void {
    const start = this.#tick()
    const token = {}
    const calls = this.#calls.get(node) ?? new Set()
    this.#calls.set(node, calls.add(token))
    this.#trace(`  ${start} ${what} …`)
    run((call) => {
      calls.delete(token)
      const end = this.#tick()
      this.#trace(`  ${end} ${what} → ${call.result}${call.size > 0 ? ` (${call.size})` : ''}`)
      const isOut = call.result === -EIO && this.#options.trouble !== 'none'
      if (isOut) return
      // What the power has taken away of it meanwhile is not known.
      if (change !== undefined && start > this.#powerCut) change.end = end
      ended(call, start, end)
    })
  }

  #write(): void {
    const { oracle, name } = this.#prng.pick(this.#all)
    const node = this.#node()
    const number = this.#find(node, name)
    if (number === 0) return
    const [offset, bytes] = this.#range()
    const tag = ++this.#tag
    const value = (at: number): number => 1 + ((tag * 41 + (at >> 9)) % 255)
    const data = Uint8Array.from({ length: bytes }, (_, index) => value(offset + index))
    const what = `${node.index}: write ${name} ${bytes} at ${offset}`
    const change = oracle.begin({ kind: 'bytes', from: offset, to: offset + bytes, value, start: this.#now + 1 })
    this.#start(
      node,
      what,
      change,
      (ended) => this.#files.write(node, number, offset, data, false, ended),
      ({ result }) => this.#check(result === bytes, `${what}: ${result}`),
    )
  }

  #append(): void {
    const { oracle, name } = this.#prng.pick(this.#all)
    const node = this.#node()
    const number = this.#find(node, name)
    if (number === 0) return
    const bytes = this.#prng.pick([1, 500, 5000, CHUNK_BYTES + 5])
    const tag = 1 + (++this.#tag % 255)
    const what = `${node.index}: append ${name} ${bytes} of ${tag}`
    const isAlone = this.#isExact
    if (oracle.base.length > REACH) return
    oracle.beginAppend(tag, this.#now + 1)
    this.#start(
      node,
      what,
      undefined,
      (ended) => this.#files.write(node, number, 0, new Uint8Array(bytes).fill(tag), true, ended),
      ({ result }) => {
        this.#check(result === bytes, `${what}: ${result}`)
        if (!isAlone) return
        const seen = this.#contents(this.#node(), name)
        const before = seen.length - bytes
        for (let at = before; at < seen.length; at++)
          this.#check(seen[at] === tag, `${what}: byte ${at} is ${seen[at]}`)
        for (const at of oracle.samples(0, before)) {
          this.#check(oracle.allows(seen[at] as number, at, this.#now, this.#now + 1), `${what}: changes byte ${at}`)
        }
        this.#check(oracle.allows(ABSENT, before, this.#now, this.#now + 1), `${what}: not at the end`)
        oracle.adopt(seen)
      },
    )
  }

  #truncate(): void {
    const { oracle, name } = this.#prng.pick(this.#all)
    const node = this.#node()
    const number = this.#find(node, name)
    if (number === 0) return
    const isOpen = this.#prng.oneIn(4)
    const [offset, more] = this.#range()
    const size = isOpen ? 0 : offset + (this.#prng.oneIn(4) ? more : 0)
    const what = `${node.index}: ${isOpen ? 'open with O_TRUNC' : `truncate to ${size}`} ${name}`
    const start = this.#now + 1
    const cut = oracle.begin({ kind: 'cut', from: size, to: size, value: () => 0, start })
    const grow = oracle.begin({ kind: 'grow', from: size, to: size, value: () => 0, start })
    this.#start(
      node,
      what,
      cut,
      (ended) => {
        if (isOpen) this.#files.empty(node, number, ended)
        else this.#files.truncate(node, number, size, ended)
      },
      ({ result }, _, end) => {
        if (start > this.#powerCut) grow.end = end
        this.#check(result === 0, `${what}: ${result}`)
      },
    )
  }

  #allocate(): void {
    const { oracle, name } = this.#prng.pick(this.#all)
    const node = this.#node()
    const number = this.#find(node, name)
    if (number === 0) return
    const mode = this.#prng.pick([0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE])
    const [offset, bytes] = this.#range()
    const what = `${node.index}: allocate ${name} mode ${mode} ${bytes} at ${offset}`
    const start = this.#now + 1
    const isZero = (mode & (PUNCH_HOLE | ZERO_RANGE)) !== 0
    const keeps = (mode & KEEP_SIZE) !== 0
    // What is zeroed within the size it has at some time; where it keeps the size, nothing beyond comes into being.
    const changes: Change[] = []
    if (isZero && !keeps) {
      changes.push(oracle.begin({ kind: 'bytes', from: offset, to: offset + bytes, value: () => 0, start }))
    } else if (isZero) {
      changes.push(...this.#zeroesWithin(oracle, offset, bytes, start))
    } else if (!keeps) {
      changes.push(oracle.begin({ kind: 'grow', from: offset, to: offset + bytes, value: () => 0, start }))
    }
    this.#start(
      node,
      what,
      undefined,
      (ended) => this.#files.allocate(node, number, mode, offset, bytes, ended),
      ({ result }, _, end) => {
        for (const change of changes) if (start > this.#powerCut) change.end = end
        this.#check(result === 0, `${what}: ${result}`)
      },
    )
  }

  /** Zeros that do not make the file longer. */
  #zeroesWithin(oracle: FileOracle, offset: number, bytes: number, start: number): Change[] {
    if (!this.#isExact) {
      return [oracle.begin({ kind: 'zero', from: offset, to: offset + bytes, value: () => 0, start })]
    }
    const to = Math.min(offset + bytes, oracle.knownSize)
    return to > offset ? [oracle.begin({ kind: 'bytes', from: offset, to, value: () => 0, start })] : []
  }

  /** Nothing meets anything else, so that everything is known. */
  get #isExact(): boolean {
    return this.#options.concurrency === 1 && this.#options.trouble === 'none'
  }

  /** Makes a file with many chunks, and frees it: that goes on in the background. */
  #churn(): void {
    if (this.world.nodes.some(({ isUp }) => !isUp)) return
    const [maker, remover] = [this.#node(), this.#node()]
    const [offset, bytes] = this.#range()
    const name = `c${++this.#tag}`
    const number = this.world.create(maker, name)
    const data = new Uint8Array(bytes).fill(1)
    const { result } = this.#files.now((ended) => this.#files.write(maker, number, offset, data, false, ended))
    this.#check(result === bytes, `write of ${name}: ${result}`)
    const error = this.world.unlink(remover, name)
    this.#check(error === 0, `unlink of ${name}: ${error}`)
    this.#trace(`  ${remover.index}: unlink ${name}`)
  }

  #read(): void {
    const { oracle, name } = this.#prng.pick(this.#all)
    const node = this.#node()
    const number = this.#find(node, name)
    if (number === 0) return
    const [offset, bytes] = this.#range()
    const what = `${node.index}: read ${name} ${bytes} at ${offset}`
    this.#start(
      node,
      what,
      undefined,
      (ended) => this.#files.read(node, number, offset, bytes, ended),
      ({ result, bytes: seen }, start, end) => {
        this.#check(result >= 0, `${what}: ${result}`)
        for (const at of oracle.samples(offset, offset + bytes)) {
          const value = at < offset + result ? (seen[at - offset] as number) : ABSENT
          this.#check(oracle.allows(value, at, start, end), `${what}: ${value} at ${at}, of ${result}`)
        }
      },
    )
  }

  #stat(): void {
    const file = this.#prng.pick(this.#all)
    const { oracle, name } = file
    const node = this.#node()
    const number = this.#find(node, name)
    if (number === 0) return
    const what = `${node.index}: stat ${name}`
    this.#start(
      node,
      what,
      undefined,
      (ended) => this.#files.stat(node, number, ended),
      ({ result, size, inode }, start, end) => {
        this.#check(result === 0 && inode !== undefined, `${what}: ${result}`)
        this.#checkTimes(file, timesOf(inode as NumberedInode), start, end, what)
        this.#check(oracle.allows(ABSENT, size, start, end), `${what}: ${size} is too short`)
        if (size > 0) this.#check(oracle.allowsPresence(size - 1, start, end), `${what}: ${size} is too long`)
      },
    )
  }

  /** No time of an inode is earlier than what somebody has seen before, whatever the clocks say. */
  #checkTimes(file: File, times: Times, start: number, end: number, what: string): void {
    // The power may have taken the change away that somebody has seen.
    file.looks = file.looks.filter((look) => look.end > this.#powerCut)
    for (const look of file.looks) {
      if (look.end >= start) continue
      for (const [index, time] of times.entries()) {
        const before = look.times[index] as Times[number]
        this.#check(!isBefore(time, before), `${what}: ${index === 0 ? 'ctime' : 'mtime'} ${time} after ${before}`)
      }
    }
    if (start > this.#powerCut) file.looks.push({ end, times })
  }

  #fsync(): void {
    const { name, oracle } = this.#prng.pick(this.#all)
    const node = this.#node()
    const number = this.#find(node, name)
    if (number === 0) return
    const what = `${node.index}: fsync ${name}`
    this.#start(
      node,
      what,
      undefined,
      (ended) => this.#files.fsync(node, number, ended),
      ({ result }, start) => {
        this.#check(result === 0, `${what}: ${result}`)
        if (start > this.#powerCut) oracle.synced(start)
      },
    )
  }

  #seek(): void {
    const { oracle, name } = this.#prng.pick(this.#all)
    const node = this.#node()
    const number = this.#find(node, name)
    if (number === 0) return
    const [offset] = this.#range()
    const whence = this.#prng.pick([SEEK_DATA, SEEK_HOLE])
    const what = `${node.index}: seek ${whence === SEEK_DATA ? 'data' : 'hole'} ${name} from ${offset}`
    const isAlone = this.#isExact
    this.#start(
      node,
      what,
      undefined,
      (ended) => this.#files.seek(node, number, offset, whence, ended),
      ({ result }, start, end) => {
        if (!isAlone) return
        const isAt = (at: number, value: number): boolean => oracle.allows(value, at, start, end)
        if (isAt(offset, ABSENT)) this.#check(result === -ENXIO, `${what}: ${result} beyond the end`)
        else if (whence === SEEK_DATA) {
          const to = result === -ENXIO ? oracle.reach : result
          for (const at of oracle.samples(offset, to)) {
            this.#check(isAt(at, 0) || isAt(at, ABSENT), `${what}: ${result}, and ${at} is data`)
          }
          this.#check(result === -ENXIO || (result >= offset && !isAt(result, ABSENT)), `${what}: ${result}`)
        } else this.#check(result >= offset && (isAt(result, 0) || isAt(result, ABSENT)), `${what}: ${result}`)
      },
    )
  }

  /** Waits until nothing is under way; then all nodes see the same, and it can be explained. */
  #quiesce(): void {
    this.#restartAll()
    this.world.until(() => this.#inFlight === 0)
    const { trouble } = this.#options
    if (trouble !== 'none' || this.#prng.oneIn(2)) {
      this.world.settle()
      const faults = this.world.check(trouble === 'power')
      this.#check(faults.length === 0, faults.join('\n'))
    }
    for (const { name, oracle } of this.#all) {
      const start = this.#tick()
      const seen = this.#contents(this.#node(), name)
      const end = this.#tick()
      for (const at of oracle.samples(0, seen.length)) {
        this.#check(
          oracle.allows(seen[at] as number, at, start, end),
          `in the end ${name} has ${seen[at]} at ${at}, of ${seen.length}`,
        )
      }
      this.#check(oracle.allows(ABSENT, seen.length, start, end), `in the end ${name} has ${seen.length} bytes only`)
      for (const node of this.world.nodes) {
        const again = this.#contents(node, name)
        this.#check(again.length === seen.length, `${node.index} sees ${again.length} bytes of ${name}`)
        const wrong = again.findIndex((byte, at) => byte !== seen[at])
        this.#check(wrong < 0, `${node.index} sees ${again[wrong]} at ${wrong} of ${name}, not ${seen[wrong]}`)
      }
      oracle.adopt(seen)
      const node = this.#node()
      const { result } = this.#files.now((ended) => this.#files.fsync(node, this.world.find(node, name), ended))
      this.#check(result === 0, `fsync of ${name}: ${result}`)
    }
    this.#check(this.world.faults.length === 0, this.world.faults.join('\n'))
  }

  #contents(node: DataNode, name: string): Uint8Array {
    const number = this.world.find(node, name)
    const { size, result } = this.#files.now((ended) => this.#files.stat(node, number, ended))
    this.#check(result === 0, `stat of ${name}: ${result}`)
    const seen = new Uint8Array(size)
    for (let offset = 0; offset < size; offset += PAYLOAD_BYTES) {
      const call = this.#files.now((ended) => this.#files.read(node, number, offset, PAYLOAD_BYTES, ended))
      const expected = Math.min(PAYLOAD_BYTES, size - offset)
      this.#check(call.result === expected, `${node.index}: reading ${name} at ${offset} of ${size}: ${call.result}`)
      seen.set(call.bytes, offset)
    }
    return seen
  }

  #tick(): number {
    return ++this.#now
  }

  #check(condition: boolean, message: string): void {
    if (!condition) throw new Error(`seed ${this.#seed}: ${message}`)
  }

  #trace(line: string): void {
    this.#options.trace?.(line)
  }
}
