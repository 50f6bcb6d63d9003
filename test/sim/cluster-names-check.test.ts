/** The check of a whole cluster's stores finds what is wrong between them, and takes nothing else for wrong. */
import t from 'tap'
import type { InodeNumber } from '../../lib/base/ids.js'
import { S_IFDIR, S_IFREG } from '../../lib/base/mode.js'
import { Batch } from '../../lib/meta/batch.js'
import { checkMember } from '../../lib/meta/check.js'
import { Dentries, Dentry } from '../../lib/meta/dentries.js'
import { Graves } from '../../lib/meta/graves.js'
import { HeldNameRecords } from '../../lib/meta/held-names.js'
import { Inode } from '../../lib/meta/inode.js'
import { OUT_UNLINK, Outbox } from '../../lib/meta/outbox.js'
import { getInode, KEY_INODE, putIdKey, putInode } from '../../lib/wire/records.js'
import type { SimKv } from './kv.js'
import { NamesClient, named } from './names-client.js'
import { NamesWorld, ROOT } from './names-world.js'
import { Prng } from './prng.js'

const FILE = S_IFREG | 0o644
const DIRECTORY = S_IFDIR | 0o755

/** A tree over three members: a directory on 0, a file in it on 1 that was renamed to 2, and one with two names. */
function stage() {
  const world = new NamesWorld(new Prng(1), { members: 3 })
  const [a] = world.nodes.map((node) => new NamesClient(world, node)) as [NamesClient]
  const directory = a.mknod(ROOT, a.nameOn(ROOT, 'd', 0), DIRECTORY)
  const moved = a.mknod(directory, a.nameOn(directory, 'f', 1), FILE)
  a.rename(directory, a.nameOn(directory, 'f', 1), directory, a.nameOn(directory, 'm', 2))
  const twice = a.mknod(directory, a.nameOn(directory, 'g', 2), FILE)
  a.link(twice, directory, a.nameOn(directory, 'h', 0))
  const below = a.mknod(directory, a.nameOn(directory, 'b', 1), DIRECTORY)
  world.settle()
  const kvs = world.nodes.map(({ kv }) => kv) as [SimKv, SimKv, SimKv]
  return { world, a, kvs, directory, moved, twice, below }
}

type Stage = ReturnType<typeof stage>

function change(kv: SimKv, number: number, how: (inode: Inode) => void): void {
  const batch = new Batch(kv)
  const inode = new Inode(number as InodeNumber)
  const bytes = batch.get(putIdKey(batch.key, KEY_INODE, number))
  if (getInode(batch.words, bytes, inode) !== null) throw new Error(`no inode ${number}`)
  how(inode)
  putInode(batch.words, inode)
  batch.put(putIdKey(batch.key, KEY_INODE, number), bytes)
  batch.commit()
}

function removeName({ world }: Stage, kv: SimKv, parent: number, name: string): void {
  const batch = new Batch(kv)
  const dentries = new Dentries(batch, world.positions)
  const dentry = new Dentry()
  if (!dentries.find({ number: parent, generation: 0 }, named(name), dentry)) throw new Error(`no name ${name}`)
  dentries.remove(dentry)
  batch.commit()
}

function putName({ world }: Stage, kv: SimKv, parent: number, name: string, child: number, kind: number): void {
  const batch = new Batch(kv)
  const dentries = new Dentries(batch, world.positions)
  const dentry = new Dentry()
  dentries.find({ number: parent, generation: 0 }, named(name), dentry)
  dentries.putChild(dentry, named(name), child, 0, kind)
  batch.commit()
}

const OWNER = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 1])

