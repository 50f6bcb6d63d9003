import t from 'tap'
import { type KvUnderTest, kvConformance } from '../conformance/kv.js'
import { SimClock } from './clock.js'
import { SimKv } from './kv.js'
import { Prng } from './prng.js'

/** Lets the virtual time go on whenever nothing else is to do. */
async function make(): Promise<KvUnderTest> {
  const clock = new SimClock()
  const kv = new SimKv(clock, new Prng(11))
  const timer = setInterval(() => clock.step(), 0)
  return {
    kv,
    reopen: async (crash) => {
      clock.restart()
      kv.crash(crash)
      return kv
    },
    end: async () => clearInterval(timer),
  }
}

kvConformance(t, make)
