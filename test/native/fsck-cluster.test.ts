/** fsck of all stores of a cluster: chunks that lie with other members than their inodes. */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { InodeNumber } from '../../lib/base/ids.js'
import { Inode } from '../../lib/meta/inode.js'
import { FILES_PER_DIRECTORY } from '../../lib/native/disk.js'
import { loadHash32 } from '../../lib/native/hash.js'
import { LmdbKv } from '../../lib/native/kv.js'
import { getInode, KEY_INODE, putIdKey, putInode } from '../../lib/wire/records.js'
import { encodeSuperblock, SUPERBLOCK_BLOCK_BYTES } from '../../lib/wire/superblock.js'
import { openStore } from '../../mount/store.js'
import { KvText } from '../conformance/kv.js'
import { quiet } from '../quiet.js'
import { Files } from '../sim/cluster-data-files.js'
import { type DataNode, DataWorld } from '../sim/cluster-data-world.js'
import { Prng } from '../sim/prng.js'
import { CHILD_ENVIRONMENT } from './environment.js'
import { clock } from './kv-bench.js'

const CHUNK_BITS = 16
const CLUSTER = '00112233445566778899aabbccddeeff'

const hash = await loadHash32()
const directory = mkdtempSync('/dev/shm/chfs-test-fsck-cluster-')
t.teardown(() => rmSync(directory, { recursive: true }))

/** A store of this machine with what a simulated one has. */
async function materialize(world: DataWorld, node: DataNode): Promise<string> {
  const path = join(directory, `store-${node.index}`)
  await (await openStore(path, 2 ** CHUNK_BITS, quiet)).close()
  const kv = LmdbKv.open(path, clock, quiet)
  const text = new KvText(kv)
  for (let found = text.seek('\x01'); typeof found !== 'number'; found = text.seek('\x01')) text.delete(found[0])
  for (const [key, value] of node.kv.records()) {
    text.put(Buffer.from(key).toString('latin1'), Buffer.from(value).toString('latin1'))
  }
  kv.commit()
  await text.close()
  for (const id of node.disk.list(0, Number.MAX_SAFE_INTEGER)) {
    const name = (id % FILES_PER_DIRECTORY).toString(16).padStart(3, '0')
    const file = join(path, 'data', Math.floor(id / FILES_PER_DIRECTORY).toString(16), name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, '')
  }
  const members = world.nodes.map(({ hexId }) => ({ id: hexId, name: '', address: '' }))
  const flags = { compatible: 0, readOnlyCompatible: 0, incompatible: 0, isWhole: true }
  const identity = { clusterId: CLUSTER, memberId: node.hexId, incarnation: 5, ringEpoch: 1, virtualNodes: 150 }
  const record = encodeSuperblock({ ...flags, ...identity, chunkBytes: 2 ** CHUNK_BITS, layout: 0, members }, hash)
  const bytes = new Uint8Array(2 * SUPERBLOCK_BLOCK_BYTES)
  bytes.set(record)
  bytes.set(record, SUPERBLOCK_BLOCK_BYTES)
  writeFileSync(join(path, 'superblock'), bytes)
  return path
}

const world = new DataWorld(2, new Prng(1), { hash, chunkBits: CHUNK_BITS })
const files = new Files(world)
const [first, second] = world.nodes as [DataNode, DataNode]
/** The file, and the member that has its inode. */
const number = world.create(first, 'spread')
const owner = first.node.router.ofInode(number)
for (let chunk = 0; chunk < 8; chunk++) {
  const data = new Uint8Array(100).fill(chunk)
  files.now((ended) => files.write(first, number, chunk * 2 ** CHUNK_BITS, data, false, ended))
}
world.create(second, 'freed')
world.settle()
const stores = [await materialize(world, first), await materialize(world, second)] as const

interface Outcome {
  code: number
  stdout: string
  stderr: string
}

const script = fileURLToPath(new URL('../../../scripts/fsck', import.meta.url))

