import type { Log } from '../../ports.js'
import type { Peer } from './peers.js'

/** Nodes that cannot be named by the list, and are remembered. */
const STRANGERS_MAX = 256

/** Says what is in the way between nodes that try again and again: each thing once, until it is another one. */
export class Complaints {
  readonly #log: Log
  /** The last thing that was said of each, by name or by address. */
  readonly #said = new Map<string, string>()

  constructor(log: Log) {
    this.#log = log
  }

  refused(peer: Peer | undefined, address: string, reason: string): void {
    this.#say(peer, address, `it was refused: ${reason}`, (event) => {
      this.#log.warn({ ...event, reason }, 'a node was refused')
    })
  }

  refusedBy(peer: Peer | undefined, address: string, reason: string): void {
    this.#say(peer, address, `it has refused this node: ${reason}`, (event) => {
      this.#log.warn({ ...event, reason }, 'a node has refused this one')
    })
  }

  /** While nodes start, this is how it is: so it is no warning. */
  unreachable(peer: Peer, reason: string): void {
    this.#say(peer, '', `it cannot be reached: ${reason}`, (event) => {
      this.#log.debug({ ...event, reason }, 'a member cannot be reached')
    })
  }

  skewed(peer: Peer, skewMs: number): void {
    this.#log.warn({ member: peer.name, seconds: skewMs / 1000 }, 'clocks differ')
  }

  /** All is well with it: what comes next is news. */
  settled(peer: Peer): void {
    this.#said.delete(peer.name)
  }

  #say(peer: Peer | undefined, address: string, text: string, log: (event: object) => void): void {
    // Its port is another one each time.
    const name = peer?.name ?? address.replace(/:\d+$/, '')
    if (peer !== undefined) peer.reason = text
    if (this.#said.get(name) === text) return
    this.#said.delete(name)
    this.#said.set(name, text)
    if (this.#said.size > STRANGERS_MAX) this.#said.delete(this.#said.keys().next().value as string)
    log(peer === undefined ? { address: name } : { member: name })
  }
}
