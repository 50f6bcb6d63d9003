/** Who has what: how evenly, what moves when a member joins, and how long it takes to find out. */
import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import t from 'tap'
import { inodeNumber, SERIAL_SPAN } from '../../lib/base/ids.js'
import { loadHash32 } from '../../lib/native/hash.js'
import { Positions } from '../../lib/ring/position.js'
import { Ring, VIRTUAL_NODES } from '../../lib/ring/ring.js'
import { Prng } from '../sim/prng.js'

const hash = await loadHash32()
const positions = new Positions(hash)
const SETS = 1000
const SAMPLES = 60_000

function randomIds(prng: Prng, count: number): Uint8Array[] {
  const ids = Array.from({ length: count }, () => Uint8Array.from({ length: 8 }, () => prng.below(256)))
  return ids.sort(Buffer.compare)
}

const ringOf = (ids: readonly Uint8Array[], epoch = 1): Ring => new Ring({ epoch, members: ids }, hash)

const named = (text: string) => {
  const bytes = Buffer.from(text)
  return { bytes, offset: 0, length: bytes.length }
}

/** Names as mdtest gives them, in a few directories. */
const dentries = Uint32Array.from({ length: SAMPLES }, (_, index) =>
  positions.ofDentry(1 + (index % 7) * SERIAL_SPAN, named(`file.mdtest.${index % 64}.${Math.floor(index / 64)}`)),
)

/** New inodes take their dentries' positions; their numbers say so. */
const inodes = dentries.map((position, index) => Math.floor(inodeNumber(position, 4 + index) / SERIAL_SPAN))

/** Chunks of files as IOR makes them: so many chunks a file, a multiple of the nodes; the first one lies with its inode. */
function chunksOf(nodes: number): Uint32Array {
  const perFile = nodes * 16
  return Uint32Array.from({ length: SAMPLES }, (_, index) => {
    const file = Math.floor(index / perFile)
    const position = positions.ofDentry(1, named(`ior.${file}`))
    const chunk = index % perFile
    return chunk === 0 ? position : positions.ofChunk(inodeNumber(position, 4 + file), chunk)
  })
}

function maxOverMean(ring: Ring, samples: Uint32Array): number {
  const load = new Float64Array(ring.members)
  for (const position of samples) load[ring.owner(position)] = (load[ring.owner(position)] as number) + 1
  return Math.max(...load) / (samples.length / ring.members)
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] as number

for (const [nodes, limit] of [
  [4, 1.1],
  [64, 1.22],
] as const) {
  t.test(`${nodes} members have about the same, whatever their ids are`, async (t) => {
    const prng = new Prng(nodes)
    const kinds = { inodes, dentries, chunks: chunksOf(nodes) }
    const seen = new Map<string, number[]>()
    for (let set = 0; set < SETS; set++) {
      const ring = ringOf(randomIds(prng, nodes))
      for (const [kind, samples] of Object.entries(kinds)) {
        const list = seen.get(kind) ?? []
        list.push(maxOverMean(ring, samples))
        seen.set(kind, list)
      }
    }
    for (const [kind, list] of seen) {
      const middle = median(list)
      t.comment(`${kind}: max/mean ${middle.toFixed(3)}`)
      t.ok(middle <= limit, `${kind}: ${middle}`)
    }
  })
}

t.test('a member that joins takes its share from all others, and nothing else moves', async (t) => {
  const prng = new Prng(7)
  for (const nodes of [3, 4, 16, 64]) {
    let moved = 0
    let total = 0
    for (let set = 0; set < 40; set++) {
      const before = randomIds(prng, nodes)
      const joins = randomIds(prng, 1)[0] as Uint8Array
      const after = [...before, joins].sort(Buffer.compare)
      const [old, next] = [ringOf(before), ringOf(after, 2)]
      for (const position of inodes.subarray(0, 20_000)) {
        total++
        const [from, to] = [old.idOf(old.owner(position)), next.idOf(next.owner(position))]
        if (Buffer.compare(from, to) === 0) continue
        moved++
        if (Buffer.compare(to, joins) !== 0) t.fail('a position went to a member that was there before')
      }
    }
    const ideal = total / (nodes + 1)
    t.comment(`${nodes} members and one: ${((moved / ideal) * 100).toFixed(1)} % of its share`)
    t.ok(Math.abs(moved / ideal - 1) <= 0.1, `${moved} of ${total}`)
  }
})

