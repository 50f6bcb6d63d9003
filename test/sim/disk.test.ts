import t from 'tap'
import { diskConformance } from '../conformance/disk.js'
import { SimClock } from './clock.js'
import { SimDisk } from './disk.js'
import { SimPool } from './pool.js'
import { Prng } from './prng.js'

/** Lets the virtual time go on whenever nothing else is to do. */
diskConformance(t, async () => {
  const pool = new SimPool(16, 1048576)
  const clock = new SimClock()
  const disk = new SimDisk(pool, clock, new Prng(7))
  const timer = setInterval(() => clock.step(), 0)
  return { disk, pool, end: async () => clearInterval(timer) }
})

t.test('a power cut keeps what was synced and any part of the rest', async (t) => {
  const pool = new SimPool(2, 65536)
  const at = pool.payloadOf(pool.acquire())
  const outcomes = new Set<string>()
  for (let seed = 0; seed < 100; seed++) {
    const clock = new SimClock()
    const disk = new SimDisk(pool, clock, new Prng(seed))
    const finish = (): void => {
      while (clock.step());
    }
    const file = disk.open(1, true)
    pool.memory.fill(1, at, at + 8192)
    disk.write(file, at, 8192, 0, finish)
    finish()
    disk.sync(file, finish)
    finish()
    pool.memory.fill(2, at, at + 8192)
    disk.write(file, at, 8192, 0, finish)
    finish()
    disk.open(2, true)
    disk.crash('power')
    const again = disk.open(1, false)
    t.ok(again > 0, 'a synced file is there')
    disk.read(again, at, 8192, 0, finish)
    finish()
    outcomes.add(`${pool.memory[at]}${pool.memory[at + 4096]} ${disk.list(0, 9)}`)
  }
  const expected = ['11', '12', '21', '22'].flatMap((bytes) => [`${bytes} 1`, `${bytes} 1,2`])
  t.strictSame([...outcomes].sort(), expected.sort())
})
