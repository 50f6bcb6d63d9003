/** The command as mount(8) and people call it: what it does, prints and returns. As root. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { exitMeaning } from '../../mount/exit.js'
import { isAlive, main, mountChfs, Place, Running, run, shell, titleOf, until } from './command-helper.js'

t.test('goes to the background once the mount answers, and exits 0 without a word', async (t) => {
  const place = new Place(t)
  t.strictSame(await place.mount(), { code: 0, signal: null, stdout: '', stderr: '' })
  t.strictSame(await shell('echo hello >"$1/file" && cat "$1/file"', place.mountpoint), {
    code: 0,
    signal: null,
    stdout: 'hello\n',
    stderr: '',
  })
  const pid = place.server()
  t.equal(titleOf(pid), `mount.chfs chfs ${place.mountpoint}`)
  t.equal(readFileSync(`/proc/${pid}/comm`, 'utf8').slice(0, 10), 'mount.chfs', 'also where only 15 bytes are shown')
  t.match(await run(['readlink', `/proc/${pid}/cwd`]), { stdout: '/\n' }, 'keeps no directory busy')
  t.match(await run(['ps', '-o', 'sid=,tty=', '-p', String(pid)]), { stdout: new RegExp(`^ *${pid} \\?`) })
  t.match(await place.unmount(), { code: 0 })
})

t.test('what was written is there after the next mount, also under another source', async (t) => {
  const place = new Place(t)
  await place.mount()
  await shell('echo kept >"$1/file"', place.mountpoint)
  await place.unmount()
  const outcome = await mountChfs(['-v', '-o', `store=${place.store}`, 'my data', place.mountpoint])
  t.match(outcome, { code: 0, stderr: `mount.chfs: my data mounted on ${place.mountpoint}\n` })
  t.equal(titleOf(place.server()), `mount.chfs my data ${place.mountpoint}`)
  t.match(await shell('cat "$1/file"; findmnt -rno SOURCE,FSTYPE "$1"', place.mountpoint), {
    stdout: 'kept\nmy\\x20data fuse.chfs\n',
  })
  await place.unmount()
})

for (const [how, end] of [
  ['umount', (place: Place) => run(['umount', '-i', place.mountpoint])],
  ['SIGTERM', async (_: Place, running: Running) => process.kill(running.pid, 'SIGTERM')],
  ['SIGINT', async (_: Place, running: Running) => process.kill(running.pid, 'SIGINT')],
] as const) {
  t.test(`-F stays in front until ${how}, drains and exits 0`, async (t) => {
    const place = new Place(t)
    const running = await place.foreground()
    t.equal(place.server(), running.pid)
    await shell('echo hello >"$1/file"', place.mountpoint)
    await end(place, running)
    const outcome = await running.ended
    t.match(outcome, { code: 0, signal: null, stdout: '' })
    t.match(outcome.stderr, /"msg":"drained"/)
    t.notOk(place.isMounted)
    await place.mount()
    t.match(await shell('cat "$1/file"', place.mountpoint), { stdout: 'hello\n' })
    await place.unmount()
  })
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} ends the background process in order`, async (t) => {
    const place = new Place(t)
    await place.mount()
    const pid = place.server()
    process.kill(pid, signal)
    await until(() => !isAlive(pid))
    t.notOk(place.isMounted)
    t.strictSame(
      place.log().map(({ msg, cause }) => [msg, cause]),
      [
        ['mounted', undefined],
        ['ending', signal],
        ['drained', undefined],
      ],
    )
  })
}

t.test('SIGHUP leaves the background process alone', async (t) => {
  const place = new Place(t)
  await place.mount()
  process.kill(place.server(), 'SIGHUP')
  t.match(await shell('echo on >"$1/file" && cat "$1/file"', place.mountpoint), { stdout: 'on\n' })
  await place.unmount()
})

t.test('a signal takes a busy mount away lazily', async (t) => {
  const place = new Place(t)
  const running = await place.foreground()
  const holder = new Running(['sh', '-c', 'exec 3>"$1/held" && echo ready && exec sleep 60', 'sh', place.mountpoint])
  await until(() => holder.stdout === 'ready\n')
  process.kill(running.pid, 'SIGTERM')
  await until(() => !place.isMounted)
  process.kill(holder.pid, 'SIGKILL')
  t.match(await running.ended, { code: 0, stderr: /busy: unmounted lazily/ })
  await holder.ended
})

t.test('-f checks everything and does nothing', async (t) => {
  const place = new Place(t)
  t.strictSame(await mountChfs(['-f', '-o', `store=${place.store}`, place.mountpoint]), {
    code: 0,
    signal: null,
    stdout: '',
    stderr: '',
  })
  t.notOk(place.isMounted)
  t.match(await shell('ls "$1"', place.directory), { stdout: 'mnt\n' }, 'no store either')
  t.match(await mountChfs(['-f', '-o', 'nonsense', place.mountpoint]), { code: 1 })
  t.match(await mountChfs(['-f', `${place.directory}/none`]), { code: 32 })
})

t.test('-s tolerates unknown options; without it they end it', async (t) => {
  const place = new Place(t)
  t.strictSame(await place.mount('nonsense'), {
    code: 1,
    signal: null,
    stdout: '',
    stderr: "mount.chfs: unknown option 'nonsense'\n",
  })
  t.notOk(place.isMounted)
  const outcome = await mountChfs(['-s', '-n', '-t', 'chfs', '-o', `nonsense=1,store=${place.store}`, place.mountpoint])
  t.match(outcome, { code: 0, stderr: '' })
  await place.unmount()
})

t.test('options of mount(8) and of the kernel take effect', async (t) => {
  const place = new Place(t)
  t.match(await place.mount('defaults,_netdev,nofail,user,exec,noatime,x-systemd.automount'), { code: 0, stderr: '' })
  const { stdout } = await run(['findmnt', '-rno', 'OPTIONS', place.mountpoint])
  const options = stdout.trim().split(',')
  for (const option of ['rw', 'nosuid', 'nodev', 'noatime', 'allow_other', 'default_permissions']) {
    t.ok(options.includes(option), option)
  }
  t.notOk(options.includes('noexec'), 'exec after user')
  await place.unmount()
  t.match(await place.mount('ro'), { code: 0 })
  t.match(await shell('touch "$1/file"', place.mountpoint), { code: 1, stderr: /Read-only file system/ })
  await place.unmount()
})

t.test('-N mounts in the namespace of another process', async (t) => {
  const place = new Place(t)
  const other = new Running(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', 'echo ready; exec sleep 60'])
  await until(() => other.stdout === 'ready\n')
  const outcome = await mountChfs(['-vN', String(other.pid), '-o', `store=${place.store}`, place.mountpoint])
  t.match(outcome, { code: 0, stderr: / mounted on / })
  t.notOk(place.isMounted)
  const pid = place.server()
  const inside = ['nsenter', `--mount=/proc/${other.pid}/ns/mnt`]
  t.match(await run([...inside, 'findmnt', '-rno', 'FSTYPE', place.mountpoint]), { stdout: 'fuse.chfs\n' })
  t.match(await run([...inside, 'umount', '-i', place.mountpoint]), { code: 0 })
  await until(() => !isAlive(pid))
  t.match(await mountChfs(['-N', '/nonexistent', place.mountpoint]), { code: 1, stderr: /nsenter/ })
  other.child.kill('SIGKILL')
  await other.ended
})

t.test('what is wrong with the arguments is one line and exit code 1', async (t) => {
  const place = new Place(t)
  const { mountpoint } = place
  const cases: [string[], RegExp][] = [
    [[], /the mountpoint is missing/],
    [['-X', mountpoint], /unknown argument: X/i],
    [['-o', 'config=/nonexistent.toml', mountpoint], /configuration \/nonexistent\.toml: ENOENT/],
    [['-o', `store=${mountpoint}/store`, mountpoint], /may not lie below the mountpoint/],
    [['-o', `store=${place.store},log=/nonexistent/log`, mountpoint], /log \/nonexistent\/log: ENOENT/],
  ]
  for (const [args, message] of cases) {
    const outcome = await mountChfs(args)
    t.match(outcome, { code: 1, stdout: '', stderr: message }, args.join(' '))
    t.match(outcome.stderr, /^mount\.chfs: [^\n]+\n$/, 'one line')
    t.notOk(place.isMounted)
  }
})

t.test('--help names every exit code, --version is that of the package', async (t) => {
  const { code, stdout } = await mountChfs(['--help'])
  t.equal(code, 0)
  for (const [exit, meaning] of exitMeaning) t.match(stdout, new RegExp(`^ +${exit} +${meaning.slice(0, 16)}`, 'm'))
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'))
  t.match(await mountChfs(['--version']), { code: 0, stdout: `${version}\n` })
})

t.test('a mountpoint that is missing, no directory or busy is exit code 32', async (t) => {
  const place = new Place(t)
  const store = `store=${place.store}`
  writeFileSync(join(place.directory, 'file'), '')
  t.match(await mountChfs(['-o', store, `${place.directory}/none`]), { code: 32, stderr: /none does not exist\n$/ })
  t.match(await mountChfs(['-o', store, `${place.directory}/file`]), { code: 32, stderr: /file is not a directory\n$/ })
  t.match(await mountChfs(['-o', store, `${place.directory}/file/x`]), { code: 32, stderr: /x is not a directory\n$/ })
  t.match(await shell('ls "$1"', place.directory), { stdout: 'file\nmnt\n' }, 'nothing was made')
  await place.mount()
  const again = await mountChfs(['-o', `store=${place.directory}/other`, place.mountpoint])
  t.match(again, { code: 32, stderr: `mount.chfs: ${place.mountpoint} is busy: chfs is already mounted there\n` })
  t.match(await shell('touch "$1/still"', place.mountpoint), { code: 0 }, 'the mount goes on')
  await place.unmount()
})

t.test('mountpoints with blanks, commas, quotes and symbolic links', async (t) => {
  const place = new Place(t)
  for (const [index, name] of ['007', 'no-such, "a" b\\134ü'].entries()) {
    const mountpoint = join(place.directory, name)
    mkdirSync(mountpoint)
    const store = `store=${place.directory}/store-${index}`
    const outcome = await mountChfs(['-o', store, name], { cwd: place.directory })
    t.match(outcome, { code: 0, stderr: '' }, name)
    t.match(await shell('echo hello >"$1/file" && cat "$1/file"', mountpoint), { stdout: 'hello\n' }, name)
    t.match(await run([join(import.meta.dirname, '../../../scripts/umount.fuse.chfs'), mountpoint]), { code: 0 }, name)
  }
  await shell('ln -s mnt "$1/link"', place.directory)
  t.match(await mountChfs(['-o', `store=${place.store}`, `${place.directory}/link`]), { code: 0 })
  t.ok(place.isMounted)
  await place.unmount()
})

t.test('the options may stand in a file', async (t) => {
  const place = new Place(t)
  const config = join(place.directory, 'chfs.toml')
  writeFileSync(config, 'store = "store"\nro = true\nloglevel = "debug"\nchunk = "1MiB"\n')
  t.match(await mountChfs(['-o', `config=${config}`, place.mountpoint]), { code: 0, stderr: '' })
  t.match(await run(['findmnt', '-rno', 'OPTIONS', place.mountpoint]), { stdout: /^ro,/ })
  await place.unmount()
  t.match(await mountChfs(['-o', `config=${config},rw`, place.mountpoint]), { code: 0 })
  t.match(await run(['findmnt', '-rno', 'OPTIONS', place.mountpoint]), { stdout: /^rw,/ }, 'options win')
  await place.unmount()
  writeFileSync(config, 'nonsense = 1\n')
  t.match(await mountChfs(['-o', `config=${config}`, place.mountpoint]), {
    code: 1,
    stderr: `mount.chfs: configuration ${config}: unknown option 'nonsense'\n`,
  })
})

t.test('the log: JSON in a file, no line an operation', async (t) => {
  const place = new Place(t)
  const log = join(place.directory, 'the.log')
  await place.mount(`log=${log}`)
  await shell('for i in $(seq 50); do echo $i >"$1/$i"; cat "$1/$i"; rm "$1/$i"; done; ls -l "$1"', place.mountpoint)
  await place.unmount()
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n')
  t.strictSame(
    lines.map((line) => JSON.parse(line).msg),
    ['mounted', 'ending', 'drained'],
  )
  for (const line of lines) {
    const { time, pid, level } = JSON.parse(line)
    t.match({ time, pid, level }, { time: /^\d{4}-\d\d-\d\dT/, pid: Number, level: Number })
  }
})

t.test('the log in the foreground on a terminal is for people', async (t) => {
  const place = new Place(t)
  const command = `${process.execPath} ${main} -F -o store=${place.store} ${place.mountpoint}`
  const terminal = new Running(['script', '-qec', command, '/dev/null'])
  await until(() => place.isMounted && terminal.stdout.includes('mounted'))
  await run(['umount', '-i', place.mountpoint])
  const { code, stdout } = await terminal.ended
  t.equal(code, 0)
  t.match(stdout, /INFO.*: .*mounted/)
  t.notMatch(stdout, /"level"/)
})
