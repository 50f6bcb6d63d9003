import { EINVAL, EIO, ENOENT, ENOSPC, ENXIO, EOPNOTSUPP } from '../../lib/base/errno.js'
import { type Clock, type Disk, type DiskFigures, type Done, type FileStat, PENDING } from '../../lib/ports.js'
import { Image, PAGE, type Step } from './image.js'
import type { Crash } from './kv.js'
import type { SimPool } from './pool.js'
import type { Prng } from './prng.js'

const SEEK_DATA = 3
const KEEP_SIZE = 1
const PUNCH_HOLE = 2
const ZERO_RANGE = 16

/** A file and what of it is safe: `durable`, and those of the `steps` since then that a power cut happens to spare. */
class SimFile {
  readonly id: number
  current = new Image()
  durable = new Image()
  steps: Step[] = []
  /** Steps that have ever become durable. */
  stepsBefore = 0

  constructor(id: number) {
    this.id = id
  }

  change(steps: readonly Step[]): void {
    for (const step of steps) {
      this.current.apply(step)
      this.steps.push(step)
    }
  }

  /** Makes the first `count` of all steps durable. */
  harden(count: number): void {
    const fresh = Math.max(0, count - this.stepsBefore)
    for (const step of this.steps.splice(0, fresh)) this.durable.apply(step)
    this.stepsBefore += fresh
  }

  get stepCount(): number {
    return this.stepsBefore + this.steps.length
  }
}

/** An operation that has begun: `steps` says what it does, as of the moment when it is asked. */
interface Flight {
  readonly file: SimFile
  readonly steps: () => Step[]
}

export interface DiskFaults {
  /** No new page can be had. */
  isFull: boolean
  /** One operation in so many fails with EIO; 0: none. */
  errorOneIn: number
  /** What is not done at once takes up to so long more. */
  slowMs: number
}

/**
 * A Disk in memory. By chance an operation is done at once or later, and then in any order. A crash of the process
 * keeps what was done, and of what was under way any part; a power cut keeps of what was not synced any part, page by
 * page, and of unsynced creations and removals any.
 */
export class SimDisk implements Disk {
  readonly faults: DiskFaults = { isFull: false, errorOneIn: 0, slowMs: 0 }
  readonly #pool: SimPool
  readonly #clock: Clock
  readonly #prng: Prng
  #names = new Map<number, SimFile>()
  #durableNames = new Map<number, SimFile>()
  readonly #handles = new Map<number, SimFile>()
  readonly #flights = new Set<Flight>()
  #nextHandle = 3
  /** Syncs that have ended. */
  syncs = 0

  constructor(pool: SimPool, clock: Clock, prng: Prng) {
    this.#pool = pool
    this.#clock = clock
    this.#prng = prng
  }

  open(id: number, create: boolean): number {
    let file = this.#names.get(id)
    if (file === undefined) {
      if (!create) return -ENOENT
      file = new SimFile(id)
      this.#names.set(id, file)
    }
    const handle = this.#nextHandle++
    this.#handles.set(handle, file)
    return handle
  }

  close(file: number): void {
    if (!this.#handles.delete(file)) throw new Error(`closing file ${file}, which is not open`)
  }

  read(file: number, to: number, bytes: number, offset: number, done: Done): number {
    const opened = this.#file(file)
    return this.#run(done, () => opened.current.read(this.#pool.memory, to, bytes, offset))
  }

  write(file: number, at: number, bytes: number, offset: number, done: Done): number {
    const opened = this.#file(file)
    const { memory } = this.#pool
    return this.#alter(opened, done, bytes, true, () =>
      opened.current.stepsOfWrite(memory.subarray(at, at + bytes), offset),
    )
  }

  truncate(file: number, sizeBytes: number, done: Done): number {
    return this.#alter(this.#file(file), done, 0, false, () => [{ kind: 'cut', size: sizeBytes }])
  }

