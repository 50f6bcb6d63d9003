import { EINVAL, ENOSPC, ENXIO, EOPNOTSUPP } from '../../lib/base/errno.js'
import { INLINE_BYTES_MAX } from '../../lib/base/limits.js'
import { isRegular, withoutPrivileges } from '../../lib/base/mode.js'
import { SEEK_DATA, SEEK_HOLE } from '../../lib/chunk/store.js'
import type { Done } from '../../lib/ports.js'
import { noChange } from '../../lib/share/attributes.js'
import type { Bench } from './bench.js'
import { type Change, changeOfBytes, changeToZeros } from './contents.js'
import { type Node, WINDOW_BYTES } from './model.js'

const KEEP_SIZE = 1
const PUNCH_HOLE = 2
const ZERO_RANGE = 16
const COLLAPSE_RANGE = 8

const EDGES = [0, 1, 100, INLINE_BYTES_MAX - 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 4096, 5000, 8192, 12288, 16385]
const LENGTHS = [1, 10, 96, 100, 4000, 4096, 4097, 8192, 10000]
const LARGE_SIZES = [2 ** 32 + 5, Number.MAX_SAFE_INTEGER]

/** Operations on the bytes of files. They may be under way side by side. */
export class DataOperations {
  readonly #bench: Bench
  /** What was changed in this turn. */
  #changed: [number: number, change: Change][] = []
  /** Files that are being copied from, and so must not change. */
  readonly #sources = new Set<number>()
  readonly #operations: (() => void)[]
  #tag = 0

