/**
 * The data path over several nodes, one case at a time: which messages an operation takes, and what happens where they
 * arrive in another order, late, or not at all.
 */
import t, { type Test } from 'tap'
import { EIO, ENOSPC } from '../../lib/base/errno.js'
import { SEEK_DATA, SEEK_HOLE } from '../../lib/chunk/store.js'
import {
  AppendBegin,
  MetadataUpdate,
  PartCut,
  PartFree,
  PartRegister,
  PartWrite,
  ReadChunk,
  WriteChunk,
} from '../../lib/wire/methods.js'
import type { FileCall } from './cluster-data-files.js'
import { Scene, textOf, zeros } from './cluster-data-scene.js'
import { CHUNK_BYTES, type DataNode } from './cluster-data-world.js'

/** The owner of the file, and two others. */
function cast(scene: Scene): { owner: DataNode; a: DataNode; b: DataNode } {
  const [a, b] = scene.others as [DataNode, DataNode]
  return { owner: scene.owner, a, b }
}

function ends(t: Test, scene: Scene): void {
  scene.world.settle()
  t.strictSame(scene.world.check(false), [])
  t.strictSame(scene.world.faults, [])
}

t.test('messages: what lies with the inode takes one', async (t) => {
  const scene = new Scene()
  const { a } = cast(scene)
  const own = scene.at(scene.owner)
  t.strictSame(
    scene.sent(a, () => t.equal(scene.write(a, 0, 'x'), 1)),
    { WriteChunk: 1 },
  )
  t.strictSame(
    scene.sent(a, () => t.equal(scene.write(a, own, 'y'), 1)),
    { WriteChunk: 1 },
  )
  t.strictSame(
    scene.sent(a, () => t.equal(scene.read(a, 0, 1), 'x')),
    { ReadChunk: 1 },
  )
  t.strictSame(
    scene.sent(a, () => t.equal(scene.append(a, 'z'), 1)),
    { WriteChunk: 1 },
  )
  ends(t, scene)
})

t.test('messages: what lies elsewhere takes one a holder, and one more to write', async (t) => {
  const scene = new Scene()
  const { owner, a, b } = cast(scene)
  const at = scene.at(b)
  const [text, other] = ['x'.repeat(4096), 'y'.repeat(4096)]
  t.strictSame(
    scene.sent(a, () => t.equal(scene.write(a, at, text), 4096)),
    { PartWrite: 1, WriteChunk: 1 },
  )
  t.strictSame(
    scene.sent(b, () => t.equal(scene.write(a, at, other), 4096)),
    {},
    'the member of the chunks registers only once',
  )
  t.strictSame(
    scene.sent(a, () => t.equal(scene.read(a, at, 4096), other)),
    { ReadChunk: 1 },
  )
  t.strictSame(
    scene.sent(owner, () => t.equal(scene.read(owner, at, 4096), other)),
    { ReadChunk: 1 },
  )
  t.strictSame(
    scene.sent(b, () => t.equal(scene.read(b, at, 100), other.slice(0, 100))),
    { MetadataGet: 1 },
    'it has the chunk itself, but has not heard of the size',
  )
  t.strictSame(
    scene.sent(a, () => t.equal(scene.read(a, at, 5000), other)),
    { MetadataGet: 1, ReadChunk: 1 },
    'beyond the size that is known the inode is asked first',
  )
  const hole = scene.at(b, 1)
  t.equal(scene.truncate(a, hole + 4096), 0)
  t.strictSame(
    scene.sent(a, () => t.equal(scene.read(a, hole, 4096), zeros(4096))),
    { ReadChunk: 1 },
    'a hole where the member has other chunks',
  )
  // A range that lies with two holders and the inode.
  const wide = 3 * CHUNK_BYTES
  const members = new Set([1, 2, 3].map((chunk) => owner.node.router.ofChunk(scene.number, chunk, 0)))
  const sent = scene.sent(a, () => t.equal(scene.write(a, CHUNK_BYTES, 'z'.repeat(wide)), wide))
  t.equal(sent['WriteChunk'], 1)
  members.delete(owner.index)
  members.delete(a.index)
  t.equal(sent['PartWrite'] ?? 0, members.size)
  ends(t, scene)
})

t.test('messages: a hole where nothing was ever written takes two', async (t) => {
  const scene = new Scene()
  const { a, b } = cast(scene)
  const at = scene.at(b)
  t.equal(scene.truncate(a, at + 4096), 0)
  t.strictSame(
    scene.sent(a, () => t.equal(scene.read(a, at, 4096), zeros(4096))),
    { ReadChunk: 1, MetadataGet: 1 },
  )
  ends(t, scene)
})

t.test('messages: fsync asks the inode, and that all holders', async (t) => {
  const scene = new Scene()
  const { owner, a, b } = cast(scene)
  scene.write(a, scene.at(a), 'x')
  scene.write(a, scene.at(b), 'x')
  let atOwner: Record<string, number> = {}
  const atClient = scene.sent(a, () => {
    atOwner = scene.sent(owner, () => t.equal(scene.fsync(a), 0))
  })
  t.strictSame(atClient, { Sync: 1 })
  t.strictSame(atOwner, { PartSync: 2 })
  ends(t, scene)
})

