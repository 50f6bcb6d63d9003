/**
 * One end of the conversation that the section `rpc` measures: a server that answers with as much data as it is asked
 * for, or a client that asks; over our transport, or over a socket of Node's net. Told what to do by its parent.
 */
import { rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { MappedPool } from '../lib/native/pool.js'
import { type UcxSettings, UcxTransport } from '../lib/native/ucx.js'

/** What is asked for at a time is at most this. */
export const SLOT_BYTES = 1048576
const SLOTS = 40
const HEAD_BYTES = 64
const PAGE_BYTES = 4096

export interface Workload {
  /** Bytes of data of one operation; 0: only the heads go back and forth. */
  readonly bytes: number
  readonly inFlight: number
  readonly count: number
  /** The data goes to the server instead of coming from it; over our transport only. */
  readonly writes?: boolean
}

export interface Measured {
  readonly seconds: number
  /** Of single operations, in microseconds. */
  readonly p50Us: number
  readonly cpuSeconds: number
}

/** Where a server is reached, through JSON. */
export interface Place {
  readonly address?: string
  readonly channel?: number
  readonly port?: number | string
}

export type Told =
  | { tell: 'ucx'; settings: UcxSettings }
  | { tell: 'connect'; place: Place }
  | { tell: 'listen'; on: string }
  | { tell: 'dial'; host: string | undefined; place: Place }
  | { tell: 'run'; workload: Workload }

type Ask = (bytes: number, place: number, done: () => void) => void

const pool = new MappedPool({ count: SLOTS * 2, payloadBytes: SLOT_BYTES, forPeers: SLOTS })
const payloadOf = (slot: number): number => slot * pool.stride + PAGE_BYTES
/** The contents that servers send: every page differs from the next. */
const stampOf = (page: number): number => 0xc0ffee00 + page
const CONTENTS = new Uint8Array(SLOT_BYTES)
new Uint32Array(CONTENTS.buffer).forEach((_, index, words) => {
  words[index] = stampOf(index >> 10)
})

/** Every page of what has come is the right one, and came just now: its stamp is taken away. */
function verify(place: number, bytes: number): void {
  const base = (place * pool.stride + PAGE_BYTES) / 4
  for (let page = 0; page * PAGE_BYTES < bytes; page++) {
    if (pool.words[base + page * 1024] !== stampOf(page)) throw new Error('wrong data')
    pool.words[base + page * 1024] = 0
  }
}

let ask: Ask
let askToWrite: Ask

// --- our transport

let transport: UcxTransport
let channel = 0
const SECRET = new Uint8Array(16).fill(7)

function openUcx(settings: UcxSettings): Place {
  transport = new UcxTransport(pool, settings)
  for (let slot = SLOTS; slot < SLOTS * 2; slot++) pool.memory.set(CONTENTS, payloadOf(slot))
  transport.attach({
    request: (from, token, headAt, _headBytes, written, writtenBytes) => {
      if (written >= 0) {
        verify(written, writtenBytes)
        pool.release(written)
      }
      const bytes = transport.inbox[headAt + 1] as number
      const slot = bytes === 0 ? -1 : pool.acquireForPeer()
      transport.outbox[transport.prepare()] = transport.inbox[headAt] as number
      transport.reply(from, token, HEAD_BYTES, slot < 0 ? 0 : payloadOf(slot), bytes, slot)
    },
    slotFree: () => undefined,
    failed: () => process.exit(1),
  })
  channel = transport.expect(SECRET)
  ask = (bytes, place, done) => {
    const at = transport.prepare()
    transport.outbox[at] = place
    transport.outbox[at + 1] = bytes
    transport.request(channel, HEAD_BYTES, 0, 0, payloadOf(place), bytes, (result) => {
      if (result !== bytes) throw new Error(`a request has failed: ${result}`)
      done()
    })
  }
  askToWrite = (bytes, place, done) => {
    const at = transport.prepare()
    transport.outbox[at] = place
    transport.outbox[at + 1] = 0
    transport.request(channel, HEAD_BYTES, payloadOf(place), bytes, 0, 0, (result) => {
      if (result !== 0) throw new Error(`a request has failed: ${result}`)
      done()
    })
  }
  return { address: Buffer.from(transport.address).toString('hex'), channel }
}

function connectUcx(place: Place): void {
  const address = Buffer.from(place.address as string, 'hex')
  if (transport.connect(channel, address, place.channel as number, SECRET) !== 0) throw new Error('cannot connect')
}

// --- a socket of Node's

async function listen(on: string): Promise<Place> {
  const server = createServer({ noDelay: true }, (socket) => serveSocket(socket))
  await new Promise<void>((resolve) => {
    if (!on.startsWith('/')) {
      server.listen(0, on, resolve)
      return
    }
    // The one before was ended without a word.
    rmSync(on, { force: true })
    server.listen(on, resolve)
  })
  const at = server.address()
  return { port: typeof at === 'object' && at !== null ? at.port : on }
}

function serveSocket(socket: Socket): void {
  onMessages(
    socket,
    () => 0,
    (head) => {
      const bytes = head.readUInt32LE(4)
      const reply = Buffer.from(head)
      if (bytes === 0) {
        socket.write(reply)
        return
      }
      socket.cork()
      socket.write(reply)
      socket.write(CONTENTS.subarray(0, bytes))
      socket.uncork()
    },
  )
}

async function dial(host: string | undefined, place: Place): Promise<void> {
  const socket =
    host === undefined ? connect({ path: String(place.port) }) : connect({ host, port: Number(place.port) })
  await new Promise((resolve) => socket.once('connect', resolve))
  socket.setNoDelay()
  const waiting = new Map<number, () => void>()
  let last = 0
  onMessages(
    socket,
    (head) => head.readUInt32LE(4),
    (head) => {
      const id = head.readUInt32LE(0)
      const done = waiting.get(id) as () => void
      waiting.delete(id)
      done()
    },
  )
  ask = (bytes, place, done) => {
    const head = Buffer.alloc(HEAD_BYTES)
    waiting.set(++last, done)
    head.writeUInt32LE(last, 0)
    head.writeUInt32LE(bytes, 4)
    head.writeUInt32LE(place, 8)
    socket.write(head)
  }
}

/** Takes a stream apart: heads, and the data that follows each, which goes to the place that the head names. */
function onMessages(socket: Socket, bytesOf: (head: Buffer) => number, onMessage: (head: Buffer) => void): void {
  const head = Buffer.alloc(HEAD_BYTES)
  let headBytes = 0
  let dataLeft = 0
  let to = 0
  socket.on('error', () => process.exit(1))
  socket.on('data', (chunk) => {
    let at = 0
    while (at < chunk.length) {
      if (headBytes < HEAD_BYTES) {
        const taken = chunk.copy(head, headBytes, at)
        headBytes += taken
        at += taken
        if (headBytes < HEAD_BYTES) return
        dataLeft = bytesOf(head)
        to = payloadOf(head.readUInt32LE(8))
      }
      const part = chunk.subarray(at, at + dataLeft)
      pool.memory.set(part, to)
      to += part.length
      at += part.length
      dataLeft -= part.length
      if (dataLeft > 0) return
      headBytes = 0
      onMessage(head)
    }
  })
}

// --- the load

async function run({ bytes, inFlight, count, writes = false }: Workload): Promise<Measured> {
  const parts = Math.max(1, Math.ceil(bytes / SLOT_BYTES))
  const times = new Float64Array(count)
  if (writes) for (let slot = 0; slot < SLOTS; slot++) pool.memory.set(CONTENTS, payloadOf(slot))
  const askFor = writes ? askToWrite : ask
  const cpu = process.cpuUsage()
  const began = performance.now()
  await new Promise<void>((resolve) => {
    let asked = 0
    let answered = 0
    const next = (line: number): void => {
      const index = asked++
      const start = performance.now()
      let left = parts
      for (let part = 0; part < parts; part++) {
        const place = line * parts + part
        const size = Math.min(SLOT_BYTES, bytes - part * SLOT_BYTES)
        askFor(size, place, () => {
          if (!writes) verify(place, size)
          if (--left > 0) return
          times[index] = performance.now() - start
          if (++answered === count) resolve()
          else if (asked < count) next(line)
        })
      }
    }
    for (let line = 0; line < Math.min(inFlight, count); line++) next(line)
  })
  const seconds = (performance.now() - began) / 1000
  const { user, system } = process.cpuUsage(cpu)
  times.sort()
  return { seconds, p50Us: (times[count >> 1] as number) * 1000, cpuSeconds: (user + system) / 1e6 }
}

async function obey(told: Told): Promise<unknown> {
  switch (told.tell) {
    case 'ucx':
      return openUcx(told.settings)
    case 'connect':
      return connectUcx(told.place)
    case 'listen':
      return await listen(told.on)
    case 'dial':
      return await dial(told.host, told.place)
    case 'run':
      return await run(told.workload)
  }
}

process.on('message', async (told: Told) => {
  try {
    process.send?.({ result: await obey(told) })
  } catch (error) {
    process.send?.({ error: String(error) })
  }
})
process.on('disconnect', () => process.exit())
