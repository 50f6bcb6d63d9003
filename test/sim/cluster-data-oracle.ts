/**
 * What the bytes of a file may be while several nodes change it at the same time. Every change has an interval: it was
 * asked for at `start` and answered at `end`, and took effect, byte by byte, somewhere in between. A read may see what
 * nothing has certainly overwritten before it began.
 */

/** A byte beyond the end of the file. */
export const ABSENT = -1

export interface Change {
  /**
   * bytes: sets [from, to); zero: the same with zeros, but only as far as the file reaches; cut: the file ends at `from`;
   * grow: it reaches to `to` at least.
   */
  readonly kind: 'bytes' | 'zero' | 'cut' | 'grow'
  readonly from: number
  readonly to: number
  readonly value: (offset: number) => number
  readonly start: number
  /** Infinity as long as it is under way, or for ever where nobody will say whether it happened. */
  end: number
  /** The power has gone: where it made the file longer, its bytes may be zeros. */
  isDoubted: boolean
}

/** What was done to one byte, or seen of it, and when. */
export interface ByteEvent {
  readonly start: number
  /** Infinity: it may have happened or not. */
  readonly end: number
  readonly apply?: (value: number) => number
  readonly isSeen?: (value: number) => boolean
}

/** Whether what was seen can come from some order of what was done, in which nothing comes before what ended before it began. */
export function hasOrder(first: number, events: readonly ByteEvent[]): boolean {
  const seen = new Set<string>()
  const mandatory = events.reduce((bits, { end }, index) => (Number.isFinite(end) ? bits | (1 << index) : bits), 0)
  const search = (done: number, value: number): boolean => {
    if ((done & mandatory) === mandatory) return true
    const key = `${done} ${value}`
    if (seen.has(key)) return false
    seen.add(key)
    const isLeft = (_: ByteEvent, index: number): boolean => (done & (1 << index)) === 0
    const firstEnd = Math.min(...events.filter(isLeft).map(({ end }) => end))
    return events.some((event, index) => {
      if (!isLeft(event, index) || event.start > firstEnd || event.isSeen?.(value) === false) return false
      return search(done | (1 << index), event.apply?.(value) ?? value)
    })
  }
  return search(0, first)
}

const NEVER = Number.NEGATIVE_INFINITY

export class FileOracle {
  /** The contents when nothing was under way last. */
  base: Uint8Array = new Uint8Array(0)
  #changes: Change[] = []
  /** What a power cut may have taken away before the last {@link adopt}, but for bytes beyond the size. */
  readonly #lost: Change[] = []
  /** Those that no power cut takes away. */
  readonly #safe = new Set<Change>()
  /** Bytes that an append under way may have put anywhere. */
  #anywhere: { readonly value: number; readonly start: number }[] = []

  begin(change: Omit<Change, 'end' | 'isDoubted'>): Change {
    const begun = { ...change, end: Number.POSITIVE_INFINITY, isDoubted: false }
    this.#changes.push(begun)
    return begun
  }

  /** An append of bytes of one value: where it goes is not known before nothing is under way. */
  beginAppend(value: number, start: number): void {
    this.#anywhere.push({ value, start })
  }

