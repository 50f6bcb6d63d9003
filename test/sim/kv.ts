import { EIO, ENOENT, ENOSPC } from '../../lib/base/errno.js'
import type { Clock, Done, Kv } from '../../lib/ports.js'
import type { Prng } from './prng.js'

export type Crash = 'process' | 'power'

interface Change {
  readonly key: string
  readonly before: Uint8Array | undefined
}

/** The faults that a {@link SimKv} is to have. */
export interface KvFaults {
  /** Only deletions may proceed. */
  isFull: boolean
  /** The next commit fails. */
  failCommit: boolean
  /** Syncs fail. */
  failSync: boolean
  /** Syncs take up to so long more. */
  slowMs: number
}

/**
 * A Kv in memory that remembers how to undo every commit since the last acknowledged sync. A crash of the process keeps
 * all commits; a power cut keeps those up to some commit, not older than that sync.
 */
export class SimKv implements Kv {
  readonly key = new Uint8Array(512)
  readonly value: Uint8Array
  readonly faults: KvFaults = { isFull: false, failCommit: false, failSync: false, slowMs: 0 }
  valueBytes = 0
  /** Commits so far, and how many of them the last acknowledged sync covers. */
  commits = 0
  synced = 0
  /** Syncs that have ended. */
  syncs = 0
  /** Called after each commit, or with false where the batch was undone. */
  onCommit: (succeeded: boolean) => void = () => {}
  readonly #clock: Clock
  readonly #prng: Prng
  readonly #records = new Map<string, Uint8Array>()
  #sorted: string[] = []
  #open: Change[] = []
  /** When the last sync ends. */
  #syncedAtMs = 0
  /** How to undo the commits after `synced`, oldest first. */
  #undoable: Change[][] = []

  constructor(clock: Clock, prng: Prng, valueBytesMax = 128 * 1024) {
    this.#clock = clock
    this.#prng = prng
    this.value = new Uint8Array(new ArrayBuffer(valueBytesMax))
  }

  /** Changes wait for a commit. */
  get isOpen(): boolean {
    return this.#open.length > 0
  }

  get(keyBytes: number): number {
    return this.#load(this.#records.get(textOf(this.key, keyBytes)))
  }

  put(keyBytes: number, valueBytes: number): number {
    this.#change(textOf(this.key, keyBytes), this.value.slice(0, valueBytes))
    return 0
  }

  delete(keyBytes: number): number {
    const key = textOf(this.key, keyBytes)
    if (!this.#records.has(key)) return -ENOENT
    this.#change(key, undefined)
    return 0
  }

  seek(keyBytes: number): number {
    const found = this.#sorted[this.#indexOf(textOf(this.key, keyBytes))]
    if (found === undefined) return -ENOENT
    for (let i = 0; i < found.length; i++) this.key[i] = found.charCodeAt(i)
    this.#load(this.#records.get(found))
    return found.length
  }

  canGrow(): boolean {
    return !this.faults.isFull
  }

  commit(): number {
    if (this.#open.length === 0) return 0
    if (this.faults.failCommit) {
      this.faults.failCommit = false
      this.abort()
      this.onCommit(false)
      return this.faults.isFull ? -ENOSPC : -EIO
    }
    this.#undoable.push(this.#open)
    this.#open = []
    this.commits++
    this.onCommit(true)
    return 0
  }

  abort(): void {
    this.#undo(this.#open)
    this.#open = []
  }

  sync(done: Done): void {
    const covered = this.commits
    // One after the other, like those of a device that has one queue.
    const now = this.#clock.monotonicMs()
    this.#syncedAtMs = Math.max(this.#syncedAtMs, now + this.#prng.below(8 + this.faults.slowMs))
    this.#clock.after(this.#syncedAtMs - now, () => {
      this.syncs++
      if (this.faults.failSync) done(-EIO)
      else {
        this.#markSynced(covered)
        done(0)
      }
    })
  }

  /** Takes as long as a sync, and does nothing. */
  pretendSync(done: Done): void {
    this.#clock.after(this.#prng.below(8), () => done(0))
  }

  close(done: Done): void {
    this.abort()
    this.sync(done)
  }

  /** Ends the process or the power; afterwards {@link commits} says which state is left. */
  crash(kind: Crash): void {
    this.abort()
    if (kind === 'process') return
    const kept = this.synced + this.#prng.below(this.commits - this.synced + 1)
    while (this.commits > kept) {
      this.#undo(this.#undoable.pop() as Change[])
      this.commits--
    }
    this.#markSynced(kept)
  }

  /** All records in the order of their keys. */
  *records(): Generator<[key: Uint8Array, value: Uint8Array]> {
    for (const key of this.#sorted) yield [bytesOf(key), this.#records.get(key) as Uint8Array]
  }

  #markSynced(covered: number): void {
    if (covered <= this.synced) return
    this.#undoable.splice(0, covered - this.synced)
    this.synced = covered
  }

  #load(value: Uint8Array | undefined): number {
    if (value === undefined) return -ENOENT
    this.value.set(value)
    this.valueBytes = value.length
    return value.length
  }

  #change(key: string, value: Uint8Array | undefined): void {
    this.#open.push({ key, before: this.#records.get(key) })
    this.#set(key, value)
  }

  #undo(changes: Change[]): void {
    for (const { key, before } of changes.reverse()) this.#set(key, before)
  }

  #set(key: string, value: Uint8Array | undefined): void {
    const existed = this.#records.has(key)
    if (value === undefined) {
      this.#records.delete(key)
      if (existed) this.#sorted.splice(this.#indexOf(key), 1)
      return
    }
    this.#records.set(key, value)
    if (!existed) this.#sorted.splice(this.#indexOf(key), 0, key)
  }

  /** The index of the first key at or after this one. */
  #indexOf(key: string): number {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#sorted[middle] as string) < key) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Keys as strings of one character a byte: their order is that of the bytes. */
function textOf(key: Uint8Array, length: number): string {
  let text = ''
  for (let i = 0; i < length; i++) text += String.fromCharCode(key[i] as number)
  return text
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}