  allocate(file: number, mode: number, offset: number, bytes: number, done: Done): number {
    const kind = mode & ~KEEP_SIZE
    if (kind !== 0 && kind !== ZERO_RANGE && mode !== (PUNCH_HOLE | KEEP_SIZE)) return -EOPNOTSUPP
    const opened = this.#file(file)
    if (kind === 0 && this.faults.isFull) return -ENOSPC
    return this.#alter(opened, done, 0, false, () => {
      const steps = kind === 0 ? [] : opened.current.stepsOfPunch(offset, bytes)
      const grows = (mode & KEEP_SIZE) === 0 && offset + bytes > opened.current.size
      if (grows) steps.push({ kind: 'grow', size: offset + bytes })
      return steps
    })
  }

  copy(from: number, fromOffset: number, to: number, toOffset: number, bytes: number, done: Done): number {
    const [source, target] = [this.#file(from), this.#file(to)]
    const part = bytes > 1 && this.#prng.oneIn(4) ? 1 + this.#prng.below(bytes) : bytes
    const overlaps = source === target && fromOffset < toOffset + bytes && toOffset < fromOffset + bytes
    if (overlaps) return -EINVAL
    const length = Math.max(0, Math.min(part, source.current.size - fromOffset))
    return this.#alter(target, done, length, true, () => {
      const data = new Uint8Array(length)
      source.current.read(data, 0, length, fromOffset)
      return target.current.stepsOfWrite(data, toOffset)
    })
  }

  seek(file: number, offset: number, whence: number): number {
    const found = this.#file(file).current.seek(offset, whence === SEEK_DATA)
    return found < 0 ? -ENXIO : found
  }

  stat(file: number, out: FileStat): number {
    const { current } = this.#file(file)
    out.sizeBytes = current.size
    out.blocks = current.pages.size * (PAGE / 512)
    return 0
  }

  sync(file: number, done: Done): number {
    const opened = this.#file(file)
    const count = opened.stepCount
    return this.#run(done, () => {
      this.syncs++
      opened.harden(count)
      if (this.#names.get(opened.id) === opened) this.#durableNames.set(opened.id, opened)
      return 0
    })
  }

  syncAll(done: Done): number {
    const files = [...this.#names.values()].map((file): [SimFile, number] => [file, file.stepCount])
    const removed = [...this.#durableNames.keys()].filter((id) => !this.#names.has(id))
    return this.#run(done, () => {
      this.syncs++
      for (const [file, count] of files) {
        file.harden(count)
        this.#durableNames.set(file.id, file)
      }
      for (const id of removed) this.#durableNames.delete(id)
      return 0
    })
  }

  remove(id: number, done: Done): number {
    return this.#run(done, () => (this.#names.delete(id) ? 0 : -ENOENT))
  }

  list(first: number, end: number): number[] {
    return [...this.#names.keys()].filter((id) => id >= first && id < end).sort((a, b) => a - b)
  }

  statfs(out: DiskFigures): number {
    out.blockBytes = PAGE
    out.blocks = 1_000_000
    out.blocksFree = out.blocksAvailable = this.faults.isFull ? 0 : 500_000
    return 0
  }

  get openHandles(): number {
    return this.#handles.size
  }

  /** Ends the process or the power: nothing is open afterwards, and nobody is called back. */
  crash(kind: Crash): void {
    for (const { file, steps } of this.#flights) file.change(this.#beginning(file, steps()))
    this.#flights.clear()
    this.#handles.clear()
    if (kind === 'power') this.#loseUnsynced()
    for (const file of this.#names.values()) file.current.settle()
  }

  #loseUnsynced(): void {
    const ids = new Set([...this.#names.keys(), ...this.#durableNames.keys()])
    const left = new Map<number, SimFile>()
    for (const id of [...ids].sort((a, b) => a - b)) {
      const file = this.#prng.oneIn(2) ? this.#names.get(id) : this.#durableNames.get(id)
      if (file !== undefined) left.set(id, file)
    }
    for (const file of left.values()) {
      const image = new Image(file.durable)
      for (const step of this.#some(file.steps)) image.apply(step)
      image.settle()
      file.current = image
      file.durable = new Image(image)
      file.steps = []
    }
    this.#names = left
    this.#durableNames = new Map(left)
  }

  /** What was done of an operation that was broken off: a file never has bytes beyond its size. */
  #beginning(file: SimFile, steps: readonly Step[]): Step[] {
    const done = steps.slice(0, this.#prng.below(steps.length + 1))
    const pages = done.flatMap((step) => (step.kind === 'page' ? [(step.index + 1) * PAGE] : []))
    const grown = steps.find((step) => step.kind === 'grow')
    const reached = Math.min(Math.max(file.current.size, ...pages), grown?.size ?? file.current.size)
    return reached > file.current.size ? [...done, { kind: 'grow', size: reached }] : done
  }

  /** All, none, or any part. */
  #some(steps: readonly Step[]): Step[] {
    const mood = this.#prng.below(4)
    if (mood === 0) return []
    return mood === 1 ? [...steps] : steps.filter(() => this.#prng.oneIn(2))
  }

  #file(handle: number): SimFile {
    const file = this.#handles.get(handle)
    if (file === undefined) throw new Error(`file ${handle} is not open`)
    return file
  }

  #alter(file: SimFile, done: Done, bytes: number, grows: boolean, steps: () => Step[]): number {
    const flight = { file, steps }
    this.#flights.add(flight)
    return this.#run(
      done,
      () => {
        this.#flights.delete(flight)
        const ready = steps()
        if (grows && this.faults.isFull && ready.some((step) => this.#needsPage(file, step))) return -ENOSPC
        file.change(ready)
        return bytes
      },
      () => {
        this.#flights.delete(flight)
        file.change(this.#beginning(file, steps()))
      },
    )
  }

  #needsPage(file: SimFile, step: Step): boolean {
    return step.kind === 'page' && !file.current.pages.has(step.index)
  }

  /** Runs `operation` now or later; or, where a fault is due, `fault` and EIO. */
  #run(done: Done, operation: () => number, fault: () => void = () => {}): number {
    const fails = this.faults.errorOneIn > 0 && this.#prng.oneIn(this.faults.errorOneIn)
    const run = (): number => {
      if (!fails) return operation()
      fault()
      return -EIO
    }
    if (this.#prng.oneIn(2)) return run()
    const { slowMs } = this.faults
    this.#clock.after(this.#prng.below(6 + slowMs), () => done(run()))
    return PENDING
  }
}
