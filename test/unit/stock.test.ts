import t from 'tap'
import { EIO, ENOSPC } from '../../lib/base/errno.js'
import { Stock } from '../../lib/chunk/stock.js'
import { MetaStore } from '../../lib/meta/store.js'
import { PENDING } from '../../lib/ports.js'
import { quiet } from '../quiet.js'
import { SimClock } from '../sim/clock.js'
import { SimKv } from '../sim/kv.js'
import { Prng } from '../sim/prng.js'
import { weakHash } from '../sim/world.js'

class Bench {
  readonly clock = new SimClock()
  readonly kv: SimKv
  readonly meta: MetaStore
  readonly stock: Stock
  readonly late: number[] = []

  constructor(seed = 1) {
    this.kv = new SimKv(this.clock, new Prng(seed))
    this.meta = new MetaStore(this.kv, this.clock, weakHash(16), quiet)
    this.stock = new Stock(this.meta, this.kv, 4)
  }

  take(): number {
    return this.stock.take((id) => this.late.push(id))
  }

  settle(): void {
    while (this.clock.step());
  }
}

t.test('an id is in the free queue, whatever a power cut takes away, before it is given', async (t) => {
  for (let count = 1; count < 20; count++) {
    const bench = new Bench(count)
    const given: number[] = []
    for (let taken = 0; taken < count; taken++) {
      const id = bench.take()
      if (id === PENDING) while (bench.late.length === 0) bench.clock.step()
      given.push(id === PENDING ? (bench.late.pop() as number) : id)
      bench.meta.commit()
    }
    bench.clock.restart()
    bench.kv.crash('power')
    const left = new Set(bench.meta.free.list())
    t.ok(given.every((id) => left.has(id)))
  }
})

t.test('all who wait get ids of their own, however many they are', async (t) => {
  const bench = new Bench()
  const ids = Array.from({ length: 30 }, () => bench.take()).filter((id) => id !== PENDING)
  bench.settle()
  const all = [...ids, ...bench.late]
  t.equal(new Set(all).size, 30)
  t.ok(all.every((id) => id > 0))
})

t.test('within a turn nothing is committed for it', async (t) => {
  const bench = new Bench()
  bench.meta.free.add(7)
  t.equal(bench.take(), PENDING)
  bench.settle()
  t.equal(bench.kv.commits, 0)
  t.strictSame(bench.late, [])
  bench.meta.commit()
  bench.settle()
  t.equal(bench.late.length, 1)
})

t.test('who waits is told when the store fails, and may ask again', async (t) => {
  const bench = new Bench()
  bench.kv.faults.failCommit = true
  t.equal(bench.take(), PENDING)
  t.strictSame(bench.late, [], 'but not at once')
  bench.settle()
  t.strictSame(bench.late, [-EIO])
  bench.kv.faults.failSync = true
  t.equal(bench.take(), PENDING)
  bench.settle()
  t.strictSame(bench.late, [-EIO, -EIO])
  bench.kv.faults.failSync = false
  t.equal(bench.take(), PENDING)
  bench.settle()
  t.ok((bench.late[2] as number) > 0)
})

t.test('a full store gives none, and closing leaves none', async (t) => {
  const bench = new Bench()
  bench.stock.fill()
  bench.settle()
  bench.kv.faults.isFull = true
  for (let count = 0; count < 4; count++) t.ok(bench.take() > 0)
  t.equal(bench.take(), -ENOSPC)
  bench.kv.faults.isFull = false
  bench.settle()
  const before = bench.meta.free.list().length
  bench.stock.fill()
  let closed = false
  bench.stock.close(() => {
    closed = true
  })
  t.notOk(closed, 'not while a sync is under way')
  bench.settle()
  t.ok(closed)
  t.equal(bench.meta.free.list().length, before)
})
