/** scripts/install, uninstall, start and the helpers of mount(8) and umount(8), with the real /sbin. As root. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startTimeOf } from '../../mount/runfile.js'
import { isAlive, Place, Running, repository, run, shell, titleOf, until } from './command-helper.js'

const script = (name: string, ...args: string[]) => run([join(repository, 'scripts', name), ...args])
const helper = join(repository, 'scripts/umount.fuse.chfs')
const listing = (directory: string) => shell('cd "$1" && find . ! -name . | sort', directory)

async function runFileOf(place: Place): Promise<string> {
  const { stdout } = await shell('printf %s "$1" | sha256sum | cut -c 1-16', place.mountpoint)
  return `/run/chfs/${stdout.trim()}`
}

t.test('install places its files, uninstall takes exactly these away', async (t) => {
  const { directory } = new Place(t)
  const prefix = join(directory, 'system')
  mkdirSync(join(prefix, 'usr/share'), { recursive: true })
  const before = await listing(prefix)
  t.match(await script('install', '--prefix', prefix), { code: 0, stderr: '' })
  const helpers = ['/sbin/umount.fuse.chfs', '/sbin/umount.fuse', '/usr/share/man/man8/mount.chfs.8']
  const commands = ['/sbin/mount.chfs', '/usr/bin/chfsctl']
  for (const path of [...commands, ...helpers]) t.ok(existsSync(prefix + path), path)
  for (const path of commands) {
    t.match(await run([prefix + path, '--help'], { env: { PATH: '/nonexistent' } }), { code: 0, stdout: /usage/ })
  }
  t.match(await script('install', `--prefix=${prefix}`), { code: 0, stderr: '' }, 'again')
  t.match(await script('uninstall', '--prefix', prefix), { code: 0, stderr: '' })
  t.strictSame(await listing(prefix), before, 'nothing is left, and nothing else is gone')
  t.match(await script('uninstall', '--prefix', prefix), { code: 0, stdout: /nothing is installed/ })
})

t.test('install and uninstall leave the files of others alone', async (t) => {
  const { directory } = new Place(t)
  const prefix = join(directory, 'system')
  mkdirSync(join(prefix, 'sbin'), { recursive: true })
  writeFileSync(join(prefix, 'sbin/mount.chfs'), 'another chfs')
  t.match(await script('install', '--prefix', prefix), { code: 1, stderr: /was not placed by scripts\/install/ })
  t.match(await listing(prefix), { stdout: './sbin\n./sbin/mount.chfs\n' })
  t.match(await shell('rm "$1/sbin/mount.chfs"', prefix), { code: 0 })
  await script('install', '--prefix', prefix)
  writeFileSync(join(prefix, 'sbin/mount.chfs'), 'changed by hand')
  t.match(await script('uninstall', '--prefix', prefix), { code: 0, stderr: /was changed since and is left/ })
  t.equal(readFileSync(join(prefix, 'sbin/mount.chfs'), 'utf8'), 'changed by hand')
})

const isInstalled = existsSync('/usr/share/chfs/installed') || existsSync('/sbin/mount.chfs')
const skip = isInstalled && 'chfs is installed on this machine already'

t.test('installed: mount(8), fstab and umount(8)', { skip }, async (t) => {
  t.match(await script('install'), { code: 0, stderr: '' })
  t.teardown(() => script('uninstall'))
  const place = new Place(t)
  const { mountpoint, store, directory } = place

  await t.test('mount -t chfs, and umount waits until the process is gone', async (t) => {
    const outcome = await run(['mount', '-t', 'chfs', '-o', `store=${store},noatime`, 'data', mountpoint])
    t.match(outcome, { code: 0, stdout: '', stderr: '' })
    const pid = place.server()
    t.equal(titleOf(pid), `mount.chfs data ${mountpoint}`)
    t.match(await run(['findmnt', '-rno', 'SOURCE,FSTYPE,OPTIONS', mountpoint]), {
      stdout: /^data fuse\.chfs \S*noatime/,
    })
    await shell('echo hello >"$1/file"', mountpoint)
    t.match(await run(['umount', mountpoint]), { code: 0, stdout: '', stderr: '' })
    t.notOk(isAlive(pid))
    t.notOk(place.isMounted)
  })

  await t.test('a mount of another type is left to umount(8)', async (t) => {
    const fuse = 'exec 3<>/dev/fuse; mount -i -t fuse.other -o fd=3,rootmode=40000,user_id=0,group_id=0 other "$1"'
    t.match(await run(['bash', '-ec', fuse, 'bash', mountpoint]), { code: 0 })
    t.match(await run(['/sbin/umount.fuse', mountpoint]), { code: 0, stderr: '' })
    t.match(await run(['findmnt', mountpoint]), { code: 1, stdout: '' })
  })

  await t.test('the exit codes pass through mount(8)', async (t) => {
    t.match(await run(['mount', '-t', 'chfs', '-o', 'nonsense', 'chfs', mountpoint]), { code: 1, stderr: /nonsense/ })
    const unknown = await run(['mount', '-s', '-t', 'chfs', '-o', `nonsense,store=${store}`, 'chfs', mountpoint])
    t.match(unknown, { code: 0 })
    const busy = await run(['mount', '-t', 'chfs', '-o', `store=${directory}/other`, 'again', mountpoint])
    t.match(busy, { code: 32, stderr: /busy/ })
    t.match(await run(['umount', mountpoint]), { code: 0 })
    t.match(await run(['mount', '-f', '-t', 'chfs', '-o', `store=${store}`, 'chfs', mountpoint]), { code: 0 })
    t.notOk(place.isMounted)
    t.match(await run(['umount', mountpoint]), { code: 32, stderr: /not mounted/ })
  })

  await t.test('a line of fstab, mounted by its directory and by mount -a', async (t) => {
    const fstab = join(directory, 'fstab')
    writeFileSync(fstab, `chfs ${mountpoint} chfs store=${store},_netdev,nofail,nosuid,x-systemd.automount 0 0\n`)
    t.match(await run(['mount', '-T', fstab, mountpoint]), { code: 0, stderr: '' })
    t.match(await shell('cat "$1/file"', mountpoint), { stdout: 'hello\n' })
    t.match(await run(['mount', '-T', fstab, '-a', '-t', 'chfs']), { code: 0 }, 'a second time it is there already')
    t.match(await run(['findmnt', '-rno', 'TARGET', '-t', 'fuse.chfs', mountpoint]), { stdout: `${mountpoint}\n` })
    t.match(await run(['umount', mountpoint]), { code: 0, stderr: '' })
    t.match(await run(['mount', '-T', fstab, '-a', '-t', 'chfs']), { code: 0, stderr: '' })
    t.ok(place.isMounted)
    t.match(await run(['umount', '-t', 'fuse.chfs', mountpoint]), { code: 0, stderr: '' })
  })

  await t.test('umount of a busy, a lazy and a dead mount', async (t) => {
    const mount = ['mount', '-t', 'chfs', '-o', `store=${store}`, 'chfs', mountpoint]
    t.match(await run(mount), { code: 0 })
    const pid = place.server()
    const holder = new Running(['sh', '-c', 'exec 3>"$1/held" && echo ready && exec sleep 60', 'sh', mountpoint])
    await until(() => holder.stdout === 'ready\n')
    t.match(await run(['umount', mountpoint]), { code: 32, stderr: /busy/ })
    t.match(await run(['umount', '-l', mountpoint]), { code: 0 }, 'a lazy one waits for nobody')
    t.ok(isAlive(pid))
    holder.child.kill('SIGKILL')
    await holder.ended
    await until(() => !isAlive(pid))
    t.match(await run(mount), { code: 0, stderr: '' })
    const second = place.server()
    process.kill(second, 'SIGKILL')
    await until(() => !isAlive(second))
    t.match(await run(['umount', mountpoint]), { code: 0, stderr: '' })
    t.notOk(place.isMounted)
  })
})

t.test('the umount helper waits for the process and returns its exit code', async (t) => {
  const place = new Place(t)
  for (const [status, code, message] of [
    ['0', 0, /^$/],
    ['32', 32, /ended with exit code 32/],
    ['', 2, /died before it had finished/],
  ] as const) {
    await place.mount()
    const file = await runFileOf(place)
    // In place of the server another process, whose end we choose.
    const drainer = new Running(['sleep', '60'])
    writeFileSync(`${file}.pid`, `${drainer.pid} ${startTimeOf(drainer.pid)}\n${place.store}\n${place.mountpoint}\n`)
    const pid = place.server()
    const umount = new Running([helper, place.mountpoint])
    await until(() => umount.stderr.includes(`waiting for process ${drainer.pid}`))
    t.notOk(place.isMounted)
    await until(() => !isAlive(pid))
    writeFileSync(`${file}.status`, status && `${drainer.pid} ${status}\n`)
    drainer.child.kill('SIGKILL')
    const outcome = await umount.ended
    t.equal(outcome.code, code)
    t.match(outcome.stderr.split('\n').slice(1).join(''), message)
  }
  await place.mount()
  t.match(await run([helper, place.mountpoint, '-v', '-t', 'fuse.chfs']), { code: 0, stderr: /unmounted/ })
})

t.test('the umount helper without a run file, and with one of another process', async (t) => {
  const place = new Place(t)
  await place.mount()
  const runFile = `${await runFileOf(place)}.pid`
  const text = readFileSync(runFile, 'utf8')
  const pid = place.server()
  t.match(text, new RegExp(`^${pid} \\d+\\n${place.store}\\n${place.mountpoint}\\n$`))
  writeFileSync(runFile, text.replace(/^\d+ \d+/, `${process.pid} 1`))
  t.match(await run([helper, place.mountpoint]), { code: 0, stderr: '' })
  await until(() => !isAlive(pid))
  await place.mount()
  const second = place.server()
  await run(['rm', runFile])
  t.match(await run([helper, place.mountpoint]), { code: 0, stderr: '' })
  await until(() => !isAlive(second))
  t.match(await run([helper, place.mountpoint]), { code: 32, stderr: /not mounted/ })
  t.match(await run([helper]), { code: 1, stderr: /mountpoint is missing/ })
})

t.test('the umount helper does not wait for a mount that goes on elsewhere', async (t) => {
  const place = new Place(t)
  await place.mount()
  const pid = place.server()
  const copy = join(place.directory, 'copy')
  mkdirSync(copy)
  await run(['mount', '--bind', place.mountpoint, copy])
  t.match(await run([helper, place.mountpoint]), { code: 0, stderr: /still mounted elsewhere/ })
  t.match(await shell('echo on >"$1/file" && cat "$1/file"', copy), { stdout: 'on\n' })
  t.match(await run(['umount', '-i', copy]), { code: 0 })
  await until(() => !isAlive(pid))
})

t.test('scripts/start makes the mountpoint, mounts, and says in three lines what to do', async (t) => {
  const place = new Place(t)
  const mountpoint = join(place.directory, 'new/place')
  const outcome = await script('start', mountpoint, '-o', `store=${place.store}`)
  t.equal(outcome.code, 0, outcome.stderr)
  const lines = outcome.stdout.trimEnd().split('\n').slice(-3)
  t.match(lines, [`chfs is mounted on ${mountpoint}`, /^try: {3}(.*)$/, `stop:  umount ${mountpoint}`])
  t.match(await shell(lines[1]?.replace('try:', '') ?? 'false'), { code: 0, stderr: '' }, 'what to try works')
  t.match(await script('start', mountpoint), { code: 0, stdout: /already mounted on .*stop it with: umount / })
  t.match(await run([helper, mountpoint]), { code: 0 })
  t.match(await script('start'), { code: 1, stderr: 'start: the directory is missing (try --help)\n' })
  for (const name of ['start', 'install', 'uninstall', 'pack', 'build', 'test', 'check', 'keygen', 'cluster']) {
    t.match(await script(name, '--help'), { code: 0, stdout: new RegExp(`^usage: scripts/${name}`) })
    t.match(await script(name, '--nonsense'), { code: 1, stderr: /try --help/ })
  }
})