t.test('data first, then its size, in this order', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  scene.keep({ method: PartWrite, isReply: true })
  const before = a.node.sent.get('WriteChunk') ?? 0
  const write = scene.startWrite(a, scene.at(b), 'data')
  scene.untilKept()
  scene.world.pass(500)
  t.equal(a.node.sent.get('WriteChunk') ?? 0, before, 'the data is written and not acknowledged')
  t.equal(scene.size(owner), 0)
  scene.release()
  t.equal(scene.end(write).result, 4)
  t.equal(scene.size(owner), scene.at(b) + 4)
  ends(t, scene)
})

t.test('a write that a truncation overtakes on its way to the chunk is refused there, and sent again', async (t) => {
  const scene = new Scene()
  const { a, b } = cast(scene)
  const at = scene.at(b)
  scene.write(a, at, 'first')
  scene.keep({ method: PartWrite, from: a })
  const write = scene.startWrite(a, at, 'second')
  scene.untilKept()
  t.equal(scene.truncate(b, 3), 0)
  const sent = scene.sent(a, () => {
    scene.release()
    t.equal(scene.end(write).result, 6)
  })
  t.strictSame(
    sent,
    { WriteReady: 1, PartWrite: 1, WriteChunk: 1 },
    'it asks how long the file is now, and writes again',
  )
  for (const node of scene.world.nodes) t.equal(scene.contents(node), `${zeros(at)}second`)
  ends(t, scene)
})

t.test('a write that a truncation overtakes on its way to the inode is refused there, and sent again', async (t) => {
  const scene = new Scene()
  const { a, b } = cast(scene)
  const at = scene.at(b)
  scene.write(a, at, 'first')
  scene.keep({ method: WriteChunk, from: a })
  const write = scene.startWrite(a, at, 'second')
  scene.untilKept()
  t.equal(scene.truncate(b, 3), 0)
  t.equal(scene.size(a), 3)
  scene.release()
  t.equal(scene.end(write).result, 6)
  for (const node of scene.world.nodes) t.equal(scene.contents(node), `${zeros(at)}second`)
  ends(t, scene)
})

t.test('a truncation that overtakes the first write to a holder, which is just being registered', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  const [at, beyond] = [scene.at(b), scene.at(a)]
  scene.write(a, beyond, 'x')
  scene.keep({ method: PartRegister, isReply: true, to: b })
  const write = scene.startWrite(a, at, 'data')
  scene.untilKept()
  const truncate = scene.startTruncate(owner, 1)
  scene.world.pass(200)
  t.equal(truncate.call, undefined, 'it waits for the holder that has come last, too')
  scene.release()
  t.equal(scene.end(truncate).result, 0)
  t.equal(scene.end(write).result, 4)
  for (const node of scene.world.nodes) t.equal(scene.contents(node), `${zeros(at)}data`)
  ends(t, scene)
})

t.test('nobody registers with an older epoch than that of a truncation under way', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  scene.write(a, scene.at(a), 'x')
  scene.keep({ method: PartCut, to: a })
  const truncate = scene.startTruncate(owner, 1)
  scene.untilKept()
  const write = scene.startWrite(a, scene.at(b), 'data')
  scene.world.pass(200)
  t.equal(write.call, undefined)
  t.equal(b.share.meta.find(scene.number), undefined, 'the part is not made before it is over')
  scene.release()
  t.equal(scene.end(truncate).result, 0)
  t.equal(scene.end(write).result, 4)
  t.equal(scene.contents(b), `${zeros(scene.at(b))}data`)
  ends(t, scene)
})

t.test('a truncation waits for all holders, and whoever asks for the inode waits for it', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  scene.write(a, scene.at(a), 'in a')
  scene.write(a, scene.at(b), 'in b')
  const size = scene.size(b)
  scene.keep({ method: PartCut, to: b })
  const truncate = scene.startTruncate(a, 10)
  scene.untilKept()
  const stat = scene.startStat(a)
  const own = scene.startStat(owner)
  const write = scene.startWrite(owner, 0, 'late')
  scene.world.pass(300)
  t.strictSame([truncate.call, stat.call, own.call, write.call], [undefined, undefined, undefined, undefined])
  t.equal(scene.owner.share.meta.inode(scene.number).size, size, 'the inode does not know of it yet')
  scene.release()
  t.equal(scene.end(truncate).result, 0)
  t.equal(scene.end(stat).size, 10)
  t.equal(scene.end(write).result, 4)
  t.equal(scene.contents(b), `late${zeros(6)}`)
  ends(t, scene)
})

t.test('a reader that knows an older size: what was cut off is gone, in each of its pieces', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  // Three chunks: of the inode, of a holder, and of a member that holds nothing.
  const [own, at, hole] = [scene.at(owner), scene.at(b), scene.at(a)]
  const all = Math.max(own, at, hole) + CHUNK_BYTES
  scene.write(a, 0, 'begin')
  scene.write(a, own, 'own')
  scene.write(a, at, 'held')
  t.equal(scene.truncate(a, all), 0)
  for (const [name, offset] of Object.entries({ own, at, hole })) {
    t.equal(scene.size(a), all)
    t.equal(scene.truncate(owner, 3), 0)
    t.equal(scene.read(a, offset, 4), '', name)
    t.equal(scene.truncate(owner, all), 0)
    t.equal(scene.read(a, offset, 4), zeros(4), `${name}, as long as it was`)
  }
  ends(t, scene)
})

