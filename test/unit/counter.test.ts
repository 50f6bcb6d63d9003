import t from 'tap'
import { Batch } from '../../lib/meta/batch.js'
import { Counter, generationOf, serialOf } from '../../lib/meta/counter.js'
import { SimClock } from '../sim/clock.js'
import { SimKv } from '../sim/kv.js'
import { Prng } from '../sim/prng.js'

const VALUES = 300_000

t.test('values rise, and none comes back after a crash', async (t) => {
  const kv = new SimKv(new SimClock(), new Prng(1))
  let last = 0
  let rises = true
  for (let run = 0; run < 5; run++) {
    const counter = new Counter(new Batch(kv))
    for (let i = 0; i < VALUES; i++) {
      const value = counter.next()
      rises &&= value > last
      last = value
      if (i % 100 === 0) kv.commit()
    }
    kv.commit()
    kv.crash('process')
  }
  t.ok(rises)
  t.ok(last < 5 * (VALUES + 3 * 2 ** 17), 'and few are skipped')
})

t.test('a reservation is there long before its first value', async (t) => {
  const kv = new SimKv(new SimClock(), new Prng(1))
  const counter = new Counter(new Batch(kv))
  counter.reserve()
  kv.commit()
  let value = 0
  while (!kv.isOpen) value = counter.next()
  kv.abort()
  const again = new Counter(new Batch(kv))
  t.ok(again.next() > value + 2 ** 15, 'a power cut may take the new reservation, and the old one still covers')
})

t.test('a reservation that was undone is made again', async (t) => {
  const kv = new SimKv(new SimClock(), new Prng(1))
  const counter = new Counter(new Batch(kv))
  const first = counter.next()
  kv.abort()
  counter.forgetReservation()
  const second = counter.next()
  t.ok(kv.isOpen)
  kv.commit()
  t.ok(second > first)
  t.ok(new Counter(new Batch(kv)).next() > second)
})

t.test('serial and generation', async (t) => {
  t.equal(serialOf(2 ** 21 + 5), 5)
  t.equal(generationOf(2 ** 21 + 5), 1)
  t.equal(generationOf(Number.MAX_SAFE_INTEGER), 2 ** 32 - 1)
})