t.test('every position has the member of the first point at or after it', async (t) => {
  // A hash of few values: points of several members coincide, and the smaller id has them.
  const coarse = (bytes: Uint8Array): number => (hash(bytes, 0) % 97) * 44_278_013
  const prng = new Prng(11)
  for (const [nodes, virtualNodes] of [
    [1, 1],
    [2, 3],
    [5, 20],
    [40, 7],
  ] as const) {
    const ids = randomIds(prng, nodes)
    const ring = new Ring({ epoch: 3, members: ids, virtualNodes }, coarse)
    const points = ids.flatMap((id, member) =>
      Array.from({ length: virtualNodes }, (_, number) => {
        const key = Buffer.alloc(12)
        key.set(id)
        key.writeUInt32LE(number, 8)
        return { at: coarse(key), member }
      }),
    )
    points.sort((a, b) => a.at - b.at || a.member - b.member)
    const edges = points.flatMap(({ at }) => [at - 1, at, at + 1]).filter((at) => at >= 0 && at < 2 ** 32)
    for (const position of [0, 2 ** 31, 2 ** 32 - 1, ...edges]) {
      const start = points.findIndex(({ at }) => at >= position)
      const order = start < 0 ? points : [...points.slice(start), ...points.slice(0, start)]
      const expected = [...new Set(order.map(({ member }) => member))]
      t.equal(ring.owner(position), expected[0])
      t.strictSame(ring.ownersOf(position, 3), expected.slice(0, 3))
      t.strictSame(ring.ownersOf(position, nodes + 1), expected)
    }
  }
})

t.test('the points of a member are where every version has them', async (t) => {
  const ids = [Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), Uint8Array.of(9, 8, 7, 6, 5, 4, 3, 2)]
  const ring = ringOf(ids)
  const key = Buffer.from('010203040506070800000000', 'hex')
  for (let number = 0; number < VIRTUAL_NODES; number++) {
    key.writeUInt32LE(number, 8)
    t.equal(ring.owner(hash(key, 0)), 0)
  }
  t.strictSame(
    Array.from({ length: 16 }, (_, part) => ring.owner(part * 2 ** 28)),
    [1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 0, 0, 0],
  )
})

t.test('members in another order have the same positions', async (t) => {
  const ids = randomIds(new Prng(6), 7)
  const turned = ids.toReversed()
  const coarse = (bytes: Uint8Array): number => (hash(bytes, 0) % 97) * 44_278_013
  const [ring, other] = [ids, turned].map((members) => new Ring({ epoch: 1, members }, coarse)) as [Ring, Ring]
  for (let position = 0; position < 2 ** 32; position += 44_278_013 / 3) {
    const at = Math.floor(position)
    t.equal(other.owner(at), 6 - ring.owner(at))
    t.strictSame(other.idOf(other.owner(at)), ring.idOf(ring.owner(at)))
  }
})

t.test('what no ring can be made of', async (t) => {
  const [a] = randomIds(new Prng(5), 1) as [Uint8Array]
  t.throws(() => ringOf([]))
  t.throws(() => ringOf([a, a]))
  t.throws(() => ringOf([a.subarray(1)]))
  t.throws(() => new Ring({ epoch: 1, members: [a], virtualNodes: 0 }, hash))
})

t.test('chunks are spread whatever the inode and the index are', async (t) => {
  fc.assert(
    fc.property(fc.nat(2 ** 32 - 1), fc.nat(SERIAL_SPAN - 1), fc.nat(2 ** 31 - 1), (position, serial, index) => {
      const number = inodeNumber(position, serial)
      const key = Buffer.alloc(16)
      key.writeBigUInt64LE(BigInt(number))
      key.writeBigUInt64LE(BigInt(index), 8)
      return positions.ofChunk(number, index) === hash(key, 0)
    }),
  )
  // Neighbours in one file, and the same chunk of neighbouring files: no member gets runs of them.
  for (const chunk of [(i: number) => positions.ofChunk(77, i), (i: number) => positions.ofChunk(77 + i, 1)]) {
    const counts = new Array<number>(16).fill(0)
    let same = 0
    for (let i = 1; i <= 16_000; i++) {
      const part = chunk(i) >>> 28
      counts[part] = (counts[part] as number) + 1
      if (part === chunk(i + 1) >>> 28) same++
    }
    t.ok(Math.max(...counts) < 1120 && Math.min(...counts) > 880, `${counts}`)
    t.ok(same > 850 && same < 1150, `${same}`)
  }
})

t.test('1024 members, and what a lookup takes', async (t) => {
  const prng = new Prng(13)
  for (const nodes of [1, 4, 64, 1024]) {
    const ring = ringOf(randomIds(prng, nodes))
    let sum = 0
    const started = performance.now()
    for (let round = 0; round < 20; round++) for (const position of inodes) sum += ring.owner(position)
    const ns = ((performance.now() - started) * 1e6) / 20 / inodes.length
    t.comment(`${nodes} members: ${ns.toFixed(0)} ns a lookup`)
    t.ok(ns < 1000 && sum >= 0, `${ns} ns`)
    const load = maxOverMean(ring, inodes)
    t.ok(load < 2.2, `${nodes} members: max/mean ${load}`)
    t.equal(new Set(ring.ownersOf(0, nodes)).size, nodes)
  }
})