t.test('a read of many pieces is of one time: a piece that comes after a truncation begins it again', async (t) => {
  const scene = new Scene(1, 2)
  const [owner, a] = [scene.owner, scene.others[0] as DataNode]
  // Neighbours, one of each node.
  let at = CHUNK_BYTES
  while (
    owner.node.router.ofChunk(scene.number, at / CHUNK_BYTES, 0) ===
    owner.node.router.ofChunk(scene.number, at / CHUNK_BYTES + 1, 0)
  )
    at += CHUNK_BYTES
  const text = 'a'.repeat(CHUNK_BYTES) + 'b'.repeat(CHUNK_BYTES)
  t.equal(scene.write(a, at, text), text.length)
  scene.keep({ method: ReadChunk, from: a, to: owner })
  const read = scene.startRead(a, at, text.length)
  scene.untilKept()
  t.equal(scene.truncate(owner, at + 10), 0)
  t.equal(scene.truncate(owner, at + text.length), 0)
  scene.release()
  t.equal(textOf(scene.end(read)), 'a'.repeat(10) + zeros(text.length - 10))
  ends(t, scene)
})

t.test('what a dead writer has left beyond the size never shows, however the file grows', async (t) => {
  const growths: Record<string, (scene: Scene, node: DataNode, to: number) => unknown> = {
    'by a truncation': (scene, node, to) => scene.truncate(node, to),
    'by a write beyond': (scene, node, to) => scene.write(node, to - 1, '!'),
    'by a write with the inode': (scene, node, to) => {
      scene.write(node, 0, '?')
      return scene.truncate(node, to)
    },
    'by fallocate': (scene, node, to) =>
      scene.end(scene.start((ended) => scene.files.allocate(node, scene.number, 0, to - 4, 10, ended))),
  }
  for (const [name, grow] of Object.entries(growths)) {
    const scene = new Scene()
    const { a, b, owner } = cast(scene)
    const at = scene.at(b)
    scene.write(owner, at, 'alive')
    scene.keep({ method: WriteChunk, from: a })
    scene.startWrite(a, at + 100, 'dead')
    scene.untilKept()
    scene.world.crash(a, 'process')
    scene.world.pass(100)
    scene.release()
    t.equal(scene.size(b), at + 5)
    grow(scene, b, scene.at(b, 2) + 4)
    t.equal(scene.read(owner, at, 104), `alive${zeros(99)}`, name)
    scene.world.restart(a)
    ends(t, scene)
  }
})

/** The blocks that are in use for the file, wherever. */
const blocksInUse = ({ world, number }: Scene): number =>
  world.nodes.reduce((sum, { share }) => sum + (share.meta.find(number)?.blocks ?? 0), 0)

/** The same, as stat(2) says it. */
function blocksOf(scene: Scene, node: DataNode): number {
  scene.size(node)
  return node.fs.found.blocks + node.fs.found.blocksElsewhere
}

t.test('what a dead writer has left beyond the size goes by itself', async (t) => {
  const cases: Record<string, (scene: Scene, node: DataNode) => unknown> = {
    'a write': (scene, node) => scene.startWrite(node, scene.at(node, 20) - 10, 'x'.repeat(CHUNK_BYTES + 10)),
    'an append': (scene, node) => scene.startAppend(node, 'x'.repeat(3 * CHUNK_BYTES)),
  }
  for (const [name, write] of Object.entries(cases)) {
    for (const kind of ['process', 'power'] as const) {
      const scene = new Scene()
      const { a, b, owner } = cast(scene)
      scene.write(owner, scene.at(b), 'alive')
      const size = scene.size(owner)
      const open = (ended: (call: FileCall) => void): void => scene.files.open(a, scene.number, ended)
      t.equal(scene.end(scene.start(open)).result, 0)
      scene.keep({ method: WriteChunk, from: a })
      write(scene, a)
      scene.untilKept()
      scene.world.crash(a, kind)
      scene.world.pass(100)
      scene.release()
      // Somebody who is away, too, is waited for.
      scene.world.crash(b, 'process')
      scene.world.pass(100)
      scene.world.restart(a)
      scene.world.pass(7000)
      scene.world.restart(b)
      scene.world.settle()
      t.equal(blocksOf(scene, owner), blocksInUse(scene), `${name}, ${kind}`)
      for (const { share } of [a, b]) {
        const part = share.meta.find(scene.number)
        t.ok(part === undefined || part.size <= size, `${name}, ${kind}`, { size, part: part?.size })
      }
      t.equal(scene.contents(owner), `${zeros(size - 5)}alive`)
      t.strictSame(scene.world.check(kind === 'power'), [])
      t.strictSame(scene.world.faults, [])
    }
  }
})

t.test('what a failed write has left beyond the size goes by itself', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  const [first, second] = [scene.at(a), scene.at(b)]
  const [from, to] = [Math.min(first, second), Math.max(first, second) + 4]
  const full = first < second ? b : a
  full.kv.faults.isFull = true
  t.equal(scene.write(owner, from, 'x'.repeat(to - from)), -ENOSPC)
  full.kv.faults.isFull = false
  scene.world.settle()
  t.equal(blocksInUse(scene), 0)
  t.equal(blocksOf(scene, owner), 0)
  ends(t, scene)
})

