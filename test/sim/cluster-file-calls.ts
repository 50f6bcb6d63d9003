/** Calls on open files of a simulated cluster: their contents, permissions and an attribute, and what they may say. */
import { EIO, ENODATA, ENOSPC, ESTALE } from '../../lib/base/errno.js'
import { type FileCall, Files } from './cluster-data-files.js'
import type { Change } from './cluster-data-oracle.js'
import { ATTRIBUTE, FileRecord, MODE } from './cluster-file.js'
import type { Opening } from './cluster-lock-calls.js'
import { check, type RunLog } from './cluster-log.js'
import type { Troubles } from './cluster-troubles.js'
import { CHUNK_BYTES, type ClusterWorld, type MeetingNode } from './cluster-world.js'
import type { NamesClient } from './names-client.js'
import type { Prng } from './prng.js'

/** Files reach at most so far. */
const REACH = 10 * CHUNK_BYTES
const XATTR = 'user.x'
/** File modes that stay files' whatever is set. */
const MODE_BASE = 0o400

export class FileCalls {
  readonly #prng: Prng
  readonly #files: Files<MeetingNode>
  readonly #troubles: Troubles
  readonly #log: RunLog
  readonly #records = new Map<number, FileRecord>()
  #tag = 0
  /** When the power went last, and when the round has begun. */
  #powerCut = -1
  #roundBeganAt = 0
  /** Inodes that were there then. */
  #safe: ReadonlySet<number> = new Set()

  constructor(world: ClusterWorld, prng: Prng, troubles: Troubles, log: RunLog) {
    this.#prng = prng
    this.#files = new Files(world)
    this.#troubles = troubles
    this.#log = log
  }

  /** All that there is is safe. */
  beginRound(inodes: Iterable<number>): void {
    this.#roundBeganAt = this.#log.tick()
    this.#safe = new Set(inodes)
  }

