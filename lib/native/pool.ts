/** The buffer pool over anonymous memory that all native devices share. */
import type { BufferPool } from '../ports.js'
import { addon, type NativeBufferPool } from './addon.js'

export interface PoolOptions {
  count: number
  /** A multiple of 4096, at least 8192; the largest READ or WRITE of the mount. */
  payloadBytes: number
  /** How many of the slots serve peers; 0 where there are none. */
  forPeers?: number
}

export class MappedPool implements BufferPool {
  readonly memory: Uint8Array
  readonly words: Uint32Array
  readonly count: number
  readonly payloadBytes: number
  readonly stride: number
  /** For the constructors of the other native devices. */
  readonly native: NativeBufferPool

  constructor({ count, payloadBytes, forPeers = 0 }: PoolOptions) {
    this.native = new addon.BufferPool({ count, payloadBytes, forPeers })
    this.memory = new Uint8Array(this.native.memory)
    this.words = new Uint32Array(this.native.memory)
    this.count = count
    this.payloadBytes = payloadBytes
    this.stride = 4096 + payloadBytes
  }

  acquire(): number {
    return this.native.acquire()
  }

  acquireForPeer(): number {
    return this.native.acquireForPeer()
  }

  release(slot: number): void {
    this.native.release(slot)
  }
}
