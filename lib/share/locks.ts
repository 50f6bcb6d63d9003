import { EAGAIN, EDEADLK, EINTR, EIO } from '../base/errno.js'

export const F_RDLCK = 0
export const F_WRLCK = 1
export const F_UNLCK = 2

/** The end of a lock that reaches to the end of the file, whatever its size. */
export const LOCK_END = Number.POSITIVE_INFINITY

/** An advisory lock of `owner` over the bytes start … end, both included. */
export interface Lock {
  readonly owner: string
  /** The open file description through which it was set; the lock ends with it at the latest. */
  readonly handle: number
  readonly pid: number
  readonly type: number
  readonly start: number
  readonly end: number
}

/** Who waits for a lock. `done` is called once, with 0 or a negative errno. */
interface Waiter {
  readonly id: string
  readonly lock: Lock
  readonly done: (error: number) => void
}

interface Table {
  held: Lock[]
  waiting: Waiter[]
}

/**
 * Advisory locks of one kind: record locks (fcntl(2), POSIX and OFD) and flock(2) each have their own, which never
 * meet. A flock is a record lock over the whole file. Those that wait are served in the order in which they came.
 */
export class Locks {
  readonly #tables = new Map<number, Table>()
  /** Which owner waits for which, to find circles: only record locks promise EDEADLK. */
  readonly #detectsDeadlocks: boolean
  readonly #waitsFor = new Map<string, string>()

  constructor(detectsDeadlocks: boolean) {
    this.#detectsDeadlocks = detectsDeadlocks
  }