  losePower(): void {
    this.#powerCut = this.#log.tick()
    for (const record of this.#records.values()) record.doubt(this.#log.now)
  }

  /** Forgets files that are gone. */
  keep(isThere: (number: number) => boolean): void {
    for (const number of this.#records.keys()) if (!isThere(number)) this.#records.delete(number)
  }

  /** It was made in this round, and the power has gone since. */
  mayBeGone(number: number): boolean {
    return this.#powerCut > this.#roundBeganAt && !this.#safe.has(number)
  }

  /** The record of a file, whose permissions are 0644 when it is made. */
  record(number: number): FileRecord {
    let record = this.#records.get(number)
    if (record === undefined) {
      record = new FileRecord(0o644)
      this.#records.set(number, record)
    }
    return record
  }

  /** Begins a call on an open file: `run` makes it, and `ended` judges what it says, unless that is a trouble's. */
  #start(
    opening: Opening,
    what: string,
    changes: readonly Change[],
    run: (node: MeetingNode, ended: (call: FileCall) => void) => void,
    ended: (call: FileCall, start: number, end: number) => void,
  ): void {
    const node = opening.client.node as MeetingNode
    const text = `${node.index}: ${what}`
    const start = this.#log.tick()
    const over = this.#log.begin(node, text)
    run(node, (call) => {
      over()
      const end = this.#log.tick()
      this.#log.trace(`  ${text}: ${call.result}${call.inode === undefined ? '' : ` ${call.size}`}`)
      const { result } = call
      if (result === -EIO && this.#troubles.mayFail) return
      if (result === -ENOSPC && this.#troubles.isFull) return
      if (result === -ESTALE && this.mayBeGone(opening.number)) return
      // What the power has taken away of it meanwhile is not known.
      if (start > this.#powerCut) for (const change of changes) change.end = end
      ended(call, start, end)
    })
  }

  #range(): [offset: number, bytes: number] {
    const near = this.#prng.below(REACH / CHUNK_BYTES) * CHUNK_BYTES + this.#prng.pick([0, 1, -1, 100, 4000])
    const offset = Math.max(0, this.#prng.oneIn(2) ? near : this.#prng.below(REACH))
    const lengths = [1, 100, 4000, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]
    return [offset, Math.max(1, Math.min(this.#prng.pick(lengths), REACH - offset))]
  }

  write(opening: Opening): void {
    const { number } = opening
    const { contents } = this.record(number)
    const [offset, bytes] = this.#range()
    const tag = ++this.#tag
    const value = (at: number): number => 1 + ((tag * 41 + (at >> 9)) % 255)
    const data = Uint8Array.from({ length: bytes }, (_, index) => value(offset + index))
    const what = `write ${number}: ${bytes} at ${offset}`
    const change = contents.begin({ kind: 'bytes', from: offset, to: offset + bytes, value, start: this.#log.now + 1 })
    this.#start(
      opening,
      what,
      [],
      (node, ended) => this.#files.write(node, number, offset, data, false, ended),
      ({ result }, start, end) => {
        if (result === bytes && start > this.#powerCut) change.end = end
        check(result === bytes || (result > 0 && this.#troubles.isFull), `${what}: ${result}`)
      },
    )
  }

  append(opening: Opening): void {
    const { number } = opening
    const { contents } = this.record(number)
    if (contents.base.length > REACH) return
    const bytes = this.#prng.pick([1, 500, 5000, CHUNK_BYTES + 5])
    const tag = 1 + (++this.#tag % 255)
    const what = `append ${number}: ${bytes} of ${tag}`
    contents.beginAppend(tag, this.#log.now + 1)
    this.#start(
      opening,
      what,
      [],
      (node, ended) => this.#files.write(node, number, 0, new Uint8Array(bytes).fill(tag), true, ended),
      ({ result }) => check(result === bytes || (result > 0 && this.#troubles.isFull), `${what}: ${result}`),
    )
  }

  truncate(opening: Opening): void {
    const { number } = opening
    const { contents } = this.record(number)
    const isOpen = this.#prng.oneIn(5)
    const size = isOpen ? 0 : (this.#range()[0] as number)
    const what = isOpen ? `open ${number} with O_TRUNC` : `truncate ${number} to ${size}`
    const shape = { from: size, to: size, value: () => 0, start: this.#log.now + 1 }
    const changes = [contents.begin({ kind: 'cut', ...shape }), contents.begin({ kind: 'grow', ...shape })]
    const { client } = opening
    this.#start(
      opening,
      what,
      changes,
      (node, ended) => {
        if (isOpen) this.#files.empty(node, number, ended)
        else this.#files.truncate(node, number, size, ended)
      },
      ({ result }) => {
        check(result === 0, `${what}: ${result}`)
        if (!isOpen) return
        client.node.fs.release(number, 0, undefined)
      },
    )
  }

  read(opening: Opening): void {
    const { number } = opening
    const record = this.record(number)
    const [offset, bytes] = this.#range()
    const what = `read ${number}: ${bytes} at ${offset}`
    this.#start(
      opening,
      what,
      [],
      (node, ended) => this.#files.read(node, number, offset, bytes, ended),
      (call, start, end) => {
        check(call.result >= 0, `${what}: ${call.result}`)
        const wrong = record.read(offset, bytes, call.bytes.subarray(0, call.result), start, end)
        check(wrong === null, `${what}: ${wrong}`)
      },
    )
  }

  stat(opening: Opening): void {
    const { number } = opening
    const record = this.record(number)
    const what = `stat ${number}`
    const { changedAt } = record
    const power = this.#powerCut
    this.#start(
      opening,
      what,
      [],
      (node, ended) => this.#files.stat(node, number, ended),
      ({ result, inode, size }, start, end) => {
        check(result === 0 && inode !== undefined, `${what}: ${result}`)
        if (inode === undefined) return
        const wrong = record.measured(size, start, end) ?? record.attribute(MODE, inode.mode & 0xff, start, end)
        check(wrong === null, `${what}: ${wrong}`)
        const changed = inode.ctime * 1e9 + inode.ctimeNs
        if (power !== this.#powerCut) return
        check(changed >= changedAt, `${what}: ctime runs back from ${changedAt} to ${changed}`)
        record.changedAt = Math.max(record.changedAt, changed)
      },
    )
  }

  fsync(opening: Opening): void {
    const { number } = opening
    const record = this.record(number)
    const what = `fsync ${number}`
    this.#start(
      opening,
      what,
      [],
      (node, ended) => this.#files.fsync(node, number, ended),
      ({ result }, start) => {
        check(result === 0, `${what}: ${result}`)
        if (start > this.#powerCut) record.synced(start)
      },
    )
  }

  chmod(opening: Opening): void {
    const { number } = opening
    const mode = MODE_BASE | this.#prng.below(256)
    const what = `chmod ${number} ${mode.toString(8)}`
    this.#start(
      opening,
      what,
      [this.#attributeSet(number, MODE, mode & 0xff)],
      (node, ended) => this.#files.chmod(node, number, mode, ended),
      ({ result }) => check(result === 0, `${what}: ${result}`),
    )
  }

  setxattr(opening: Opening): void {
    const { number } = opening
    const value = 1 + this.#prng.below(255)
    const what = `setxattr ${number} ${value}`
    this.#start(
      opening,
      what,
      [this.#attributeSet(number, ATTRIBUTE, value)],
      (node, ended) => this.#files.setxattr(node, number, XATTR, Uint8Array.of(value), ended),
      ({ result }) => check(result === 0, `${what}: ${result}`),
    )
  }

  #attributeSet(number: number, at: number, value: number): Change {
    const { attributes } = this.record(number)
    return attributes.begin({ kind: 'bytes', from: at, to: at + 1, value: () => value, start: this.#log.now + 1 })
  }

  getxattr(opening: Opening): void {
    const { number } = opening
    const record = this.record(number)
    const what = `getxattr ${number}`
    this.#start(
      opening,
      what,
      [],
      (node, ended) => this.#files.getxattr(node, number, XATTR, ended),
      ({ result, bytes }, start, end) => {
        check(result === 1 || result === -ENODATA, `${what}: ${result}`)
        const wrong = record.attribute(ATTRIBUTE, result === 1 ? (bytes[0] as number) : 0, start, end)
        check(wrong === null, `${what}: ${wrong}`)
      },
    )
  }

  /** Whoever can see the file sees the same. */
  judge(number: number, readers: readonly NamesClient[]): void {
    const record = this.record(number)
    const [first] = readers
    if (first === undefined) return
    const start = this.#log.tick()
    const seen = this.#look(first, number)
    const end = this.#log.tick()
    const { bytes, mode, attribute } = seen
    const wrong =
      record.read(0, bytes.length + 1, bytes, start, end) ??
      record.attribute(MODE, mode, start, end) ??
      record.attribute(ATTRIBUTE, attribute, start, end)
    check(wrong === null, `in the end ${number} has ${wrong}`)
    const unordered = record.firstWithoutOrder()
    check(unordered === null, `no order of the calls explains ${unordered} of ${number}`)
    for (const other of readers) {
      const again = this.#look(other, number)
      const at = again.bytes.findIndex((byte, index) => byte !== bytes[index])
      const isSame =
        again.bytes.length === bytes.length && at < 0 && again.mode === mode && again.attribute === attribute
      check(
        isSame,
        `${other.node.index} sees another file ${number}: ${again.bytes.length} bytes, ${again.mode}, at ${at}`,
      )
    }
    record.adopt(bytes, mode, attribute)
  }

  /** It is not there any more for a node that had it open. */
  isGone({ node }: NamesClient, number: number): boolean {
    const { result } = this.#files.now((ended) => this.#files.getxattr(node as MeetingNode, number, XATTR, ended))
    return result === -ESTALE
  }

  #look({ node }: NamesClient, number: number): { bytes: Uint8Array; mode: number; attribute: number } {
    const { payloadBytes } = node.pool
    const { size, result, inode } = this.#files.now((ended) => this.#files.stat(node as MeetingNode, number, ended))
    check(result === 0, `${node.index}: stat of ${number}: ${result}`)
    const bytes = new Uint8Array(size)
    for (let offset = 0; offset < size; offset += payloadBytes) {
      const call = this.#files.now((ended) =>
        this.#files.read(node as MeetingNode, number, offset, payloadBytes, ended),
      )
      const expected = Math.min(payloadBytes, size - offset)
      check(call.result === expected, `${node.index}: reading ${number} at ${offset} of ${size}: ${call.result}`)
      bytes.set(call.bytes.subarray(0, expected), offset)
    }
    const attribute = this.#files.now((ended) => this.#files.getxattr(node as MeetingNode, number, XATTR, ended))
    check(attribute.result === 1 || attribute.result === -ENODATA, `getxattr of ${number}: ${attribute.result}`)
    return {
      bytes,
      mode: (inode?.mode ?? 0) & 0xff,
      attribute: attribute.result === 1 ? (attribute.bytes[0] as number) : 0,
    }
  }
}
