/** What tmpfs cannot be asked: our own limits, figures and promises. */
import t from 'tap'
import { KEEP_SIZE, O_CREAT, O_DIRECTORY, O_RDWR, PUNCH_HOLE, S_IFIFO, ZERO_RANGE } from './constants.js'
import { errnoOf } from './driver.js'
import { run, TestMount } from './harness.js'

t.test('special', async (t) => {
  const mount = await TestMount.start(t)
  const { sys } = mount.driver()

  t.test('the largest file has 2^53 − 1 bytes, or what the store can hold', async (t) => {
    const fd = await sys.open('largest', O_RDWR | O_CREAT)
    for (const size of [2 ** 53, 2 ** 60, 2 ** 62]) {
      t.equal(await errnoOf(sys.ftruncate(fd, size)), 'EFBIG', `ftruncate to ${size}`)
      t.equal(await errnoOf(sys.truncate('largest', size)), 'EFBIG', `truncate to ${size}`)
      t.equal(await errnoOf(sys.pwrite(fd, 'x', size)), 'EFBIG', `write at ${size}`)
      t.equal(await errnoOf(sys.fallocate(fd, 0, size, 10)), 'EFBIG', `fallocate at ${size}`)
    }
    t.equal((await sys.fstat(fd)).size, 0)
    await sys.ftruncate(fd, 2 ** 53 - 1)
    t.equal((await sys.fstat(fd)).size, 2 ** 53 - 1)
    t.equal(await errnoOf(sys.pwrite(fd, 'ab', 2 ** 53 - 2)), 'EFBIG', 'a write over the end')
    const outcome = await errnoOf(sys.pwrite(fd, 'a', 2 ** 53 - 2))
    t.match(outcome, /^(ok|EFBIG)$/, 'the last byte')
    t.equal(await sys.pread(fd, 10, 2 ** 53 - 2), outcome === 'ok' ? 'a' : '\0')
    await sys.unlink('largest')
    await sys.close(fd)
  })

  t.test('ZERO_RANGE', async (t) => {
    for (const size of [3000, 30_000]) {
      await sys.put('zeroed', 'x'.repeat(size))
      const fd = await sys.open('zeroed', O_RDWR)
      await sys.fallocate(fd, ZERO_RANGE, 100, 2000)
      t.equal(await sys.pread(fd, 2200, 0), 'x'.repeat(100) + '\0'.repeat(2000) + 'x'.repeat(100))
      await sys.fallocate(fd, ZERO_RANGE | KEEP_SIZE, size - 10, 5000)
      t.equal((await sys.fstat(fd)).size, size)
      t.equal(await sys.pread(fd, 100, size - 20), 'x'.repeat(10) + '\0'.repeat(10))
      await sys.fallocate(fd, ZERO_RANGE, size - 5, 5005)
      t.equal((await sys.fstat(fd)).size, size + 5000)
      t.equal(await errnoOf(sys.fallocate(fd, ZERO_RANGE | PUNCH_HOLE, 0, 10)), 'EOPNOTSUPP')
      await sys.close(fd)
    }
  })

  t.test('SEEK_DATA and SEEK_HOLE of inline data', async (t) => {
    await sys.put('inline', 'x'.repeat(100))
    const fd = await sys.open('inline', O_RDWR)
    await sys.ftruncate(fd, 10_000)
    t.equal(await sys.seek(fd, 0, 3), 0)
    t.ok((await sys.seek(fd, 0, 4)) >= 100)
    t.equal(await errnoOf(sys.seek(fd, 9999, 3)), 'ENXIO')
    t.equal(await sys.seek(fd, 9999, 4), 9999)
    t.equal(await errnoOf(sys.seek(fd, 10_000, 4)), 'ENXIO')
  })

  t.test('the time of birth', async (t) => {
    await sys.put('born', 'x')
    const first = await sys.birth('born')
    t.ok(first.known)
    t.ok(Math.abs(Number(BigInt(first.btime) / 1_000_000n) - Date.now()) < 600_000, 'is about now')
    await sys.put('born', 'changed')
    await sys.utimens('born', [1, 1], [1, 1])
    await sys.chmod('born', 0o600)
    const later = await sys.birth('born')
    t.equal(later.btime, first.btime, 'never moves')
    t.ok(BigInt(later.ctime) > BigInt(first.ctime), 'unlike ctime')
    await sys.mkdir('born-directory')
    t.ok((await sys.birth('born-directory')).known)
  })

  t.test('statfs tells the figures of the store', async (t) => {
    const beside = mount.driver(undefined, mount.beside).sys
    const [here, store] = [await sys.statfs('.'), await beside.statfs('.')]
    t.equal(here['namemax'], 255)
    const bytes = (figures: Record<string, number>, name: string): number =>
      (figures[name] ?? 0) * (figures['bsize'] ?? 0)
    t.equal(bytes(here, 'blocks'), bytes(store, 'blocks'))
    const slack = 1 << 30 // Others fill and empty the same memory at the same time.
    t.ok(Math.abs(bytes(here, 'bavail') - bytes(store, 'bavail')) < slack)
    t.ok((here['files'] ?? 0) > 0 && (here['ffree'] ?? 0) <= (here['files'] ?? 0))
    const df = await run('df', ['--output=fstype', mount.mountpoint])
    t.match(df.stdout, 'fuse.chfs')
  })

  t.test('the blocks of a file', async (t) => {
    await sys.fill('full', 1 << 20)
    t.equal(await sys.blocks('full'), 2048)
    const fd = await sys.open('sparse', O_RDWR | O_CREAT)
    await sys.ftruncate(fd, 1 << 30)
    t.ok((await sys.blocks('sparse')) <= 8)
    await sys.pwrite(fd, 'x'.repeat(4096), 1 << 29)
    t.ok((await sys.blocks('sparse')) <= 32)
    await sys.fallocate(fd, 0, 0, 1 << 20)
    t.ok((await sys.blocks('sparse')) >= 2048)
    await sys.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, 1 << 20)
    t.ok((await sys.blocks('sparse')) <= 32)
  })

  t.test('an inode number does not come back while somebody holds it', async (t) => {
    const held = new Set<number>()
    const fds: number[] = []
    for (let index = 0; index < 200; index++) {
      const fd = await sys.open('held', O_RDWR | O_CREAT)
      await sys.write(fd, `file ${index}`)
      held.add(await sys.inode('held'))
      await sys.unlink('held')
      fds.push(fd)
    }
    t.equal(held.size, 200, 'one name, a new number each time')
    for (let index = 0; index < 500; index++) {
      await sys.put('again', '')
      if (held.has(await sys.inode('again'))) t.fail('a held number came back')
      await sys.unlink('again')
    }
    for (const [index, fd] of fds.entries()) {
      if ((await sys.pread(fd, 100, 0)) !== `file ${index}`) t.fail(`held file ${index} has other contents`)
      await sys.close(fd)
    }
  })

  t.test('numbers, contents and attributes survive an unmount', async (t) => {
    await sys.mkdir('tree')
    await sys.fill('tree/file', 100_000)
    await sys.put('tree/inline', 'inline data')
    await sys.symlink('target', 'tree/link')
    await sys.mknod('tree/fifo', S_IFIFO | 0o640)
    await sys.setxattr('tree/file', 'user.a', 'value')
    await sys.utimens('tree/file', [1, 2], [3, 4])
    const paths = ['tree', 'tree/file', 'tree/inline', 'tree/link', 'tree/fifo']
    const describe = async (calls: typeof sys): Promise<unknown[]> => {
      const found: unknown[] = [await calls.list('tree')]
      for (const path of paths) {
        found.push([await calls.stat(path), await calls.times(path), await calls.inode(path), await calls.birth(path)])
      }
      return found
    }
    const before = await describe(sys)
    const figures = await sys.statfs('.')
    await mount.remount()
    const after = mount.driver().sys
    t.strictSame(await describe(after), before)
    t.equal(await after.readAll('tree/inline'), 'inline data')
    t.ok(await after.same('tree/file', 0, 100_000))
    t.equal(await after.readlink('tree/link'), 'target')
    t.equal(await after.getxattr('tree/file', 'user.a'), 'value')
    t.equal((await after.statfs('.'))['blocks'], figures['blocks'])
  })
})

