import { assert } from '../../lib/base/assert.js'
import { CONTROL_BYTES_MAX } from '../../lib/base/limits.js'
import type { Clock, Control, ControlConnection, ControlEvents } from '../../lib/ports.js'
import type { Prng } from './prng.js'

/** When a connection that gets no answer is given up. */
const DIAL_MS = 5000
/** How often it is looked whether what is in the way has gone. */
const POLL_MS = 50
/** When one whose messages get no acknowledgement is, by the kernel. */
const RETRANSMIT_MS = 60_000

/** Where simulated nodes meet: who listens at which address, and which links are cut. */
export class SimControlNetwork {
  /** "host:port" → the one that listens there. Names are looked up at each dial, so a node may move. */
  readonly listeners = new Map<string, SimControl>()
  /** "from>to", by the names of nodes, of links on which nothing passes. */
  readonly cuts = new Set<string>()
  /** Longest delay of whatever travels. */
  delayMsMax = 5
  /** Connections that were opened, by the names of the two nodes in their order. */
  readonly opened = new Map<string, number>()
  /** Messages that were sent, and their bytes, by the name of the node. */
  readonly sent = new Map<string, { messages: number; bytes: number }>()
  readonly clock: Clock
  readonly prng: Prng

  constructor(prng: Prng, clock: Clock) {
    this.prng = prng
    this.clock = clock
  }

  isCut(from: string, to: string): boolean {
    return this.cuts.has(`${from}>${to}`)
  }

  get delayMs(): number {
    return this.prng.below(this.delayMsMax + 1)
  }
}

export interface SimControlSettings {
  /** The node that this is a part of: cuts name it. */
  readonly node: string
  /** "host:port" where it listens, or null. */
  readonly address: string | null
  readonly key: string
  /** The process is stopped, and takes nothing. */
  readonly isStopped?: () => boolean
}

/** Control connections of one simulated process. */
export class SimControl implements Control {
  readonly node: string
  readonly key: string
  /** Of those who were refused. */
  readonly refused: string[] = []
  readonly isStopped: () => boolean
  readonly #network: SimControlNetwork
  readonly #address: string | null
  readonly #ends = new Set<End>()
  #accept: ((connection: ControlConnection) => ControlEvents) | undefined
  #isAlive = true
  #isEnding = false

  constructor(network: SimControlNetwork, { node, address, key, isStopped }: SimControlSettings) {
    this.node = node
    this.isStopped = isStopped ?? (() => false)
    this.key = key
    this.#network = network
    this.#address = address
    if (address !== null) network.listeners.set(address, this)
  }

  listen(accept: (connection: ControlConnection) => ControlEvents): void {
    this.#accept = accept
  }

  dial(address: string, opened: (connection: ControlConnection) => void, events: ControlEvents): void {
    const network = this.#network
    const end = new End(network, this, address)
    end.events = events
    this.#ends.add(end)
    if (this.#isEnding) {
      end.finish('it was closed here')
      return
    }
    const cancel = network.clock.after(DIAL_MS, () => end.finish('it did not answer in time'))
    end.onceGone(cancel)
    network.clock.after(network.delayMs, () => {
      const peer = network.listeners.get(address)
      if (peer === undefined) end.finish('nobody listens there')
      else if (!network.isCut(this.node, peer.node) && !network.isCut(peer.node, this.node) && !peer.isStopped()) {
        this.#meet(end, peer, opened, cancel)
      }
    })
  }