t.test('what a failed write has left beyond the size never shows', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  const [first, second] = [scene.at(a), scene.at(b)]
  const [from, to] = [Math.min(first, second), Math.max(first, second) + 4]
  const full = first < second ? b : a
  full.kv.faults.isFull = true
  t.equal(scene.write(owner, from, 'x'.repeat(to - from)), -ENOSPC)
  full.kv.faults.isFull = false
  t.equal(scene.size(owner), 0)
  t.equal(scene.write(owner, to, '!'), 1)
  t.equal(scene.read(b, from, 4), zeros(4))
  ends(t, scene)
})

t.test('the inode’s member dies between the cuts of the holders and its own', async (t) => {
  for (const kind of ['process', 'power'] as const) {
    const scene = new Scene()
    const { a, b, owner } = cast(scene)
    scene.write(a, scene.at(a), 'in a')
    scene.write(a, scene.at(b), 'in b')
    t.equal(scene.fsync(a), 0)
    scene.keep({ method: PartCut, isReply: true })
    const truncate = scene.startTruncate(a, 10)
    scene.untilKept(2)
    scene.world.crash(owner, kind)
    scene.release()
    scene.world.pass(200)
    scene.world.restart(owner)
    t.equal(scene.end(truncate).result, 0, `${kind}: it is ended, and answered`)
    t.equal(scene.size(b), 10)
    t.equal(scene.truncate(b, 100), 0)
    t.equal(scene.contents(a), zeros(100))
    ends(t, scene)
  }
})

t.test('a truncation that is asked for again after that is not done twice', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  scene.write(a, scene.at(b), 'old')
  scene.keep({ method: PartCut, isReply: true })
  const truncate = scene.startTruncate(a, 10)
  scene.untilKept()
  scene.world.crash(owner, 'process')
  scene.release()
  scene.world.pass(200)
  // It asks again as soon as the node is back; that comes late.
  scene.keep({ method: MetadataUpdate, from: a })
  scene.world.restart(owner)
  scene.untilKept()
  scene.world.find(b, 'f')
  t.equal(scene.write(b, scene.at(b), 'new'), 3)
  scene.release()
  t.equal(scene.end(truncate).result, 0)
  t.equal(scene.contents(b), `${zeros(scene.at(b))}new`)
  ends(t, scene)
})

t.test('a holder whose power goes after it has cut stays cut', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const scene = new Scene(seed)
    const { a, b, owner } = cast(scene)
    const at = scene.at(b)
    scene.write(a, at, 'old')
    t.equal(scene.fsync(a), 0)
    t.equal(scene.read(owner, at, 3), 'old')
    t.equal(scene.size(a), at + 3)
    t.equal(scene.truncate(owner, 10), 0)
    scene.world.crash(b, 'power')
    scene.world.pass(100)
    scene.world.restart(b)
    t.equal(scene.read(a, at, 3), '', 'for those, too, who know the size that it had')
    t.equal(scene.truncate(a, at + 100), 0)
    t.equal(scene.contents(a), zeros(at + 100), `seed ${seed}`)
    scene.world.settle()
    t.strictSame(scene.world.check(true), [])
  }
})

t.test('a truncation that comes back after a power cut: what was written since does not show', async (t) => {
  let came = 0
  for (let seed = 1; seed <= 40; seed++) {
    const scene = new Scene(seed)
    const { a, b, owner } = cast(scene)
    const at = scene.at(b)
    scene.write(a, at, 'old')
    t.equal(scene.fsync(a), 0)
    t.equal(scene.truncate(a, at), 0)
    scene.keep({ method: WriteChunk, from: a })
    const lost = scene.startWrite(a, at + 50, 'lost')
    scene.untilKept()
    scene.world.crash(a, 'process')
    scene.world.pass(50)
    scene.release()
    scene.world.crash(owner, 'power')
    scene.world.pass(50)
    scene.world.restart(owner)
    scene.world.restart(a)
    t.equal(lost.call, undefined)
    if (owner.share.meta.cuts.list().size > 0) came++
    scene.world.find(b, 'f')
    t.equal(scene.size(b), at)
    t.equal(scene.truncate(b, at + 100), 0)
    t.equal(scene.read(b, at, 100), zeros(100), `seed ${seed}`)
    scene.world.settle()
    t.strictSame(scene.world.check(true), [])
  }
  t.ok(came > 3, `it came back ${came} times`)
})

t.test('a read beside a truncation sees the file before or after it', async (t) => {
  const seen = { before: 0, after: 0 }
  for (let seed = 1; seed <= 150; seed++) {
    const scene = new Scene(seed)
    const { a, b, owner } = cast(scene)
    // Of a holder, and of the inode itself.
    const at = scene.at(seed % 2 === 0 ? b : owner)
    const text = 'x'.repeat(CHUNK_BYTES)
    scene.write(owner, at, text)
    t.equal(scene.size(a), at + CHUNK_BYTES)
    const truncate = scene.startTruncate(owner, at + 10)
    for (let steps = seed % 13; steps > 0; steps--) scene.world.clock.step()
    const read = scene.startRead(a, at, CHUNK_BYTES)
    const result = textOf(scene.end(read))
    if (result === text) seen.before++
    else if (result === 'x'.repeat(10)) seen.after++
    else t.fail(`seed ${seed}: ${result.length} bytes, of them ${result.indexOf('\0')} of before`)
    t.equal(scene.end(truncate).result, 0)
    ends(t, scene)
  }
  t.ok(seen.before > 10 && seen.after > 10, JSON.stringify(seen))
})

