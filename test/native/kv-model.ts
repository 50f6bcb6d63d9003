/** A history of commits that every process can replay by itself: commit n always changes the same. */
import type { KvText } from '../conformance/kv.js'
import { seeded } from '../conformance/kv.js'

const KEYS = 400

export interface Change {
  readonly key: string
  /** Null: the record is deleted, if it is there. */
  readonly value: string | null
}

/** What commit number n (from 1) does. */
export function changesOf(n: number): Change[] {
  const random = seeded(n)
  const changes: Change[] = [{ key: 'sequence', value: String(n) }]
  for (let left = 1 + random(8); left > 0; left--) {
    const key = `k${random(KEYS)}`
    const bytes = random(40) === 0 ? random(9000) : random(300)
    changes.push({ key, value: random(3) === 0 ? null : `${n}:${key} `.repeat(bytes).slice(0, bytes) })
  }
  return changes
}

/** Puts commit n into the store; its result. */
export function commit(kv: KvText, n: number): number {
  for (const { key, value } of changesOf(n)) {
    if (value === null) kv.delete(key)
    else if (kv.put(key, value) !== 0) return kv.kv.commit()
  }
  return kv.kv.commit()
}

/** The state after each commit, moved forward. */
export class Model {
  readonly records = new Map<string, string>()
  #n = 0

  advanceTo(n: number): this {
    if (n < this.#n) throw new Error(`commit ${n} lies before ${this.#n}`)
    while (this.#n < n) {
      this.#n++
      for (const { key, value } of changesOf(this.#n)) {
        if (value === null) this.records.delete(key)
        else this.records.set(key, value)
      }
    }
    return this
  }

  /** Null where the store holds exactly this, else what differs first. */
  difference(kv: KvText): string | null {
    const found = kv.all()
    for (const [key, value] of found) {
      if (this.records.get(key) !== value) return `${key} is ${JSON.stringify(value.slice(0, 60))}`
    }
    return found.length === this.records.size ? null : `${found.length} of ${this.records.size} records`
  }
}

/** The number of the commit that the store's state is that of; 0 where it is empty. */
export function sequenceOf(kv: KvText): number {
  const found = kv.get('sequence')
  return typeof found === 'string' ? Number(found) : 0
}
