import type { Clock } from '../ports.js'

const NANOSECONDS_MAX = 999_999_999

/** Whether a time, in seconds and nanoseconds, is later than another one. */
export function isLater(seconds: number, nanoseconds: number, thanSeconds: number, thanNanoseconds: number): boolean {
  return seconds > thanSeconds || (seconds === thanSeconds && nanoseconds > thanNanoseconds)
}

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
    if (!isLater(seconds, nanoseconds, this.seconds, this.nanoseconds)) return
    this.seconds = seconds
    this.nanoseconds = nanoseconds
  }

  /** Moves on to the next stamp. */
  advance(): void {
    const clock = this.#clock
    clock.readRealtime()
    if (isLater(clock.seconds, clock.nanoseconds, this.seconds, this.nanoseconds)) {
      this.seconds = clock.seconds
      this.nanoseconds = clock.nanoseconds
    } else if (this.nanoseconds < NANOSECONDS_MAX) this.nanoseconds++
    else {
      this.nanoseconds = 0
      this.seconds++
    }
  }

  /**
   * Moves on, and gives an inode its change time: the next stamp, or where that is not later than its last one, 1 ns
   * after that. A clock may have been ahead that is right now, and what it has stamped stays; but this node's other
   * stamps do not follow.
   */
  renew(inode: { ctime: number; ctimeNs: number }): void {
    this.advance()
    if (isLater(this.seconds, this.nanoseconds, inode.ctime, inode.ctimeNs)) {
      inode.ctime = this.seconds
      inode.ctimeNs = this.nanoseconds
    } else if (inode.ctimeNs < NANOSECONDS_MAX) inode.ctimeNs++
    else {
      inode.ctimeNs = 0
      inode.ctime++
    }
  }
}
