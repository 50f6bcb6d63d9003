/** What a call on one node has done is seen by every call that begins after it on another one. */
import t from 'tap'
import { TestCluster } from './cluster.js'
import { O_APPEND, O_CREAT, O_EXCL, O_RDWR, O_TRUNC, O_WRONLY, RENAME_EXCHANGE } from './constants.js'
import { type Calls, errnoOf } from './driver.js'
import { until } from './harness.js'

const CHUNK = 64 * 1024

t.test('three nodes', async (t) => {
  const cluster = await TestCluster.start(t, 3, { options: ['chunk=64KiB'] })
  const [a, b, c] = cluster.nodes.map((node) => node.driver().sys) as [Calls, Calls, Calls]

  t.test('a file, from its creation to its end', async (t) => {
    await a.put('file', 'one')
    t.equal(await b.readAll('file'), 'one')
    await b.put('file', 'two and more', O_WRONLY | O_TRUNC)
    t.equal(await c.readAll('file'), 'two and more')
    t.equal((await a.stat('file')).size, 12)
    await c.truncate('file', 3)
    t.equal(await a.readAll('file'), 'two')
    await a.chmod('file', 0o640)
    await a.chown('file', 12, 34)
    const { mode, uid, gid } = await b.stat('file')
    t.strictSame([mode, uid, gid], ['640', 12, 34])
    await b.utimens('file', [1, 2], [3, 4])
    t.match(await c.times('file'), { atime: '1000000002', mtime: '3000000004' })
    await c.setxattr('file', 'user.colour', 'blue')
    t.equal(await a.getxattr('file', 'user.colour', 100), 'blue')
    await a.unlink('file')
    t.equal(await errnoOf(b.stat('file')), 'ENOENT')
    t.equal(await errnoOf(c.open('file')), 'ENOENT')
  })

  // The kernel has a directory in one place of its cache. One that another node has moved is still in the old place, and
  // rename(2), unlike stat(2), cannot move it there.
  t.test('a directory that another node has moved is moved on', async (t) => {
    for (const path of ['x', 'y', 'z', 'x/d', 'x/e', 'x/e/inner']) await a.mkdir(path)
    await a.put('x/d/f', 'f')
    for (const sys of [b, c]) t.equal(await sys.readAll('x/d/f'), 'f')
    await a.rename('x/d', 'y/d')
    await b.rename('y/d', 'z/d')
    await c.rename('z/d', 'x/d')
    await a.rename('x/d', 'x/g')
    await b.rename('x/g', 'z/d')
    t.equal(await a.readAll('z/d/f'), 'f')
    await b.list('x/e/inner')
    await c.rename('x/e', 'z/d', RENAME_EXCHANGE)
    await b.rename('z/d/inner', 'y/inner')
    await b.rename('x/e', 'y/back')
    await b.unlink('y/back/f')
    for (const path of ['y/back', 'y/inner', 'z/d', 'x', 'y', 'z']) await b.rmdir(path)
    t.strictSame(await a.list('.'), [])
  })

  t.test('names', async (t) => {
    await a.mkdir('d')
    await b.mkdir('d/e')
    await c.put('d/e/f', 'x')
    t.strictSame(await a.list('d/e'), ['f'])
    await b.rename('d/e/f', 'd/g')
    t.strictSame((await c.list('d')).sort(), ['e', 'g'])
    await a.link('d/g', 'd/h')
    t.equal((await b.stat('d/g')).nlink, 2)
    await c.symlink('g', 'd/s')
    t.equal(await a.readlink('d/s'), 'g')
    t.equal(await b.readAll('d/s'), 'x')
    t.equal(await errnoOf(b.rmdir('d')), 'ENOTEMPTY')
    await b.rename('d/e', 'd/i')
    t.equal(await errnoOf(c.rename('d', 'd/i/d')), 'EINVAL')
    await a.put('d/j', 'j')
    await b.rename('d/j', 'd/g', RENAME_EXCHANGE)
    t.strictSame([await c.readAll('d/g'), await c.readAll('d/j')], ['j', 'x'])
    t.equal((await a.stat('d')).nlink, 3)
    for (const name of ['g', 'h', 'j', 's']) await c.unlink(`d/${name}`)
    await a.rmdir('d/i')
    t.equal(await errnoOf(b.stat('d/i')), 'ENOENT')
    await b.rmdir('d')
    t.equal(await errnoOf(a.put('d/late', '')), 'ENOENT')
    t.strictSame(await c.list('.'), [])
  })

  t.test('a file of many chunks, written and read everywhere', async (t) => {
    const writers = [a, b, c]
    await a.fill('large', 40 * CHUNK + 77, 5)
    for (const sys of writers) t.ok(await sys.same('large', 0, 40 * CHUNK + 77, 5))
    const fd = await b.open('large', O_RDWR)
    await b.pwrite(fd, 'across a border', 3 * CHUNK - 5)
    const seen = await c.open('large')
    t.equal(await c.pread(seen, 15, 3 * CHUNK - 5), 'across a border')
    await a.truncate('large', 3 * CHUNK)
    t.equal(await c.pread(seen, 15, 3 * CHUNK - 5), 'acros')
    await b.ftruncate(fd, 5 * CHUNK)
    t.equal(await c.pread(seen, 10, 3 * CHUNK - 2), `os${'\0'.repeat(8)}`, 'what was cut off does not come back')
    await c.close(seen)
    await b.close(fd)
    await c.unlink('large')
  })

  t.test('appending from all nodes', async (t) => {
    await a.put('log', '')
    for (let round = 0; round < 5; round++) {
      for (const [index, sys] of [a, b, c].entries()) await sys.put('log', `${index}${round} `, O_WRONLY | O_APPEND)
    }
    t.equal(await b.readAll('log'), '00 10 20 01 11 21 02 12 22 03 13 23 04 14 24 ')
    await a.unlink('log')
  })

  t.test('a file that is open on one node and unlinked on another lives on', async (t) => {
    const fd = await a.open('gone', O_RDWR | O_CREAT)
    await a.pwrite(fd, 'still here', 0)
    await b.unlink('gone')
    t.equal(await errnoOf(c.stat('gone')), 'ENOENT')
    t.equal(await a.pread(fd, 100, 0), 'still here')
    await a.pwrite(fd, 'more', 2 * CHUNK)
    t.equal((await a.fstat(fd)).nlink, 0)
    t.equal((await a.fstat(fd)).size, 2 * CHUNK + 4)
    await a.close(fd)
  })

  t.test('exactly one of those who create the same name', async (t) => {
    for (let round = 0; round < 30; round++) {
      const flags = O_CREAT | O_EXCL | O_WRONLY
      const outcomes = await Promise.all([a, b, c].map((sys) => errnoOf(sys.open(`only${round}`, flags))))
      t.strictSame(outcomes.sort(), ['EEXIST', 'EEXIST', 'ok'])
    }
  })

  t.test('many names made everywhere are listed everywhere', async (t) => {
    await a.mkdir('many')
    await Promise.all([a, b, c].map((sys, index) => sys.makeMany('many', 1000, `n${index}-`)))
    for (const sys of [a, b, c]) t.equal(new Set(await sys.list('many')).size, 3000)
    await Promise.all([b, c, a].map((sys, index) => sys.removeMany('many', 0, 1000, 1, `n${index}-`)))
    await b.rmdir('many')
  })

  t.test('locks', async (t) => {
    const [LOCK_EX, LOCK_NB, LOCK_UN] = [2, 4, 8]
    await a.put('locked', '')
    const [fa, fb] = [await a.open('locked', O_RDWR), await b.open('locked', O_RDWR)]
    await a.lock(fa, 'set', 'write', 0, 10)
    t.equal(await errnoOf(b.lock(fb, 'set', 'write', 5, 10)), 'EAGAIN')
    t.equal(await errnoOf(b.lock(fb, 'set', 'write', 10, 10)), 'ok')
    const waiting = errnoOf(b.lock(fb, 'wait', 'write', 0, 10))
    await a.lock(fa, 'set', 'unlock', 0, 0)
    t.equal(await waiting, 'ok')
    await a.flock(fa, LOCK_EX)
    t.equal(await errnoOf(b.flock(fb, LOCK_EX | LOCK_NB)), 'EAGAIN')
    await a.flock(fa, LOCK_UN)
    t.equal(await errnoOf(b.flock(fb, LOCK_EX | LOCK_NB)), 'ok')
    await b.close(fb)
    // The kernel does not wait for that.
    await until(async () => (await errnoOf(a.flock(fa, LOCK_EX | LOCK_NB))) === 'ok', 'closing lets go')
    await a.close(fa)
  })

  t.test('a map is seen by the others after msync', async (t) => {
    await a.put('mapped', 'x'.repeat(8192))
    const fd = await a.open('mapped', O_RDWR)
    await a.map(fd, 8192, true)
    await a.mapWrite(fd, 4000, 'from the map')
    await a.mapSync(fd)
    const seen = await b.open('mapped')
    t.equal(await b.pread(seen, 12, 4000), 'from the map')
    await b.close(seen)
    await a.unmap(fd)
    await a.close(fd)
  })
})