t.test('a holder that is away: what needs it fails and has changed nothing, and all else goes on', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  const inB = scene.at(b)
  let inA = scene.at(a, 1)
  for (let nth = 2; inA < inB; nth++) inA = scene.at(a, nth)
  scene.write(a, inB, 'in b')
  scene.write(a, scene.at(a), 'in a')
  t.equal(scene.truncate(a, inA), 0)
  t.equal(scene.append(owner, 'first '), 6)
  scene.world.crash(b, 'process')
  scene.world.pass(100)
  const truncate = scene.startTruncate(a, 10)
  t.equal(scene.append(a, 'second '), 7, 'nobody waits with it')
  t.equal(scene.write(owner, 0, 'begin'), 5)
  t.equal(scene.write(a, inA + 13, 'third'), 5, 'the file grows where there is no gap')
  t.equal(truncate.call, undefined)
  t.equal(scene.end(truncate).result, -EIO)
  t.equal(scene.read(owner, inA, 100), 'first second third')
  t.equal(scene.end(scene.startRead(a, inB, 4)).result, -EIO)
  t.equal(scene.write(a, inB, 'x'), -EIO)
  t.equal(scene.write(a, inA + 1000, '!'), -EIO, 'over a gap it does not')
  t.equal(scene.size(owner), inA + 18)
  scene.world.restart(b)
  t.equal(scene.read(a, inB, 4), 'in b')
  t.equal(scene.truncate(a, 10), 0)
  t.equal(scene.contents(a), `begin${zeros(5)}`)
  ends(t, scene)
})

t.test('a truncation that has begun when a holder goes away is ended when it is back', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  scene.write(a, scene.at(b), 'in b')
  scene.keep({ method: PartCut, to: b })
  const truncate = scene.startTruncate(a, 10)
  scene.untilKept()
  scene.world.crash(b, 'process')
  scene.release()
  const since = scene.world.clock.monotonicMs()
  const others = Array.from({ length: 4 }, () => scene.startTruncate(a, 1e6))
  t.equal(scene.end(truncate).result, -EIO)
  for (const other of others) t.equal(scene.end(other).result, -EIO)
  t.ok(scene.world.clock.monotonicMs() - since < 11_000, 'what could not be ended is not tried again for each')
  t.equal(scene.end(scene.startStat(a)).result, -EIO, 'as long as it is not, nobody can say how long the file is')
  scene.world.restart(b)
  scene.world.settle()
  for (const node of [a, owner]) t.equal(scene.size(node), 10)
  t.equal(scene.write(a, scene.at(b), 'new'), 3)
  t.equal(scene.contents(owner), `${zeros(scene.at(b))}new`)
  ends(t, scene)
})

t.test('an open file without a name: its chunks go with the last close', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  const at = scene.at(b)
  scene.write(a, at, 'data')
  const open = (ended: (call: FileCall) => void): void => scene.files.open(a, scene.number, ended)
  t.equal(scene.end(scene.start(open)).result, 0)
  t.equal(scene.end(scene.startUnlink(owner)).result, 0)
  scene.world.settle()
  t.equal(scene.read(a, at, 4), 'data')
  t.equal(scene.write(a, at + 2, 'more'), 4)
  t.equal(scene.read(a, at, 6), 'damore')
  scene.world.crash(owner, 'process')
  scene.world.pass(50)
  scene.world.restart(owner)
  t.equal(scene.read(a, at, 6), 'damore', 'also when the inode’s member has started again')
  a.fs.release(scene.number, 1, undefined)
  scene.world.settle()
  t.equal(owner.share.meta.find(scene.number), undefined)
  t.equal(b.share.meta.find(scene.number), undefined)
  ends(t, scene)
})

/** More writes than the others' nodes have slots for. */
const CROWD = 12

t.test('writes that wait for a third node keep no slot of the node that they wait at', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  const of = (member: DataNode): number => {
    for (let i = 0; ; i++) {
      const number = scene.world.create(b, `${member.index}-${i}`)
      if (b.node.router.ofInode(number) === member.index) return number
    }
  }
  const [other, another] = [of(a), of(owner)]
  const write = (number: number): number =>
    scene.end(scene.start((ended) => scene.files.write(b, number, 0, Buffer.from('x'), false, ended))).result
  // A truncation that has to wait for a holder, and writes to the inode's member.
  scene.write(b, scene.at(a), 'in a')
  scene.keep({ method: PartCut })
  const truncate = scene.startTruncate(a, 1)
  scene.untilKept()
  const waiting = Array.from({ length: CROWD }, (_, at) => scene.startWrite(b, at, 'y'))
  scene.world.pass(200)
  t.ok(waiting.every(({ call }) => call === undefined))
  t.equal(write(another), 1)
  scene.release()
  t.equal(scene.end(truncate).result, 0)
  for (const one of waiting) t.equal(scene.end(one).result, 1)
  // The inode's member is away, and writes to a member that is not known to hold chunks.
  let offset = CHUNK_BYTES
  while (b.node.router.ofChunk(another, offset / CHUNK_BYTES, 0) !== a.index) offset += CHUNK_BYTES
  scene.world.crash(owner, 'process')
  scene.world.pass(100)
  const late = Array.from({ length: CROWD }, () =>
    scene.start((ended) => scene.files.write(b, another, offset, Buffer.from('z'), false, ended)),
  )
  scene.world.pass(200)
  t.ok(late.every(({ call }) => call === undefined))
  t.equal(write(other), 1)
  for (const one of late) t.equal(scene.end(one).result, -EIO)
  scene.world.restart(owner)
  ends(t, scene)
})

