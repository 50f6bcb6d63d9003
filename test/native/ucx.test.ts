/** The transport between two pools of one process, over shared memory. */
import t from 'tap'
import { MappedPool } from '../../lib/native/pool.js'
import { UcxTransport } from '../../lib/native/ucx.js'
import { Station } from '../conformance/station.js'
import { type TransportWorld, transportSuite } from '../conformance/transport.js'

const RENDEZVOUS_BYTES = 131072
const PAYLOAD_BYTES = 1048576

const sleep = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs))

async function inOneProcess(): Promise<TransportWorld> {
  const stations: Station[] = []
  return {
    thresholds: [64, 8192, 8256, RENDEZVOUS_BYTES, PAYLOAD_BYTES],
    payloadBytes: PAYLOAD_BYTES,
    isOrdered: true,
    pair: async () => {
      const [a, b] = [0, 1].map(() => {
        const pool = new MappedPool({ count: 88, payloadBytes: PAYLOAD_BYTES, forPeers: 16 })
        return new Station(new UcxTransport(pool), pool)
      }) as [Station, Station]
      stations.push(a, b)
      return [a, b]
    },
    wait: (promise) => promise,
    pass: () => sleep(30),
    end: async () => {
      await Promise.all(stations.map((station) => station.end()))
    },
  }
}

await transportSuite(t, inOneProcess)
