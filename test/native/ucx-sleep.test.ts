/**
 * The transport is one of several devices in the loop. A write of a peer once lay in a ring until something else woke the
 * loop, up to a second: it had come after the ring was asked whether the loop may sleep.
 */
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { MappedPool } from '../../lib/native/pool.js'
import { UcxTransport } from '../../lib/native/ucx.js'
import { Ring } from '../../lib/native/uring.js'

const ROUNDS = 300
const HEAD_BYTES = 64
/** Only where the loop sleeps with work to do does it come to this. */
const RESCUE_MS = 5000
const SECRET = new Uint8Array(16).fill(5)

const directory = mkdtempSync(join(tmpdir(), 'chfs-test-'))
const file = openSync(join(directory, 'file'), 'w')
const pools = [0, 1].map(() => new MappedPool({ count: 8, payloadBytes: 65536, forPeers: 4 })) as [
  MappedPool,
  MappedPool,
]
const [a, b] = pools.map((pool) => new UcxTransport(pool)) as [UcxTransport, UcxTransport]
// Made last, it is asked first.
const ring = new Ring(pools[1])

const reply = (channel: number, token: number): void => {
  b.prepare()
  b.reply(channel, token, HEAD_BYTES, 0, 0, -1)
}
const none = { slotFree: () => undefined, failed: () => t.fail('a channel has failed') }
a.attach({ ...none, request: () => t.fail('nobody asks this end') })
b.attach({ ...none, request: (channel, token) => ring.fsync(file, 0, () => reply(channel, token)) })

t.teardown(async () => {
  await Promise.all([a, b].map((transport) => new Promise<void>((done) => transport.end(done))))
  await new Promise<void>((done) => ring.close(done))
  closeSync(file)
  rmSync(directory, { recursive: true })
})

t.test('what a message gives to another device is done before the loop sleeps', async (t) => {
  const [atA, atB] = [a.expect(SECRET), b.expect(SECRET)]
  t.equal(a.connect(atA, b.address, atB, SECRET), 0)
  t.equal(b.connect(atB, a.address, atA, SECRET), 0)
  const ask = (): Promise<number> =>
    new Promise((resolve) => {
      a.prepare()
      a.request(atA, HEAD_BYTES, 0, 0, 0, 0, resolve)
    })
  let rescues = 0
  for (let round = 0; round < ROUNDS && rescues === 0; round++) {
    const rescue = setTimeout(() => rescues++, RESCUE_MS)
    await new Promise((resolve) => setImmediate(resolve))
    const asked = ask()
    // Nothing to cancel, but it makes the receiver look for messages before the loop sleeps.
    b.cancel(0)
    t.equal(await asked, 0)
    clearTimeout(rescue)
  }
  t.equal(rescues, 0)
})
