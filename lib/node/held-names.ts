import type { ByteRange } from '../base/ids.js'
import type { WaitingRoom } from './waiting-room.js'

/** A name in a directory. */
export interface Name {
  readonly parent: number
  readonly name: ByteRange
}

/** Who holds a name: an intent of a member, and how old it is. */
export interface Holder {
  readonly member: number
  readonly saga: number
  readonly seconds: number
  readonly nanoseconds: number
  /** It will not ask for another name, so whoever waits for it waits for nothing that could wait for them. */
  readonly isLast: boolean
}

/**
 * Names of this node that are being moved or removed. Whoever wants one waits until that is over; and so that two that
 * each have a name and want the other's do not wait for each other for ever, only the older of them waits, and the
 * younger starts anew.
 */
export class HeldNames {
  readonly #room: WaitingRoom
  readonly #holders = new Map<string, Holder>()

  constructor(room: WaitingRoom) {
    this.#room = room
  }

  /** Who holds the name, if anybody. */
  holder(name: Name): Holder | undefined {
    return this.#holders.size === 0 ? undefined : this.#holders.get(keyOf(name))
  }

  /** The name must be free. */
  take(name: Name, holder: Holder): void {
    this.#holders.set(keyOf(name), holder)
  }

  /** Ends the hold of this saga; without effect where another one has the name. */
  free(name: Name, member: number, saga: number): void {
    const key = keyOf(name)
    const holder = this.#holders.get(key)
    if (holder === undefined || holder.member !== member || holder.saga !== saga) return
    this.#holders.delete(key)
    this.#room.wake(key)
  }

  /** Calls `go` with 0 when the name may be free, and then it has to look again; or with an errno. */
  wait(name: Name, go: (error: number) => void): void {
    this.#room.wait(keyOf(name), go)
  }
}

/** The one of two intents that may wait for the other. Members break ties, so that one of them always may. */
export function isOlder(a: Omit<Holder, 'isLast'>, b: Omit<Holder, 'isLast'>): boolean {
  if (a.seconds !== b.seconds) return a.seconds < b.seconds
  if (a.nanoseconds !== b.nanoseconds) return a.nanoseconds < b.nanoseconds
  return a.member !== b.member ? a.member < b.member : a.saga < b.saga
}

const decoder = new TextDecoder('latin1')

function keyOf({ parent, name: { bytes, offset, length } }: Name): string {
  return `${parent}/${decoder.decode(bytes.subarray(offset, offset + length))}`
}