  constructor(bench: Bench) {
    this.#bench = bench
    this.#operations = [
      () => this.#write(),
      () => this.#write(),
      () => this.#write(),
      () => this.#truncate(),
      () => this.#truncate(),
      () => this.#allocate(),
      () => this.#copy(),
      () => this.#read(),
      () => this.#read(),
      () => this.#seek(),
      () => this.#fsync(),
      () => this.#syncAll(),
    ]
  }

  run(): void {
    this.#bench.prng.pick(this.#operations)()
  }

  /** Forgets what a crash has ended. */
  reset(): void {
    this.#sources.clear()
    this.#changed = []
  }

  endTurn(): void {
    this.#changed = []
  }

  /** The commit of this turn has failed: what it has overwritten may be old or new. */
  doubtTurn(): void {
    for (const [number, change] of this.#changed) {
      const node = this.#bench.model.nodes.get(number)
      if (node?.isLarge) node.contents.fail(change, node.size)
    }
    this.#changed = []
  }

  #file(changes: boolean): Node | undefined {
    return this.#bench.held((node) => isRegular(node.mode) && !(changes && this.#sources.has(node.number)))
  }

  #range(): [offset: number, length: number] {
    const { prng } = this.#bench
    const offset = prng.pick(EDGES)
    return [offset, Math.min(prng.pick(LENGTHS), WINDOW_BYTES - offset)]
  }

  /** Bytes that are never zero and tell their write and their place. */
  #bytes(length: number): Uint8Array {
    const tag = ++this.#tag * 37
    return Uint8Array.from({ length }, (_, index) => 1 + ((tag + index) % 255))
  }

  /** Runs a change of a file's bytes; `succeeded` takes it into the model. */
  #change(
    number: number,
    change: Change | undefined,
    call: (done: Done) => number,
    ended: (result: number) => boolean,
  ) {
    const { contents } = this.#bench.model.node(number)
    contents.use(1)
    if (change !== undefined) contents.begin(change)
    this.#bench.start(call, (result) => {
      contents.use(-1)
      if (change !== undefined) contents.end(change)
      const succeeded = ended(result)
      if (change === undefined) return
      const node = this.#bench.model.node(number)
      if (succeeded) {
        contents.note(change)
        this.#changed.push([number, change])
      } else if (node.isLarge) contents.fail(change, node.size)
    })
  }

  #write(): void {
    const { prng, world, model } = this.#bench
    const node = this.#file(true)
    const slot = world.pool.acquire()
    if (node === undefined || slot < 0) {
      if (slot >= 0) world.pool.release(slot)
      return
    }
    const { number } = node
    const [offset, length] = this.#range()
    const bytes = this.#bytes(length)
    const at = world.pool.payloadOf(slot)
    world.pool.memory.set(bytes, at)
    const kill = prng.oneIn(4)
    const what = `write ${number} ${length} at ${offset}`
    this.#bench.trace(`  ${what} …`)
    this.#change(
      number,
      changeOfBytes(offset, bytes),
      (done) => world.share.write(number, at, length, offset, kill, done),
      (result) => {
        world.pool.release(slot)
        if (!this.#bench.expect(what, result, length, true, true)) return false
        const written = model.change(number)
        if (offset + length > INLINE_BYTES_MAX) written.isLarge = true
        if (kill) written.mode = withoutPrivileges(written.mode)
        model.write(number, offset, bytes, this.#bench.nextCommit)
        this.#bench.verify(number, 'm')
        return true
      },
    )
  }

  #truncate(): void {
    const { prng, world, model } = this.#bench
    const node = this.#file(true)
    if (node === undefined) return
    const { number } = node
    const change = noChange()
    const size = prng.oneIn(8) ? prng.pick(LARGE_SIZES) : prng.pick(EDGES)
    change.size = size
    const what = `truncate ${number} to ${size}`
    this.#bench.trace(`  ${what} …`)
    this.#change(
      number,
      undefined,
      (done) => world.share.setattr(number, change, done),
      (result) => {
        if (!this.#bench.expect(what, result, 0, false, true)) return false
        model.resize(number, size, this.#bench.nextCommit)
        this.#bench.verify(number, 'm')
        return true
      },
    )
  }

  #allocate(): void {
    const { prng, world, model } = this.#bench
    const node = this.#file(true)
    if (node === undefined) return
    const { number } = node
    const mode = prng.pick([0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE, COLLAPSE_RANGE])
    const [offset, length] = this.#range()
    const end = offset + length
    const zeroes = (mode & (PUNCH_HOLE | ZERO_RANGE)) !== 0
    const punches = (mode & PUNCH_HOLE) !== 0
    const expected = mode === COLLAPSE_RANGE ? -EOPNOTSUPP : 0
    const what = `allocate ${number} mode ${mode} ${length} at ${offset}`
    this.#bench.trace(`  ${what} …`)
    this.#change(
      number,
      zeroes ? changeToZeros(offset, end) : undefined,
      (done) => world.share.fallocate(number, mode, offset, length, done),
      (result) => {
        if (!this.#bench.expect(what, result, expected, !punches, true)) return false
        const { size } = model.node(number)
        if (zeroes && offset < Math.min(end, size)) {
          const zeros = new Uint8Array(Math.min(end, size, WINDOW_BYTES) - offset)
          model.write(number, offset, zeros, this.#bench.nextCommit)
        }
        if ((mode & KEEP_SIZE) === 0 && end > size) model.resize(number, end, this.#bench.nextCommit)
        if (!punches && end > INLINE_BYTES_MAX) model.change(number).isLarge = true
        this.#bench.verify(number, 'm')
        return true
      },
    )
  }

  #copy(): void {
    const { prng, world, model } = this.#bench
    const [source, target] = [this.#file(false), this.#file(true)]
    if (source === undefined || target === undefined) return
    if (!source.contents.isIdle || !target.contents.isIdle || source.contents.hasFaults) return
    const [from, to] = [source.number, target.number]
    const [[fromOffset, length], [toOffset]] = [this.#range(), this.#range()]
    const wanted = Math.min(length, WINDOW_BYTES - toOffset)
    const stateOf = ({ size, data, isLarge }: Node) => {
      const possible = Math.max(0, Math.min(wanted, size - fromOffset))
      return { size, isLarge, possible, bytes: data.slice(fromOffset, fromOffset + possible) }
    }
    const start = stateOf(source)
    const { possible, bytes } = start
    const what = `copy ${wanted} from ${from} at ${fromOffset} to ${to} at ${toOffset} (prng ${prng.below(9)})`
    this.#bench.trace(`  ${what} …`)
    const overlaps = from === to && fromOffset < toOffset + possible && toOffset < fromOffset + possible
    const isTargetLarge = target.isLarge
    this.#sources.add(from)
    source.contents.use(1)
    this.#change(
      to,
      possible > 0 && start.isLarge && isTargetLarge ? changeOfBytes(toOffset, bytes) : undefined,
      (done) => world.share.copyFileRange(from, fromOffset, to, toOffset, wanted, done),
      (result) => {
        this.#sources.delete(from)
        source.contents.use(-1)
        const expectedOf = ({ possible, bytes, isLarge }: typeof start): number => {
          // Where the source is a hole to its end the disk has nothing to copy.
          const isHole = bytes.every((byte) => byte === 0)
          const isRefused = isHole && result === -EOPNOTSUPP
          if (possible === 0) return 0
          if (!isLarge || !isTargetLarge) return -EOPNOTSUPP
          if (overlaps) return result === -EINVAL || isRefused || result === -ENOSPC ? result : -EINVAL
          return result === 0 || result > possible || (result < 0 && !isRefused) ? possible : result
        }
        // A truncation of the source that was asked for just before may have been undone while this waited.
        const present = stateOf(model.node(from))
        const isUndone = present.size !== start.size && result !== expectedOf(start)
        const state = isUndone ? present : start
        if (!this.#bench.expect(what, result, expectedOf(state), true, true) || result <= 0) return false
        model.write(to, toOffset, state.bytes.subarray(0, result), this.#bench.nextCommit)
        this.#bench.verify(to, 'm')
        return true
      },
    )
  }

  #read(): void {
    const { world, model } = this.#bench
    const node = this.#file(false)
    const slot = world.pool.acquire()
    if (node === undefined || slot < 0) {
      if (slot >= 0) world.pool.release(slot)
      return
    }
    const { number, data, size, contents } = node
    const [offset, length] = this.#range()
    const at = world.pool.payloadOf(slot)
    const what = `read ${number} ${length} at ${offset}`
    this.#bench.trace(`  ${what} …`)
    contents.use(1)
    const watched = contents.watch()
    const { undoneCount } = world.share.meta
    this.#bench.start(
      (done) => world.share.read(number, at, length, offset, done),
      (result) => {
        contents.use(-1)
        contents.unwatch(watched)
        const expected = Math.max(0, Math.min(length, size - offset))
        if (this.#bench.expect(what, result, expected, false, true)) {
          const seen = world.pool.memory.slice(at, at + result)
          const candidates = [data, model.node(number).data]
          const wrong = contents.firstWrong(seen, offset, candidates, watched)
          const isKnown = world.share.meta.undoneCount === undoneCount
          this.#bench.check(wrong < 0 || !isKnown, `${what}: byte ${offset + wrong} is ${seen[wrong]}`)
        }
        world.pool.release(slot)
      },
    )
    this.#bench.verify(number, '-')
  }

  #seek(): void {
    const { prng, world } = this.#bench
    const node = this.#file(false)
    if (node === undefined || !node.contents.isIdle || node.contents.hasFaults) return
    const { number, data, size } = node
    const [offset] = this.#range()
    const whence = prng.pick([SEEK_DATA, SEEK_HOLE])
    const found = this.#bench.attempt(() => world.share.lseek(number, offset, whence))
    const what = `seek ${whence === SEEK_DATA ? 'data' : 'hole'} ${number} from ${offset}`
    this.#bench.trace(`  ${what} → ${found}`)
    const zeros = (start: number, end: number): boolean => data.subarray(start, end).every((byte) => byte === 0)
    if (offset >= size) this.#bench.check(found === -ENXIO, `${what}: ${found} beyond the end`)
    else if (whence === SEEK_DATA) {
      const isRight = found === -ENXIO ? zeros(offset, data.length) : found < size && zeros(offset, found)
      this.#bench.check(isRight, `${what}: ${found}`)
    } else {
      const isRight = found >= offset && (found === size || (found < size && (data[found] ?? 0) === 0))
      this.#bench.check(isRight, `${what}: ${found}`)
    }
  }

  #fsync(): void {
    const { world, model } = this.#bench
    const node = this.#bench.held(() => true) as Node
    const { number, data, contents } = node
    const { moment } = contents
    const mark = this.#bench.mark()
    const { undoneCount } = world.share.meta
    this.#bench.trace(`  fsync ${number} …`)
    contents.use(1)
    this.#bench.start(
      (done) => world.share.fsync(number, done),
      (result) => {
        contents.use(-1)
        if (!this.#bench.expect(`fsync ${number}`, result, 0, false, true)) return
        if (model.nodes.has(number) && world.share.meta.undoneCount === undoneCount) contents.synced(moment, data)
        this.#bench.require(mark)
      },
    )
  }

  /** syncfs(2), and fsync(2) of a directory. */
  #syncAll(): void {
    const { prng, world, model } = this.#bench
    const everything = prng.oneIn(2)
    const nodes = [...model.nodes.values()].map((node) => ({ ...node, moment: node.contents.moment }))
    const mark = this.#bench.mark()
    const { undoneCount } = world.share.meta
    this.#bench.start(
      (done) => (everything ? world.share.syncfs(done) : world.share.fsyncdir(done)),
      (result) => {
        if (!this.#bench.expect(everything ? 'syncfs' : 'fsyncdir', result, 0, false, true)) return
        const isKnown = everything && world.share.meta.undoneCount === undoneCount
        if (isKnown) for (const { contents, moment, data } of nodes) contents.synced(moment, data)
        this.#bench.require(mark)
      },
    )
  }
}