const FAULTS: readonly (readonly [what: string, plant: (stage: Stage) => void, expected: RegExp])[] = [
  [
    'a name whose inode is gone elsewhere',
    ({ kvs, moved }) => {
      const batch = new Batch(kvs[1])
      batch.delete(putIdKey(batch.key, KEY_INODE, moved))
      batch.commit()
    },
    /^2: .* names inode \d+, which is not there/,
  ],
  [
    'an inode whose name is gone elsewhere',
    (s) => removeName(s, s.kvs[2], s.directory, s.a.nameOn(s.directory, 'm', 2)),
    /^1: inode \d+: it has no name and is no orphan/,
  ],
  [
    'a name too few',
    (s) => removeName(s, s.kvs[0], s.directory, s.a.nameOn(s.directory, 'h', 0)),
    /^2: inode \d+: it has 2 links and 1 names/,
  ],
  [
    'a wrong count of subdirectories',
    ({ kvs, directory }) => change(kvs[0], directory, (inode) => inode.nlink++),
    /^0: inode \d+: it has 4 links, and ought to have 3/,
  ],
  [
    'a wrong parent',
    ({ kvs, below }) => change(kvs[1], below, (inode) => (inode.parent = 1)),
    /its parent is 1, but it is in/,
  ],
  [
    'a wrong generation',
    ({ kvs, moved }) => change(kvs[1], moved, (inode) => (inode.generation = 5)),
    /another generation than inode/,
  ],
  [
    'a wrong kind',
    (s) => putName(s, s.kvs[2], s.directory, s.a.nameOn(s.directory, 'm', 2), s.moved, S_IFDIR),
    /another kind than inode/,
  ],
  [
    'a name with the wrong member',
    (s) => putName(s, s.kvs[1], s.directory, s.a.nameOn(s.directory, 'x', 0), s.twice, S_IFREG),
    /^1: dentry .*: it belongs to another member/,
  ],
  [
    'an inode with two members',
    ({ kvs, moved }) => {
      const batch = new Batch(kvs[1])
      const bytes = batch.get(putIdKey(batch.key, KEY_INODE, moved))
      const copy = new Batch(kvs[2])
      copy.value.set(batch.value.subarray(0, bytes))
      copy.put(putIdKey(copy.key, KEY_INODE, moved), bytes)
      copy.commit()
    },
    /another store has it, too/,
  ],
  [
    'a name in a directory that is gone',
    (s) =>
      putName(s, s.kvs[s.world.owner(s.world.positions.ofDentry(99, named('x')))] as SimKv, 99, 'x', s.moved, S_IFREG),
    /there is no such directory/,
  ],
  [
    'a directory frozen by nobody',
    ({ kvs, directory }) => {
      const batch = new Batch(kvs[2])
      new Graves(batch).set(directory, 0, 1, OWNER, 12345)
      batch.commit()
    },
    /^2: directory \d+ \(0\) is frozen for an intent that is not there/,
  ],
  [
    'a name held by nobody',
    ({ kvs }) => {
      const batch = new Batch(kvs[2])
      const held = { parent: 1, parentGeneration: 0, name: named('x'), seconds: 0, nanoseconds: 0 }
      new HeldNameRecords(batch).put(OWNER, 12345, held)
      batch.commit()
    },
    /^2: a name in directory 1 is held for an intent that is not there/,
  ],
]

t.test('nothing is wrong with stores that fit together', async (t) => {
  const { world } = stage()
  t.strictSame(world.audit(), [])
})

t.test('each class of fault', async (t) => {
  for (const [what, plant, expected] of FAULTS) {
    const s = stage()
    plant(s)
    const found = s.world.audit()
    t.ok(
      found.some((fault) => expected.test(fault)),
      what,
      { found },
    )
  }
})

t.test('what is not finished is no fault', async (t) => {
  const s = stage()
  removeName(s, s.kvs[2], s.directory, s.a.nameOn(s.directory, 'm', 2))
  const batch = new Batch(s.kvs[2])
  const change = { kind: OUT_UNLINK, number: s.moved, generation: 0, links: -1, seconds: 0, nanoseconds: 0 }
  new Outbox(batch).put(77, change)
  batch.commit()
  t.strictSame(s.world.audit(), ['2: 1 records of unfinished changes'])
})

t.test('one store of several is not wrong because of what lies elsewhere', async (t) => {
  const { world } = stage()
  for (const { kv, disk } of world.nodes) {
    const found: string[] = []
    const files = new Set(disk.list(0, Number.MAX_SAFE_INTEGER))
    checkMember({ kv, hash: world.hash, files, afterPowerCut: false, report: (fault) => found.push(fault) })
    t.strictSame(found, [])
  }
})
