import type { Clock } from '../ports.js'

/**
 * Timestamps that never repeat and never run back: max(own clock, last + 1 ns). What peers have seen joins
 * the maximum: a hybrid logical clock.
 */
export class Stamps {
  readonly #clock: Clock
  /** The newest stamp: seconds since 1970, and nanoseconds. */
  seconds = 0
  nanoseconds = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A peer has a stamp that is newer than ours: the next one comes after it. */
  observe(seconds: number, nanoseconds: number): void {
    if (seconds < this.seconds || (seconds === this.seconds && nanoseconds <= this.nanoseconds)) return
    this.seconds = seconds
    this.nanoseconds = nanoseconds
  }

  /** Moves on to the next stamp. */
  advance(): void {
    const clock = this.#clock
    clock.readRealtime()
    const ahead =
      clock.seconds > this.seconds || (clock.seconds === this.seconds && clock.nanoseconds > this.nanoseconds)
    if (ahead) {
      this.seconds = clock.seconds
      this.nanoseconds = clock.nanoseconds
      return
    }
    this.nanoseconds++
    if (this.nanoseconds < 1_000_000_000) return
    this.nanoseconds = 0
    this.seconds++
  }

  /**
   * Moves on, and gives an inode its change time: the next stamp, or where that is not later than its last one, 1 ns
   * after that. A clock may have been ahead that is right now, and what it has stamped stays; but this node's other
   * stamps do not follow.
   */
  renew(inode: { ctime: number; ctimeNs: number }): void {
    this.advance()
    const isLater = this.seconds > inode.ctime || (this.seconds === inode.ctime && this.nanoseconds > inode.ctimeNs)
    if (isLater) {
      inode.ctime = this.seconds
      inode.ctimeNs = this.nanoseconds
      return
    }
    inode.ctimeNs++
    if (inode.ctimeNs < 1_000_000_000) return
    inode.ctimeNs = 0
    inode.ctime++
  }
}
