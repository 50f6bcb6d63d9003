/** Who does not prove to know the key is refused, is named once, and costs little; garbage of any size does no harm. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as tls from 'node:tls'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { CONTROL_BYTES_MAX } from '../../lib/base/limits.js'
import { SystemClock } from '../../lib/native/clock.js'
import { type ControlSettings, KEY_BYTES, TlsControl } from '../../lib/native/control.js'
import { frameOf } from '../../lib/native/frames.js'
import { Refusals } from '../../lib/native/refusals.js'
import type { Clock, ControlConnection, Log } from '../../lib/ports.js'
import { SimClock } from '../sim/clock.js'
import { Prng } from '../sim/prng.js'
import { certificate, privateKey } from './certificate.js'
import { CHILD_ENVIRONMENT } from './environment.js'

const KEY = Buffer.alloc(KEY_BYTES, 7)
const STRANGERS_MAX = 128
const MIB = 1 << 20
const PSK = {
  ciphers: 'TLS_AES_128_GCM_SHA256',
  minVersion: 'TLSv1.3',
  pskCallback: () => ({ psk: KEY, identity: 'chfs-1' }),
  checkServerIdentity: () => undefined,
} as const

async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + 20_000
  while (!holds()) {
    if (performance.now() > end) throw new Error(`it did not come about: ${holds}`)
    await sleep(2)
  }
}

/** One that listens, what it logs, and whom it accepted. */
class Listener {
  readonly lines: string[] = []
  readonly reasons: string[] = []
  readonly connections: ControlConnection[] = []
  readonly messages: Uint8Array[] = []
  control!: TlsControl

  static async open(t: Test, settings: Partial<ControlSettings> = {}): Promise<Listener> {
    const listener = new Listener()
    const line = (event: object, message: string): void => void listener.lines.push(JSON.stringify(event) + message)
    const log: Log = { debug: line, info: line, warn: line, error: line }
    const listen = { host: '127.0.0.1', port: 0 }
    listener.control = await TlsControl.open({ key: KEY, listen, ...settings }, new SystemClock(), log)
    listener.control.listen((connection) => {
      listener.connections.push(connection)
      return {
        message: (bytes) => listener.messages.push(bytes),
        ended: (reason) => listener.reasons.push(reason),
      }
    })
    t.teardown(() => new Promise<void>((done) => listener.control.end(done)))
    return listener
  }

  get port(): number {
    return this.control.port
  }

  /** A plain connection to it; resolves when it is closed. */
  say(...pieces: Uint8Array[]): { socket: Socket; closed: Promise<unknown> } {
    const socket = connect(this.port, '127.0.0.1')
    socket.on('error', () => undefined).resume()
    for (const piece of pieces) socket.write(piece)
    return { socket, closed: new Promise((resolve) => socket.once('close', resolve)) }
  }

  /** One who knows the key and speaks for itself. */
  async friend(): Promise<tls.TLSSocket> {
    const socket = tls.connect({ ...PSK, port: this.port, host: '127.0.0.1' })
    socket.on('error', () => undefined).resume()
    await new Promise((resolve) => socket.once('secureConnect', resolve))
    return socket
  }

  async works(): Promise<boolean> {
    const before = this.connections.length
    const socket = await this.friend()
    await until(() => this.connections.length > before)
    socket.destroy()
    return true
  }
}

t.test('another key, another name of it, or none', async (t) => {
  const cases: [string, tls.ConnectionOptions, RegExp][] = [
    ['key', { ...PSK, pskCallback: () => ({ psk: Buffer.alloc(32, 8), identity: 'chfs-1' }) }, /it has another key/],
    ['name', { ...PSK, pskCallback: () => ({ psk: KEY, identity: 'chfs-2' }) }, /it has no key of chfs/],
    ['none', { rejectUnauthorized: false }, /it has no key of chfs/],
    ['version', { rejectUnauthorized: false, maxVersion: 'TLSv1.2' }, /it does not speak our language/],
  ]
  for (const [name, options, line] of cases) {
    const listener = await Listener.open(t)
    for (let tried = 0; tried < 3; tried++) {
      const socket = tls.connect({ ...options, port: listener.port, host: '127.0.0.1' })
      let isSecure = false
      socket.on('secureConnect', () => {
        isSecure = true
      })
      await new Promise((resolve) => socket.on('error', () => undefined).once('close', resolve))
      t.notOk(isSecure, name)
    }
    await until(() => listener.control.strangers === 0)
    t.equal(listener.lines.length, 1, 'one line, however often it tries')
    t.match(listener.lines[0], line)
    t.match(listener.lines[0], '"peer":"127.0.0.1"')
    t.strictSame(listener.connections, [])
    t.ok(await listener.works())
  }
})