t.test('appends that wait for a third node keep no slot of the node that they wait at', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  const { router } = b.node
  const { network } = scene.world
  const numbers: number[] = []
  for (let i = 0; numbers.length <= CROWD; i++) {
    const number = scene.world.create(b, `n${i}`)
    if (router.ofInode(number) === owner.index) numbers.push(number)
  }
  const another = numbers.pop() as number
  // The first byte goes to a, and the second one to the inode's member.
  for (const number of numbers) {
    let chunk = 1
    while (router.ofChunk(number, chunk, 0) !== a.index || router.ofChunk(number, chunk + 1, 0) !== owner.index) chunk++
    const end = (chunk + 1) * CHUNK_BYTES - 1
    t.equal(scene.end(scene.start((ended) => scene.files.truncate(b, number, end, ended))).result, 0)
  }
  scene.keep({ method: WriteChunk, from: b }, { method: PartCut })
  const data = Buffer.from('xy')
  const appends = numbers.map((number) => scene.start((ended) => scene.files.write(b, number, 0, data, true, ended)))
  scene.untilKept(CROWD)
  const late = network.kept.splice(0)
  const truncates = numbers.map((number) => scene.start((ended) => scene.files.truncate(b, number, 1, ended)))
  scene.untilKept(CROWD)
  network.keeps = (method) => method === PartCut.number
  for (const go of late) go()
  scene.world.pass(200)
  t.ok(appends.every(({ call }) => call === undefined))
  const write = scene.start((ended) => scene.files.write(b, another, 0, data, false, ended))
  scene.world.pass(200)
  t.equal(write.call?.result, 2)
  scene.release()
  for (const truncate of truncates) t.equal(scene.end(truncate).result, 0)
  for (const append of appends) t.equal(scene.end(append).result, 2)
  ends(t, scene)
})

t.test('an append in its turn is not overtaken by those that wait to cut off what others have left', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  scene.write(a, scene.at(a), 'in a')
  scene.write(a, scene.at(b), 'in b')
  const end = scene.at(owner, 20)
  t.equal(scene.truncate(a, end), 0)
  // Everything is in doubt.
  scene.world.connect(a, owner)
  scene.keep({ method: PartCut })
  const sent = scene.sent(owner, () => {
    const first = scene.startWrite(b, end + 5 * CHUNK_BYTES, 'b')
    scene.untilKept(2)
    const append = scene.startAppend(owner, 'appended')
    const second = scene.startWrite(a, end + 9 * CHUNK_BYTES, 'a')
    scene.world.pass(100)
    scene.release()
    t.equal(scene.end(append).result, 8)
    t.equal(scene.end(first).result, 1)
    t.equal(scene.end(second).result, 1)
  })
  t.equal(sent['PartCut'], 2, 'they are cut off once')
  t.equal(scene.read(b, end, 8), 'appended')
  ends(t, scene)
})

t.test('a holder that cannot reach the inode’s member, which does not know that yet', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  scene.world.connect(b, owner, 1000)
  const sent = scene.sent(a, () => {
    const write = scene.startWrite(a, scene.at(b), 'data')
    scene.world.pass(900)
    t.equal(write.call, undefined)
    t.equal(scene.end(write).result, 4)
  })
  t.ok((sent['PartWrite'] ?? 0) < 150, 'it is asked again, but not without a pause', { sent })
  ends(t, scene)
})

t.test('a holder that is away: who waits to append, or to have room made, does so beside others', async (t) => {
  const scene = new Scene(1, 4)
  const { owner } = scene
  const [a, b, c] = scene.others as [DataNode, DataNode, DataNode]
  const { clock } = scene.world
  const limitMs = (sinceMs: number): boolean => clock.monotonicMs() - sinceMs < 6000
  const atB = scene.at(b)
  scene.write(a, scene.at(a), 'in a')
  scene.truncate(owner, atB)
  scene.keep({ method: WriteChunk, from: a })
  scene.startAppend(a, 'dead')
  scene.untilKept()
  scene.world.crash(a, 'process')
  scene.release()
  const since = clock.monotonicMs()
  const appends = Array.from({ length: 6 }, (_, index) => scene.startAppend(index % 2 === 0 ? owner : c, 'alive'))
  scene.world.pass(100)
  const allocate = scene.start((ended) => scene.files.allocate(c, scene.number, 1, scene.at(a), CHUNK_BYTES, ended))
  scene.world.pass(100)
  t.equal(scene.write(c, 0, 'head'), 4)
  t.equal(allocate.call, undefined, 'what has no need of it goes on beside them')
  for (const append of appends) t.equal(scene.end(append).result, -EIO, 'its dead writer holds chunks of the file')
  t.equal(scene.end(allocate).result, -EIO)
  t.ok(limitMs(since), 'none of them has waited for another one’s wait')
  scene.world.restart(a)
  t.equal(scene.append(c, 'alive'), 5)
  t.equal(scene.contents(b), `head${zeros(atB - 4)}alive`)
  ends(t, scene)
})