  end(done: () => void): void {
    this.#isEnding = true
    this.#stopListening()
    for (const end of this.#ends) end.close()
    const wait = (): void => {
      if (this.#ends.size === 0) done()
      else this.#network.clock.after(1, wait)
    }
    wait()
  }

  /** The process has died: its peers learn it as far as the links allow, and it learns nothing any more. */
  die(): void {
    this.#isAlive = false
    this.#stopListening()
    for (const end of this.#ends) end.die()
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  forget(end: End): void {
    this.#ends.delete(end)
  }

  #stopListening(): void {
    if (this.#address !== null && this.#network.listeners.get(this.#address) === this) {
      this.#network.listeners.delete(this.#address)
    }
  }

  #meet(end: End, peer: SimControl, opened: (connection: ControlConnection) => void, cancel: () => void): void {
    if (end.isGone) return
    if (peer.key !== this.key || peer.#accept === undefined) {
      peer.refused.push(this.node)
      end.finish('it has another key')
      return
    }
    const other = new End(this.#network, peer, `${this.node}:${1024 + this.#network.prng.below(60000)}`)
    peer.#ends.add(other)
    end.connect(other)
    other.connect(end)
    other.events = peer.#accept(other)
    other.flush()
    this.#network.clock.after(this.#network.delayMs, () => {
      if (end.isGone || !this.#isAlive || this.isStopped()) return
      cancel()
      const pair = [this.node, peer.node].sort().join()
      this.#network.opened.set(pair, (this.#network.opened.get(pair) ?? 0) + 1)
      opened(end)
      end.flush()
    })
  }
}

/** One end of a connection. What is sent arrives at the other in order, late, and not while the link is cut. */
class End implements ControlConnection {
  readonly peer: string
  events: ControlEvents | undefined
  isGone = false
  readonly #network: SimControlNetwork
  readonly #owner: SimControl
  readonly #cleanups: (() => void)[] = []
  #other: End | undefined
  /** On their way to this end: messages, or the end of the other (null). */
  readonly #arriving: (Uint8Array | null)[] = []
  /** What arrives waits until the end is open. */
  #isOpen = false
  #isClosing = false
  #otherReason = 'the other end has closed it'
  #cutSinceMs = Number.POSITIVE_INFINITY

  constructor(network: SimControlNetwork, owner: SimControl, peer: string) {
    this.#network = network
    this.#owner = owner
    this.peer = peer
  }

  connect(other: End): void {
    this.#other = other
  }

  onceGone(cleanup: () => void): void {
    this.#cleanups.push(cleanup)
  }

  /** It is open, and takes what has arrived. */
  flush(): void {
    this.#isOpen = true
    this.#receive()
  }

  send(message: Uint8Array): void {
    assert(message.length <= CONTROL_BYTES_MAX, 'a control message is not too long')
    if (this.#isClosing || this.isGone) return
    const sent = this.#network.sent.get(this.#owner.node) ?? { messages: 0, bytes: 0 }
    this.#network.sent.set(this.#owner.node, {
      messages: sent.messages + 1,
      bytes: sent.bytes + message.length,
    })
    this.#post(message.slice())
  }

  close(): void {
    if (this.#isClosing || this.isGone) return
    this.#isClosing = true
    this.#post(null)
    this.#later(() => this.finish('it was closed here'))
  }

  die(): void {
    if (this.#other !== undefined) this.#other.#otherReason = 'the connection was reset'
    if (!this.#isClosing) this.#post(null)
    this.#leave()
    this.#owner.forget(this)
  }

  /** Tells the owner that it has ended, later. */
  finish(reason: string): void {
    if (this.isGone) return
    this.#leave()
    this.#later(() => {
      this.#owner.forget(this)
      this.events?.ended(reason)
    })
  }

  #leave(): void {
    this.isGone = true
    for (const cleanup of this.#cleanups) cleanup()
  }

  #later(step: () => void): void {
    const take = (): void => {
      if (!this.#owner.isAlive) return
      if (this.#owner.isStopped()) this.#network.clock.after(POLL_MS, take)
      else step()
    }
    this.#network.clock.after(0, take)
  }

  #post(item: Uint8Array | null): void {
    const other = this.#other
    if (other === undefined) return
    other.#arriving.push(item)
    this.#network.clock.after(this.#network.delayMs, () => other.#receive())
  }

  /** Takes the next that has arrived, as many times as something was sent. */
  #receive(): void {
    if (this.isGone || !this.#isOpen || this.#arriving.length === 0) return
    const other = this.#other as End
    const from = other.#owner.node
    if (this.#owner.isStopped()) {
      this.#network.clock.after(POLL_MS, () => this.#receive())
      return
    }
    const now = this.#network.clock.monotonicMs()
    if (this.#network.isCut(from, this.#owner.node)) {
      this.#cutSinceMs = Math.min(this.#cutSinceMs, now)
      this.#network.clock.after(POLL_MS, () => this.#receive())
      if (now - this.#cutSinceMs > RETRANSMIT_MS) other.finish('the connection timed out')
      return
    }
    this.#cutSinceMs = Number.POSITIVE_INFINITY
    while (this.#arriving.length > 0 && !this.isGone) {
      const item = this.#arriving.shift() as Uint8Array | null
      if (item === null) this.finish(this.#otherReason)
      else if (!this.#isClosing) this.events?.message(item)
    }
  }
}
