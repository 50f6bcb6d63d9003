/** A station in a process of its own: it is told what to do over its parent's channel, and ends with it. */
import { MappedPool } from '../../lib/native/pool.js'
import { type UcxSettings, UcxTransport } from '../../lib/native/ucx.js'
import { Station } from '../conformance/station.js'

interface Call {
  id: number
  method: keyof Station & keyof More
  args: unknown[]
}

const { payloadBytes, ...settings } = JSON.parse(process.argv[2] as string) as UcxSettings & { payloadBytes: number }
const pool = new MappedPool({ count: 88, payloadBytes, forPeers: 16 })
const transport = new UcxTransport(pool, settings)
const station = new Station(transport, pool)
/** What only this transport can tell. */
const more = {
  describe: async (channel: number): Promise<string> => transport.describe(channel),
  turns: async (): Promise<number> => transport.turns,
  /** Connects, and some turns of the loop later the process stops itself (SIGSTOP). */
  connectAndStop: async (turns: number, ...connection: Parameters<Station['connect']>): Promise<void> => {
    await station.connect(...connection)
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
    process.kill(process.pid, 'SIGSTOP')
  },
}

export type More = typeof more

process.on('message', async ({ id, method, args }: Call) => {
  try {
    const owner = method in more ? more : station
    const call = owner[method] as (...args: unknown[]) => Promise<unknown>
    process.send?.({ id, result: await call.apply(owner, args) })
  } catch (error) {
    process.send?.({ id, error: String(error) })
  }
})
process.on('disconnect', () => process.exit())
process.send?.({ id: 0 })