function fsck(...words: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(script, words, { timeout: 120_000, env: CHILD_ENVIRONMENT }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

/** Copies of both stores; `plant` changes the metadata of the owner's and of the holder's. */
async function planted(t: Test, plant: (kv: Record<'owner' | 'holder', LmdbKv>) => void): Promise<string[]> {
  const path = mkdtempSync(join(directory, 'copy-'))
  t.teardown(() => rmSync(path, { recursive: true }))
  const copies = ['0', '1'].map((name) => join(path, name))
  for (const [index, copy] of copies.entries()) cpSync(stores[index] as string, copy, { recursive: true })
  const opened = copies.map((copy) => LmdbKv.open(copy, clock, quiet))
  plant({ owner: opened[owner] as LmdbKv, holder: opened[1 - owner] as LmdbKv })
  for (const kv of opened) {
    t.equal(kv.commit(), 0)
    await new KvText(kv).close()
  }
  return copies
}

function changeInode(kv: LmdbKv, change: (inode: Inode) => void): void {
  const words = new Uint32Array(kv.value.buffer as ArrayBuffer, kv.value.byteOffset, 64)
  const inode = new Inode(number as InodeNumber)
  const keyBytes = putIdKey(kv.key, KEY_INODE, number)
  getInode(words, kv.get(keyBytes), inode)
  change(inode)
  kv.put(putIdKey(kv.key, KEY_INODE, number), putInode(words, inode))
}

const key = (type: string): string => {
  const bytes = Buffer.alloc(9)
  bytes.write(type, 0, 'latin1')
  bytes.writeBigUInt64BE(BigInt(number), 1)
  return bytes.toString('latin1')
}

t.test('all stores of a cluster, or some', async (t) => {
  const both = await fsck(...stores)
  t.match(both, { code: 0, stderr: '' })
  t.match(both.stdout, /^\S*store-[01]: clean: .* inodes .*, chunks of 1 others$/m)
  t.notMatch(both.stdout, /are not here/)
  const one = await fsck(stores[0])
  t.match(one, { code: 0, stdout: /store-0: clean/ })
  t.match(one.stdout, /the stores of 1 other members are not here/)
  const twice = await fsck(stores[0], stores[0])
  t.match(twice, { code: 0, stdout: /the stores of 1 other members are not here/ })
})

t.test('each class of fault between stores', async (t) => {
  const member = Buffer.from(world.node(1 - owner).id).toString('latin1')
  const holder = key('H') + member
  const departed = `U${member}${key('I').slice(1)}\0\0\0\0`
  const cases: [string, (kv: Record<'owner' | 'holder', LmdbKv>) => void, RegExp | null][] = [
    ['nothing', () => undefined, null],
    ['a holder that was never used', ({ owner: kv }) => new KvText(kv).put(`${key('H')}whatever`, ''), null],
    [
      'an inode that does not know its holder',
      ({ owner: kv }) => new KvText(kv).delete(holder),
      /it does not know that/,
    ],
    [
      'chunks of another generation',
      ({ holder: kv }) => changeInode(kv, (inode) => void inode.generation++),
      /chunks of generation 1 are here, and it has 0/,
    ],
    [
      'chunks of another truncation epoch',
      ({ holder: kv }) => changeInode(kv, (inode) => void inode.truncationEpoch++),
      /the truncation epoch of the chunks here is 1, and that of the inode is 0/,
    ],
    [
      'a freed inode of which chunks are left',
      ({ owner: kv }) => {
        const text = new KvText(kv)
        const queued = Buffer.from('F\0\0\0\0\0\0\0\0', 'latin1')
        changeInode(kv, ({ backing }) => void queued.writeBigUInt64BE(BigInt(backing), 1))
        text.put(queued.toString('latin1'), '')
        text.delete(key('I'))
        text.delete(holder)
      },
      /chunks are here, and there is no such inode anywhere/,
    ],
    [
      'an inode that is there and is to be freed',
      ({ owner: kv }) => new KvText(kv).put(departed, ''),
      /it is there, and member [0-9a-f]{16} is to free its chunks/,
    ],
    [
      'a holder of nothing',
      ({ owner: kv }) => new KvText(kv).put(`H\0\0\0\0\0\0\0\x07${member}`, ''),
      /there is no inode 7/,
    ],
  ]
  for (const [name, plant, expected] of cases) {
    const { code, stdout } = await fsck(...(await planted(t, plant)))
    if (expected === null) t.equal(code, 0, `${name}: ${stdout}`)
    else t.match({ code, stdout }, { code: 4, stdout: expected }, name)
  }
})
