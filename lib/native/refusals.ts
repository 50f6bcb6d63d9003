import type { Clock, Log } from '../ports.js'

/** An address is named again only after this. */
const QUIET_MS = 600_000
/** Lines a minute, whoever knocks. */
const LINES_MAX = 10
const MINUTE_MS = 60_000
/** Addresses that are remembered. */
const ADDRESSES_MAX = 256

/** Logs who was refused and why: each address once in a while, and never more than a few lines a minute. */
export class Refusals {
  readonly #log: Log
  readonly #clock: Clock
  /** When each address was named, the longest ago first. */
  readonly #named = new Map<string, number>()
  #minuteMs = Number.NEGATIVE_INFINITY
  #lines = 0
  #silent = 0

  constructor(log: Log, clock: Clock) {
    this.#log = log
    this.#clock = clock
  }

  note(address: string, reason: string): void {
    const now = this.#clock.monotonicMs()
    if (now - this.#minuteMs >= MINUTE_MS) {
      this.#minuteMs = now
      this.#lines = 0
    }
    if (now - (this.#named.get(address) ?? Number.NEGATIVE_INFINITY) < QUIET_MS || this.#lines === LINES_MAX) {
      this.#silent++
      return
    }
    this.#lines++
    this.#named.delete(address)
    this.#named.set(address, now)
    if (this.#named.size > ADDRESSES_MAX) this.#named.delete(this.#named.keys().next().value as string)
    const event = this.#silent === 0 ? { peer: address } : { peer: address, notLogged: this.#silent }
    this.#silent = 0
    this.#log.warn(event, `a control connection was refused: ${reason}`)
  }
}
