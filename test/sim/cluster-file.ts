/** One file of a simulated cluster: what was done to it, what was seen of it, and who has locked it. */
import { F_RDLCK, F_UNLCK, type Lock } from '../../lib/share/locks.js'
import { ABSENT, type ByteEvent, FileOracle, hasOrder } from './cluster-data-oracle.js'

/** Where in {@link FileRecord.attributes} what stands. */
export const MODE = 0
export const ATTRIBUTE = 1
/** So many events at one byte can be put in order. */
const EVENTS_MAX = 14

/** Bytes that were read, or the size alone (`bytes` is undefined then). */
interface Seen {
  readonly from: number
  readonly bytes: Uint8Array | undefined
  /** The file ended there, as far as the reader could see. */
  readonly end: number
  readonly reach: number
  readonly start: number
  readonly ended: number
}

export class FileRecord {
  readonly contents = new FileOracle()
  /** Two bytes: permissions, and the value of an extended attribute. */
  readonly attributes = new FileOracle()
  /** The change time as it was last seen by a call that has ended. */
  changedAt = 0
  #seen: Seen[] = []
  #attributesSeen: { at: number; value: number; start: number; end: number }[] = []

  constructor(mode: number) {
    this.attributes.adopt(Uint8Array.of(mode & 0xff, 0))
  }

  /** Somebody has read `bytes`, having asked for `wanted`. Returns what is wrong about that, or null. */
  read(from: number, wanted: number, bytes: Uint8Array, start: number, end: number): string | null {
    const isShort = bytes.length < wanted
    const reach = isShort ? from + wanted : from + bytes.length
    this.#seen.push({
      from,
      bytes,
      end: isShort ? from + bytes.length : Number.POSITIVE_INFINITY,
      reach,
      start,
      ended: end,
    })
    for (const at of this.contents.samples(from, reach)) {
      const value = at < from + bytes.length ? (bytes[at - from] as number) : ABSENT
      if (!this.contents.allows(value, at, start, end)) return `${value} at ${at}, of ${bytes.length}`
    }
    return null
  }

  /** Somebody has seen the size. */
  measured(size: number, start: number, end: number): string | null {
    this.#seen.push({ from: Math.max(0, size - 1), bytes: undefined, end: size, reach: size + 1, start, ended: end })
    if (!this.contents.allows(ABSENT, size, start, end)) return `${size} bytes are too few`
    if (size > 0 && !this.contents.allowsPresence(size - 1, start, end)) return `${size} bytes are too many`
    return null
  }

  /** Somebody has seen permissions or the attribute. */
  attribute(at: number, value: number, start: number, end: number): string | null {
    this.#attributesSeen.push({ at, value, start, end })
    return this.attributes.allows(value, at, start, end) ? null : `${value}`
  }

  /** Whether all that was seen has an order, byte by byte: the first offset where it has none. */
  firstWithoutOrder(): string | null {
    for (const at of [MODE, ATTRIBUTE]) {
      const seen = this.#attributesSeen.filter((one) => one.at === at)
      const events = seen.map(({ start, end, value }) => ({ start, end, isSeen: (is: number) => is === value }))
      if (!isOrdered(this.attributes, at, events)) return at === MODE ? 'permissions' : 'attribute'
    }
    const edges = this.#seen.flatMap(({ from, reach, end }) => [from, reach - 1, end - 1, end])
    const offsets = new Set([...edges, ...this.contents.edges].filter((at) => at >= 0 && Number.isFinite(at)))
    for (const at of offsets) {
      const events = this.#seen.filter(({ from, reach }) => from <= at && at < reach).map((one) => eventOf(one, at))
      if (!isOrdered(this.contents, at, events)) return `byte ${at}`
    }
    return null
  }

  /** Nothing is under way: this is what there is. */
  adopt(contents: Uint8Array, mode: number, attribute: number): void {
    this.contents.adopt(contents)
    this.attributes.adopt(Uint8Array.of(mode & 0xff, attribute))
    this.#seen = []
    this.#attributesSeen = []
  }

  synced(start: number): void {
    this.contents.synced(start)
    this.attributes.synced(start)
  }

  /** The power has gone somewhere. */
  doubt(now: number): void {
    this.contents.doubt(now)
    this.attributes.doubt(now)
    this.changedAt = 0
  }
}

function eventOf({ from, bytes, end, start, ended }: Seen, at: number): ByteEvent {
  const isSeen = (value: number): boolean => {
    if (at >= end) return value === ABSENT
    return bytes === undefined ? value !== ABSENT : value === bytes[at - from]
  }
  return { start, end: ended, isSeen }
}

function isOrdered(oracle: FileOracle, at: number, seen: readonly ByteEvent[]): boolean {
  const done = oracle.eventsAt(at)
  if (done === undefined || done.length + seen.length > EVENTS_MAX) return true
  return hasOrder(oracle.base[at] ?? ABSENT, [...done, ...seen])
}

/** Locks of one kind on one file, as their owners know them: each from when it was granted until it is given up. */
export class LockLedger {
  #held: Lock[] = []

  /** From here on the owner may have no lock any more in this range. */
  giveUp({ owner, start, end }: Lock): void {
    this.#held = this.#held.filter((held) => held.owner !== owner || held.start > end || held.end < start)
  }

  giveUpAll(owner: string): void {
    this.#held = this.#held.filter((held) => held.owner !== owner)
  }

  /** The owner has been told that it has the lock; the owner of one that excludes it, or undefined. */
  granted(lock: Lock, isValid: (held: Lock) => boolean): Lock | undefined {
    if (lock.type === F_UNLCK) return undefined
    const blocker = this.#held.find(
      (held) =>
        held.owner !== lock.owner &&
        held.start <= lock.end &&
        lock.start <= held.end &&
        (held.type !== F_RDLCK || lock.type !== F_RDLCK) &&
        isValid(held),
    )
    this.#held.push(lock)
    return blocker
  }
}