t.test('a server that shows a certificate is refused, even one that this machine trusts', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'chfs-control-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const authority = join(directory, 'authority.pem')
  writeFileSync(authority, certificate)
  const server = tls.createServer({ key: privateKey, cert: certificate, minVersion: 'TLSv1.3' })
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((done) => server.listen(0, 'localhost', done))
  t.teardown(() => server.close())
  const child = fileURLToPath(new URL('./control.child.js', import.meta.url))
  const words = [child, `localhost:${(server.address() as AddressInfo).port}`]
  const env = { ...CHILD_ENVIRONMENT, NODE_EXTRA_CA_CERTS: authority }
  t.match(await promisify(execFile)(process.execPath, words, { env }), { stdout: 'it shows a certificate\n' })
})

t.test('who says nothing, or not enough, has to go, and does not keep others out', async (t) => {
  const listener = await Listener.open(t, { handshakeMs: 1000 })
  const silent = Array.from({ length: 3 * STRANGERS_MAX }, (_, index) => {
    return listener.say(new Uint8Array(index % 2 === 0 ? [] : [22, 3, 1]))
  })
  await until(() => listener.control.strangers === STRANGERS_MAX)
  t.ok(await listener.works(), 'peers come in while the port is flooded')
  t.ok(listener.control.strangers <= STRANGERS_MAX)
  await Promise.all(silent.map(({ closed }) => closed))
  t.equal(listener.control.strangers, 0)
  t.equal(listener.lines.length, 1)
  const drip = listener.say()
  const timer = setInterval(() => drip.socket.write(Uint8Array.of(22)), 100)
  await drip.closed
  clearInterval(timer)
  t.pass('one that sends a byte now and then')
})

t.test('a dial to one that never answers ends', async (t) => {
  const listener = await Listener.open(t, { handshakeMs: 300 })
  const held = new Set<Socket>()
  const server = createServer((socket) => held.add(socket))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const reason = new Promise<string>((ended) => {
    const opened = (): void => void t.fail('opened')
    const events = { message: () => undefined, ended }
    listener.control.dial(`127.0.0.1:${(server.address() as AddressInfo).port}`, opened, events)
  })
  t.equal(await reason, 'it did not answer in time')
  for (const socket of held) socket.destroy()
  server.close()
})

/** Bytes that a real peer begins with. */
async function clientHello(): Promise<Buffer> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const heard = new Promise<Buffer>((resolve) => {
    server.once('connection', (socket) => socket.on('error', () => undefined).once('data', resolve))
  })
  const socket = tls.connect({ ...PSK, port: (server.address() as AddressInfo).port, host: '127.0.0.1' })
  socket.on('error', () => undefined)
  const bytes = await heard
  socket.destroy()
  server.close()
  return bytes
}

t.test('garbage', async (t) => {
  const seed = Number(process.env['CHFS_FUZZ_SEED'] ?? Date.now() % 1_000_000)
  t.comment(`CHFS_FUZZ_SEED=${seed}`)
  const prng = new Prng(seed)
  const random = (bytes: number): Buffer => Buffer.from(Uint8Array.from({ length: bytes }, () => prng.below(256)))
  const hello = await clientHello()
  // One for all, so that the memory that grows is not ours.
  const large = random(MIB)
  const kinds: (() => Buffer[])[] = [
    () => [random(1 + prng.below(64))],
    () => [random(4096)],
    () => [random(70_000)],
    () => Array.from({ length: 16 }, () => large),
    // A record of TLS with anything in it, and its handshake message of whatever length.
    () => [Buffer.from([22, 3, 1 + prng.below(3), prng.below(256), prng.below(256)]), random(20_000)],
    () => [Buffer.from([22, 3, 1, 0x40, 0, 1, prng.below(256), prng.below(256), prng.below(256)]), random(40_000)],
    () => [hello.subarray(0, prng.below(hello.length))],
    // The beginning of a real peer, with some bytes changed, or twice, or with more behind it.
    () => {
      const bytes = Buffer.from(hello)
      for (let index = 0; index <= prng.below(4); index++) bytes[prng.below(bytes.length)] = prng.below(256)
      return [bytes, random(prng.below(100))]
    },
    () => [hello, hello],
    () => [hello, random(30_000)],
  ]
  const listener = await Listener.open(t, { handshakeMs: 2000 })
  t.ok(await listener.works())
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  let [rounds, most] = [0, 0]
  for (const end = performance.now() + 8000; performance.now() < end; rounds++) {
    const said = Array.from({ length: 40 }, () => listener.say(...prng.pick(kinds)()))
    await Promise.race([Promise.all(said.map(({ closed }) => closed)), sleep(20)])
    most = Math.max(most, listener.control.strangers)
    for (const { socket } of said) if (prng.oneIn(2)) socket.destroy()
  }
  t.comment(`${rounds} rounds, ${most} strangers at most`)
  t.ok(rounds > 5 && most <= STRANGERS_MAX)
  await until(() => listener.control.strangers === 0)
  t.equal(listener.connections.length, 1, 'nobody has come in')
  t.ok(await listener.works())
  globalThis.gc?.()
  const grown = (process.memoryUsage().rss - before) / MIB
  t.ok(grown < 200, `no memory is held: ${grown.toFixed()} MiB more`)
  t.ok(listener.lines.length <= 3, `few lines: ${listener.lines.length}`)
})

