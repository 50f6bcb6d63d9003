/** Opening a store, in every state that its directory can be in. */
import { execFile, spawn } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { loadHash32 } from '../../lib/native/hash.js'
import { LmdbKv } from '../../lib/native/kv.js'
import { StoreDirectory, viewStore } from '../../lib/native/store.js'
import { StoreError } from '../../lib/native/store-error.js'
import { decodeSuperblock, encodeSuperblock, type Superblock } from '../../lib/wire/superblock.js'
import { openStore } from '../../mount/store.js'
import { KvText } from '../conformance/kv.js'
import { quiet } from '../quiet.js'
import { CHILD_ENVIRONMENT } from './environment.js'
import { clock } from './kv-bench.js'

const MIB = 1 << 20
const hash = await loadHash32()
const child = fileURLToPath(new URL('./store.child.js', import.meta.url))

function scratch(t: Test): string {
  const directory = mkdtempSync('/dev/shm/chfs-test-store-')
  t.teardown(() => rmSync(directory, { recursive: true }))
  return directory
}

/** A store that was opened once and closed. */
async function made(t: Test): Promise<string> {
  const path = join(scratch(t), 'store')
  await (await openStore(path, 4 * MIB, quiet)).close()
  return path
}

function superblockOf(path: string): Superblock {
  return decodeSuperblock(readFileSync(join(path, 'superblock')))
}

function refused(operation: () => unknown): Partial<StoreError> {
  try {
    operation()
  } catch (error) {
    if (error instanceof StoreError) return error
    throw error
  }
  return { message: 'it was opened' }
}

const opening = (path: string): Partial<StoreError> => refused(() => StoreDirectory.open(path, 4 * MIB, hash))
const viewing = (path: string): Partial<StoreError> => refused(() => viewStore(path, hash))

/** Names, times, modes and contents below a directory. */
function fingerprint(path: string): string {
  const lines = readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()
  return ['', ...lines]
    .map((name) => {
      const { mode, size, mtimeMs, ctimeMs, ino } = statSync(join(path, name))
      const text = size < MIB && (mode & 0o170000) === 0o100000 ? readFileSync(join(path, name), 'base64') : ''
      return `${name} ${mode} ${size} ${mtimeMs} ${ctimeMs} ${ino} ${text}`
    })
    .join('\n')
}

/** Runs the child in a shell, whose script ends with `"$@"`. */
function inShell(script: string, mode: string, path: string): Promise<Partial<StoreError>> {
  const words = ['--mount', 'sh', '-c', `set -e; ${script}`, 'sh', process.execPath, child, mode, path]
  const options = { timeout: 60_000, env: CHILD_ENVIRONMENT }
  return new Promise((resolve, reject) => {
    execFile('unshare', words, options, (error, stdout, stderr) => {
      if (error !== null || stdout === '') reject(new Error(`${error?.message} ${stdout} ${stderr}`))
      else resolve(JSON.parse(stdout.trim().split('\n').at(-1) as string))
    })
  })
}

t.test('a store that is made, closed and opened again', async (t) => {
  const path = join(scratch(t), 'not', 'there', 'store')
  t.match(viewing(path), { kind: 'system', message: /ENOENT/ })
  t.notOk(existsSync(path), 'looking makes nothing')
  const first = await openStore(path, MIB, quiet)
  t.equal(statSync(path).mode & 0o777, 0o700)
  t.equal(first.share.meta.inode(1).chunkBits, 20, 'the size of chunks is that of the root directory')
  await first.close()
  const before = superblockOf(path)
  t.match(before, { isWhole: true, incarnation: 1, ringEpoch: 1, virtualNodes: 150, chunkBytes: MIB })
  t.match(before.members, [{ id: before.memberId, name: '', address: '' }])
  const view = viewStore(path, hash)
  t.strictSame(view.superblock, before)
  view.close()
  const second = await openStore(path, 4 * MIB, quiet)
  t.equal(second.share.meta.inode(1).chunkBits, 20, 'which another default does not change')
  await second.close()
  t.strictSame(superblockOf(path), { ...before, incarnation: 2 })
})

