/** fsck finds each class of fault that is planted, none where there is none, and changes nothing. */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { InodeNumber } from '../../lib/base/ids.js'
import { checkStore } from '../../lib/meta/check.js'
import { Inode } from '../../lib/meta/inode.js'
import { loadHash32 } from '../../lib/native/hash.js'
import { LmdbKv } from '../../lib/native/kv.js'
import { StoreDirectory } from '../../lib/native/store.js'
import { listBackingFiles } from '../../lib/native/store-copy.js'
import { Positions } from '../../lib/ring/position.js'
import { getInode, KEY_INODE, putDentryKey, putIdKey, putInode, putWords } from '../../lib/wire/records.js'
import { openStore } from '../../mount/store.js'
import { KvText } from '../conformance/kv.js'
import { quiet } from '../quiet.js'
import { CHILD_ENVIRONMENT } from './environment.js'
import { clock, copyStore } from './kv-bench.js'
import { named, populate } from './populate.js'

const hash = await loadHash32()
const positions = new Positions(hash)
const directory = mkdtempSync('/dev/shm/chfs-test-fsck-')
t.teardown(() => rmSync(directory, { recursive: true }))

/** A store as a kill has left it, with an orphan and a file to be removed; and the same one, closed. */
const killed = join(directory, 'killed')
const clean = join(directory, 'clean')
const store = await openStore(clean, 4 << 20, quiet)
const numbers = await populate(store)
copyStore(clean, killed)
for (const name of ['superblock', 'data', 'lock']) cpSync(join(clean, name), join(killed, name), { recursive: true })
await store.close()

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

function fingerprint(path: string): string {
  const names = readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()
  return names
    .map((name) => {
      const { mode, size, blocks, mtimeMs, ctimeMs } = statSync(join(path, name))
      const text = (mode & 0o170000) === 0o100000 ? hash(readFileSync(join(path, name)), 0) : ''
      return `${name} ${mode} ${size} ${blocks} ${mtimeMs} ${ctimeMs} ${text}`
    })
    .join('\n')
}

function copy(t: Test, from = clean): string {
  const path = mkdtempSync(join(directory, 'copy-'))
  t.teardown(() => rmSync(path, { recursive: true }))
  cpSync(from, path, { recursive: true })
  return path
}

/** The metadata of a store, to plant faults in. */
class Planter {
  readonly kv: LmdbKv
  readonly text: KvText
  readonly words: Uint32Array

  constructor(path: string) {
    this.kv = LmdbKv.open(path, clock, quiet)
    this.text = new KvText(this.kv)
    this.words = new Uint32Array(this.kv.value.buffer as ArrayBuffer, this.kv.value.byteOffset, 32768)
  }

  changeInode(number: number, change: (inode: Inode) => void): void {
    const inode = this.inode(number)
    change(inode)
    this.kv.put(putIdKey(this.kv.key, KEY_INODE, number), putInode(this.words, inode))
  }

  inode(number: number): Inode {
    const inode = new Inode(number as InodeNumber)
    const bytes = this.kv.get(putIdKey(this.kv.key, KEY_INODE, number))
    if (getInode(this.words, bytes, inode) !== null) throw new Error(`no inode ${number}`)
    return inode
  }

  copyInode(from: number, to: number, change: (inode: Inode) => void = () => undefined): void {
    const inode = this.inode(from)
    change(inode)
    this.kv.put(putIdKey(this.kv.key, KEY_INODE, to), putInode(this.words, inode))
  }

  dentryKey(parent: number, name: string, serial = 4): number {
    const position = positions.ofDentry(parent, named(name))
    return putDentryKey(this.kv.key, parent, 0, position, serial)
  }

  /** Reads the record whose key stands in `key`, and writes it back changed. */
  change(keyBytes: number, change: (value: Uint8Array) => number | undefined): void {
    const bytes = this.kv.get(keyBytes)
    if (bytes < 0) throw new Error(`no record: ${bytes}`)
    this.kv.put(keyBytes, change(this.kv.value) ?? bytes)
  }

  putDentry(parent: number, name: string, child: number, serial = 4, position?: number): void {
    const keyBytes = this.dentryKey(parent, name, serial)
    if (position !== undefined) putDentryKey(this.kv.key, parent, 0, position, serial)
    const bytes = named(name).bytes
    this.words[0] = 0x44 | (1 << 8) | (8 << 16) | (bytes.length << 24)
    this.words[1] = 0
    putWords(this.words, 2, child)
    this.kv.value.set(bytes, 16)
    this.kv.put(keyBytes, 16 + bytes.length)
  }
}