  /** Ends before `offset`, at the latest: beyond it there has never been anything since the last {@link adopt}. */
  get reach(): number {
    return Math.max(this.base.length, ...this.#changes.map(({ to }) => to))
  }

  /** The size, where nothing was ever under way at the same time as anything else. */
  get knownSize(): number {
    let size = this.base.length
    for (const { kind, from, to } of this.#changes) {
      if (kind === 'cut') size = Math.min(size, from)
      else if (kind !== 'zero') size = Math.max(size, to)
    }
    return size
  }

  /** A sync that was asked for at `start` has succeeded: what had ended by then is safe. */
  synced(start: number): void {
    for (const change of this.#changes) if (change.end < start) this.#safe.add(change)
  }

  /** The power has gone somewhere: what is not safe may be lost. */
  doubt(now: number): void {
    for (const change of this.#changes) {
      if (change.start >= now || this.#safe.has(change)) continue
      change.end = Number.POSITIVE_INFINITY
      change.isDoubted = true
    }
  }

  /** Nothing is under way: these are the contents from now on. */
  adopt(contents: Uint8Array): void {
    this.base = contents
    this.#lost.push(...this.#changes.filter(({ isDoubted, kind }) => isDoubted && kind === 'bytes'))
    this.#changes = []
    this.#safe.clear()
    this.#anywhere = []
  }

  /** Offsets at which something begins or ends. */
  get edges(): number[] {
    const edges = this.#changes.flatMap((change) => [change.from - 1, change.from, change.to - 1, change.to])
    return [this.base.length - 1, this.base.length, ...edges]
  }

  /** These, and some in between. */
  samples(from: number, to: number): number[] {
    const samples = new Set([from, to - 1, ...this.edges])
    for (let offset = from; offset < to; offset += 509) samples.add(offset)
    return [...samples].filter((offset) => offset >= from && offset < to)
  }

  /** Whether whoever looked between `start` and `end` may have seen this at `offset`. */
  allows(seen: number, offset: number, start: number, end: number): boolean {
    const begun = this.#changes.filter((change) => change.start < end)
    const setters = begun.filter((change) => isSetter(change, offset))
    const growers = begun.filter(
      (change) => isGrower(change, offset) && (change.isDoubted || !isSetter(change, offset)),
    )
    const first: Change = {
      kind: 'bytes',
      from: 0,
      to: 0,
      value: () => this.base[offset] ?? ABSENT,
      start: NEVER,
      end: NEVER,
      isDoubted: false,
    }
    const zeroes = begun.filter(({ kind, from, to }) => kind === 'zero' && from <= offset && offset < to)
    const isUnsafe = setters.some(({ kind, isDoubted }) => kind === 'bytes' && isDoubted)
    if (isUnsafe && this.#lost.some((lost) => isSetter(lost, offset) && lost.value(offset) === seen)) return true
    const sources = [first, ...setters]
    const isOver = (source: Change, others: readonly Change[]): boolean =>
      others.some((other) => other.start > source.end && other.end < start)
    const valueFrom = (source: Change): number => (source.kind === 'cut' ? ABSENT : source.value(offset))
    if (seen > 0 && this.#anywhere.some((append) => append.value === seen && append.start < end)) return true
    if (seen === 0 && zeroes.some((zero) => !isOver(zero, setters))) return true
    for (const source of sources) {
      if (isOver(source, setters)) continue
      const value = valueFrom(source)
      if (value !== ABSENT) {
        if (value === seen && (value === 0 || !isOver(source, zeroes))) return true
        continue
      }
      if (seen === ABSENT && !isOver(source, growers)) return true
      const grown = growers.some((grower) => {
        const isBefore = grower.end < source.start
        return (
          !isBefore &&
          !isOver(
            grower,
            setters.filter(({ kind }) => kind === 'cut'),
          )
        )
      })
      if (seen === 0 && (grown || this.#anywhere.some((append) => append.start < end))) return true
    }
    return false
  }

  /** What was done to a byte; undefined where a power cut or an append leaves that open. */
  eventsAt(offset: number): ByteEvent[] | undefined {
    if (this.#anywhere.length > 0 || this.#changes.some(({ isDoubted }) => isDoubted)) return undefined
    const events: ByteEvent[] = []
    for (const change of this.#changes) {
      const { start, end } = change
      if (isSetter(change, offset)) {
        const value = change.kind === 'cut' ? ABSENT : change.value(offset)
        events.push({ start, end, apply: () => value })
        if (this.#mayBeTwice(change, offset)) events.push({ start, end: Number.POSITIVE_INFINITY, apply: () => value })
      } else if (isGrower(change, offset)) events.push({ start, end, apply: (before) => Math.max(before, 0) })
      else if (change.kind === 'zero' && change.from <= offset && offset < change.to) {
        events.push({ start, end, apply: (before) => Math.min(before, 0) })
      }
    }
    return events
  }

  /** A write that meets a truncation between its pieces is done anew: it may have been seen before, too. */
  #mayBeTwice({ kind, start, end }: Change, offset: number): boolean {
    const isMet = (cut: Change): boolean =>
      cut.kind === 'cut' && cut.from <= offset && cut.start < end && cut.end > start
    return kind === 'bytes' && this.#changes.some(isMet)
  }

  /** Whether the file may have reached beyond `offset`. */
  allowsPresence(offset: number, start: number, end: number): boolean {
    for (let value = 0; value < 256; value++) if (this.allows(value, offset, start, end)) return true
    return false
  }
}

function isSetter({ kind, from, to }: Change, offset: number): boolean {
  return kind === 'cut' ? from <= offset : kind === 'bytes' && from <= offset && offset < to
}

const isGrower = ({ kind, to }: Change, offset: number): boolean => (kind === 'bytes' || kind === 'grow') && to > offset