t.test('two stores have different names', async (t) => {
  const [a, b] = [superblockOf(await made(t)), superblockOf(await made(t))]
  t.not(a.clusterId, b.clusterId)
  t.not(a.memberId, b.memberId)
})

t.test('a directory that counts as empty', async (t) => {
  for (const names of [[], ['lost+found'], ['log'], ['lock', 'superblock.new']]) {
    const path = scratch(t)
    for (const name of names) writeFileSync(join(path, name), 'of before')
    await (await openStore(path, 4 * MIB, quiet)).close()
    t.equal(superblockOf(path).isWhole, true, `with ${names.join(' and ') || 'nothing'} in it`)
  }
  const path = scratch(t)
  mkdirSync(join(path, 'real'))
  symlinkSync('real', join(path, 'link'))
  await (await openStore(join(path, 'link'), 4 * MIB, quiet)).close()
  t.ok(existsSync(join(path, 'real', 'superblock')), 'a symbolic link is followed')
})

t.test('a share of another cluster is refused, and stays as it is', async (t) => {
  const path = await made(t)
  const alone = superblockOf(path)
  const peer = { id: 'f'.repeat(16), name: 'node2', address: 'node2:7400' }
  const record = encodeSuperblock({ ...alone, members: [...alone.members, peer] }, hash)
  const file = Buffer.alloc(8192)
  file.set(record)
  file.set(record, 4096)
  writeFileSync(join(path, 'superblock'), file)
  const message = new RegExp(`another cluster \\(${alone.clusterId}, of ${alone.memberId},node2\\), and .* alone$`)
  t.match(opening(path), { kind: 'foreign', exitCode: 32, message })
  t.ok(readFileSync(join(path, 'superblock')).equals(file))
})

t.test('the store of a member', async (t) => {
  const names = ['a:7400', 'b:7400', 'c:7400']
  const belonging = (self: number, list = names) => ({ names: list, self, virtualNodes: 64, layout: 1 })
  const openAs = (path: string, self: number, list = names) =>
    StoreDirectory.open(path, MIB, hash, belonging(self, list))
  const refusedAs = (path: string, self: number, list = names) => refused(() => openAs(path, self, list))
  const path = join(scratch(t), 'store')
  const first = openAs(path, 1)
  const { memberId } = first.superblock
  t.match(superblockOf(path), { clusterId: '0'.repeat(32), ringEpoch: 0, isWhole: false, incarnation: 1 })
  t.match(superblockOf(path), {
    virtualNodes: 64,
    chunkBytes: MIB,
    layout: 1,
    members: [{ id: memberId, name: 'b:7400' }],
  })
  first.close()
  t.match(opening(path), { kind: 'foreign', message: /begun as that of a member of a cluster, and holds nothing yet/ })
  const second = openAs(path, 2)
  t.match(second.superblock, { memberId, incarnation: 2 }, 'not formed yet, the list may change')
  second.close()
  const third = openAs(path, 1)
  const ids = ['f'.repeat(16), memberId, `${'0'.repeat(15)}1`]
  third.form({ clusterId: 'c'.repeat(32), epoch: 1, ids })
  const formed = { clusterId: 'c'.repeat(32), memberId, ringEpoch: 1, incarnation: 3, isWhole: false, virtualNodes: 64 }
  const members = names.map((name, index) => ({ id: ids[index], name, address: '' }))
  t.match(superblockOf(path), { ...formed, members })
  t.match(third.superblock, { ...formed, members })
  third.close()
  const before = fingerprint(path)
  const cases: [string, Partial<StoreError>, RegExp][] = [
    ['alone', opening(path), /share of another cluster \(c+, of a:7400,b:7400,c:7400\), and this node is to be alone$/],
    [
      'fewer',
      refusedAs(path, 1, names.slice(0, 2)),
      /of a:7400,b:7400,c:7400\), and the members are .* a:7400,b:7400$/,
    ],
    ['others', refusedAs(path, 1, ['a:1', 'b:7400', 'c:7400']), /the members are now to be a:1,b:7400,c:7400$/],
    ['another member', refusedAs(path, 2), /: it is that of b:7400, and this is c:7400$/],
  ]
  for (const [name, error, message] of cases) t.match(error, { kind: 'foreign', exitCode: 32, message }, name)
  t.equal(fingerprint(path), before, 'nothing is touched')
  const alone = await made(t)
  t.match(refusedAs(alone, 0), { kind: 'foreign', message: /a node which is alone, and of no member of a:7400,b:7400/ })
  openAs(alone, 0, ['x:7400']).close()
  t.pass('who is alone may be called anything')
  const fourth = openAs(path, 1)
  t.match(fourth.superblock, { ...formed, incarnation: 4, members })
  fourth.close()
})

