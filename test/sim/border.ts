import { type BufferPool, type Kernel, NO_REQUEST } from '../../lib/ports.js'
import { HEADER_LENGTH, HEADER_NODE, HEADER_OPCODE, OP, REQUEST_OFFSET } from '../../lib/wire/kernel.js'
import { putWords } from '../../lib/wire/records.js'

const HEADER_BYTES = 40
const CANARY = 0xca
const NO_REPLY: readonly number[] = [OP.FORGET, OP.BATCH_FORGET, OP.INTERRUPT, OP.NOTIFY_REPLY]

export interface Reply {
  readonly error: number
  readonly body: Uint8Array
  readonly data: Uint8Array
}

/** A request as it would come from the kernel: its opcode, inode, and the bytes behind the header. */
export interface FakeRequest {
  readonly opcode: number
  readonly node: number
  readonly bytes: Uint8Array
  readonly uid?: number
}

/**
 * The kernel's side as a test plays it. Every second slot is never given out: what stands there must stay. It throws
 * where a request is answered twice, or in a way that the real session would not take.
 */
export class FakeKernel implements Kernel {
  readonly replies: Reply[] = []
  readonly parked = new Map<number, number>()
  readonly abandoned = new Set<number>()
  readonly #pool: BufferPool
  readonly #queue: FakeRequest[] = []
  readonly #canaries: number[] = []
  /** Slots that wait for a reply, and whether one may come. */
  readonly #open = new Map<number, boolean>()
  #unique = 0

  constructor(pool: BufferPool) {
    this.#pool = pool
    const slots = Array.from({ length: pool.count }, () => pool.acquire())
    for (const slot of slots) {
      if (slot % 2 === 0) continue
      this.#canaries.push(slot)
      pool.memory.fill(CANARY, slot * pool.stride, (slot + 1) * pool.stride)
    }
    for (const slot of slots) if (slot % 2 === 0) pool.release(slot)
  }

  /** The name of the request that was taken last. */
  get unique(): number {
    return this.#unique
  }

  get openCount(): number {
    return this.#open.size
  }

  push(request: FakeRequest): void {
    this.#queue.push(request)
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0
  }

  next(): number {
    if (this.#queue.length === 0) return NO_REQUEST
    const slot = this.#pool.acquire()
    if (slot < 0) return NO_REQUEST
    const { opcode, node, bytes, uid = 0 } = this.#queue.shift() as FakeRequest
    const { memory, words, stride } = this.#pool
    const at = slot * stride + REQUEST_OFFSET
    memory.fill(0xee, slot * stride, at)
    memory.fill(0, at, at + HEADER_BYTES)
    words[at / 4 + HEADER_LENGTH] = HEADER_BYTES + bytes.length
    words[at / 4 + HEADER_OPCODE] = opcode
    words[at / 4 + 2] = ++this.#unique
    putWords(words, at / 4 + HEADER_NODE, node)
    words[at / 4 + 6] = uid
    memory.set(bytes, at + HEADER_BYTES)
    this.#open.set(slot, !NO_REPLY.includes(opcode))
    return slot
  }

  reply(slot: number, error: number, bodyBytes: number, dataBytes: number): void {
    const mayReply = this.#open.get(slot)
    if (mayReply !== true) throw new Error(`slot ${slot} has no request that waits for a reply`)
    const isErrno = Number.isInteger(error) && error <= 0 && error > -512
    if (!isErrno) throw new Error(`${error} is no errno`)
    const fits = bodyBytes >= 0 && bodyBytes <= 4000 && dataBytes >= 0 && dataBytes <= this.#pool.payloadBytes
    if (!fits) throw new Error(`a reply of ${bodyBytes} and ${dataBytes} bytes`)
    const head = slot * this.#pool.stride
    const body = this.#pool.memory.slice(head + 16, head + 16 + bodyBytes)
    if (!this.abandoned.delete(slot))
      this.replies.push({ error, body, data: this.#pool.memory.slice(head + 4096, head + 4096 + dataBytes) })
    this.#giveBack(slot)
  }

  release(slot: number): void {
    const mayReply = this.#open.get(slot)
    if (mayReply !== false) throw new Error(`slot ${slot} was given back without a reply`)
    this.#giveBack(slot)
  }

  park(slot: number): number {
    if (this.#open.get(slot) !== true) throw new Error(`slot ${slot} cannot be parked`)
    this.#giveBack(slot)
    const ticket = ++this.#unique
    this.parked.set(ticket, slot)
    return ticket
  }

  answer(ticket: number, error: number): void {
    if (!this.parked.delete(ticket)) throw new Error(`ticket ${ticket} is not open`)
    this.replies.push({ error, body: new Uint8Array(0), data: new Uint8Array(0) })
  }

  abandon(slot: number, error: number): void {
    if (this.#open.get(slot) !== true) throw new Error(`slot ${slot} has no request that waits for a reply`)
    if (this.abandoned.has(slot)) return
    this.abandoned.add(slot)
    this.replies.push({ error, body: new Uint8Array(0), data: new Uint8Array(0) })
  }

  /** The first byte that somebody has changed where nobody may, or −1. */
  damaged(): number {
    const { memory, stride } = this.#pool
    for (const slot of this.#canaries) {
      const at = memory.subarray(slot * stride, (slot + 1) * stride).findIndex((byte) => byte !== CANARY)
      if (at >= 0) return slot * stride + at
    }
    return -1
  }

  #giveBack(slot: number): void {
    this.#open.delete(slot)
    this.#pool.release(slot)
  }
}

/** Arguments as the kernel lays them out: 32-bit words, then text. */
export function argumentsOf(words: readonly number[], ...texts: string[]): Uint8Array {
  const tail = texts.map((text) => `${text}\0`).join('')
  const bytes = new Uint8Array(words.length * 4 + tail.length)
  const view = new DataView(bytes.buffer)
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word >>> 0, true)
  for (let at = 0; at < tail.length; at++) bytes[words.length * 4 + at] = tail.charCodeAt(at)
  return bytes
}
