/**
 * What other parallel file systems get wrong while all their nodes are there, a case each; test/README.md lists them
 * all. Each case does what showed the fault there.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { TestCluster } from './cluster.js'
import { O_CREAT, O_RDWR, O_TRUNC, O_WRONLY, SEEK_DATA, SEEK_HOLE } from './constants.js'
import { type Calls, errnoOf } from './driver.js'
import type { TestMount } from './harness.js'
import { dataBytes } from './owners.js'

const CHUNK = 64 * 1024
/** CHFS deletes chunks from the tenth on later. */
const CHUNKS = 24
/** Longer than anything that a file system puts off after a call has returned. */
const AFTERWARDS_MS = 2000
/** A clock tick of /proc/PID/stat. */
const TICKS_A_SECOND = 100

t.test('three nodes', async (t) => {
  const cluster = await TestCluster.start(t, 3, { options: ['chunk=64KiB', 'timeo=2'] })
  const everywhere = cluster.nodes.map((node) => node.driver().sys)
  const [a, b, c] = everywhere as [Calls, Calls, Calls]

  t.test('CHFS: a name with a colon overwrites another file’s chunk', async (t) => {
    await a.fill('name', CHUNKS * CHUNK, 1)
    const others = [
      'name:0',
      'name:1',
      'name:10',
      'name:1:0',
      ':1',
      'name;1',
      'name\n1',
      'name%3A1',
      'name\\1',
      '1',
      '\xff:1',
    ]
    for (const [index, name] of others.entries()) {
      await (everywhere[index % 3] as Calls).fill(name, 3 * CHUNK, 100 + index)
    }
    for (const sys of everywhere) {
      t.ok(await sys.same('name', 0, CHUNKS * CHUNK, 1))
      for (const [index, name] of others.entries()) t.ok(await sys.same(name, 0, 3 * CHUNK, 100 + index), name)
    }
    for (const name of others) await b.unlink(name)
    t.ok(await c.same('name', 0, CHUNKS * CHUNK, 1), 'nor does its removal take one away')
  })

  t.test('CHFS: what creates over a file truncates its first chunk only', async (t) => {
    await a.fill('over', CHUNKS * CHUNK, 1)
    await b.put('over', 'short', O_WRONLY | O_CREAT | O_TRUNC)
    for (const sys of everywhere) t.equal((await sys.stat('over')).size, 5)
    t.equal(await c.readAll('over'), 'short')
    await c.truncate('over', CHUNKS * CHUNK)
    for (const sys of everywhere) {
      t.equal(await sys.readAll('over'), `short${'\0'.repeat(CHUNKS * CHUNK - 5)}`, 'nothing of the old file is left')
    }
  })

  t.test('CHFS: a file that is made again loses chunks to the delayed removal of the old one', async (t) => {
    const names = Array.from({ length: 12 }, (_, index) => `again${index}`)
    for (const [index, name] of names.entries()) {
      await a.fill(name, CHUNKS * CHUNK, index)
      await b.unlink(name)
      await c.fill(name, CHUNKS * CHUNK, 50 + index)
      await a.rename(name, `${name}.old`)
      await b.fill(name, CHUNKS * CHUNK, 100 + index)
      await c.unlink(`${name}.old`)
    }
    await sleep(AFTERWARDS_MS)
    for (const [index, name] of names.entries()) {
      const sys = everywhere[index % 3] as Calls
      t.ok(await sys.same(name, 0, CHUNKS * CHUNK, 100 + index), name)
      t.equal((await sys.stat(name)).size, CHUNKS * CHUNK)
    }
  })

  t.test('CHFS: a directory with entries is removed, and they reappear when it is made again', async (t) => {
    const names = Array.from({ length: 30 }, (_, index) => `f${index}`)
    await a.mkdir('full')
    for (const [index, name] of names.entries()) await (everywhere[index % 3] as Calls).put(`full/${name}`, name)
    for (const sys of everywhere) t.equal(await errnoOf(sys.rmdir('full')), 'ENOTEMPTY')
    t.strictSame(await b.list('full'), names.toSorted())
    for (const name of names.slice(1)) await b.unlink(`full/${name}`)
    for (const sys of everywhere) t.equal(await errnoOf(sys.rmdir('full')), 'ENOTEMPTY', 'one is enough')
    t.equal(await c.readAll('full/f0'), 'f0')
    await c.unlink('full/f0')
    await a.rmdir('full')
    await b.mkdir('full')
    for (const sys of everywhere) {
      t.strictSame(await sys.list('full'), [])
      for (const name of names) t.equal(await errnoOf(sys.stat(`full/${name}`)), 'ENOENT')
    }
  })

  t.test('CHFS: the size of a sparse file is wrong', async (t) => {
    const last = 17 * CHUNK + 3
    const fd = await b.open('sparse', O_RDWR | O_CREAT)
    await b.pwrite(fd, 'x', last)
    for (const sys of everywhere) t.equal((await sys.stat('sparse')).size, last + 1)
    const seen = await c.open('sparse')
    t.equal(await c.pread(seen, 100, last - 3), '\0\0\0x')
    t.equal(await c.pread(seen, 10, 5 * CHUNK), '\0'.repeat(10))
    t.ok((await c.seek(seen, 0, SEEK_DATA)) > 16 * CHUNK, 'nothing before it is data')
    t.equal(await c.seek(seen, 0, SEEK_HOLE), 0)
    t.ok((await a.blocks('sparse')) * 512 <= CHUNK, 'and takes no room')
    for (const size of [CHUNK, 12 * CHUNK, 12 * CHUNK + 1, 40 * CHUNK - 1, 0]) {
      await a.truncate('sparse', size)
      for (const sys of everywhere) t.equal((await sys.stat('sparse')).size, size)
      t.equal((await c.readAll('sparse')).length, size)
    }
    await c.close(seen)
    await b.close(fd)
  })

  t.test('CHFS: no statfs', async (t) => {
    // The stores are all of one file system, here.
    const one = await cluster.node(0).driver(undefined, cluster.node(0).beside).sys.statfs('.')
    const figures = await Promise.all(everywhere.map((sys) => sys.statfs('.')))
    for (const { bsize = 0, blocks = 0, bfree = 0, namemax } of figures) {
      t.equal(bsize * blocks, 3 * (one['bsize'] as number) * (one['blocks'] as number), 'that of all nodes')
      t.ok(bfree > 0 && bfree < blocks)
      t.equal(namemax, 255)
    }
  })

  t.test('CHFS: no fallocate', async (t) => {
    const fd = await a.open('allocated', O_RDWR | O_CREAT)
    await a.fallocate(fd, 0, 0, CHUNKS * CHUNK)
    t.equal((await b.stat('allocated')).size, CHUNKS * CHUNK)
    t.equal((await b.blocks('allocated')) * 512, CHUNKS * CHUNK, 'it takes its room on all nodes')
    t.equal(await c.readAll('allocated'), '\0'.repeat(CHUNKS * CHUNK))
    await a.close(fd)
  })

  t.test('BenchFS: rename is broken across nodes, and chunks go by paths', async (t) => {
    const names = Array.from({ length: 20 }, (_, index) => `f${index}`)
    for (const path of ['from', 'to', 'from/below']) await a.mkdir(path)
    for (const [index, name] of names.entries()) {
      await (everywhere[index % 3] as Calls).fill(`from/${name}`, 4 * CHUNK + 5, index)
      await (everywhere[(index + 1) % 3] as Calls).rename(`from/${name}`, `to/${name}.new`)
      await (everywhere[(index + 2) % 3] as Calls).fill(`from/${name}`, 4 * CHUNK + 5, 100 + index)
    }
    await a.fill('from/below/f', 9 * CHUNK, 7)
    await b.rename('from', 'moved')
    for (const path of ['from', 'from/below']) await c.mkdir(path)
    await c.fill('from/below/f', 9 * CHUNK, 8)
    for (const sys of everywhere) {
      for (const [index, name] of names.entries()) {
        t.ok(await sys.same(`to/${name}.new`, 0, 4 * CHUNK + 5, index))
        t.ok(await sys.same(`moved/${name}`, 0, 4 * CHUNK + 5, 100 + index))
        t.equal(await errnoOf(sys.stat(`from/${name}`)), 'ENOENT')
      }
      t.ok(await sys.same('moved/below/f', 0, 9 * CHUNK, 7))
      t.ok(await sys.same('from/below/f', 0, 9 * CHUNK, 8))
    }
  })

  t.test('BenchFS: virtual nodes are ignored, and few of the nodes have everything', async (t) => {
    const chunks = 300
    const before = cluster.nodes.map(({ store }) => dataBytes(store))
    await a.fill('spread', chunks * CHUNK)
    const got = cluster.nodes.map((node, index) => (dataBytes(node.store) - (before[index] as number)) / CHUNK)
    t.ok(Math.min(...got) > chunks / 6, `${got} chunks`)
    await a.mkdir('names')
    await b.makeMany('names', 300)
    const owners = new Map<TestMount, number>()
    for (let index = 0; index < 300; index++) {
      const owner = await cluster.ownerOf(await c.inode(`names/n${index}`))
      owners.set(owner, (owners.get(owner) ?? 0) + 1)
    }
    const counts = [...owners.values()]
    t.ok(counts.length === 3 && Math.min(...counts) > 50, `${counts} inodes`)
  })

  t.test('CHFS: nodes that have nothing to do turn in circles', async (t) => {
    // What was removed above is gone by then.
    await sleep(AFTERWARDS_MS)
    const before = cluster.nodes.map(cpuSeconds)
    await sleep(AFTERWARDS_MS)
    const used = cluster.nodes.map((node, index) => cpuSeconds(node) - (before[index] as number))
    t.ok(Math.max(...used) < AFTERWARDS_MS / 1000 / 10, `${used} s of CPU`)
  })
})

function cpuSeconds({ pid }: TestMount): number {
  // A name in brackets may hold anything; behind it utime and stime are the 12th and 13th.
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND
}
