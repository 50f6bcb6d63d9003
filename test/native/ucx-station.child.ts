/** A station in a process of its own: it is told what to do over its parent's channel, and ends with it. */
import { MappedPool } from '../../lib/native/pool.js'
import { type UcxSettings, UcxTransport } from '../../lib/native/ucx.js'
import { Station } from '../conformance/station.js'

interface Call {
  id: number
  method: keyof Station
  args: unknown[]
}

const { payloadBytes, ...settings } = JSON.parse(process.argv[2] as string) as UcxSettings & { payloadBytes: number }
const pool = new MappedPool({ count: 88, payloadBytes, forPeers: 16 })
const station = new Station(new UcxTransport(pool, settings), pool)

process.on('message', async ({ id, method, args }: Call) => {
  try {
    const call = station[method] as (...args: unknown[]) => Promise<unknown>
    process.send?.({ id, result: await call.apply(station, args) })
  } catch (error) {
    process.send?.({ id, error: String(error) })
  }
})
process.on('disconnect', () => process.exit())
process.send?.({ id: 0 })