t.test('free waits until it is safe, and the holders are told until they have answered', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  scene.write(a, scene.at(a), 'in a')
  scene.write(a, scene.at(b), 'in b')
  scene.keep({ method: PartFree, to: b })
  t.equal(scene.world.unlink(a, 'f'), 0)
  scene.untilKept()
  scene.world.pass(100)
  t.equal(a.share.meta.find(scene.number), undefined)
  t.ok(b.share.meta.find(scene.number))
  t.strictSame(scene.world.check(false), [], 'it stands in the queue')
  scene.world.crash(owner, 'process')
  scene.release()
  scene.world.pass(50)
  scene.world.restart(owner)
  scene.world.settle()
  t.equal(b.share.meta.find(scene.number), undefined)
  ends(t, scene)
})

t.test('a file whose removal the power has taken back has its data still', async (t) => {
  let came = 0
  for (let seed = 1; seed <= 30; seed++) {
    const scene = new Scene(seed)
    const { a, b, owner } = cast(scene)
    const at = scene.at(b)
    scene.write(a, at, 'kept')
    t.equal(scene.fsync(a), 0)
    scene.startUnlink(owner)
    scene.world.until(() => owner.share.meta.find(scene.number) === undefined)
    for (let steps = seed % 8; steps > 0; steps--) scene.world.clock.step()
    scene.world.crash(owner, 'power')
    scene.world.pass(100)
    scene.world.restart(owner)
    const isBack = owner.share.meta.find(scene.number) !== undefined
    if (isBack) {
      came++
      t.equal(scene.read(a, at, 10), 'kept', `seed ${seed}`)
    }
    scene.world.settle()
    t.strictSame(scene.world.check(true), [], `seed ${seed}`)
  }
  t.ok(came > 3, `it came back ${came} times`)
})

t.test('appends: where the end lies with another member, one after the other', async (t) => {
  const scene = new Scene()
  const { a, b } = cast(scene)
  const at = scene.at(b)
  t.equal(scene.truncate(a, at), 0)
  t.strictSame(
    scene.sent(a, () => t.equal(scene.append(a, 'one '), 4)),
    { AppendBegin: 1, PartWrite: 1, WriteChunk: 1 },
  )
  scene.keep({ method: WriteChunk, from: a })
  const first = scene.startAppend(a, 'two ')
  scene.untilKept()
  const second = scene.startAppend(scene.owner, 'three')
  scene.world.pass(300)
  t.equal(scene.size(b), at + 4, 'the size moves when the data is there')
  t.equal(second.call, undefined)
  scene.release()
  t.equal(scene.end(first).result, 4)
  t.equal(scene.end(second).result, 5)
  t.equal(scene.contents(b), `${zeros(at)}one two three`)
  ends(t, scene)
})

t.test('appends: who dies in its turn gives its place back', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  const at = scene.at(b)
  scene.truncate(a, at)
  scene.keep({ method: WriteChunk, from: a })
  scene.startAppend(a, 'dead and longer')
  scene.untilKept()
  const next = scene.startAppend(owner, 'alive')
  scene.world.pass(100)
  t.equal(next.call, undefined)
  scene.world.crash(a, 'process')
  t.equal(scene.end(next).result, 5)
  scene.release()
  t.equal(scene.truncate(b, at + 100), 0)
  t.equal(scene.read(b, at, 100), `alive${zeros(95)}`)
  scene.world.restart(a)
  ends(t, scene)
})

t.test('appends: who gives up in its turn gives its place back', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  // The first part of what is appended lies with b, the second one with somebody who has no room.
  let at = scene.at(b)
  const holderOf = (offset: number): number => owner.node.router.ofChunk(scene.number, offset / CHUNK_BYTES, 0)
  for (let nth = 1; holderOf(at + CHUNK_BYTES) !== a.index; nth++) at = scene.at(b, nth)
  const end = at + CHUNK_BYTES - 4
  scene.truncate(owner, end)
  a.kv.faults.isFull = true
  t.equal(scene.append(owner, 'no room'), -ENOSPC)
  a.kv.faults.isFull = false
  t.equal(scene.size(b), end)
  t.equal(scene.append(b, 'o'), 1)
  t.equal(scene.truncate(b, end + 10), 0)
  t.equal(scene.read(owner, end, 10), `o${zeros(9)}`)
  ends(t, scene)
})

t.test('appends: data of a turn that was taken back comes too late', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  const at = scene.at(b)
  scene.truncate(a, at)
  t.equal(scene.append(a, 'head '), 5)
  scene.keep({ method: PartWrite, from: a })
  const late = scene.startAppend(a, 'late')
  scene.untilKept()
  scene.world.connect(a, owner)
  t.equal(scene.append(owner, 'soon '), 5)
  scene.release()
  t.equal(scene.end(late).result, 4)
  t.equal(scene.contents(b), `${zeros(at)}head soon late`)
  ends(t, scene)
})