t.test('the superblock of a large cluster', async (t) => {
  const names = Array.from({ length: 1024 }, (_, index) => `node${index}.${'x'.repeat(60)}:7400`)
  const path = join(scratch(t), 'store')
  const belonging = { names, self: 1023, virtualNodes: 150, layout: 0 }
  const store = StoreDirectory.open(path, MIB, hash, belonging)
  const ids = names.map((_, index) => (index === 1023 ? store.superblock.memberId : String(index).padStart(16, '0')))
  store.form({ clusterId: 'd'.repeat(32), epoch: 1, ids })
  store.close()
  const again = StoreDirectory.open(path, MIB, hash, belonging)
  t.strictSame(
    again.superblock.members.map(({ id }) => id),
    ids,
  )
  t.match(again.superblock, { incarnation: 2, clusterId: 'd'.repeat(32) })
  t.equal(statSync(join(path, 'superblock')).size % 8192, 0)
  again.close()
})

t.test('a beginning that was interrupted goes on', async (t) => {
  const whole = await made(t)
  const beginning = encodeSuperblock({ ...superblockOf(whole), isWhole: false, incarnation: 0 }, hash)
  const file = Buffer.alloc(8192)
  file.set(beginning)
  file.set(beginning, 4096)
  for (const parts of [
    [],
    ['data'],
    ['log.0'],
    ['log.0', 'log.1', 'data.mdb'],
    ['log.0', 'log.1', 'data.mdb', 'root'],
  ]) {
    const path = scratch(t)
    writeFileSync(join(path, 'superblock'), file)
    for (const part of parts) cpSync(join(whole, part), join(path, part), { recursive: true })
    // Before the root has its name, no record is written to the log.
    for (const part of parts) {
      if (part.startsWith('log.') && !parts.includes('root')) writeFileSync(join(path, part), Buffer.alloc(65536))
    }
    await (await openStore(path, 4 * MIB, quiet)).close()
    t.match(superblockOf(path), { isWhole: true, incarnation: 1 }, `with ${parts.join(', ') || 'nothing'}`)
  }
})

t.test('one process at a time', async (t) => {
  const path = await made(t)
  const inUse = { kind: 'in-use', inUse: true, exitCode: 32, message: `store ${path}: it is in use by another process` }
  const store = StoreDirectory.open(path, 4 * MIB, hash)
  t.match(opening(path), inUse)
  t.match(viewing(path), inUse)
  t.match(await inShell('exec "$@"', 'open', path), { inUse: true, exitCode: 32 })
  store.close()
  const views = [viewStore(path, hash), viewStore(path, hash)]
  t.match(opening(path), inUse, 'while somebody looks')
  for (const view of views) view.close()
  StoreDirectory.open(path, 4 * MIB, hash).close()
})

t.test('a killed process lets go', async (t) => {
  const path = await made(t)
  const holder = spawn(process.execPath, [child, 'hold', path], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => holder.kill('SIGKILL'))
  await new Promise((resolve) => holder.stdout.once('data', resolve))
  t.match(opening(path), { inUse: true })
  const gone = new Promise((resolve) => holder.once('exit', resolve))
  holder.kill('SIGKILL')
  await gone
  await (await openStore(path, 4 * MIB, quiet)).close()
  t.equal(superblockOf(path).incarnation, 3)
})

