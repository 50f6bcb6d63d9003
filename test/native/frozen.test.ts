/** Stores that earlier versions have written, as test/frozen keeps them: each opens, is clean, and has all its data. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { InodeNumber } from '../../lib/base/ids.js'
import type { Inode } from '../../lib/meta/inode.js'
import { loadHash32 } from '../../lib/native/hash.js'
import { viewStore } from '../../lib/native/store.js'
import { openStore } from '../../mount/store.js'
import { quiet } from '../quiet.js'
import { scratch } from './kv-bench.js'
import { commit, named, pattern, read, write } from './populate.js'

const frozen = fileURLToPath(new URL('../../../test/frozen/', import.meta.url))
const fsck = fileURLToPath(new URL('../../../scripts/fsck', import.meta.url))
const hash = await loadHash32()

const textOf = ({ bytes, offset, length }: { bytes: Uint8Array; offset: number; length: number }): string => {
  return Buffer.from(bytes.subarray(offset, offset + length)).toString()
}

t.test('version 1', async (t) => {
  const directory = scratch(t)
  execFileSync('tar', ['-C', directory, '-xzf', join(frozen, 'store-1.tar.gz')])
  const path = join(directory, 'store')
  t.match(
    execFileSync(fsck, [path], { encoding: 'utf8' }),
    /: clean: 309 inodes \(3 directories\), 308 names, 1 backing/,
  )
  const view = viewStore(path, hash)
  t.match(view.superblock, { isWhole: true, incarnation: 1, ringEpoch: 1, virtualNodes: 150, chunkBytes: 1 << 20 })
  view.close()

  const store = await openStore(path, 4 << 20, quiet)
  const { share } = store
  const find = (...names: string[]): Inode => {
    let inode = share.meta.inode(1)
    for (const name of names) inode = share.lookup(inode.number, named(name)) as Inode
    return inode
  }
  const list = (inode: Inode): string[] => {
    const names: string[] = []
    share.readdir(inode.number, 0, (_child: InodeNumber, _kind, _cookie, name) => names.push(textOf(name)) > 0)
    return names.filter((name) => name !== '.' && name !== '..').sort()
  }
  t.strictSame(list(find()), ['directory', 'empty', 'fifo', 'link', 'second name'])
  t.strictSame(list(find('directory')), ['below', 'inline'])
  const below = list(find('directory', 'below'))
  t.strictSame(below, [...Array.from({ length: 300 }, (_, i) => `file ${i}`), 'größer'].sort())
  t.match(find('directory'), { mode: 0o040755, uid: 1000, gid: 100, nlink: 3, chunkBits: 20 })
  t.match(find('directory', 'below'), { mode: 0o040700, nlink: 2 })
  t.match(find('fifo'), { mode: 0o010644, size: 0 })
  const inline = find('directory', 'inline')
  t.match(inline, { mode: 0o100644, nlink: 2, size: 1000, backing: 0 })
  t.equal(find('second name'), inline)
  t.ok((await read(store, inline.number, 4096)).equals(pattern(1000)))
  const backed = find('directory', 'below', 'größer')
  t.match(backed, { mode: 0o100600, nlink: 1, size: 70_000 })
  t.not(backed.backing, 0)
  t.ok((await read(store, backed.number, 1 << 20)).equals(pattern(100_000).subarray(0, 70_000)))
  t.equal(textOf(share.readlink(find('link').number)), 'directory/inline')
  const value = new Uint8Array(64)
  t.equal(share.xattrs.get(inline.number, named('user.color'), value, 0, 64), 4)
  t.equal(Buffer.from(value.subarray(0, 4)).toString(), 'blue')
  t.equal(share.xattrs.get(find('directory').number, named('trusted.a'), value, 0, 64), 0)

  // It goes on living: what was cut off stays cut off, and new numbers are new.
  await write(store, backed.number, pattern(10), 90_000)
  t.ok((await read(store, backed.number, 20_000, 70_000)).every((byte) => byte === 0))
  const numbers = new Set(below.map((name) => find('directory', 'below', name).number))
  const created = share.create.mknod(1, named('new'), 0o100644, 0, { uid: 0, gid: 0, pid: 1, umask: 0 }).number
  t.notOk(numbers.has(created))
  commit(store)
  await store.close()
  t.match(execFileSync(fsck, [path], { encoding: 'utf8' }), /: clean: 309 inodes/)
})
