/** scripts/pack: what it packs runs elsewhere, with nothing in the path but node, and brings its libraries. As root. */
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Place, repository, run, shell } from './command-helper.js'

t.test('a tarball runs from another directory on a machine with nothing but node', async (t) => {
  const place = new Place(t)
  const tarball = join(place.directory, 'chfs.tgz')
  t.match(await run([join(repository, 'scripts/pack'), tarball]), { code: 0, stderr: '' })
  const home = join(place.directory, 'shared home')
  mkdirSync(home)
  t.match(await run(['tar', '-C', home, '-xzf', tarball]), { code: 0 })
  const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'))
  t.strictSame(readdirSync(home), [`chfs-${version}`])
  const tree = join(home, `chfs-${version}`)
  const path = join(place.directory, 'path')
  mkdirSync(path)
  symlinkSync(process.execPath, join(path, 'node'))
  const env = { PATH: path }
  const command = join(tree, 'bin/mount.chfs')
  t.match(await run([command, '--version'], { env }), { code: 0, stdout: `${version}\n` })
  t.match(await run([command, '-o', `store=${place.store}`, place.mountpoint], { env }), { code: 0, stderr: '' })
  t.match(await shell('echo hello >"$1/file" && cat "$1/file"', place.mountpoint), { stdout: 'hello\n' })
  const maps = readFileSync(`/proc/${place.server()}/maps`, 'utf8')
  for (const library of ['chfs.node', 'liblmdb.so.0', 'liburing.so.2']) {
    t.match(maps, `${tree}/build/Release/${library}`, `${library} is the one in the tree`)
  }
  t.notMatch(maps, 'libucp', 'a lone node needs no UCX')
  await place.unmount()
  const ucx = `
    const { MappedPool } = await import('${tree}/dist/lib/native/pool.js')
    const { UcxTransport } = await import('${tree}/dist/lib/native/ucx.js')
    new UcxTransport(new MappedPool({ count: 8, payloadBytes: 8192 })).end(() => undefined)
    console.log((await import('node:fs')).readFileSync('/proc/self/maps', 'utf8'))`
  const loaded = await run(['node', '--input-type=module', '-e', ucx], { env })
  t.match(loaded, { code: 0, stderr: '' })
  for (const library of ['chfs_ucx.node', 'libucp.so.0', 'libucs.so.0', 'libnuma.so.1', 'ucx/libuct_cma.so.0']) {
    t.match(loaded.stdout, `${tree}/build/Release/${library}`, `${library} is the one in the tree`)
  }
  const start = [join(tree, 'scripts/start'), place.mountpoint, '-o', `store=${place.store}`]
  t.match(await run(start, { env: { PATH: `${path}:/usr/bin:/bin` } }), { code: 0, stderr: '' })
  t.match(await run([join(tree, 'scripts/umount.fuse.chfs'), place.mountpoint]), { code: 0, stderr: '' })
  const { stdout } = await shell(
    'cd "$1" && find . -name "*.ts" -o -name "*.map" -o -name "test" -path "./dist/*"',
    tree,
  )
  t.equal(stdout, '', 'neither sources nor tests')
  t.notOk(readdirSync(join(tree, 'node_modules')).includes('typescript'), 'nothing that only building needs')
})