t.test('garbage from one who knows the key', async (t) => {
  const listener = await Listener.open(t)
  const cases: [string, Uint8Array[], RegExp][] = [
    ['a length that is too much', [Uint8Array.of(1, 0, 16, 0)], /too long/],
    ['the largest length', [Uint8Array.of(255, 255, 255, 255)], /too long/],
    ['one byte too many', [frameOf(new Uint8Array(CONTROL_BYTES_MAX + 1))], /too long/],
    ['half a message', [frameOf(new Uint8Array(100)).subarray(0, 50)], /the other end has closed it/],
  ]
  for (const [name, pieces, reason] of cases) {
    const socket = await listener.friend()
    for (const piece of pieces) socket.write(piece)
    if (reason.source.startsWith('the')) socket.end()
    await until(() => listener.reasons.length === 1)
    t.match(listener.reasons.pop(), reason, name)
    t.strictSame(listener.messages, [], name)
  }
  t.test('lengths are only believed as far as bytes come', async (t) => {
    const before = process.memoryUsage().arrayBuffers
    const friends = await Promise.all(Array.from({ length: 100 }, () => listener.friend()))
    for (const friend of friends) friend.write(Uint8Array.of(0, 0, 16, 0, 1))
    await sleep(100)
    t.ok(process.memoryUsage().arrayBuffers - before < 20 * MIB)
    for (const friend of friends) friend.destroy()
    await until(() => listener.reasons.length === 100)
    listener.reasons.length = 0
  })
  t.test('a message byte by byte', async (t) => {
    const socket = await listener.friend()
    for (const byte of frameOf(Uint8Array.from({ length: 300 }, (_, at) => at))) socket.write(Uint8Array.of(byte))
    await until(() => listener.messages.length === 1)
    t.strictSame([...(listener.messages.pop() as Uint8Array)], [...Uint8Array.from({ length: 300 }, (_, at) => at)])
    socket.destroy()
    await until(() => listener.reasons.length === 1)
    listener.reasons.length = 0
  })
  t.test('one that never reads', async (t) => {
    const before = listener.connections.length
    const socket = await listener.friend()
    socket.pause()
    await until(() => listener.connections.length > before)
    const connection = listener.connections.at(-1) as ControlConnection
    for (let sent = 0; listener.reasons.length === 0; sent++) {
      if (sent > 1000) throw new Error('all of it is kept')
      connection.send(new Uint8Array(CONTROL_BYTES_MAX))
      await sleep(1)
    }
    t.strictSame(listener.reasons, ['it does not read'])
    socket.destroy()
  })
})

t.test('who was refused is named once in a while, and never in a flood', async (t) => {
  const clock = new SimClock()
  const lines: object[] = []
  const push = (event: object): void => void lines.push(event)
  const refusals = new Refusals({ debug: push, info: push, warn: push, error: push }, clock as Clock)
  const pass = (ms: number): void => {
    clock.after(ms, () => undefined)
    clock.step()
  }
  for (let index = 0; index < 5; index++) refusals.note('a', 'x')
  t.strictSame(lines, [{ peer: 'a' }])
  for (let index = 0; index < 1000; index++) refusals.note(`b${index}`, 'x')
  t.equal(lines.length, 10)
  pass(60_000)
  refusals.note('c', 'x')
  t.strictSame(lines.slice(10), [{ peer: 'c', notLogged: 991 }])
  refusals.note('c', 'x')
  pass(600_000)
  refusals.note('c', 'x')
  t.strictSame(lines.slice(11), [{ peer: 'c', notLogged: 1 }])
})
