import { ECONNRESET } from '../../lib/base/errno.js'
import type { BufferPool, Transport } from '../../lib/ports.js'

const HEAD_BYTES = 4096

/** What a request asks its server to do. Shorter heads than four words are echoed. */
export const OPERATION = {
  /** The reply is the request. */
  ECHO: 1,
  /** The reply has no data. */
  SINK: 2,
  /** The reply has data, of as many bytes as the head says. */
  SOURCE: 3,
  /** As ECHO, but only when {@link Station.answerHeld} is called. */
  HOLD: 4,
  /** Nothing ever. */
  IGNORE: 5,
  /** As ECHO, twice. */
  TWICE: 6,
  /** As ECHO, after replies to requests that there are not. */
  ASTRAY: 7,
} as const

/** The second word of a reply's head where the request was not what was sent. */
const WRONG = 0xbad

export interface Ask {
  channel: number
  operation: number
  /** Bytes of the request's data. */
  bytes?: number
  /** Bytes of data that a SOURCE is asked for. */
  wanted?: number
  /** Room for the reply's data; by default as much as is to be expected. */
  room?: number
  /** Of the request's head; 16 by default. */
  headBytes?: number
}

export interface Load extends Ask {
  count: number
  inFlight: number
}

/** The errno of a request that ended with one; else whether its reply was the right one. */
export interface Answer {
  result: number
  isRight: boolean
}

export interface Outcome {
  right: number
  wrong: number
  /** How many ended with which errno. */
  errors: Record<number, number>
}

interface Served {
  channel: number
  token: number
  head: Uint32Array
  slot: number
  bytes: number
}

export interface News {
  failed: [channel: number, error: number][]
  /** Seeds of the requests that came, in their order. */
  requests: number[]
  slotsFree: number
}

/**
 * One end of a transport under test: asks and serves, and looks at every byte. What it is told and what it tells goes
 * through JSON, so that it may live in another process.
 */
export class Station {
  readonly #transport: Transport
  readonly #pool: BufferPool
  readonly #news: News = { failed: [], requests: [], slotsFree: 0 }
  readonly #held: Served[] = []
  /** Those that wait for a slot for their reply. */
  readonly #wanting: Served[] = []
  readonly #taken: number[] = []
  readonly #started = new Map<number, { token: number; answer: Promise<Answer> }>()
  #ended: Promise<void> | undefined
  #lastStarted = 0
  #lastSeed = 0

  constructor(transport: Transport, pool: BufferPool) {
    this.#transport = transport
    this.#pool = pool
    transport.attach({
      request: (channel, token, headAt, headBytes, slot, bytes) => {
        const head = transport.inbox.slice(headAt, headAt + headBytes / 4)
        this.#serve({ channel, token, head, slot, bytes })
      },
      slotFree: () => {
        this.#news.slotsFree++
        this.#serveWanting()
      },
      failed: (channel, error) => this.#news.failed.push([channel, error]),
    })
  }