t.test('appends: a truncation in the midst of a turn', async (t) => {
  const scene = new Scene()
  const { a, b } = cast(scene)
  const at = scene.at(b)
  scene.truncate(a, at)
  t.equal(scene.append(a, 'head '), 5)
  scene.keep({ method: WriteChunk, from: a })
  const append = scene.startAppend(a, 'tail')
  scene.untilKept()
  t.equal(scene.truncate(b, at + 2), 0)
  scene.release()
  t.equal(scene.end(append).result, 4)
  t.equal(scene.contents(b), `${zeros(at)}hetail`)
  ends(t, scene)
})

t.test('appends: who lost its session while it waited asks again', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  const at = scene.at(b)
  scene.truncate(a, at)
  scene.keep({ method: AppendBegin, isReply: true })
  const append = scene.startAppend(a, 'tail')
  scene.untilKept()
  scene.world.connect(a, owner)
  scene.release()
  t.equal(scene.end(append).result, 4)
  t.equal(scene.append(b, '!'), 1)
  t.equal(scene.contents(owner), `${zeros(at)}tail!`)
  ends(t, scene)
})

t.test('appends: the end of a session that only one side has noticed fails nobody who waits for a turn', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  const at = scene.at(b)
  scene.truncate(a, at)
  scene.keep({ method: WriteChunk, from: a })
  const first = scene.startAppend(a, 'one ')
  scene.untilKept()
  const second = scene.startAppend(b, 'two')
  scene.world.pass(300)
  t.equal(second.call, undefined)
  // The link is there again before the other one has noticed that it was not.
  owner.node.peerDown(b.index)
  scene.world.pass(300)
  t.equal(second.call, undefined, 'it is asked again')
  scene.world.connect(b, owner)
  scene.release()
  t.equal(scene.end(first).result, 4)
  t.equal(scene.end(second).result, 3)
  t.match(scene.contents(owner).slice(at), /^(one two|twoone )$/, 'in either order')
  ends(t, scene)
})

t.test('what is acknowledged survives the death of every node, and what is synced a power cut of all', async (t) => {
  for (const kind of ['process', 'power'] as const) {
    for (let seed = 1; seed <= 8; seed++) {
      const scene = new Scene(seed)
      const { a, b, owner } = cast(scene)
      const text = 'x'.repeat(7 * CHUNK_BYTES)
      t.equal(scene.write(a, 100, text), text.length)
      if (kind === 'power') t.equal(scene.fsync(a), 0)
      for (const node of [owner, a, b]) scene.world.crash(node, kind)
      scene.world.pass(100)
      for (const node of [owner, a, b]) scene.world.restart(node)
      scene.world.find(b, 'f')
      t.equal(scene.contents(b), `${zeros(100)}${text}`, `${kind}, seed ${seed}`)
      scene.world.settle()
      t.strictSame(scene.world.check(kind === 'power'), [])
    }
  }
})

t.test('what stat says of a file’s blocks', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  const blocks = (node: DataNode): number => blocksOf(scene, node)
  scene.write(a, 0, 'x'.repeat(8 * CHUNK_BYTES))
  t.equal(blocks(owner), (8 * CHUNK_BYTES) / 512)
  t.equal(blocks(b), (8 * CHUNK_BYTES) / 512)
  const punch = (ended: Parameters<Scene['start']>[0] extends (ended: infer E) => void ? E : never): void =>
    scene.files.allocate(a, scene.number, 3, CHUNK_BYTES, 6 * CHUNK_BYTES, ended)
  t.equal(scene.end(scene.start(punch)).result, 0)
  t.equal(blocks(b), (2 * CHUNK_BYTES) / 512)
  t.equal(scene.truncate(b, 1), 0)
  scene.world.settle()
  t.equal(blocks(a), 8)
  t.equal(scene.truncate(b, 0), 0)
  t.equal(blocks(a), 0)
  ends(t, scene)
})

t.test('data and holes, wherever they lie', async (t) => {
  const scene = new Scene()
  const { a, b, owner } = cast(scene)
  const seek = (node: DataNode, offset: number, whence: number): number =>
    scene.end(scene.start((ended) => scene.files.seek(node, scene.number, offset, whence, ended))).result
  const [first, second] = [scene.at(a), scene.at(b)].sort((x, y) => x - y) as [number, number]
  const page = 'x'.repeat(4096)
  scene.write(owner, first, page)
  scene.write(owner, second + 4096, page)
  for (const node of scene.world.nodes) {
    t.equal(seek(node, 0, SEEK_DATA), first)
    t.equal(seek(node, first, SEEK_HOLE), first + 4096)
    t.equal(seek(node, first + 4096, SEEK_DATA), second + 4096)
    t.equal(seek(node, second, SEEK_HOLE), second)
    t.equal(seek(node, second + 4096, SEEK_HOLE), second + 8192)
    t.equal(seek(node, 0, SEEK_HOLE), 0)
    t.ok(seek(node, second + 8192, SEEK_DATA) < 0)
  }
  scene.write(owner, 0, 'x'.repeat(8 * CHUNK_BYTES))
  t.equal(seek(a, 5, SEEK_HOLE), 8 * CHUNK_BYTES)
  t.equal(seek(a, 5, SEEK_DATA), 5)
  ends(t, scene)
})