t.test('a directory of somebody else stays as it is', async (t) => {
  const cases: [string, (path: string) => void][] = [
    ['a file', (path) => writeFileSync(join(path, 'thesis.tex'), 'years of work')],
    ['a directory', (path) => mkdirSync(join(path, 'data'))],
    ['a superblock of another kind', (path) => writeFileSync(join(path, 'superblock'), 'of another file system')],
    ['an empty superblock', (path) => writeFileSync(join(path, 'superblock'), '')],
    ['a superblock that is too long', (path) => writeFileSync(join(path, 'superblock'), Buffer.alloc((8 << 20) + 1))],
    ['a superblock that is a directory', (path) => mkdirSync(join(path, 'superblock'))],
  ]
  for (const [name, prepare] of cases) {
    const path = scratch(t)
    prepare(path)
    const before = fingerprint(path)
    t.match(opening(path), { kind: 'foreign', exitCode: 32, inUse: false }, name)
    t.match(viewing(path), { kind: 'foreign' }, name)
    t.equal(fingerprint(path), before, `${name}: nothing is touched`)
  }
  const path = scratch(t)
  writeFileSync(join(path, 'file'), '')
  t.match(opening(join(path, 'file')), { kind: 'foreign', exitCode: 32 })
  t.match(opening(join(path, 'file', 'below')), { kind: 'foreign', exitCode: 32 })
  t.match(viewing(scratch(t)), { kind: 'foreign', message: /empty/ })
})

t.test('what a later version has written stays as it is', async (t) => {
  const words: [string, number, number][] = [
    ['format version', 8, 2],
    ['hash version', 20, 2],
    ['read-only-compatible feature', 28, 1],
    ['incompatible feature', 32, 1],
  ]
  for (const [name, at, word] of words) {
    const path = await made(t)
    const bytes = readFileSync(join(path, 'superblock'))
    for (const half of [0, 4096]) {
      const record = bytes.subarray(half, half + bytes.readUInt32LE(half + 12))
      record.writeUInt32LE(word, at)
      record.writeUInt32LE(0, 16)
      record.writeUInt32LE(hash(record, 0), 16)
    }
    writeFileSync(join(path, 'superblock'), bytes)
    const before = fingerprint(path)
    t.match(opening(path), { kind: 'newer', exitCode: 32, message: /too new/ }, name)
    t.equal(fingerprint(path), before, `${name}: nothing is touched`)
  }
})

t.test('each byte of the superblock flipped', async (t) => {
  const path = await made(t)
  const file = join(path, 'superblock')
  const good = readFileSync(file)
  const length = good.readUInt32LE(12)
  const flipped = (...ats: number[]): Buffer => {
    const bytes = Buffer.from(good)
    for (const at of ats) bytes[at] = (bytes[at] as number) ^ 0x41
    return bytes
  }
  for (let at = 0; at < length; at++) {
    for (const half of [0, 4096]) {
      writeFileSync(file, flipped(half + at))
      const store = StoreDirectory.open(path, 4 * MIB, hash)
      if (!store.wasTorn || store.superblock.incarnation !== 2) t.fail(`byte ${half + at}`)
      store.close()
      const again = StoreDirectory.open(path, 4 * MIB, hash)
      if (again.wasTorn || again.superblock.incarnation !== 3) t.fail(`byte ${half + at} was not repaired`)
      again.close()
    }
    writeFileSync(file, flipped(at, 4096 + at))
    const error = opening(path)
    if (error.kind !== (at < 8 ? 'foreign' : 'damaged')) t.fail(`byte ${at} in both: ${error.message}`)
    if (!flipped(at, 4096 + at).equals(readFileSync(file))) t.fail(`byte ${at} in both was changed`)
  }
  for (const at of [length, 4095, 4096 + length, 8191]) {
    writeFileSync(file, flipped(at))
    StoreDirectory.open(path, 4 * MIB, hash).close()
  }
  t.pass('one half flipped is repaired, both are refused, and what is behind them does not matter')
})

