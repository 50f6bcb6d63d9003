import { RANKS } from '../wire/methods.js'
import type { Call } from './call.js'

/** What is asked of one peer, by {@link RpcClient}. */
export class Peer {
  /** 0 while the peer is away. */
  channel = 0
  /** The session is being opened: only what belongs to that goes out. */
  isGreeting = false
  /** Since when it cannot be asked, by the clock's milliseconds; where it was never up, since it was first asked. */
  awaySinceMs: number | undefined
  /** It has left, and nothing of it is waited for. */
  hasLeft = false
  /** Calls under way, by rank. */
  readonly inFlight: number[] = Array.from({ length: RANKS }, () => 0)
  /** Waiting for a credit or for the peer, by rank, oldest first. */
  queues: Call[][] = Array.from({ length: RANKS }, () => [])
  lastSequence = 0
  /** Sequences of changes that are not answered yet. */
  readonly open = new Set<number>()
  cancelTimer: (() => void) | undefined

  get isUp(): boolean {
    return this.channel !== 0 && !this.isGreeting
  }

  /** Every change up to this one has been answered: the one before the oldest that has not. */
  get acknowledged(): number {
    // A set lists in the order of insertion, and sequences only grow.
    for (const oldest of this.open) return oldest - 1
    return this.lastSequence
  }

  add(call: Call): void {
    this.queues[call.method.rank]?.push(call)
  }

  /** Puts a call back in the order in which calls were asked, before what was never sent. */
  putBack(call: Call): void {
    const queue = this.queues[call.method.rank] as Call[]
    let at = 0
    while (at < queue.length && (queue[at] as Call).startedMs <= call.startedMs) at++
    queue.splice(at, 0, call)
  }

  /** The next call that may go out, those that others wait for first. */
  next(credits: number): Call | undefined {
    for (let rank = RANKS - 1; rank >= 0; rank--) {
      if ((this.inFlight[rank] as number) >= credits) continue
      const call = this.queues[rank]?.shift()
      if (call !== undefined) return call
    }
    return undefined
  }

  /** Takes all calls out of the queues that may be given up and of which `isOver` says so, and returns them. */
  giveUp(isOver: (call: Call) => boolean): Call[] {
    const over: Call[] = []
    this.queues = this.queues.map((queue) =>
      queue.filter((call) => {
        if (call.insistence !== undefined || !isOver(call)) return true
        over.push(call)
        return false
      }),
    )
    return over
  }

  /** Calls that wait. */
  *waiting(): Generator<Call> {
    for (const queue of this.queues) yield* queue
  }
}
