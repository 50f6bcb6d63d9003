/**
 * What a file's bytes may be. In the ordinary they are known exactly; while operations are under way, after a fault and
 * after a crash they may be any of several, and this remembers which.
 */

/** A change of bytes: new ones from `start` on, or (without `bytes`) zeros in [start, end), or a cut at `start`. */
export interface Change {
  readonly kind: 'bytes' | 'cut'
  readonly start: number
  readonly end: number
  readonly bytes: Uint8Array | undefined
  /** The commit that makes a cut part of the metadata. */
  readonly commit: number
}

export const changeOfBytes = (start: number, bytes: Uint8Array): Change => ({
  kind: 'bytes',
  start,
  end: start + bytes.length,
  bytes,
  commit: 0,
})

export const changeToZeros = (start: number, end: number): Change => ({
  kind: 'bytes',
  start,
  end,
  bytes: undefined,
  commit: 0,
})

export class Contents {
  /** The bytes that are safe against a power cut; zeros beyond. */
  #base: Uint8Array = new Uint8Array(0)
  /** When it had them. */
  #baseMoment = 0
  /** What has happened since, oldest first. */
  #changes: Change[] = []
  /** Changes ever noted: marks a moment. */
  #noted = 0
  /** What is under way: each byte of it may or may not have happened. */
  readonly #doubts = new Set<Change>()
  /** What has failed half way, likewise. */
  #faults: Change[] = []
  /** What each read that is under way may have seen, apart from what was there when it began. */
  readonly #watches = new Set<Change[]>()
  #users = 0

  get moment(): number {
    return this.#noted
  }

  note(change: Change): void {
    this.#changes.push(change)
    this.#noted++
    for (const watch of this.#watches) watch.push(change)
  }

  noteCut(size: number, commit: number): void {
    this.note({ kind: 'cut', start: size, end: Number.POSITIVE_INFINITY, bytes: undefined, commit })
  }

  begin(change: Change): void {
    this.#doubts.add(change)
    for (const watch of this.#watches) watch.push(change)
  }

  end(change: Change): void {
    this.#doubts.delete(change)
  }

  /**
   * A read begins: what is under way and what comes until its end may be seen by it, even what is over by then and synced.
   */
  watch(): readonly Change[] {
    const watch = [...this.#doubts]
    this.#watches.add(watch)
    return watch
  }

  unwatch(watch: readonly Change[]): void {
    this.#watches.delete(watch as Change[])
  }

  /** A change has failed, of a file that has this size. */
  fail(change: Change, size: number): void {
    const end = Math.min(change.end, size)
    if (change.start < end) this.#faults.push({ ...change, end })
  }

  get hasFaults(): boolean {
    return this.#faults.length > 0
  }

  /** No operation is under way. */
  get isIdle(): boolean {
    return this.#users === 0
  }

  /** An operation on the file begins (+1) or ends (−1). */
  use(change: 1 | -1): void {
    this.#users += change
  }

  /** Cuts whose commit was undone have not happened. */
  undoAfter(commit: number): void {
    this.#changes = this.#changes.filter((change) => change.kind === 'bytes' || change.commit <= commit)
  }

  /** A sync that began at `moment`, when the file had these bytes, has succeeded. */
  synced(moment: number, bytes: Uint8Array): void {
    // Where a change has failed the bytes are not known; and a later sync may end before an earlier one.
    if (this.#faults.length > 0 || moment < this.#baseMoment) return
    this.#baseMoment = moment
    const left = Math.min(this.#changes.length, this.#noted - moment)
    this.#base = bytes
    this.#changes = left === 0 ? [] : this.#changes.slice(-left)
  }

  /** From now on the bytes are exactly these; `durable`: safe against a power cut. */
  adopt(bytes: Uint8Array, durable: boolean): void {
    // A power cut may still bring back what was there for a moment.
    if (!durable) for (const change of [...this.#doubts, ...this.#faults]) this.note(change)
    this.#doubts.clear()
    this.#watches.clear()
    this.#faults = []
    this.#users = 0
    if (!durable) {
      this.note(changeOfBytes(0, bytes))
      return
    }
    this.#base = bytes
    this.#baseMoment = this.#noted
    this.#changes = []
  }

  /**
   * The first of the bytes `seen` (which begin at `offset`) that is none of the candidates', nor made by a doubt or by one
   * of the changes that were watched; −1 where all are right.
   */
  firstWrong(
    seen: Uint8Array,
    offset: number,
    candidates: readonly Uint8Array[],
    watched: readonly Change[] = [],
  ): number {
    const right = new Uint8Array(seen.length)
    for (const candidate of candidates) {
      for (let i = 0; i < seen.length; i++) if (seen[i] === (candidate[offset + i] ?? 0)) right[i] = 1
    }
    if (!right.includes(0)) return -1
    for (const doubt of [...this.#doubts, ...this.#faults, ...watched]) allow(right, seen, offset, doubt)
    return right.indexOf(0)
  }

  /** The same after a power cut that has left the metadata of commit `kept`. */
  firstWrongAfterPowerCut(seen: Uint8Array, kept: number): number {
    const right = new Uint8Array(seen.length)
    for (let i = 0; i < seen.length; i++) right[i] = seen[i] === (this.#base[i] ?? 0) ? 1 : 0
    for (const change of this.#changes) {
      if (change.kind === 'bytes') allow(right, seen, 0, change)
      else if (change.commit <= kept) {
        // What was cut off must not come back, whatever else has been lost.
        for (let i = change.start; i < seen.length; i++) right[i] = seen[i] === 0 ? 1 : 0
      }
    }
    for (const doubt of [...this.#doubts, ...this.#faults]) allow(right, seen, 0, doubt)
    return right.indexOf(0)
  }
}

function allow(right: Uint8Array, seen: Uint8Array, offset: number, { start, end, bytes }: Change): void {
  const [from, to] = [Math.max(0, start - offset), Math.min(seen.length, end - offset)]
  for (let i = from; i < to; i++) {
    if (seen[i] === (bytes === undefined ? 0 : bytes[offset + i - start])) right[i] = 1
  }
}
