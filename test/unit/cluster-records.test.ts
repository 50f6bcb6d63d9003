/** Golden bytes of the records of changes on several nodes, and of a message's head: these are formats, too. */
import t from 'tap'
import { Batch } from '../../lib/meta/batch.js'
import { BURIED, FROZEN, Graves } from '../../lib/meta/graves.js'
import { HeldNameRecords } from '../../lib/meta/held-names.js'
import { Intents, type StoredIntent } from '../../lib/meta/intents.js'
import { Outbox, OUT_SUBDIRECTORIES } from '../../lib/meta/outbox.js'
import { Results } from '../../lib/meta/results.js'
import { LINK, MOVE, REMOVAL } from '../../lib/wire/intents.js'
import { AGE_UNKNOWN, getRequestHead, putRequestHead, type RequestHead } from '../../lib/wire/message.js'
import { Struct } from '../../lib/wire/struct.js'
import { SimClock } from '../sim/clock.js'
import { SimKv } from '../sim/kv.js'
import { Prng } from '../sim/prng.js'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const plain = (text: string): string => text.replace(/\s/g, '')
const range = (text: string) => {
  const bytes = new TextEncoder().encode(text)
  return { bytes, offset: 0, length: bytes.length }
}

const MEMBER = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8])

function store(): { kv: SimKv; batch: Batch; records: () => [string, string][] } {
  const kv = new SimKv(new SimClock(), new Prng(1))
  return { kv, batch: new Batch(kv), records: () => [...kv.records()].map(([key, value]) => [hex(key), hex(value)]) }
}

t.test('a grave', async (t) => {
  const { batch, records } = store()
  const graves = new Graves(batch)
  graves.set(0x1122, 0x33, FROZEN, MEMBER, 0x4455)
  t.strictSame(records(), [
    [plain('47 0000000000001122 00000033'), plain('47 01 0100 00000000 0102030405060708 5544000000000000')],
  ])
  t.equal(graves.state(0x1122, 0x33), FROZEN)
  t.equal(graves.state(0x1122, 0x34), 0)
  t.strictSame(graves.find(0x1122, 0x33), { state: FROZEN, owner: MEMBER, saga: 0x4455 })
  graves.set(0x1122, 0x33, BURIED, MEMBER, 0x4455)
  graves.set(0x1122, 0xffffffff, BURIED, MEMBER, 1)
  graves.set(0x1123, 0, BURIED, MEMBER, 1)
  t.strictSame(graves.list(FROZEN), [])
  t.strictSame(graves.list(BURIED), [
    { number: 0x1122, generation: 0x33 },
    { number: 0x1122, generation: 0xffffffff },
    { number: 0x1123, generation: 0 },
  ])
  graves.remove(0x1122, 0x33)
  t.equal(graves.find(0x1122, 0x33), undefined)
})

t.test('a letter of the outbox', async (t) => {
  const { batch, records } = store()
  const outbox = new Outbox(batch)
  const change = {
    ...{ kind: OUT_SUBDIRECTORIES, number: 0x1122, generation: 0x33, links: -1 },
    ...{ seconds: 1_700_000_000, nanoseconds: 5 },
  }
  outbox.put(0x77, change)
  t.strictSame(records(), [
    [
      plain('50 0000000000000077'),
      plain('50 01 03 00 33000000 2211000000000000 ffffffffffffffff 00f1536500000000 05000000'),
    ],
  ])
  outbox.put(0x1_0000_0077, change)
  t.strictSame(outbox.list(), [
    [0x77, change],
    [0x1_0000_0077, change],
  ])
  t.ok(outbox.has(0x77))
  outbox.remove(0x77)
  t.notOk(outbox.has(0x77))
})

t.test('a held name', async (t) => {
  const { batch, records } = store()
  const held = new HeldNameRecords(batch)
  const name = { parent: 0x1122, parentGeneration: 3, seconds: -1, nanoseconds: 4, name: range('abcde') }
  held.put(MEMBER, 0x99, name)
  t.strictSame(records(), [
    [
      plain('4c 0102030405060708 0000000000000099'),
      plain('4c010000 2211000000000000 03000000 ffffffffffffffff 04000000 05000000 6162636465000000'),
    ],
  ])
  held.put(MEMBER, 0x9a, { ...name, name: range('b') })
  t.match(held.list(), [
    { owner: MEMBER, saga: 0x99, held: { parent: 0x1122, seconds: -1 } },
    { owner: MEMBER, saga: 0x9a, held: { nanoseconds: 4 } },
  ])
  t.ok(held.has(MEMBER, 0x99))
  held.remove(MEMBER, 0x99)
  t.notOk(held.has(MEMBER, 0x99))
})

