/** The simulated control connections keep what the real ones promise. */
import t from 'tap'
import { controlConformance } from '../conformance/control.js'
import { SimClock } from './clock.js'
import { SimControl, SimControlNetwork } from './control.js'
import { Prng } from './prng.js'

const PATIENCE_MS = 120_000

for (const seed of [1, 2, 3]) {
  t.test(`seed ${seed}`, async (t) => {
    controlConformance(t, async () => {
      const clock = new SimClock()
      const network = new SimControlNetwork(new Prng(seed), clock)
      const control = (node: string, address: string | null, key: string) =>
        new SimControl(network, { node, address, key })
      const advance = (holds: () => boolean): void => {
        const end = clock.monotonicMs() + PATIENCE_MS
        while (!holds()) {
          if (!clock.step() || clock.monotonicMs() > end) throw new Error(`it does not come about: ${holds}`)
        }
      }
      return {
        server: control('a', 'a:7400', 'key'),
        address: 'a:7400',
        deadAddress: 'nobody:7400',
        client: control('b', null, 'key'),
        stranger: control('c', null, 'other'),
        until: async (holds) => advance(holds),
        pause: async () => {
          while (clock.step());
        },
      }
    })
  })
}
