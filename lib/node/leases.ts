import type { Clock } from '../ports.js'

/** A member without a session for so long has lost its locks. */
export const LEASE_MS = 15_000
/** A node that has not heard from a member for so long gives up its locks there by itself, well before. */
export const FENCE_MS = 10_000

/** In the place of a member: clients of the last run of this node, which does not know any more who they are. */
export const CLIENTS = -1

/**
 * How long the locks of other members last at this node: as long as there is a session with them, and a lease term
 * after it has ended. After a start of this node nobody gets a lock that somebody else may have from before: until all
 * members have said what they have, or the term is over, as it has to be where there were clients.
 */
export class Leases {
  readonly #clock: Clock
  /** Members without a session, and what ends the wait for them. */
  readonly #away = new Map<number, () => void>()
  /** Members that have not said yet what they have from before the start of this node. */
  readonly #awaited: Set<number>
  /** Members whose locks were given up since they were last here. */
  readonly #expired = new Set<number>()
  readonly #onExpired: (member: number) => void
  #waiting: { readonly member: number; readonly go: () => void }[] = []

  /** `members`: who may have locks from before, {@link CLIENTS} among them. */
  constructor(clock: Clock, members: readonly number[], onExpired: (member: number) => void) {
    this.#clock = clock
    this.#awaited = new Set(members)
    this.#onExpired = onExpired
    if (members.length > 0) clock.after(LEASE_MS, () => this.#expire([...this.#awaited]))
  }

  /** It is known who has which locks. */
  get isKnown(): boolean {
    return this.#awaited.size === 0
  }

  /** Calls `go` for what a member has asked when it is, unless the member begins another session before. */
  whenKnown(member: number, go: () => void): void {
    this.#waiting.push({ member, go })
  }

  /** There is a session with the member again, or, as another incarnation, anew. */
  up(member: number): void {
    this.#away.get(member)?.()
    this.#away.delete(member)
  }

  down(member: number): void {
    if (this.#away.has(member)) return
    this.#away.set(
      member,
      this.#clock.after(LEASE_MS, () => {
        this.#away.delete(member)
        this.#expire([member])
      }),
    )
  }

  /** False where the member says too late what it has: it has nothing any more. */
  hasLease(member: number): boolean {
    return !this.#expired.has(member)
  }

  /** The member has said what it has. */
  reclaimed(member: number): void {
    this.#expired.delete(member)
    this.#drop(member)
    this.#heard(member)
  }

  /** The member has left, or has come back as another incarnation: what it had it does not have any more. */
  forget(member: number): void {
    this.#expired.delete(member)
    this.#drop(member)
    this.#onExpired(member)
    this.#heard(member)
  }

  #expire(members: readonly number[]): void {
    for (const member of members) {
      this.#expired.add(member)
      this.#onExpired(member)
      this.#heard(member)
    }
  }

  #heard(member: number): void {
    if (!this.#awaited.delete(member) || this.#awaited.size > 0) return
    for (const { go } of this.#waiting.splice(0)) go()
  }

  /** What it has asked in an earlier session it asks again, if it still lives; otherwise nobody would give it back. */
  #drop(member: number): void {
    this.#waiting = this.#waiting.filter((waiting) => waiting.member !== member)
  }
}