t.test('a read-only mount', async (t) => {
  const first = await TestMount.start(t)
  await first.driver().sys.put('f', 'content')
  await first.unmount()
  const mount = await TestMount.start(t, { store: first.store, options: ['ro'] })
  const { sys } = mount.driver()
  t.equal(await sys.readAll('f'), 'content')
  t.equal(await errnoOf(sys.put('f', 'x')), 'EROFS')
  t.equal(await errnoOf(sys.mkdir('d')), 'EROFS')
  t.equal(await errnoOf(sys.unlink('f')), 'EROFS')
  t.equal(await errnoOf(sys.setxattr('f', 'user.a', 'x')), 'EROFS')
  t.ok(await sys.open('.', O_DIRECTORY))
})

t.test('access times move, and with noatime they stay', async (t) => {
  const first = await TestMount.start(t)
  let { sys } = first.driver()
  await sys.mkdir('d')
  await sys.fill('d/large', 10_000)
  const long = [1000, 0] as const
  const age = async (): Promise<void> => {
    await sys.utimens('d/large', [...long], [2000, 0])
    await sys.utimens('d', [...long], [2000, 0])
  }
  const read = async (): Promise<unknown[]> => {
    await sys.readAll('d/large')
    await sys.list('d')
    return [(await sys.times('d/large')).atime, (await sys.times('d')).atime]
  }
  await age()
  await first.unmount()
  const second = await TestMount.start(t, { store: first.store, options: ['noatime'] })
  sys = second.driver().sys
  const untouched = await read()
  await second.unmount()
  const third = await TestMount.start(t, { store: first.store })
  sys = third.driver().sys
  t.strictSame([(await sys.times('d/large')).atime, (await sys.times('d')).atime], untouched)
  const moved = await read()
  t.notSame(moved[0], untouched[0], "the file's moved")
  t.notSame(moved[1], untouched[1], "the directory's moved")
})
