import type { Clock } from '../ports.js'

/**
 * Inodes that have just lost their last name. Whoever has found one by that name a moment ago, on whatever node, opens
 * it or looks at it by a message of its own: it stays a little longer, as it would where the kernel holds it.
 */
export class Lingering {
  readonly #clock: Clock
  readonly #lingerMs: number
  readonly #over: (inode: number) => void
  /** In the order of time. */
  readonly #until = new Map<number, number>()
  #cancel: (() => void) | undefined

  /** `over` is called for each when its time has come. */
  constructor(clock: Clock, lingerMs: number, over: (inode: number) => void) {
    this.#clock = clock
    this.#lingerMs = lingerMs
    this.#over = over
  }

  has(inode: number): boolean {
    return this.#until.has(inode)
  }

  add(inode: number): void {
    this.#until.delete(inode)
    this.#until.set(inode, this.#clock.monotonicMs() + this.#lingerMs)
    this.#cancel ??= this.#clock.after(this.#lingerMs, () => this.#expire())
  }

  /** Ends the time of all of them, such as for want of room. */
  end(): void {
    this.#cancel?.()
    this.#cancel = undefined
    const ended = [...this.#until.keys()]
    this.#until.clear()
    for (const inode of ended) this.#over(inode)
  }

  #expire(): void {
    this.#cancel = undefined
    const now = this.#clock.monotonicMs()
    for (const [inode, until] of this.#until) {
      if (until > now) {
        this.#cancel = this.#clock.after(until - now, () => this.#expire())
        return
      }
      this.#until.delete(inode)
      this.#over(inode)
    }
  }
}
