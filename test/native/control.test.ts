/** Control connections over TLS: what the port promises, and what is refused. */
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { SystemClock } from '../../lib/native/clock.js'
import { type ControlSettings, KEY_BYTES, TlsControl } from '../../lib/native/control.js'
import type { Log } from '../../lib/ports.js'
import { controlConformance } from '../conformance/control.js'
import { quiet } from '../quiet.js'

const clock = new SystemClock()
const KEY = new Uint8Array(KEY_BYTES).fill(7)
const OTHER = new Uint8Array(KEY_BYTES).fill(8)

const open = (settings: Partial<ControlSettings> = {}, log: Log = quiet) =>
  TlsControl.open({ key: KEY, listen: { host: '127.0.0.1', port: 0 }, ...settings }, clock, log)

const until = async (holds: () => boolean): Promise<void> => {
  const end = performance.now() + 20_000
  while (!holds()) {
    if (performance.now() > end) throw new Error(`it did not come about: ${holds}`)
    await sleep(2)
  }
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  await new Promise((done) => server.close(done))
  return port
}

controlConformance(t, async () => {
  const server = await open()
  return {
    server,
    address: `127.0.0.1:${server.port}`,
    deadAddress: `127.0.0.1:${await freePort()}`,
    client: await open({ listen: null }),
    stranger: await open({ listen: null, key: OTHER }),
    until,
    pause: () => sleep(20),
  }
})
