/** Locks of open files of a simulated cluster: who may have one, and that all are to be had again. */
import { EAGAIN, EDEADLK, EINTR, EIO, ENOSPC, ESTALE } from '../../lib/base/errno.js'
import type { LockKind } from '../../lib/fs/operations.js'
import { F_RDLCK, F_UNLCK, F_WRLCK, LOCK_END, type Lock } from '../../lib/share/locks.js'
import { LockLedger } from './cluster-file.js'
import type { FileCalls } from './cluster-file-calls.js'
import { check, type RunLog } from './cluster-log.js'
import type { Troubles } from './cluster-troubles.js'
import type { ClusterWorld } from './cluster-world.js'
import type { NamesClient } from './names-client.js'
import type { Prng } from './prng.js'

const KINDS: readonly LockKind[] = ['record', 'flock']

/** A file that a process of a node has open. */
export interface Opening {
  readonly client: NamesClient
  readonly incarnation: number
  readonly number: number
  readonly handle: number
  /** Somebody waits for a lock through it. */
  isWaiting: boolean
  /** Calls about its locks that are under way: two of one owner have no order. */
  lockCalls: number
}

export const ownerOf = ({ handle }: Opening): string => `owner ${handle}`

const lockOf = (opening: Opening): { owner: string; handle: number; pid: number } => ({
  ...{ owner: ownerOf(opening), handle: opening.handle, pid: opening.handle },
})

/** Its process has not died. */
export const isOpen = ({ client, incarnation }: Opening): boolean =>
  client.node.isOn && client.node.incarnation === incarnation

export interface LockParts {
  readonly world: ClusterWorld
  readonly prng: Prng
  readonly troubles: Troubles
  readonly log: RunLog
  readonly files: FileCalls
  readonly openings: () => readonly Opening[]
}

export class LockCalls {
  readonly #world: ClusterWorld
  readonly #prng: Prng
  readonly #troubles: Troubles
  readonly #log: RunLog
  readonly #files: FileCalls
  readonly #openings: () => readonly Opening[]
  readonly #ledgers = new Map<string, LockLedger>()
  #isUnlocking = false

  constructor({ world, prng, troubles, log, files, openings }: LockParts) {
    this.#world = world
    this.#prng = prng
    this.#troubles = troubles
    this.#log = log
    this.#files = files
    this.#openings = openings
  }

  /** It is closed, or its process has died. */
  forget(opening: Opening): void {
    for (const kind of KINDS) this.#ledger(opening.number, kind).giveUpAll(ownerOf(opening))
  }

