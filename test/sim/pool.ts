import type { BufferPool } from '../../lib/ports.js'

const HEAD_BYTES = 4096

/** A pool in ordinary memory. A released slot is overwritten, so that whoever still uses it is found out. */
export class SimPool implements BufferPool {
  readonly memory: Uint8Array
  readonly words: Uint32Array
  readonly count: number
  readonly payloadBytes: number
  readonly stride: number
  /** Called when a slot for peers comes free. */
  onPeerSlot: (() => void) | undefined
  readonly #own: number
  readonly #free: number[] = []
  readonly #freeForPeers: number[] = []

  /** The last `forPeers` of the slots are those for peers. */
  constructor(count: number, payloadBytes: number, forPeers = 0) {
    this.count = count
    this.#own = count - forPeers
    this.payloadBytes = payloadBytes
    this.stride = HEAD_BYTES + payloadBytes
    const buffer = new ArrayBuffer(count * this.stride)
    this.memory = new Uint8Array(buffer)
    this.words = new Uint32Array(buffer)
    this.reset()
  }

  acquire(): number {
    return this.#free.pop() ?? -1
  }

  acquireForPeer(): number {
    return this.#freeForPeers.pop() ?? -1
  }

  release(slot: number): void {
    const at = this.payloadOf(slot)
    this.memory.fill(0xdd, at, at + Math.min(this.payloadBytes, 16384))
    if (slot < this.#own) {
      this.#free.push(slot)
      return
    }
    this.#freeForPeers.push(slot)
    this.onPeerSlot?.()
  }

  payloadOf(slot: number): number {
    return slot * this.stride + HEAD_BYTES
  }

  /** Takes all slots back, as the end of a process does. */
  reset(): void {
    this.#free.length = 0
    this.#freeForPeers.length = 0
    for (let slot = this.#own - 1; slot >= 0; slot--) this.#free.push(slot)
    for (let slot = this.count - 1; slot >= this.#own; slot--) this.#freeForPeers.push(slot)
  }
}