  async address(): Promise<string> {
    return Buffer.from(this.#transport.address).toString('hex')
  }

  async expect(secret: number): Promise<number> {
    return this.#transport.expect(secretOf(secret))
  }

  async connect(channel: number, address: string, peerChannel: number, peerSecret: number): Promise<number> {
    return this.#transport.connect(channel, Buffer.from(address, 'hex'), peerChannel, secretOf(peerSecret))
  }

  async close(channel: number): Promise<void> {
    this.#transport.close(channel)
  }

  end(): Promise<void> {
    this.#ended ??= new Promise((resolve) => this.#transport.end(resolve))
    return this.#ended
  }

  async news(): Promise<News> {
    return this.#news
  }

  /** How many slots are free. */
  async free(): Promise<{ own: number; forPeers: number }> {
    const own = takeAll(() => this.#pool.acquire())
    const forPeers = takeAll(() => this.#pool.acquireForPeer())
    for (const slot of [...own, ...forPeers]) this.#pool.release(slot)
    return { own: own.length, forPeers: forPeers.length }
  }

  /** Takes all slots for peers. */
  async takeSlots(): Promise<number> {
    this.#taken.push(...takeAll(() => this.#pool.acquireForPeer()))
    return this.#taken.length
  }

  async giveSlots(count: number): Promise<void> {
    for (const slot of this.#taken.splice(0, count)) this.#pool.release(slot)
    this.#serveWanting()
  }

  /** Uses the memory of all free slots for something else. */
  async scribble(): Promise<void> {
    const slots = [...takeAll(() => this.#pool.acquire()), ...takeAll(() => this.#pool.acquireForPeer())]
    for (const slot of slots) {
      this.#pool.memory.fill(0xaa, this.#payloadOf(slot), this.#payloadOf(slot) + this.#pool.payloadBytes)
      this.#pool.release(slot)
    }
  }

  async answerHeld(): Promise<number> {
    const held = this.#held.splice(0)
    for (const served of held) this.#echo(served)
    return held.length
  }

  // --- asking

  async ask(ask: Ask): Promise<Answer> {
    return this.#begin(ask).answer
  }

  /** Begins to ask; {@link finish} has the answer. */
  async start(ask: Ask): Promise<number> {
    this.#started.set(++this.#lastStarted, this.#begin(ask))
    return this.#lastStarted
  }

  async cancel(started: number): Promise<void> {
    this.#transport.cancel((this.#started.get(started) as { token: number }).token)
  }

  async finish(started: number): Promise<Answer> {
    return (this.#started.get(started) as { answer: Promise<Answer> }).answer
  }

  async load(load: Load): Promise<Outcome> {
    const outcome: Outcome = { right: 0, wrong: 0, errors: {} }
    let left = load.count
    const line = async (): Promise<void> => {
      while (left-- > 0) {
        const { result, isRight } = await this.#begin(load).answer
        if (result < 0) outcome.errors[result] = (outcome.errors[result] ?? 0) + 1
        // Its channel is gone: there is nobody to ask any more.
        if (result === -ECONNRESET) return
        if (isRight) outcome.right++
        else if (result >= 0) outcome.wrong++
        if (left % 100 === 0) (globalThis as { gc?: () => void }).gc?.()
      }
    }
    await Promise.all(Array.from({ length: load.inFlight }, line))
    return outcome
  }

  #begin(ask: Ask): { token: number; answer: Promise<Answer> } {
    const { channel, operation, bytes = 0, wanted = 0, headBytes = 16 } = ask
    const expected = operation === OPERATION.SOURCE ? wanted : operation === OPERATION.SINK ? 0 : bytes
    const room = ask.room ?? expected
    const seed = ++this.#lastSeed
    const from = this.#area(bytes)
    const to = this.#area(room)
    fill(this.#pool.memory, from.at, bytes, seed)
    const head = makeHead(operation, seed, wanted, headBytes)
    const at = this.#transport.prepare()
    this.#transport.outbox.set(head, at)
    let token = 0
    const answer = new Promise<Answer>((resolve) => {
      token = this.#transport.request(channel, headBytes, from.at, bytes, to.at, room, (result, headAt, replyBytes) => {
        const { inbox } = this.#transport
        const isRight =
          result === expected &&
          replyBytes === headBytes &&
          head.every((word, index) => inbox[headAt + index] === word) &&
          isFilled(this.#pool.memory, to.at, expected, seed)
        from.giveBack()
        to.giveBack()
        resolve({ result, isRight })
      })
    })
    return { token, answer }
  }

  /** A place of the pool's memory; small ones share a slot. */
  #area(bytes: number): { at: number; giveBack(): void } {
    if (bytes === 0) return { at: 0, giveBack: () => undefined }
    const places = Math.max(1, Math.floor(this.#pool.payloadBytes / SMALL_BYTES))
    if (bytes > SMALL_BYTES) {
      const slot = this.#pool.acquire()
      if (slot < 0) throw new Error('the test has too few slots')
      return { at: this.#payloadOf(slot), giveBack: () => this.#pool.release(slot) }
    }
    let shared = this.#shared.find(({ free }) => free.length > 0)
    if (shared === undefined) {
      const slot = this.#pool.acquire()
      if (slot < 0) throw new Error('the test has too few slots')
      shared = { slot, free: Array.from({ length: places }, (_, index) => index) }
      this.#shared.push(shared)
    }
    const { slot, free } = shared
    const place = free.pop() as number
    return {
      at: this.#payloadOf(slot) + place * SMALL_BYTES,
      giveBack: () => {
        free.push(place)
        if (free.length < places) return
        this.#shared = this.#shared.filter((other) => other.slot !== slot)
        this.#pool.release(slot)
      },
    }
  }
  #shared: { slot: number; free: number[] }[] = []

  #payloadOf(slot: number): number {
    return slot * this.#pool.stride + HEAD_BYTES
  }

  // --- serving

  #serve(served: Served): void {
    const { channel, head, slot, bytes } = served
    const [operation = OPERATION.ECHO, seed = 0, wanted = 0] = head.length < 4 ? [] : head
    this.#news.requests.push(seed)
    if (head.length >= 4) {
      const isRight =
        makeHead(operation, seed, wanted, head.length * 4).every((word, index) => head[index] === word) &&
        (bytes === 0 || isFilled(this.#pool.memory, this.#payloadOf(slot), bytes, seed))
      if (!isRight) head[1] = WRONG
    }
    switch (operation) {
      case OPERATION.SINK:
      case OPERATION.IGNORE:
        if (slot >= 0) this.#pool.release(slot)
        if (operation === OPERATION.SINK) this.#reply({ ...served, slot: -1, bytes: 0 })
        break
      case OPERATION.SOURCE:
        if (slot >= 0) this.#pool.release(slot)
        this.#wanting.push({ ...served, slot: -1, bytes: wanted })
        this.#serveWanting()
        break
      case OPERATION.HOLD:
        this.#held.push(served)
        break
      case OPERATION.TWICE:
        this.#reply({ ...served, slot: -1 })
        this.#echo(served)
        break
      case OPERATION.ASTRAY:
        for (const token of [served.token ^ 0x4000, served.token ^ 0x10000, served.token ^ 0x7fff0000, 0x7fffffff])
          this.#reply({ channel, token, head, slot: -1, bytes: 0 })
        this.#echo(served)
        break
      default:
        this.#echo(served)
    }
  }

  #echo(served: Served): void {
    this.#reply(served)
  }

  #reply({ channel, token, head, slot, bytes }: Served): void {
    const at = this.#transport.prepare()
    this.#transport.outbox.set(head, at)
    this.#transport.reply(channel, token, head.length * 4, slot < 0 ? 0 : this.#payloadOf(slot), bytes, slot)
  }

  #serveWanting(): void {
    while (this.#wanting.length > 0) {
      const slot = this.#pool.acquireForPeer()
      if (slot < 0) return
      const served = this.#wanting.shift() as Served
      fill(this.#pool.memory, this.#payloadOf(slot), served.bytes, served.head[1] as number)
      this.#reply({ ...served, slot })
    }
  }
}

/** Data up to this size shares a slot. */
const SMALL_BYTES = 256

function takeAll(take: () => number): number[] {
  const slots: number[] = []
  for (let slot = take(); slot >= 0; slot = take()) slots.push(slot)
  return slots
}

export function secretOf(number: number): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, index) => (number >> (index % 4)) + index)
}

/** Operation, seed, bytes wanted, and words that follow from the seed. */
function makeHead(operation: number, seed: number, wanted: number, headBytes: number): Uint32Array {
  const head = Uint32Array.from({ length: headBytes / 4 }, (_, index) => (seed * 31 + index) >>> 0)
  if (head.length >= 4) head.set([operation, seed, wanted])
  return head
}

/** Every byte differs from its neighbours, and every 4096 bytes from the next. */
function fill(memory: Uint8Array, at: number, bytes: number, seed: number): void {
  for (let index = 0; index < bytes; index++) memory[at + index] = byteOf(seed, index)
}

function isFilled(memory: Uint8Array, at: number, bytes: number, seed: number): boolean {
  for (let index = 0; index < bytes; index++) if (memory[at + index] !== byteOf(seed, index)) return false
  return true
}

function byteOf(seed: number, index: number): number {
  return (seed * 197 + index * 7 + (index >>> 12) * 13) & 0xff
}