  #ledger(number: number, kind: LockKind): LockLedger {
    const key = `${kind} ${number}`
    let ledger = this.#ledgers.get(key)
    if (ledger === undefined) {
      ledger = new LockLedger()
      this.#ledgers.set(key, ledger)
    }
    return ledger
  }

  lock(opening: Opening): void {
    if (opening.lockCalls > 0 || opening.client.node.fs.isLost(opening.handle)) return
    const kind = this.#prng.pick(KINDS)
    const [start, end] =
      kind === 'flock'
        ? [0, LOCK_END]
        : this.#prng.pick([
            [0, LOCK_END],
            [0, 9],
            [10, 19],
          ] as const)
    const lock: Lock = { ...lockOf(opening), type: this.#prng.pick([F_RDLCK, F_WRLCK]), start, end }
    const waits = this.#prng.oneIn(3)
    const what = `${waits ? 'wait for' : 'try'} ${kind} lock ${lock.type} ${opening.number} ${start}-${end}`
    const ledger = this.#ledger(opening.number, kind)
    // It may take the place of another one at any moment.
    ledger.giveUp(lock)
    const { fs } = opening.client.node
    this.#locked(
      opening,
      what,
      (done) => {
        if (!waits) return fs.setLock(opening.number, kind, lock, done)
        return fs.waitLock(opening.number, kind, lock, ownerOf(opening), done)
      },
      (result) => {
        if (result === -EAGAIN || result === -EINTR || result === -EDEADLK) return
        check(result === 0, `${what}: ${result}`)
        // It is being given up already, and nobody knows which of the two came first.
        if (this.#isUnlocking) return
        const blocker = ledger.granted(lock, (held) => this.#isValid(held))
        check(blocker === undefined, `${what}: ${lock.owner} and ${blocker?.owner} both have it`)
      },
      waits,
    )
  }

  unlock(opening: Opening): void {
    if (opening.lockCalls > 0) return
    const kind = this.#prng.pick(KINDS)
    const lock: Lock = { ...lockOf(opening), type: F_UNLCK, start: 0, end: LOCK_END }
    this.#ledger(opening.number, kind).giveUpAll(lock.owner)
    const { fs } = opening.client.node
    const what = `unlock ${kind} ${opening.number}`
    this.#locked(
      opening,
      what,
      (done) => fs.setLock(opening.number, kind, lock, done),
      (result) => check(result === 0, `${what}: ${result}`),
      false,
    )
  }

  #locked(
    opening: Opening,
    what: string,
    run: (done: (result: number) => void) => number,
    ended: (result: number) => void,
    waits: boolean,
  ): void {
    const text = `${opening.client.node.index}: ${what} by ${ownerOf(opening)}`
    const end = waits ? (): void => undefined : this.#log.begin(opening.client.node, text)
    if (waits) this.#log.trace(`  ${text} …`)
    if (waits) opening.isWaiting = true
    opening.lockCalls++
    opening.client.begin(run, ({ resultOrError: result }) => {
      end()
      this.#log.trace(`  ${text}: ${result}`)
      if (waits) opening.isWaiting = false
      opening.lockCalls--
      // It comes too late: all are about to give up what they have.
      if (waits && this.#isUnlocking) opening.client.node.clock.after(0, () => this.#giveUpBoth(opening))
      if (result === -EIO && this.#troubles.mayFail) return
      // All calls of a turn get the errno for which it was undone.
      if (result === -ENOSPC && this.#troubles.isFull && this.#troubles.mayFail) return
      if (result === -ESTALE && this.#files.mayBeGone(opening.number)) return
      ended(result)
    })
  }

  /** Its owner lives, and does not know that it has lost it. */
  #isValid({ owner }: Lock): boolean {
    const opening = this.#openings().find((one) => ownerOf(one) === owner)
    return opening !== undefined && isOpen(opening) && !opening.client.node.fs.isLost(opening.handle)
  }

  /** What waits for a lock gets it when the others have given theirs up; afterwards nobody has any. */
  unlockAll(within: (what: string, isOver: () => boolean) => void): void {
    this.#isUnlocking = true
    for (const opening of this.#openings()) {
      if (opening.isWaiting && this.#prng.oneIn(3)) opening.client.node.fs.interrupt(ownerOf(opening))
      this.#giveUpBoth(opening)
    }
    within('locks are waited for', () => this.#openings().every((opening) => !isOpen(opening) || !opening.isWaiting))
    for (const opening of this.#openings()) this.#giveUpBoth(opening)
    this.#isUnlocking = false
    within('locks are given up', () => this.#log.running.size === 0)
    for (const opening of this.#openings()) {
      const { number, client } = opening
      if (client.node.fs.isLost(opening.handle) || this.#files.mayBeGone(number)) continue
      for (const kind of KINDS) {
        for (const type of [F_WRLCK, F_UNLCK]) {
          const lock: Lock = { ...lockOf(opening), type, start: 0, end: LOCK_END }
          let result = -EAGAIN
          within(`a ${kind} lock of ${number} is not to be had`, () => {
            result = client.run((done) => client.node.fs.setLock(number, kind, lock, done))
            if (result === -EAGAIN) this.#world.rest(1000)
            return result !== -EAGAIN
          })
          check(result === 0, `${kind} lock ${type} of ${number} after all: ${result}`)
        }
      }
    }
  }

  #giveUpBoth(opening: Opening): void {
    if (isOpen(opening)) for (const kind of KINDS) this.#giveUp(opening, kind)
  }

  #giveUp(opening: Opening, kind: LockKind): void {
    const { client, number } = opening
    this.#ledger(number, kind).giveUpAll(ownerOf(opening))
    const lock: Lock = { ...lockOf(opening), type: F_UNLCK, start: 0, end: LOCK_END }
    this.#locked(
      opening,
      `give up ${kind} ${number}`,
      (done) => client.node.fs.setLock(number, kind, lock, done),
      (result) => check(result === 0, `giving up a ${kind} lock: ${result}`),
      false,
    )
  }
}
