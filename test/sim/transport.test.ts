/** The simulated transport passes the suite that the real one passes. */
import t from 'tap'
import { Station } from '../conformance/station.js'
import { type TransportWorld, transportSuite } from '../conformance/transport.js'
import { SimClock } from './clock.js'
import { SimPool } from './pool.js'
import { Prng } from './prng.js'
import { SimNetwork, SimTransport } from './transport.js'

const PAYLOAD_BYTES = 16384

class SimWorld implements TransportWorld {
  readonly thresholds = [64, 4096, PAYLOAD_BYTES]
  readonly payloadBytes = PAYLOAD_BYTES
  readonly isOrdered = false
  readonly #clock = new SimClock()
  readonly #network: SimNetwork
  readonly #transports = new Map<Station, SimTransport>()

  constructor(seed: number) {
    this.#network = new SimNetwork(new Prng(seed), this.#clock)
  }

  async pair(): Promise<[Station, Station]> {
    return [this.#station(), this.#station()]
  }

  #station(): Station {
    const pool = new SimPool(160, PAYLOAD_BYTES, 16)
    const transport = new SimTransport(this.#network, pool)
    const station = new Station(transport, pool)
    this.#transports.set(station, transport)
    return station
  }

  async wait<T>(promise: Promise<T>): Promise<T> {
    let isDone = false
    const done = (): void => {
      isDone = true
    }
    promise.then(done, done)
    for (;;) {
      // What a step resolves is continued before the next one.
      await new Promise((resolve) => setImmediate(resolve))
      if (isDone) return promise
      if (!this.#clock.step()) throw new Error('nothing will ever happen')
    }
  }

  async pass(): Promise<void> {
    do await new Promise((resolve) => setImmediate(resolve))
    while (this.#clock.step())
  }

  kill(station: Station): void {
    this.#transports.get(station)?.die()
  }

  async end(): Promise<void> {
    await this.pass()
  }
}

for (const seed of [1, 2, 3]) t.test(`seed ${seed}`, async (t) => transportSuite(t, async () => new SimWorld(seed)))