  /** The first lock that keeps this one from being set, or undefined. */
  test(inode: number, lock: Lock): Lock | undefined {
    return conflict(this.#tables.get(inode)?.held ?? [], lock)
  }

  /** Sets, changes or (F_UNLCK) takes away a lock: 0, or −EAGAIN where another owner is in the way. */
  set(inode: number, lock: Lock): number {
    const table = this.#tables.get(inode) ?? { held: [], waiting: [] }
    if (lock.type !== F_UNLCK && conflict(table.held, lock) !== undefined) return -EAGAIN
    table.held = replaced(table.held, lock)
    this.#tables.set(inode, table)
    this.#serve(inode, table)
    return 0
  }

  /**
   * Like {@link set}, but waits: `done` is called with 0 once the lock is set, or with −EINTR by {@link interrupt}.
   * `id` names the wait. −EDEADLK where the wait would never end.
   */
  wait(inode: number, lock: Lock, id: string, done: (error: number) => void): void {
    const blocker = this.test(inode, lock)
    if (blocker === undefined || lock.type === F_UNLCK) {
      done(this.set(inode, lock))
      return
    }
    if (this.#detectsDeadlocks && this.#closesCircle(lock.owner, blocker.owner)) {
      done(-EDEADLK)
      return
    }
    this.#waitsFor.set(lock.owner, blocker.owner)
    ;(this.#tables.get(inode) as Table).waiting.push({ id, lock, done })
  }

  /** Ends a wait with EINTR; false where there is none of this id. */
  interrupt(id: string): boolean {
    for (const [inode, table] of this.#tables) {
      const index = table.waiting.findIndex((waiter) => waiter.id === id)
      if (index < 0) continue
      const [waiter] = table.waiting.splice(index, 1) as [Waiter]
      this.#waitsFor.delete(waiter.lock.owner)
      this.#forgetEmpty(inode, table)
      waiter.done(-EINTR)
      return true
    }
    return false
  }

  /** Takes away all locks of an owner on an inode, as close(2) does. */
  releaseOwner(inode: number, owner: string): void {
    const table = this.#tables.get(inode)
    if (table === undefined || !table.held.some((lock) => lock.owner === owner)) return
    this.set(inode, { owner, handle: 0, pid: 0, type: F_UNLCK, start: 0, end: LOCK_END })
  }

  /**
   * Takes away what was locked through an open file description that has ended. Locks of the description itself
   * (F_OFD_SETLK) end in no other way; those of a process have ended before, when it closed its descriptor.
   */
  releaseHandle(inode: number, handle: number): void {
    const table = this.#tables.get(inode)
    if (table === undefined || !table.held.some((lock) => lock.handle === handle)) return
    table.held = table.held.filter((lock) => lock.handle !== handle)
    this.#serve(inode, table)
  }

  /** Sets a lock whoever else has one: it was set before, and is only remembered here. */
  restore(inode: number, lock: Lock): void {
    const table = this.#tables.get(inode) ?? { held: [], waiting: [] }
    table.held = replaced(table.held, lock)
    this.#tables.set(inode, table)
    this.#forgetEmpty(inode, table)
  }

  /**
   * Puts `locks` in the place of all that these owners have; what they wait for ends with −EIO. Others get what has
   * come free only after that.
   */
  replace(isTheirs: (owner: string) => boolean, locks: Iterable<readonly [inode: number, lock: Lock]>): void {
    const ended: Waiter[] = []
    const touched = [...this.#tables].filter(([, { held, waiting }]) =>
      [...held, ...waiting.map(({ lock }) => lock)].some(({ owner }) => isTheirs(owner)),
    )
    for (const [, table] of touched) {
      table.held = table.held.filter(({ owner }) => !isTheirs(owner))
      ended.push(...table.waiting.filter(({ lock }) => isTheirs(lock.owner)))
      table.waiting = table.waiting.filter(({ lock }) => !isTheirs(lock.owner))
    }
    for (const [inode, lock] of locks) this.restore(inode, lock)
    for (const [inode, table] of touched) this.#serve(inode, table)
    for (const { lock, done } of ended) {
      this.#waitsFor.delete(lock.owner)
      done(-EIO)
    }
  }

  /** All locks that are held. */
  *list(): Generator<readonly [inode: number, lock: Lock]> {
    for (const [inode, { held }] of this.#tables) for (const lock of held) yield [inode, lock]
  }

  /** False lets a close skip its work: nobody has locked or waits for this inode. */
  has(inode: number): boolean {
    return this.#tables.has(inode)
  }

  #serve(inode: number, table: Table): void {
    const waiting = table.waiting
    table.waiting = []
    for (const waiter of waiting) {
      const blocker = conflict(table.held, waiter.lock)
      if (blocker === undefined) {
        table.held = replaced(table.held, waiter.lock)
        this.#waitsFor.delete(waiter.lock.owner)
        waiter.done(0)
      } else if (this.#detectsDeadlocks && this.#closesCircle(waiter.lock.owner, blocker.owner)) {
        this.#waitsFor.delete(waiter.lock.owner)
        waiter.done(-EDEADLK)
      } else {
        this.#waitsFor.set(waiter.lock.owner, blocker.owner)
        table.waiting.push(waiter)
      }
    }
    this.#forgetEmpty(inode, table)
  }

  #forgetEmpty(inode: number, table: Table): void {
    if (table.held.length === 0 && table.waiting.length === 0) this.#tables.delete(inode)
  }

  #closesCircle(owner: string, blocker: string): boolean {
    const seen = new Set<string>()
    for (let at: string | undefined = blocker; at !== undefined; at = this.#waitsFor.get(at)) {
      if (at === owner) return true
      if (seen.has(at)) return false
      seen.add(at)
    }
    return false
  }
}

const overlaps = (a: Lock, b: Lock): boolean => a.start <= b.end && b.start <= a.end

function conflict(held: readonly Lock[], lock: Lock): Lock | undefined {
  return held.find(
    (other) => other.owner !== lock.owner && overlaps(other, lock) && (other.type === F_WRLCK || lock.type === F_WRLCK),
  )
}

/** The locks after `lock` has taken the place of what its owner had in its range; neighbours of one type are joined. */
function replaced(held: readonly Lock[], lock: Lock): Lock[] {
  const result: Lock[] = []
  let joined = lock
  for (const other of held) {
    if (other.owner !== lock.owner) result.push(other)
    else if (other.type === lock.type && other.start <= joined.end + 1 && joined.start <= other.end + 1) {
      joined = { ...joined, start: Math.min(joined.start, other.start), end: Math.max(joined.end, other.end) }
    } else if (!overlaps(other, lock)) result.push(other)
    else {
      if (other.start < lock.start) result.push({ ...other, end: lock.start - 1 })
      if (other.end > lock.end) result.push({ ...other, start: lock.end + 1 })
    }
  }
  if (lock.type !== F_UNLCK) result.push(joined)
  return result
}