function faultsOf(path: string): string[] {
  const kv = LmdbKv.open(path, clock, quiet)
  const faults: string[] = []
  const { ids } = listBackingFiles(path)
  const report = (fault: string): void => void faults.push(fault)
  const totals = checkStore({ kv, hash, files: ids, afterPowerCut: false, report })
  if (totals.faults !== faults.length) faults.push(`but ${totals.faults} were counted`)
  kv.close(() => undefined)
  return faults
}

const id = (type: string, number: number): string => {
  const key = Buffer.alloc(9)
  key.write(type, 0, 'latin1')
  key.writeBigUInt64BE(BigInt(number), 1)
  return key.toString('latin1')
}

const { below, inline, backed, link } = numbers
const backing = await (async () => {
  const planter = new Planter(clean)
  const { backing } = planter.inode(backed)
  await planter.text.close()
  return backing
})()

/** What is planted, and what has to be said about it: nothing more than these, and each at least once. */
const FAULTS: [string, (planter: Planter, path: string) => void, RegExp[]][] = [
  ['an inode without a name', (p) => p.copyInode(inline, 7), [/^inode 7: it has no name and is no orphan$/]],
  ['a name too many', (p) => p.changeInode(inline, (inode) => inode.nlink++), [/has 3 links and 2 names$/]],
  [
    'a directory with too few links',
    (p) => p.changeInode(below, (i) => i.nlink--),
    [/has 1 links, and ought to have 2/],
  ],
  ['a wrong parent', (p) => p.changeInode(below, (inode) => (inode.parent = 1)), [/its parent is 1, but it is in/]],
  [
    'a wrong generation of the parent',
    (p) => p.changeInode(below, (i) => i.parentGeneration++),
    [/parent's generation/],
  ],
  [
    'a wrong generation',
    (p) => p.changeInode(inline, (i) => (i.generation = 9)),
    [/another generation/, /never given out/],
  ],
  ['a wrong kind', (p) => p.changeInode(link, (i) => (i.mode = 0o100644)), [/"link" has another kind than inode/]],
  ['no kind', (p) => p.changeInode(inline, (i) => (i.mode = 0o644)), [/no kind/, /another kind/, /no regular file/]],
  [
    'an inode that is not there',
    (p) => p.text.delete(id('I', inline)),
    [/names inode \d+, which is not there/, /no inode/],
  ],
  ['no root', (p) => p.text.delete(id('I', 1)), [/root directory is missing/, /no such directory/, /way up/]],
  [
    'a dentry at another position',
    (p) => p.putDentry(1, 'x', inline, 4, 5),
    [/does not belong at its position/, /names/],
  ],
  [
    'a dentry with a reserved serial',
    (p) => p.putDentry(1, 'x', inline, 1),
    [/serial is reserved/, /2 links and 3 names/],
  ],
  ['a name that is there twice', (p) => p.putDentry(1, 'empty', inline, 5), [/"empty" is there twice/, /3 names/]],
  ['a name with a slash', (p) => p.putDentry(1, 'a/b', inline), [/"a\/b" is no name/, /3 names/]],
  ['the name ..', (p) => p.putDentry(1, '..', inline), [/"\.\." is no name/, /3 names/]],
  ['a dentry in a file', (p) => p.putDentry(inline, 'x', inline), [/that is no directory/, /3 names/]],
  ['a dentry in nothing', (p) => p.putDentry(99, 'x', inline), [/there is no such directory/, /3 names/]],
  [
    'a dentry of a wrong length',
    (p) => p.change(p.dentryKey(1, 'empty'), () => 18),
    [/its length is wrong/, /no name and is no orphan/],
  ],
  [
    'a dentry of another version',
    (p) =>
      p.change(p.dentryKey(1, 'empty'), (value) => {
        value[1] = 2
        return undefined
      }),
    [/another type or version/, /no name and is no orphan/],
  ],
  [
    'a second name of a directory',
    (p) => {
      p.change(p.dentryKey(numbers.directory, 'below'), () => undefined)
      const value = p.kv.value.slice(0, 21)
      p.kv.value.set(value)
      p.kv.value.set(named('again').bytes, 16)
      p.kv.put(p.dentryKey(1, 'again'), 21)
    },
    [/directory with 2 names/, /its parent is/, /ought to have 4/],
  ],
  [
    'directories in a circle',
    (p) => {
      p.text.delete(Buffer.from(p.kv.key.subarray(0, p.dentryKey(1, 'directory'))).toString('latin1'))
      p.changeInode(1, (inode) => inode.nlink--)
      p.changeInode(numbers.directory, (inode) => {
        inode.parent = below
        inode.nlink++
      })
      p.changeInode(below, (inode) => inode.nlink++)
      p.change(p.dentryKey(numbers.directory, 'below'), () => undefined)
      p.words[0] = ((p.words[0] as number) & 0xffffff) | (9 << 24)
      putWords(p.words, 2, numbers.directory)
      p.kv.value.set(named('directory').bytes, 16)
      p.kv.put(p.dentryKey(below, 'directory'), 25)
    },
    [/the way up from it does not end at the root/, /ought to have/],
  ],
  ['an orphan with a name', (p) => p.text.put(id('O', inline), ''), [/orphan with 2 links/, /orphan with a name/]],
  ['an orphan that is not there', (p) => p.text.put(id('O', 5), ''), [/there is no inode 5/]],
  [
    'an orphan with a value',
    (p) => [p.copyInode(inline, 7, (i) => (i.nlink = 0)), p.text.put(id('O', 7), 'x')],
    [/empty/],
  ],
  [
    'a backing file that is used and to be removed',
    (p) => p.text.put(id('F', backing), ''),
    [/free queue have it both/],
  ],
  [
    'a backing file of two inodes',
    (p) => [p.changeInode(inline, (i) => (i.backing = backing)), p.text.delete(id('N', inline))],
    [/have it both/],
  ],
  ['a backing file never given out', (p) => p.text.put(id('F', 2 ** 40), ''), [/never gave it out/]],
  [
    'a backing file of a directory',
    (p) => p.changeInode(below, (i) => (i.backing = 3)),
    [/no regular file/, /not there/],
  ],
  [
    'a backing file that is gone',
    (_, path) => rmSync(join(path, 'data', '0'), { recursive: true }),
    [/it is not there/],
  ],
  [
    'a backing file too many',
    (_, path) => {
      mkdirSync(join(path, 'data', 'abc'))
      writeFileSync(join(path, 'data', 'abc', '123'), '')
    },
    [/^backing file 11256099: it belongs to no inode and is in no queue$/],
  ],
  [
    'inline data beside a backing file',
    (p) => p.text.put(id('N', backed), 'N\x01\0\0x'),
    [/inline data and a backing file/],
  ],
  [
    'inline data of a directory',
    (p) => p.text.put(id('N', below), 'N\x01\0\0x'),
    [/inline data and is no regular file/],
  ],
  [
    'inline data beyond the size',
    (p) => p.changeInode(inline, (i) => (i.size = 5)),
    [/1000 bytes of inline data at a size/],
  ],
  ['a link without its target', (p) => p.text.delete(id('N', link)), [/it is a link of 16 bytes with a target of -1/]],
  [
    'a link of another length',
    (p) => p.changeInode(link, (i) => i.size++),
    [/it is a link of 17 bytes with a target of 16/],
  ],
  ['attributes without the flag', (p) => p.changeInode(inline, (i) => (i.flags = 0)), [/has attributes and no flag/]],
  ['an attribute of nothing', (p) => p.text.put(`${id('X', 5)}user.a`, 'X\x01\0\0'), [/there is no inode 5/]],
  ['an attribute without a name', (p) => p.text.put(id('X', inline), 'X\x01\0\0'), [/a key that no record has/]],
  ['a size beyond 2^53', (p) => p.changeInode(backed, (i) => (i.size = 2 ** 53)), [/size .* too large/]],
  [
    'a time with too many nanoseconds',
    (p) => p.changeInode(backed, (i) => (i.mtimeNs = 1e9)),
    [/mtime has 1000000000/],
  ],
  ['chunks that cannot be', (p) => p.changeInode(backed, (i) => (i.chunkBits = 5)), [/chunks of 2\^5 bytes/]],
  ['an unknown layout', (p) => p.changeInode(backed, (i) => (i.layout = 2)), [/layout 2/]],
  ['a key of no record', (p) => p.text.put('Q', 'x'), [/^record Q: a key that no record has$/]],
  ['an inode with a long key', (p) => p.text.put(`${id('I', 5)}x`, 'x'), [/no inode's key/]],
  ['an inode record cut short', (p) => p.text.put(id('I', inline), 'I\x01\x88\0'), [/an inode record of 4 bytes/]],
  ['no counter', (p) => p.text.delete('C'), [/never given out/, /never gave it out/]],
  [
    'a counter too low',
    (p) => p.text.put('C', 'C\x01\0\0\0\0\0\0\x02\0\0\0\0\0\0\0'),
    [/never given out/, /never gave it out/],
  ],
  ['a counter cut short', (p) => p.text.put('C', 'C\x01\0\0\0\0\0\0'), [/counter has 8 bytes/, /never g/]],
]

t.test('a clean store, closed or killed', async (t) => {
  t.strictSame(faultsOf(copy(t)), [])
  const path = copy(t, killed)
  t.strictSame(faultsOf(path), [])
  const planter = new Planter(path)
  t.equal(planter.text.get(id('O', numbers.orphan)), '', 'one with an orphan')
  await planter.text.close()
})

t.test('each class of fault', async (t) => {
  for (const [name, plant, expected] of FAULTS) {
    const path = copy(t)
    const planter = new Planter(path)
    plant(planter, path)
    t.equal(planter.kv.commit(), 0)
    await planter.text.close()
    const faults = faultsOf(path)
    t.ok(
      expected.every((pattern) => faults.some((fault) => pattern.test(fault))) &&
        faults.every((fault) => expected.some((pattern) => pattern.test(fault))),
      name,
      { faults },
    )
  }
})

t.test('a value with a wrong checksum, for every type of record', async (t) => {
  const path = copy(t)
  const bytes = readFileSync(join(path, 'data.mdb'))
  for (const text of ['inline', 'directory/inline', 'blue', 'second name']) {
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) bytes[at] = 0x21
  }
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(70_000n)
  for (let at = bytes.indexOf(size); at >= 0; at = bytes.indexOf(size, at + 1)) bytes[at] = 0x21
  writeFileSync(join(path, 'data.mdb'), bytes)
  const faults = faultsOf(path).join('\n')
  for (const type of ['D', 'I', 'N', 'X']) t.match(faults, new RegExp(`record ${type}[0-9a-f]+: its checksum is wrong`))
  t.notMatch(faults, 'cannot be read')
})

t.test('the command', async (t) => {
  t.match(await fsck('--help'), { code: 0, stdout: /usage: fsck .*STORE/ })
  t.match(await fsck(), { code: 16, stderr: /no store/ })
  t.match(await fsck('--repair', clean), { code: 16, stderr: /unknown option --repair/ })
  const before = [fingerprint(clean), fingerprint(killed)]
  const line = /clean: 30[89] inodes \(3 directories\), 308 names, 1 backing files\n$/
  t.match(await fsck(clean), { code: 0, stdout: line, stderr: '' })
  t.match(await fsck(killed), { code: 0, stdout: line, stderr: '' })
  t.strictSame([fingerprint(clean), fingerprint(killed)], before, 'nothing is changed')
  t.match(await fsck(join(directory, 'absent')), { code: 8, stderr: /could not check .*absent/ })
  t.match(await fsck(directory), { code: 8, stderr: /not a store of chfs/ })

  const faulty = copy(t)
  writeFileSync(join(faulty, 'data', 'odd'), '')
  const faults = await fsck(faulty)
  t.match(faults, { code: 4, stdout: /data\/odd is no backing file\n.*: 1 faults: / })
  t.match(await fsck(clean, faulty, join(directory, 'absent')), { code: 12 }, 'of several stores, all that was found')

  const without = copy(t)
  rmSync(join(without, 'data', '0'), { recursive: true })
  t.match(await fsck(without), { code: 4, stdout: /it is not there\n.*1 backing files, 1 of them lost/ })
  t.match(await fsck('--power-cut', without), { code: 0, stdout: /clean: .*1 backing files, 1 of them lost/ })

  const open = StoreDirectory.open(faulty, 4 << 20, hash)
  t.match(await fsck(faulty), { code: 8, stderr: /in use/ })
  open.close()
})

t.test('damage that ends the check at once', async (t) => {
  const cases: [string, (path: string) => void, RegExp][] = [
    ['no superblock', (path) => rmSync(join(path, 'superblock')), /superblock is missing/],
    ['no log', (path) => rmSync(join(path, 'log.1')), /log.1 is missing/],
    ['a damaged root', (path) => writeFileSync(join(path, 'root'), 'x'), /root file is damaged/],
    [
      'damaged pages',
      (path) => {
        const bytes = readFileSync(join(path, 'data.mdb'))
        writeFileSync(join(path, 'data.mdb'), bytes.fill(0xff, 8192))
      },
      /./,
    ],
  ]
  for (const [name, damage, expected] of cases) {
    const path = copy(t)
    damage(path)
    const before = fingerprint(path)
    t.match(await fsck(path), { code: 4, stdout: expected }, name)
    t.equal(fingerprint(path), before, `${name}: nothing is changed`)
  }
})
