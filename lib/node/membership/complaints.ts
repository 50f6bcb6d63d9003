import type { Log } from '../../ports.js'
import type { Peer } from './peers.js'

/** Things that are remembered to have been said. */
const SAID_MAX = 1024

/** Says what is in the way between nodes that try again and again: each thing once, until all was well meanwhile. */
export class Complaints {
  readonly #log: Log
  /** What was said of each, who is known by name or else by address; the longest ago first. */
  readonly #said = new Set<string>()

  constructor(log: Log) {
    this.#log = log
  }

  refused(peer: Peer | undefined, address: string, reason: string): void {
    if (peer !== undefined) peer.reason = `it was refused: ${reason}`
    if (this.#isNew(peer, address, `refused ${reason}`)) {
      this.#log.warn({ ...nameOf(peer, address), reason }, 'a node was refused')
    }
  }

  refusedBy(peer: Peer | undefined, address: string, reason: string): void {
    if (peer !== undefined) peer.reason = `it has refused this node: ${reason}`
    if (this.#isNew(peer, address, `refuses ${reason}`)) {
      this.#log.warn({ ...nameOf(peer, address), reason }, 'a node has refused this one')
    }
  }

  /** While nodes start, this is how it is: so it is no warning. */
  unreachable(peer: Peer, reason: string): void {
    peer.reason = `it cannot be reached: ${reason}`
    if (this.#isNew(peer, '', reason)) this.#log.debug({ member: peer.name, reason }, 'a member cannot be reached')
  }

  skewed(peer: Peer, skewMs: number): void {
    this.#log.warn({ member: peer.name, seconds: Math.round(skewMs / 1000) }, 'clocks differ')
  }

  /** All is well with it: what comes next is news. */
  settled(peer: Peer): void {
    for (const key of this.#said) if (key.startsWith(`${peer.name} `)) this.#said.delete(key)
  }

  #isNew(peer: Peer | undefined, address: string, text: string): boolean {
    const key = `${peer?.name ?? hostOf(address)} ${text}`
    if (this.#said.has(key)) return false
    this.#said.add(key)
    if (this.#said.size > SAID_MAX) this.#said.delete(this.#said.values().next().value as string)
    return true
  }
}

function nameOf(peer: Peer | undefined, address: string): object {
  return peer === undefined ? { address: hostOf(address) } : { member: peer.name }
}

/** Its port is another one each time. */
const hostOf = (address: string): string => address.replace(/:\d+$/, '')
