/**
 * A file system that loses in a power cut what was not synced: our own, mounted over the simulated Kv and Disk. What is
 * written below its mountpoint goes through the kernel as on any other; then {@link CutFilesystem.cut} takes away of
 * the unsynced data any pages, and of the unsynced names and sizes the last ones. It serves from the test's own process,
 * so whatever touches the mount is a child process.
 */
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Alone } from '../../lib/fs/alone.js'
import { MetaStore } from '../../lib/meta/store.js'
import { Turn } from '../../lib/meta/turn.js'
import { addon } from '../../lib/native/addon.js'
import { loadHash32 } from '../../lib/native/hash.js'
import { FuseKernel } from '../../lib/native/kernel.js'
import { MappedPool } from '../../lib/native/pool.js'
import { type Clock, type Done, type Log, PENDING } from '../../lib/ports.js'
import { Share } from '../../lib/share/share.js'
import { PROTOCOL_MINOR } from '../../lib/wire/kernel.js'
import type { Config } from '../../mount/config.js'
import { Dispatch } from '../../mount/dispatch.js'
import { directMounter } from '../../mount/mounter.js'
import { SimDisk } from '../sim/disk.js'
import { SimKv } from '../sim/kv.js'
import type { SimPool } from '../sim/pool.js'
import { Prng } from '../sim/prng.js'
import { clock as realClock } from './kv-bench.js'

const CHUNK_BITS = 22
const TIMEOUTS = { entrySeconds: 86400, attributeSeconds: 86400 }

const hash = await loadHash32()

/** The real time, in which short delays are next to none; what waits when the power goes never happens. */
class CutClock implements Clock {
  #generation = 0

  get seconds(): number {
    return realClock.seconds
  }

  get nanoseconds(): number {
    return realClock.nanoseconds
  }

  readRealtime(): void {
    realClock.readRealtime()
  }

  monotonicMs(): number {
    return realClock.monotonicMs()
  }

  after(delayMs: number, fire: () => void): () => void {
    const generation = this.#generation
    let isOn = true
    const run = (): void => {
      if (isOn && generation === this.#generation) fire()
    }
    if (delayMs < 10) setImmediate(run)
    else setTimeout(run, delayMs).unref()
    return () => {
      isOn = false
    }
  }

  restart(): void {
    this.#generation++
  }
}

/** Its disk can be slow to sync files that were never synced before: those of a store's data, and not its metadata. */
class SlowToSync extends Alone {
  readonly #synced = new Set<number>()
  #waiting: (() => void)[] | undefined

  override fsync(number: number, done: Done): number {
    if (this.#waiting === undefined || this.#synced.has(number)) {
      this.#synced.add(number)
      return super.fsync(number, done)
    }
    this.#waiting.push(() => {
      const result = super.fsync(number, done)
      if (result !== PENDING) done(result)
    })
    return PENDING
  }

  set isSlow(isSlow: boolean) {
    const waiting = this.#waiting ?? []
    this.#waiting = isSlow ? [] : undefined
    for (const go of waiting) go()
  }

  get waits(): number {
    return this.#waiting?.length ?? 0
  }
}

export class CutFilesystem {
  readonly mountpoint = mkdtempSync(join(tmpdir(), 'chfs-test-cut-'))
  readonly errors: string[] = []
  readonly #clock = new CutClock()
  readonly #pool = new MappedPool({ count: 64, payloadBytes: 1 << 20 })
  readonly #kv: SimKv
  readonly #disk: SimDisk
  readonly #mounter = directMounter(addon)
  #kernel: FuseKernel | undefined
  #fs: SlowToSync | undefined

  constructor(seed: number) {
    const prng = new Prng(seed)
    this.#kv = new SimKv(this.#clock, prng)
    // Of the pool it uses the memory only.
    this.#disk = new SimDisk(this.#pool as unknown as SimPool, this.#clock, prng)
  }

  /** Mounts what is there. */
  async start(): Promise<void> {
    const note = (_: object, message: string): void => void this.errors.push(message)
    const log: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: note }
    const meta = new MetaStore(this.#kv, this.#clock, hash, log)
    meta.format(0o755, 0, 0, CHUNK_BITS)
    const share = new Share({ meta, kv: this.#kv, disk: this.#disk, pool: this.#pool, clock: this.#clock, log })
    const error = await new Promise<number>((done) => share.recover(done))
    if (error < 0) throw new Error(`recovery: errno ${-error}`)
    const fs = new SlowToSync(share, this.#pool.memory)
    this.#fs = fs
    const kernel = new FuseKernel(this.#pool)
    const config = { source: 'cut', kernelFlags: ['nosuid', 'nodev'], allowOther: true }
    const fd = await this.#mounter.mount(config as unknown as Config, this.mountpoint, log)
    await new Promise<void>((onReady) => {
      const settings = {
        timeouts: TIMEOUTS,
        writeback: false,
        keeper: 'kernel',
        shared: false,
        protocolMinorMax: PROTOCOL_MINOR,
        onReady,
      } as const
      const dispatch = new Dispatch(
        {
          fs,
          turn: new Turn(meta),
          kernel,
          pool: this.#pool,
          clock: realClock,
          log,
        },
        settings,
        () => undefined,
      )
      kernel.attach(fd, () => dispatch.onReadable())
    })
    this.#kernel = kernel
  }

  /** The power goes, and comes back. Nobody may use the mount meanwhile. */
  async cut(): Promise<void> {
    await this.#stop()
    this.#clock.restart()
    this.#disk.crash('power')
    this.#kv.crash('power')
    await this.start()
  }

  /** Syncs of files that were never synced before end only when this is over. */
  set isSlow(isSlow: boolean) {
    if (this.#fs !== undefined) this.#fs.isSlow = isSlow
  }

  /** Syncs that wait for that. */
  get waits(): number {
    return this.#fs?.waits ?? 0
  }

  /** Leaves nothing behind, whatever happened. */
  async end(): Promise<void> {
    await this.#stop()
    this.#clock.restart()
    rmdirSync(this.mountpoint)
  }

  async #stop(): Promise<void> {
    this.#kernel?.close()
    this.#kernel = undefined
    await this.#mounter.unmount(this.mountpoint, true)
  }
}
