import { MetaStore } from '../../lib/meta/store.js'
import type { Disk, Hash32, Kv, Log } from '../../lib/ports.js'
import { Share } from '../../lib/share/share.js'
import { SimClock } from './clock.js'
import { SimDisk } from './disk.js'
import { type Crash, SimKv } from './kv.js'
import { SimPool } from './pool.js'
import type { Prng } from './prng.js'

const SLOTS = 8
export const PAYLOAD_BYTES = 16384
const ROOT_MODE = 0o755
const CHUNK_BITS = 16

/** A test's switch: what to put between the file system and its ports, to plant a bug. */
export interface Plant {
  readonly kv?: (kv: SimKv, clock: SimClock) => Kv
  readonly disk?: (disk: SimDisk, clock: SimClock) => Disk
}

/** FNV-1a, cut down to `values` results, so that names share positions. */
export function weakHash(values: number): Hash32 {
  return (bytes) => {
    let hash = 0x811c9dc5
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
    return ((hash ^ (hash >>> 15)) >>> 0) % values
  }
}

/** A node's store over simulated ports, and the process that serves it, which may crash and come back. */
export class World {
  readonly clock = new SimClock()
  readonly pool = new SimPool(SLOTS, PAYLOAD_BYTES)
  readonly kv: SimKv
  readonly disk: SimDisk
  readonly errors: string[] = []
  share!: Share
  readonly #plant: Plant
  readonly #prng: Prng
  readonly #hash: Hash32

  constructor(prng: Prng, plant: Plant) {
    this.kv = new SimKv(this.clock, prng, 66 * 1024)
    this.disk = new SimDisk(this.pool, this.clock, prng)
    this.#plant = plant
    this.#prng = prng
    this.#hash = weakHash(prng.pick([2, 16, 2 ** 32]))
  }

  /** Starts the process: opens the store and recovers. False where it ends, by chance, before it may be used. */
  boot(mayEnd: boolean): boolean {
    const { clock, pool } = this
    const kv = this.#plant.kv?.(this.kv, clock) ?? this.kv
    const disk = this.#plant.disk?.(this.disk, clock) ?? this.disk
    const ignore = (): void => {}
    const log: Log = { debug: ignore, info: ignore, warn: ignore, error: (_, message) => this.errors.push(message) }
    const meta = new MetaStore(kv, clock, this.#hash, log, { inodesCached: 16 })
    meta.format(ROOT_MODE, 0, 0, CHUNK_BITS)
    this.share = new Share({ meta, kv, disk, pool, clock, log, openFilesMax: 3, stockIds: 4 })
    let isReady = false
    this.share.recover((error) => {
      if (error < 0) throw new Error(`recovery has failed: ${error}`)
      isReady = true
    })
    while (!isReady) {
      if (mayEnd && this.#prng.oneIn(8)) return false
      if (!this.clock.step()) throw new Error('recovery never ends')
    }
    return true
  }

  crash(kind: Crash): void {
    this.clock.restart()
    this.disk.crash(kind)
    this.kv.crash(kind)
    this.pool.reset()
  }

  /** Lets time pass until nothing is left to do. */
  settle(): void {
    while (this.clock.step());
  }
}
