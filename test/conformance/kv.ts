/**
 * What every Kv promises. `make` gives a store that is new and empty, and ways to crash it and to take it down.
 */
import { constants } from 'node:os'
import type { Test } from 'tap'
import type { Kv } from '../../lib/ports.js'

const { ENOENT } = constants.errno
const VALUE_BYTES_MAX = 128 * 1024
const KEY_BYTES_MAX = 500

export interface KvUnderTest {
  readonly kv: Kv
  /**
   * Ends the store that is open as a kill of its process or a power cut would, in the middle of whatever is under way,
   * and opens what is left. The old one is used no more.
   */
  reopen(crash: 'process' | 'power'): Promise<Kv>
  /** Closes what is open and leaves nothing behind. */
  end(): Promise<void>
}

/** A Kv with keys and values as strings of latin1, so that a test can compare them. */
export class KvText {
  readonly kv: Kv

  constructor(kv: Kv) {
    this.kv = kv
  }

  /** The value, or the errno. */
  get(key: string): string | number {
    const bytes = this.kv.get(this.#setKey(key))
    return bytes < 0 ? bytes : Buffer.from(this.kv.value.subarray(0, bytes)).toString('latin1')
  }

  put(key: string, value: string): number {
    this.kv.value.set(Buffer.from(value, 'latin1'))
    return this.kv.put(this.#setKey(key), value.length)
  }

  delete(key: string): number {
    return this.kv.delete(this.#setKey(key))
  }

  /** Key and value of the first record at or after `key`, or the errno. */
  seek(key: string): [string, string] | number {
    const bytes = this.kv.seek(this.#setKey(key))
    if (bytes < 0) return bytes
    const found = Buffer.from(this.kv.key.subarray(0, bytes)).toString('latin1')
    return [found, Buffer.from(this.kv.value.subarray(0, this.kv.valueBytes)).toString('latin1')]
  }

  sync(): Promise<number> {
    return new Promise((resolve) => this.kv.sync(resolve))
  }

  close(): Promise<number> {
    return new Promise((resolve) => this.kv.close(resolve))
  }

  /** Every record, in order. */
  all(): [string, string][] {
    const records: [string, string][] = []
    for (let found = this.seek('\x01'); typeof found !== 'number'; found = this.seek(`${found[0]}\0`)) {
      records.push(found)
    }
    return records
  }

  #setKey(key: string): number {
    this.kv.key.set(Buffer.from(key, 'latin1'))
    return key.length
  }
}

/** Numbers in [0, below), the same for the same seed (mulberry32). */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

export function kvConformance(t: Test, make: () => Promise<KvUnderTest>): void {
  const test = (name: string, body: (t: Test, kv: KvText, made: KvUnderTest) => Promise<void>): void => {
    t.test(name, async (t) => {
      const made = await make()
      t.teardown(() => made.end())
      await body(t, new KvText(made.kv), made)
    })
  }
  testRecords(test)
  testOrder(test)
  testBatches(test)
  testSyncing(test)
  testCrashes(test)
}

type Define = (name: string, body: (t: Test, kv: KvText, made: KvUnderTest) => Promise<void>) => void

function testRecords(test: Define): void {
  test('an empty store', async (t, kv) => {
    t.equal(kv.get('a'), -ENOENT)
    t.equal(kv.seek('\x01'), -ENOENT)
    t.equal(kv.delete('a'), -ENOENT)
    t.equal(kv.kv.commit(), 0)
    kv.kv.abort()
    t.equal(kv.kv.canGrow(), true)
  })

  test('records are put, replaced and deleted', async (t, kv) => {
    t.equal(kv.put('a', 'one'), 0)
    t.equal(kv.get('a'), 'one', 'before the commit too')
    t.equal(kv.kv.commit(), 0)
    t.equal(kv.get('a'), 'one')
    t.equal(kv.put('a', 'longer than before'), 0)
    t.equal(kv.get('a'), 'longer than before')
    t.equal(kv.put('a', ''), 0)
    t.equal(kv.get('a'), '', 'an empty value is there')
    t.equal(kv.kv.valueBytes, 0)
    t.equal(kv.delete('a'), 0)
    t.equal(kv.get('a'), -ENOENT)
    t.equal(kv.delete('a'), -ENOENT)
    t.equal(kv.kv.commit(), 0)
    t.equal(kv.get('a'), -ENOENT)
  })

  test('keys and values of every size', async (t, kv) => {
    const records = new Map<string, string>()
    for (const keyBytes of [1, 2, 9, 20, 255, KEY_BYTES_MAX - 1, KEY_BYTES_MAX]) {
      for (const valueBytes of [0, 1, 3, 4, 136, 1365, 4000, 4092, 4096, 65540, VALUE_BYTES_MAX]) {
        if (keyBytes === 1 && records.has('k')) continue
        const key = `${keyBytes === 1 ? '' : String.fromCharCode(1 + records.size)}`.padEnd(keyBytes, 'k')
        const value = Buffer.alloc(valueBytes, `${records.size}.`).toString('latin1')
        t.equal(kv.put(key, value), 0)
        records.set(key, value)
      }
      t.equal(kv.kv.commit(), 0)
    }
    for (const [key, value] of records) t.ok(kv.get(key) === value, `${key.length} and ${value.length} bytes`)
    t.ok(kv.all().every(([key, value]) => records.get(key) === value))
    t.equal(kv.all().length, records.size)
    for (const key of records.keys()) t.equal(kv.delete(key), 0)
    t.equal(kv.kv.commit(), 0)
    t.strictSame(kv.all(), [])
  })

  test('valueBytes is what the last successful get or seek found', async (t, kv) => {
    kv.put('a', 'four')
    kv.put('b', 'seven77')
    kv.get('a')
    t.equal(kv.kv.valueBytes, 4)
    kv.seek('b')
    t.equal(kv.kv.valueBytes, 7)
    kv.get('absent')
    kv.seek('c')
    t.equal(kv.kv.valueBytes, 7)
  })

  test('the scratch arrays have room for the largest record', async (t, kv) => {
    t.ok(kv.kv.key.length > KEY_BYTES_MAX, 'and for the successor of the longest key')
    t.ok(kv.kv.value.length >= VALUE_BYTES_MAX)
    t.equal(kv.kv.value.byteOffset % 8, 0, 'the value can be seen as words')
  })
}

function testOrder(test: Define): void {
  test('seek finds in the order of bytes', async (t, kv) => {
    const keys = ['\x01', '\x01\0', 'A', 'AA', 'AB', 'B', 'a', '\x7f', '\x80', '\xff', '\xff\xff']
    for (const key of [...keys].reverse()) kv.put(key, `value of ${key}`)
    for (const committed of [false, true]) {
      if (committed) t.equal(kv.kv.commit(), 0)
      t.strictSame(
        kv.all(),
        keys.map((key) => [key, `value of ${key}`]),
      )
      t.strictSame(kv.seek('AA'), ['AA', 'value of AA'], 'the very key')
      t.strictSame(kv.seek('AAA'), ['AB', 'value of AB'], 'the next one')
      t.strictSame(kv.seek('b'), ['\x7f', 'value of \x7f'])
      t.equal(kv.seek('\xff\xff\0'), -ENOENT, 'nothing past the end')
    }
  })

  test('the successor of the longest key can be asked for', async (t, kv) => {
    const longest = 'k'.repeat(KEY_BYTES_MAX)
    kv.put(longest, '1')
    kv.put('l', '2')
    t.strictSame(kv.seek(`${longest}\0`), ['l', '2'])
  })

  test('a scan goes on while records come and go', async (t, kv) => {
    for (let i = 0; i < 200; i++) kv.put(`k${String(i).padStart(3, '0')}`, String(i))
    t.equal(kv.kv.commit(), 0)
    const seen: string[] = []
    for (let found = kv.seek('k'); typeof found !== 'number'; found = kv.seek(`${found[0]}\0`)) {
      seen.push(found[1])
      const at = Number(found[1])
      if (at % 2 === 0) t.equal(kv.delete(found[0]), 0)
      if (at % 10 === 5) t.equal(kv.delete(`k${String(at + 2).padStart(3, '0')}`), 0)
      if (at % 50 === 0) t.equal(kv.put(`k${String(at).padStart(3, '0')}x`, 'new'), 0)
      if (at % 30 === 0) t.equal(kv.kv.commit(), 0)
    }
    const expected: string[] = []
    for (let i = 0; i < 200; i++) {
      if (i % 10 === 7) continue
      expected.push(String(i))
      if (i % 50 === 0) expected.push('new')
    }
    // The value of a new record is not a number, so nothing above is done at one.
    t.strictSame(seen, expected)
  })
}

function testBatches(test: Define): void {
  test('abort undoes the whole open batch', async (t, kv) => {
    kv.put('kept', 'old')
    kv.put('deleted', 'old too')
    kv.put('large', 'x'.repeat(100_000))
    t.equal(kv.kv.commit(), 0)
    const before = kv.all()
    kv.put('new', '1')
    kv.put('new', '2')
    kv.put('kept', 'changed')
    kv.delete('kept')
    kv.put('kept', 'changed again')
    kv.delete('deleted')
    kv.put('large', '')
    kv.delete('new')
    kv.put('new', '3')
    kv.kv.abort()
    t.strictSame(kv.all(), before)
    t.equal(kv.kv.commit(), 0)
    t.strictSame(kv.all(), before)
    kv.put('after', 'works')
    t.equal(kv.kv.commit(), 0)
    kv.kv.abort()
    t.equal(kv.get('after'), 'works', 'what is committed is not undone')
  })

  test('a batch of many records', async (t, kv) => {
    let failed = 0
    for (let i = 0; i < 5000; i++) failed += Number(kv.put(`k${i}`, `value ${i}`) !== 0)
    t.equal(failed, 0)
    t.equal(kv.kv.commit(), 0)
    t.equal(kv.all().length, 5000)
    for (let i = 0; i < 5000; i++) kv.delete(`k${i}`)
    kv.kv.abort()
    t.equal(kv.all().length, 5000)
    t.equal(kv.get('k4999'), 'value 4999')
  })

  test('any sequence of operations, compared with a map', async (t, kv, made) => {
    const seed = Number(process.env['SEED'] ?? 1)
    const random = seeded(seed)
    let store = kv
    let committed = new Map<string, string>()
    let open = new Map<string, string>()
    const same = (): boolean => {
      const expected = [...open].sort(([a], [b]) => Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')))
      return JSON.stringify(store.all()) === JSON.stringify(expected)
    }
    for (let step = 0; step < 6000; step++) {
      const key = `${String.fromCharCode(1 + random(255))}${'k'.repeat(random(4))}${random(6)}`
      const choice = random(1000)
      if (choice < 550) {
        const value = `${step} `.repeat(random(20) === 0 ? random(3000) : random(30))
        if (store.put(key, value) !== 0) t.fail(`put at step ${step} of seed ${seed}`)
        open.set(key, value)
      } else if (choice < 800) {
        if (store.delete(key) !== (open.delete(key) ? 0 : -ENOENT)) t.fail(`delete at step ${step} of seed ${seed}`)
      } else if (choice < 900) {
        if (store.get(key) !== (open.get(key) ?? -ENOENT)) t.fail(`get at step ${step} of seed ${seed}`)
      } else if (choice < 970) {
        if (store.kv.commit() !== 0) t.fail(`commit at step ${step} of seed ${seed}`)
        committed = new Map(open)
      } else if (choice < 985) {
        store.kv.abort()
        open = new Map(committed)
      } else if (choice < 995) {
        if (!same()) t.fail(`other records at step ${step} of seed ${seed}`)
      } else {
        store = new KvText(await made.reopen('process'))
        open = new Map(committed)
        if (!same()) t.fail(`other records after the kill at step ${step} of seed ${seed}`)
      }
    }
    t.ok(same(), `at the end of seed ${seed}`)
  })
}

function testSyncing(test: Define): void {
  test('sync calls back once, with nothing to do too', async (t, kv) => {
    t.equal(await kv.sync(), 0)
    kv.put('a', '1')
    t.equal(kv.kv.commit(), 0)
    let calls = 0
    const results = await Promise.all([kv.sync(), kv.sync(), kv.sync()])
    t.strictSame(results, [0, 0, 0])
    kv.kv.sync(() => calls++)
    t.equal(await kv.sync(), 0)
    t.equal(calls, 1)
    kv.put('b', '2')
    t.equal(await kv.sync(), 0, 'inside a batch')
    t.equal(kv.get('b'), '2', 'which stays open')
    kv.kv.abort()
    t.equal(kv.get('b'), -ENOENT)
  })

  test('what is closed opens again', async (t, kv, made) => {
    kv.put('a', '1')
    t.equal(kv.kv.commit(), 0)
    kv.put('b', 'never committed')
    const syncing = kv.sync()
    t.equal(await kv.close(), 0)
    t.equal(await syncing, 0)
    const again = new KvText(await made.reopen('power'))
    t.strictSame(again.all(), [['a', '1']])
  })
}

function testCrashes(test: Define): void {
  test('a kill loses nothing that was committed, and all of the open batch', async (t, kv, made) => {
    let store = kv
    for (let round = 0; round < 8; round++) {
      store.put(`k${round}`, `value ${round}`)
      store.put('last', String(round))
      t.equal(store.kv.commit(), 0)
      store.put('last', 'open')
      store.put('open', 'open')
      store.delete(`k${round}`)
      store = new KvText(await made.reopen('process'))
      t.equal(store.get('last'), String(round))
      t.equal(store.get('open'), -ENOENT)
      t.equal(store.all().length, round + 2)
    }
  })

  test('a power cut keeps what was synced, and of the rest some first commits', async (t, kv, made) => {
    const seed = Number(process.env['SEED'] ?? 1)
    const random = seeded(seed)
    const states: Map<string, string>[] = [new Map()]
    let store = kv
    let synced = 0
    for (let round = 0; round < 12; round++) {
      const last = states.length - 1
      for (let commit = 0; commit < random(60); commit++) {
        const state = new Map(states.at(-1))
        for (let change = 0; change <= random(6); change++) {
          const key = `k${random(40)}`
          const value = `${states.length} `.repeat(random(200))
          if (random(3) > 0) {
            state.set(key, value)
            store.put(key, value)
          } else if (state.delete(key)) store.delete(key)
        }
        state.set('sequence', String(states.length))
        store.put('sequence', String(states.length))
        if (store.kv.commit() !== 0) t.fail('commit')
        states.push(state)
        if (random(10) > 0) continue
        const covered = states.length - 1
        const syncing = store.sync().then(() => {
          synced = Math.max(synced, covered)
        })
        if (random(2) === 0) await syncing
      }
      store = new KvText(await made.reopen('power'))
      const found = store.get('sequence')
      const sequence = typeof found === 'string' ? Number(found) : 0
      t.ok(sequence >= synced && sequence < states.length, `${synced} ≤ ${sequence}, at most ${states.length - 1}`)
      const expected = [...(states[sequence] as Map<string, string>)].sort(([a], [b]) => (a < b ? -1 : 1))
      t.strictSame(store.all(), expected, `round ${round} of seed ${seed}, from ${last}`)
      // The commits that were lost never happened.
      states.length = sequence + 1
      synced = sequence
    }
  })
}