t.test('intents', async (t) => {
  const { batch, records } = store()
  const intents = new Intents(batch)
  const common = { client: range('0123456789abcdef'), sequence: 6, seconds: 7, nanoseconds: 8, error: 9 }
  const inode = { child: 0x1122, childGeneration: 2, kind: 0o100000 }
  const link = { ...common, ...inode, parent: 1, parentGeneration: 0, name: range('n') }
  intents.put(0x50, 3, 2, new Struct(LINK), link)
  t.strictSame(records(), [
    [
      plain('53 0000000000000050'),
      plain(`53 01 03 02
        10000000 30313233343536373839616263646566
        0600000000000000 0700000000000000 08000000 09000000
        2211000000000000 02000000 00800000 0100000000000000 00000000 01000000 6e000000`),
    ],
  ])
  const child = { child: 1, childGeneration: 2, kind: 3 }
  const other = { other: 4, otherGeneration: 5, otherKind: 6 }
  const directory = { parent: 7, parentGeneration: 8 }
  const to = { toParent: 9, toParentGeneration: 10, flags: 11, name: range('from'), toName: range('to') }
  intents.put(0x51, 2, 0, new Struct(MOVE), { ...common, ...directory, ...child, ...other, ...to })
  const removal = { ...common, method: 5, ...directory, ...child, ...other, links: -1, name: range('x') }
  intents.put(0x52, 1, 1, new Struct(REMOVAL), removal)
  t.strictSame(intents.list(), [0x50, 0x51, 0x52])
  t.match(intents.get(0x51), { id: 0x51, plan: 2, step: 0 })
  const stored = intents.get(0x52) as StoredIntent
  const { area } = stored
  t.match(stored, { id: 0x52, plan: 1, step: 1 })
  t.match(new Struct(REMOVAL).get(area, 1, area.words.length), { method: 5, links: -1, other: 4, parent: 7 })
  intents.remove(0x50)
  t.equal(intents.get(0x50), undefined)
})

t.test('results: those of the durable stream outlast the incarnations of their member', async (t) => {
  const { batch, records } = store()
  const results = new Results(batch)
  const client = (incarnation: number): Uint8Array => Uint8Array.from([...MEMBER, 0, 0, 0, 0, 0, 0, 0, incarnation])
  results.put(client(2), 1, Uint32Array.from([0xaabbccdd]))
  results.put(client(0), 64, Uint32Array.from([]))
  t.strictSame(records(), [
    [plain('52 0102030405060708 0000000000000000 0000000000000040'), '52010000'],
    [plain('52 0102030405060708 0000000000000002 0000000000000001'), plain('52010000 ddccbbaa')],
  ])
  results.put(client(3), 1, Uint32Array.from([5]))
  results.forgetEarlier(client(3))
  t.equal(results.get(client(2), 1), null)
  t.strictSame(results.get(client(3), 1), Uint32Array.from([5]))
  t.strictSame(results.get(client(0), 64), Uint32Array.from([]))
  results.put(client(0), 96, Uint32Array.from([]))
  results.forget(client(0), 95)
  t.equal(results.get(client(0), 64), null)
  t.strictSame(results.get(client(0), 96), Uint32Array.from([]))
  results.remove(client(0), 96)
  t.equal(results.get(client(0), 96), null)
})

t.test("a request's head", async (t) => {
  const words = new Uint32Array(16)
  const bytes = new Uint8Array(words.buffer)
  const head: RequestHead = {
    ...{ method: 0x1a, isDurable: true, epoch: 0x01020304, sequence: 0x1122334455, acknowledged: 0x66 },
    ...{ seconds: 1_700_000_000, nanoseconds: 999_999_999, ageMs: AGE_UNKNOWN },
  }
  putRequestHead(words, 1, head)
  const golden = '1a010000 04030201 5544332211000000 6600000000000000 00f1536500000000 ffc99a3b ffffffff'
  t.equal(hex(bytes.subarray(4, 44)), plain(golden))
  const found = { ...head, method: 0, isDurable: false }
  t.ok(getRequestHead(words, 1, 11, found))
  t.strictSame(found, head)
  putRequestHead(words, 1, { ...head, isDurable: false })
  t.ok(getRequestHead(words, 1, 11, found))
  t.equal(found.isDurable, false)
  t.notOk(getRequestHead(words, 1, 10, found), 'cut short')
  for (let bit = 9; bit < 32; bit++) {
    words[1] = ((1 << bit) | 0x1a) >>> 0
    t.notOk(getRequestHead(words, 1, 11, found), `unknown flag ${bit}`)
  }
})
