/** Messages between nodes over UCX: shared memory within a machine, TCP or InfiniBand between machines. */
import { readdirSync } from 'node:fs'
import { assert } from '../base/assert.js'
import { ECONNRESET } from '../base/errno.js'
import type { ReplyDone, Transport, TransportEvents } from '../ports.js'
import type { MappedPool } from './pool.js'
import { loadUcx, type NativeTransport } from './ucx-binary.js'

export interface UcxSettings {
  /** UCX's transports, by its own names, with commas between them. By default those that work on this machine. */
  transports?: string
  /** The network devices, with commas between them, that it listens on and sends from. By default all. */
  interfaces?: string
  /** From how many bytes on data is left with its sender until the receiver has room. */
  rendezvousBytes?: number
  /**
   * Whether UCX itself looks for the death of peers, which it needs to notice that over shared memory; by default it
   * does. Over TCP its questions end a process: those that a link held back reach endpoints that are gone by then, and
   * the answer to that frees the very connection that is being read from.
   */
  keepalive?: boolean
}

/** Below this, copying twice costs less than one more message: measured between 64 and 256 KiB. */
const RENDEZVOUS_BYTES = 131072

const INFINIBAND = '/sys/class/infiniband'

const RECORD_WORDS = 8
// addon/ucx/mailbox.hh has the same numbers.
const NOTHING = 0
const REQUEST = 1
const END = 2
const SLOT_FREE = 3
const FAILED = 4
const ENDED = 5

const INDEX_MASK = 0xffff

export class UcxTransport implements Transport {
  readonly address: Uint8Array
  readonly outbox: Uint32Array
  readonly inbox: Uint32Array
  readonly #native: NativeTransport
  readonly #pool: MappedPool
  readonly #records: Int32Array
  /** By the low bits of the token, which no two open requests share. */
  readonly #dones: (ReplyDone | undefined)[] = []
  #events: TransportEvents | undefined
  #onEnd: (() => void) | undefined
  /** The records of the batch that is being delivered, from the next one on. */
  #next = 0
  #count = 0

  /** Fails where UCX finds no transport of those that it may use. */
  constructor(pool: MappedPool, settings: UcxSettings = {}) {
    const { Transport: Native } = loadUcx()
    this.#pool = pool
    this.#native = new Native(pool.native, configuration(settings), (count) => this.#deliver(count))
    this.address = this.#native.address
    this.outbox = this.#native.outbox
    this.inbox = this.#native.inbox
    this.#records = this.#native.records
  }

  attach(events: TransportEvents): void {
    this.#events = events
  }

  expect(secret: Uint8Array): number {
    return this.#native.expect(secret)
  }

  connect(channel: number, address: Uint8Array, peerChannel: number, peerSecret: Uint8Array): number {
    return this.#native.connect(channel, address, peerChannel, peerSecret)
  }

  close(channel: number): void {
    this.#native.close(channel)
    this.#forget(channel)
  }

  prepare(): number {
    return 0
  }

  request(
    channel: number,
    headBytes: number,
    at: number,
    bytes: number,
    to: number,
    room: number,
    done: ReplyDone,
  ): number {
    assert(this.#onEnd === undefined, 'an ended transport is not asked')
    const token = this.#native.request(channel, headBytes, at, bytes, to, room)
    this.#dones[token & INDEX_MASK] = done
    return token
  }

  cancel(token: number): void {
    this.#native.cancel(token)
  }

  reply(channel: number, token: number, headBytes: number, at: number, bytes: number, slot: number): void {
    this.#native.reply(channel, token, headBytes, at, bytes, slot)
  }

  end(done: () => void): void {
    this.#onEnd = done
    this.#native.end()
  }

  /** How a channel's messages travel, in UCX's words. */
  describe(channel: number): string {
    return this.#native.describe(channel)
  }

  /** In how many turns of the loop there was something to do. */
  get turns(): number {
    return this.#native.turns()
  }

  #deliver(count: number): void {
    const records = this.#records
    this.#count = count
    for (let index = 0; index < count; index++) {
      this.#next = index + 1
      const base = index * RECORD_WORDS
      const channel = records[base + 1] as number
      const token = records[base + 2] as number
      const result = records[base + 3] as number
      const headAt = records[base + 5] as number
      const headBytes = records[base + 6] as number
      switch (records[base]) {
        case REQUEST:
          this.#events?.request(channel, token, headAt, headBytes, result, records[base + 4] as number)
          break
        case END: {
          const done = this.#dones[token & INDEX_MASK] as ReplyDone
          this.#dones[token & INDEX_MASK] = undefined
          done(result, result < 0 ? 0 : headAt, headBytes)
          break
        }
        case SLOT_FREE:
          this.#events?.slotFree()
          break
        case FAILED:
          this.#events?.failed(channel, result)
          break
        case ENDED:
          this.#onEnd?.()
      }
    }
    this.#next = this.#count = 0
  }

  /** Nothing of a closed channel is delivered, also not what is in this batch already. */
  #forget(channel: number): void {
    const records = this.#records
    for (let index = this.#next; index < this.#count; index++) {
      const base = index * RECORD_WORDS
      if (records[base + 1] !== channel) continue
      if (records[base] === END) {
        records[base + 3] = -ECONNRESET
        records[base + 6] = 0
        continue
      }
      const slot = records[base + 3] as number
      if (records[base] === REQUEST && slot >= 0) this.#pool.release(slot)
      records[base] = NOTHING
    }
  }
}

/** Names and values for ucp_config_modify. What the user has set in the environment stays. */
function configuration(settings: UcxSettings): string[] {
  const wanted: Record<string, string> = {
    TLS: settings.transports ?? `tcp,posix,cma,self${hasInfiniBand() ? ',rc,dc' : ''}`,
    RNDV_THRESH: String(settings.rendezvousBytes ?? RENDEZVOUS_BYTES),
    // A second way at the same time gains nothing where both are the same memory or wire.
    MAX_RNDV_RAILS: '1',
    KEEPALIVE_INTERVAL: settings.keepalive === false ? 'inf' : '1s',
  }
  if (settings.interfaces !== undefined) wanted['NET_DEVICES'] = settings.interfaces
  return Object.entries(wanted).flatMap((pair) => (process.env[`UCX_${pair[0]}`] === undefined ? pair : []))
}

function hasInfiniBand(): boolean {
  try {
    return readdirSync(INFINIBAND).length > 0
  } catch {
    return false
  }
}