t.test('a torn or short superblock', async (t) => {
  const path = await made(t)
  const file = join(path, 'superblock')
  const good = readFileSync(file)
  for (let length = 0; length < good.length; length += length < 300 ? 1 : 97) {
    writeFileSync(file, good.subarray(0, length))
    // Cut in the first half it has no record, and cut behind it one.
    const record = good.readUInt32LE(12)
    const expected = length < 8 ? 'foreign' : length < record ? 'damaged' : undefined
    if (expected !== undefined) {
      if (opening(path).kind !== expected) t.fail(`${length} bytes: ${opening(path).message}`)
    } else {
      StoreDirectory.open(path, 4 * MIB, hash).close()
      if (readFileSync(file).readUInt32LE(4096) !== good.readUInt32LE(0)) t.fail(`${length} bytes: no second half`)
    }
  }
  const older = Buffer.from(good)
  writeFileSync(file, good)
  StoreDirectory.open(path, 4 * MIB, hash).close()
  const newer = readFileSync(file)
  for (const [first, second] of [
    [newer, older],
    [older, newer],
  ] as const) {
    writeFileSync(file, Buffer.concat([first.subarray(0, 4096), second.subarray(4096)]))
    const store = StoreDirectory.open(path, 4 * MIB, hash)
    t.equal(store.superblock.incarnation, 3, 'the newer half counts')
    store.close()
  }
})

t.test('a whole store that has lost a part', async (t) => {
  const path = await made(t)
  for (const part of ['root', 'log.0', 'log.1', 'data.mdb', 'data', 'superblock']) {
    renameSync(join(path, part), join(path, '..', part))
    const before = fingerprint(path)
    t.match(opening(path), { kind: 'damaged', exitCode: 32, message: new RegExp(`its ${part} is missing`) }, part)
    await t.rejects(openStore(path, 4 * MIB, quiet), { message: /is missing/ }, part)
    t.equal(fingerprint(path), before, `${part}: nothing is touched`)
    renameSync(join(path, '..', part), join(path, part))
  }
  const kv = new KvText(LmdbKv.open(path, clock, quiet))
  t.equal(kv.delete('I\0\0\0\0\0\0\0\x01'), 0)
  t.equal(kv.kv.commit(), 0)
  await kv.close()
  await t.rejects(openStore(path, 4 * MIB, quiet), { exitCode: 32, message: /root directory/ })
  writeFileSync(join(path, 'root'), 'x')
  await t.rejects(openStore(path, 4 * MIB, quiet), { exitCode: 32, message: /root file is damaged/ })
  t.match(StoreDirectory.open(path, 4 * MIB, hash).close(), undefined, 'nothing is held after a failure')
})

t.test('a read-only file system', async (t) => {
  const path = scratch(t)
  const readOnly = { name: 'StoreError', exitCode: 2, message: /read-only/ }
  const mountTmpfs = `mount -t tmpfs -o size=128m none ${path}`
  const remount = `mount -o remount,ro ${path}`
  t.match(await inShell(`${mountTmpfs}; ${remount}; exec "$@"`, 'open', path), readOnly, 'empty')
  t.match(await inShell(`${mountTmpfs}; ${remount}; exec "$@"`, 'open', join(path, 'new')), readOnly, 'not there')
  const script = `${mountTmpfs}; "$@"; ${remount}; exec "$@"`
  t.match(await inShell(script, 'open', join(path, 'store')), readOnly, 'with a store')
})

t.test('a full file system', async (t) => {
  const path = scratch(t)
  for (const size of ['4k', '16k', '64k', '1m', '20m', '33m']) {
    const end = await inShell(`mount -t tmpfs -o size=${size} none ${path}; exec "$@"`, 'open', join(path, 'store'))
    t.match(end, { name: 'StoreError', exitCode: 2, message: /full/ }, `a new store in ${size}`)
  }
  const fill = `dd if=/dev/zero of=${path}/fill bs=4k 2>/dev/null || true`
  const mountTmpfs = `mount -t tmpfs -o size=128m none ${path}`
  const reopened = `${mountTmpfs}; "$@"; ${fill}; "$@"; exec "$@"`
  t.match(await inShell(reopened, 'open', join(path, 'store')), { exitCode: 0 }, 'a store is opened, to delete from it')
  const again = `${mountTmpfs}; ${fill}; "$@"; rm ${path}/fill; exec "$@"`
  t.match(await inShell(again, 'open', join(path, 'store')), { exitCode: 0 }, 'a beginning that failed goes on')
})

t.test('without the right to it', async (t) => {
  const path = await made(t)
  const asNobody = 'exec env -u NODE_OPTIONS setpriv --reuid=65534 --regid=65534 --clear-groups "$@"'
  t.match(await inShell(asNobody, 'open', path), { name: 'StoreError', exitCode: 1, message: /permission/ })
})
