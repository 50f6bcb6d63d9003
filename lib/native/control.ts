/**
 * Control connections over TLS 1.3 with the cluster's key (an external PSK). Nothing is sent to nor taken from anybody
 * who does not prove to know the key, in either direction: a server that shows a certificate instead is refused, too.
 *
 * Whoever has not proved it yet costs little: it has a few seconds for it, and of those who try at the same time the
 * oldest has to go when there are too many. A handshake takes milliseconds, so a flood of connections that say nothing
 * does not keep the peers out.
 */
import { type AddressInfo, isIPv6, type Socket } from 'node:net'
import * as tls from 'node:tls'
import { assert } from '../base/assert.js'
import { CONTROL_BYTES_MAX } from '../base/limits.js'
import type { Clock, Control, ControlConnection, ControlEvents, Log } from '../ports.js'
import { FrameReader, frameOf } from './frames.js'
import { Refusals } from './refusals.js'

/** Bytes of a cluster's key. */
export const KEY_BYTES = 32

/** Says which key is meant: a later version may derive others from the same file. */
const IDENTITY = 'chfs-1'
/** From the first packet to the end of the handshake. */
const HANDSHAKE_MS = 5000
/** Connections whose other end has not proved anything yet. */
const STRANGERS_MAX = 128
/** What waits to be sent on one connection; a peer that lets more pile up does not read. */
const UNSENT_BYTES_MAX = 4 * CONTROL_BYTES_MAX
/** How long the other end may take to close. */
const CLOSING_MS = 2000

/** With this cipher's hash OpenSSL verifies external keys, and it has no other in TLS 1.3. */
const PROTOCOL = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' } as const

export interface ControlSettings {
  readonly key: Uint8Array
  /** Where to listen: a port (0: any that is free) of an address, or of all; null for one that only dials. */
  readonly listen: { readonly host?: string; readonly port: number } | null
  /** Default: {@link HANDSHAKE_MS}. */
  readonly handshakeMs?: number
}

interface Stranger {
  readonly socket: Socket
  /** Why it is refused. */
  reason: string
}

type Accept = (connection: ControlConnection) => ControlEvents

export class TlsControl implements Control {
  readonly #key: Buffer
  readonly #handshakeMs: number
  readonly #refusals: Refusals
  #server: tls.Server | undefined
  #accept: Accept | undefined
  /** By address and port: those that have not proved anything yet, the oldest first. */
  readonly #strangers = new Map<string, Stranger>()
  readonly #dropped = new Set<Stranger>()
  /** All that are open or are being dialled. */
  readonly #sockets = new Set<Socket>()
  readonly #connections = new Set<TlsConnection>()
  #isEnding = false

  /** Listens; until {@link listen} is called nobody is accepted. Rejects with the error of listen(2). */
  static async open(settings: ControlSettings, clock: Clock, log: Log): Promise<TlsControl> {
    const control = new TlsControl(settings, clock, log)
    if (settings.listen !== null) await control.#bind(settings.listen)
    return control
  }

  private constructor({ key, handshakeMs }: ControlSettings, clock: Clock, log: Log) {
    assert(key.length === KEY_BYTES, `a key has ${KEY_BYTES} bytes`)
    this.#key = Buffer.from(key)
    this.#handshakeMs = handshakeMs ?? HANDSHAKE_MS
    this.#refusals = new Refusals(log, clock)
  }

