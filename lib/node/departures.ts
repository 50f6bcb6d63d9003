import type { DirectoryRef } from '../meta/dentries.js'
import type { Turn } from '../meta/turn.js'
import { type Clock, PENDING } from '../ports.js'
import { NO_TRANSFER } from '../rpc/call.js'
import type { Share } from '../share/share.js'
import { PartFree } from '../wire/methods.js'
import type { Router } from './router.js'

/** Inodes that one member is told of side by side. */
const BATCH = 32

/** How soon a member that could not be reached is tried again. */
const RETRY_MS = 1000

/**
 * Tells members of inodes that were freed here, so that they free what they hold of them. Not before that is safe
 * against a power cut: the inode could come back without its data. And until they have answered, which they do when it
 * is safe there, the queue in the store remembers.
 */
export class Departures {
  readonly #share: Share
  readonly #router: Router
  readonly #turn: Turn
  readonly #clock: Clock
  /** Members that are being told, or that are left alone for a while. */
  readonly #busy = new Set<number>()

  constructor(share: Share, router: Router, turn: Turn, clock: Clock) {
    this.#share = share
    this.#router = router
    this.#turn = turn
    this.#clock = clock
    share.meta.onDeparted = () => this.tellAll()
  }

  /** Takes up what there is to be told. */
  tellAll(): void {
    for (let member = 0; member < this.#router.members; member++) this.#tell(member)
  }

  #tell(member: number): void {
    if (this.#busy.has(member)) return
    const departed = this.#share.meta.departed.list(this.#router.idOf(member), BATCH)
    if (departed.length === 0) return
    this.#busy.add(member)
    const settled = (error: number): void => {
      if (error < 0) this.#later(member)
      else this.#tellOf(member, departed)
    }
    const result = this.#share.fsyncdir(settled)
    if (result !== PENDING) settled(result)
  }

  #tellOf(member: number, departed: readonly DirectoryRef[]): void {
    const id = this.#router.idOf(member)
    let [left, hasFailed] = [departed.length, false]
    for (const { number, generation } of departed) {
      this.#router.ask(member, PartFree, { number, generation }, NO_TRANSFER, (result) => {
        if (result < 0) hasFailed = true
        else this.#share.meta.departed.remove(id, number, generation)
        this.#turn.endSoon()
        if (--left > 0) return
        if (hasFailed) this.#later(member)
        else {
          this.#busy.delete(member)
          this.#tell(member)
        }
      })
    }
  }

  #later(member: number): void {
    this.#clock.after(RETRY_MS, () => {
      this.#busy.delete(member)
      this.#tell(member)
    })
  }
}