  /** Where it listens; 0 if it does not. */
  get port(): number {
    return (this.#server?.address() as AddressInfo | null | undefined)?.port ?? 0
  }

  /** Connections whose other end has not proved anything yet. */
  get strangers(): number {
    return this.#strangers.size
  }

  listen(accept: Accept): void {
    this.#accept = accept
  }

  dial(address: string, opened: (connection: ControlConnection) => void, events: ControlEvents): void {
    const at = address.lastIndexOf(':')
    const host = address.slice(0, at).replace(/^\[(.*)\]$/, '$1')
    const socket = tls.connect({
      ...PROTOCOL,
      ...{ host, port: Number(address.slice(at + 1)) },
      pskCallback: () => ({ psk: this.#key, identity: IDENTITY }),
      // A server that shows a certificate knows no key, and no authority makes up for that.
      ca: [],
      checkServerIdentity: () => new Error('it shows a certificate'),
    })
    const connection = new TlsConnection(socket, address)
    this.#keep(socket, connection)
    const timer = setTimeout(() => connection.fail('it did not answer in time'), this.#handshakeMs)
    socket.once('secureConnect', () => {
      clearTimeout(timer)
      connection.isOpen = true
      opened(connection)
    })
    socket.once('close', () => clearTimeout(timer))
    connection.attach(events)
    if (this.#isEnding) connection.fail(CLOSED_HERE)
  }

  end(done: () => void): void {
    this.#isEnding = true
    for (const { socket } of this.#strangers.values()) socket.destroy()
    for (const connection of this.#connections) connection.close()
    const closed = [...this.#sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)))
    if (this.#server !== undefined) closed.push(new Promise((resolve) => this.#server?.close(resolve)))
    void Promise.all(closed).then(() => done())
  }

  #bind({ host, port }: { host?: string; port: number }): Promise<void> {
    const server = tls.createServer({
      ...PROTOCOL,
      pskCallback: (_socket, identity) => (identity === IDENTITY ? this.#key : null),
      // Ours is the one that counts: Node's only tells.
      handshakeTimeout: 2 * this.#handshakeMs,
    })
    this.#server = server
    server.on('connection', (socket: Socket) => this.#meet(socket))
    server.on('tlsClientError', (error: Error, socket) => this.#refuse(socket, error))
    server.on('secureConnection', (socket) => this.#welcome(socket))
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
        server.off('error', reject)
        // Such as EMFILE of accept(2): who could not come in tries again.
        server.on('error', (error) => this.#refusals.note('', error.message))
        resolve()
      })
    })
  }

  #meet(socket: Socket): void {
    const [name, address] = [nameOf(socket), addressOf(socket)]
    if (this.#accept === undefined || this.#isEnding) {
      socket.destroy()
      return
    }
    for (const oldest of this.#strangers.keys()) {
      if (this.#strangers.size < STRANGERS_MAX) break
      this.#drop(oldest, 'too many try at the same time')
    }
    const stranger: Stranger = { socket, reason: 'it went away before it had shown a key' }
    this.#strangers.set(name, stranger)
    const timer = setTimeout(() => {
      if (this.#strangers.get(name) === stranger) this.#drop(name, 'it took too long')
    }, this.#handshakeMs)
    socket.once('close', () => {
      clearTimeout(timer)
      if (this.#strangers.get(name) === stranger) this.#strangers.delete(name)
      else if (!this.#dropped.delete(stranger)) return
      if (!this.#isEnding) this.#refusals.note(address, stranger.reason)
    })
  }

  #drop(name: string, reason: string): void {
    const stranger = this.#strangers.get(name)
    if (stranger === undefined) return
    stranger.reason = reason
    // It counts no more, before its end is told.
    this.#strangers.delete(name)
    this.#dropped.add(stranger)
    stranger.socket.destroy()
  }

  /** Who is gone already has no address any more: then the reason is that. */
  #refuse(socket: tls.TLSSocket, error: Error): void {
    const stranger = this.#strangers.get(nameOf(socket))
    if (stranger !== undefined) stranger.reason = whyRefused((error as { code?: string }).code)
    socket.destroy()
  }

  #welcome(socket: tls.TLSSocket): void {
    const name = nameOf(socket)
    this.#strangers.delete(name)
    const connection = new TlsConnection(socket, name)
    this.#keep(socket, connection)
    connection.isOpen = true
    if (this.#accept === undefined || this.#isEnding) {
      connection.attach({ message: () => undefined, ended: () => undefined })
      connection.close()
      return
    }
    connection.attach(this.#accept(connection))
  }

  #keep(socket: tls.TLSSocket, connection: TlsConnection): void {
    this.#sockets.add(socket)
    this.#connections.add(connection)
    socket.setNoDelay(true)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#connections.delete(connection)
    })
  }
}

const CLOSED_HERE = 'it was closed here'
const CLOSED_THERE = 'the other end has closed it'

class TlsConnection implements ControlConnection {
  readonly peer: string
  /** The other end has proved to know the key. */
  isOpen = false
  readonly #socket: tls.TLSSocket
  readonly #reader = new FrameReader()
  #isClosing = false
  #reason = CLOSED_THERE

  constructor(socket: tls.TLSSocket, peer: string) {
    this.#socket = socket
    this.peer = peer
  }

  attach(events: ControlEvents): void {
    const socket = this.#socket
    const deliver = (message: Uint8Array): void => {
      if (!this.#isClosing) events.message(message)
    }
    socket.on('data', (bytes: Uint8Array) => {
      if (this.#isClosing || this.#reader.push(bytes, deliver)) return
      this.fail('it announces a message that is too long')
    })
    socket.on('error', (error) => {
      if (!this.#isClosing) this.#reason = whyFailed(error)
    })
    socket.once('close', () => {
      this.#isClosing = true
      events.ended(this.#reason)
    })
  }

  send(message: Uint8Array): void {
    assert(message.length <= CONTROL_BYTES_MAX, 'a control message is not too long')
    if (this.#isClosing || this.#socket.destroyed) return
    if (this.#socket.writableLength > UNSENT_BYTES_MAX) this.fail('it does not read')
    else this.#socket.write(frameOf(message))
  }

  close(): void {
    if (this.#isClosing) return
    if (!this.isOpen) {
      this.fail(CLOSED_HERE)
      return
    }
    this.#isClosing = true
    this.#reason = CLOSED_HERE
    this.#socket.end()
    const timer = setTimeout(() => this.#socket.destroy(), CLOSING_MS)
    this.#socket.once('close', () => clearTimeout(timer))
  }

  /** Ends it at once. */
  fail(reason: string): void {
    if (!this.#isClosing) this.#reason = reason
    this.#isClosing = true
    this.#socket.destroy()
  }
}

function addressOf({ remoteAddress }: Socket): string {
  return remoteAddress?.replace(/^::ffff:(?=\d+\.)/, '') ?? 'somebody who has gone'
}

function nameOf(socket: Socket): string {
  const address = addressOf(socket)
  return `${isIPv6(address) ? `[${address}]` : address}:${socket.remotePort ?? 0}`
}

/** What OpenSSL and Node call it, in our words. */
function whyRefused(code: string | undefined): string {
  switch (code) {
    case 'ERR_SSL_BINDER_DOES_NOT_VERIFY':
      return 'it has another key'
    case 'ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM':
    case 'ERR_SSL_NO_SHARED_CIPHER':
      return 'it has no key of chfs'
    case 'ECONNRESET':
      return 'it went away before it had shown a key'
    default:
      return `it does not speak our language (${code ?? 'no code'})`
  }
}

function whyFailed(error: Error): string {
  const { code } = error as { code?: string }
  switch (code) {
    case 'ERR_SSL_SSLV3_ALERT_ILLEGAL_PARAMETER':
    case 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE':
      return 'it has another key'
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return 'it shows a certificate'
    case 'ECONNREFUSED':
      return 'nobody listens there'
    default:
      return error.message.trim().replace(/\s*\n\s*/g, '; ') || (code ?? error.name)
  }
}
