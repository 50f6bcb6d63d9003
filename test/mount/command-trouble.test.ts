/** The command where something is in its way: dead mounts, signals, a kernel without FUSE, disks. As root. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadHash32 } from '../../lib/native/hash.js'
import { isAlive, main, mountChfs, Place, Running, repository, run, shell, until } from './command-helper.js'

/** Runs a script in a mount namespace of its own; what it mounts is seen by nobody else and gone with it. */
const inNamespace = (script: string, ...args: string[]) =>
  run(['unshare', '--mount', '--propagation', 'private', 'sh', '-ec', script, 'sh', ...args])

t.test('a mount whose process was killed is cleared and mounted again, nothing lost', async (t) => {
  const place = new Place(t)
  await place.mount()
  await shell('echo kept >"$1/file"', place.mountpoint)
  const pid = place.server()
  process.kill(pid, 'SIGKILL')
  await until(() => !isAlive(pid))
  t.match(await shell('stat "$1"', place.mountpoint), { code: 1, stderr: /not connected|connection abort/ })
  t.match(await mountChfs(['-f', '-o', `store=${place.store}`, place.mountpoint]), {
    code: 0,
    stderr: `mount.chfs: ${place.mountpoint} is a dead mount that would be taken away\n`,
  })
  t.match(await shell('stat "$1"', place.mountpoint), { code: 1 }, 'still there')
  t.strictSame(await place.mount(), {
    code: 0,
    signal: null,
    stdout: '',
    stderr: `mount.chfs: ${place.mountpoint} is a dead mount of chfs: taking it away\n`,
  })
  t.match(await shell('cat "$1/file"; findmnt -rno FSTYPE "$1"', place.mountpoint), { stdout: 'kept\nfuse.chfs\n' })
  await place.unmount()
  t.notOk(place.isMounted, 'only one mount lay there')
})

// The kernel knew the attributes of the root from before, so stat(2) found nothing wrong and the mount counted as busy.
t.test('a dead mount that the kernel still answers for is cleared too', async (t) => {
  const place = new Place(t)
  await place.mount()
  t.match(await shell('stat "$1"', place.mountpoint), { code: 0 })
  const pid = place.server()
  process.kill(pid, 'SIGKILL')
  await until(() => !isAlive(pid))
  t.match(await place.mount(), { code: 0, stderr: /is a dead mount of chfs: taking it away/ })
  await place.unmount()
})

t.test('a list of members that cannot be right is one line and exit code 1, and nothing is made', async (t) => {
  const place = new Place(t)
  const key = join(place.directory, 'key')
  t.match(await run([join(repository, 'scripts/keygen'), key]), { code: 0 })
  const hosts = join(place.directory, 'hosts')
  writeFileSync(hosts, 'no-such-node-1.invalid\nno-such-node-2.invalid # the other\n')
  const mount = (members: string, options: string) =>
    mountChfs(['-o', `store=${place.store},${options}`, members, place.mountpoint], { env: { HOME: place.directory } })
  const cases: [string, string, RegExp][] = [
    ['127.0.0.1:7401,127.0.0.1:7401', '', /: 127.0.0.1:7401 is twice in the list of members$/],
    ['a,b', `key=${place.directory}/none`, /: key .*none: ENOENT/],
    [`@${hosts}`, `key=${key}`, /none of the members .* is this machine.*not found: no-such-node-1.invalid:7400,/],
    ['127.0.0.1:[7401-7402]', `key=${key}`, /more than one member is this machine .*choose one with self=host:port$/],
    ['127.0.0.1:[7401-7402]', `key=${key},self=127.0.0.1:7403`, /self=127.0.0.1:7403 is none of the members/],
  ]
  for (const [members, options, message] of cases) {
    const outcome = await mount(members, options)
    t.match(outcome, { code: 1, stdout: '' }, members)
    t.match(outcome.stderr.trimEnd(), message, members)
    t.notOk(existsSync(place.store), members)
  }
})

t.test('a dead mount of another kind is left alone', async (t) => {
  const place = new Place(t)
  // A mount of FUSE that nobody serves: its descriptor is gone as soon as it is there.
  const fuse = 'exec 3<>/dev/fuse; mount -i -t fuse.other -o fd=3,rootmode=40000,user_id=0,group_id=0 other "$1"'
  t.match(await run(['bash', '-ec', fuse, 'bash', place.mountpoint]), { code: 0 })
  t.teardown(() => run(['umount', '-i', '-l', place.mountpoint]))
  t.match(await place.mount(), { code: 32, stderr: /is a dead mount of fuse\.other/ })
})

t.test('a start that is interrupted exits 8, whenever it happens, and leaves nothing', async (t) => {
  const place = new Place(t)
  let interrupted = 0
  for (const [index, delayMs] of [300, 500, 700, 900, 1200, 1500, 2000].entries()) {
    const signal = index % 2 === 0 ? 'SIGTERM' : 'SIGINT'
    const starting = new Running([process.execPath, main, '-o', `store=${place.store}`, place.mountpoint])
    await new Promise((resolve) => setTimeout(resolve, delayMs))
    starting.child.kill(signal)
    const { code, stderr, signal: died } = await starting.ended
    if (code === 0) {
      t.ok(place.isMounted, `after ${delayMs} ms it was there already`)
      await place.unmount()
      continue
    }
    // Before the first line of the program the signal ends the runtime itself.
    if (code === null) t.equal(died, signal)
    else t.match({ code, stderr }, { code: 8, stderr: 'mount.chfs: interrupted\n' }, `after ${delayMs} ms`)
    if (code === 8) interrupted++
    t.notOk(place.isMounted)
    t.notOk(place.isServed, 'no process is left')
  }
  t.comment(`${interrupted} of 7 were interrupted while they started`)
  t.match(await place.mount(), { code: 0, stderr: '' }, 'and the store is as good as before')
  await place.unmount()
})

t.test('a place that does not answer ends a start in 10 s, a signal at once', async (t) => {
  const place = new Place(t)
  // A FUSE mount that nobody has greeted yet: whoever asks it anything waits.
  const fuse = `exec 3<>/dev/fuse; mount -i -t fuse.other -o fd=3,rootmode=40000,user_id=0,group_id=0 other "$1"
    echo ready; exec sleep 60`
  const silent = new Running(['bash', '-ec', fuse, 'bash', place.mountpoint])
  await until(() => silent.stdout === 'ready\n')
  for (const more of [[], ['-F']]) {
    const command = [process.execPath, main, ...more, '-o', `store=${place.store}`, place.mountpoint]
    const starting = new Running(command)
    // It bears its title before it asks for the mountpoint, and minds signals before that.
    await until(() => place.isServed)
    starting.child.kill('SIGTERM')
    t.match(await starting.ended, { code: 8, stderr: 'mount.chfs: interrupted\n' })
    t.match(await run(command), { code: 32, stderr: `mount.chfs: ${place.mountpoint} does not answer\n` })
  }
  await run(['umount', '-i', '-l', place.mountpoint])
  silent.child.kill('SIGKILL')
  await silent.ended
})

t.test('without /dev/fuse it is exit code 2', async (t) => {
  const place = new Place(t, '/tmp')
  const script = `
    mkdir "$2/dev" && mount -t tmpfs none "$2/dev" && mknod -m 666 "$2/dev/null" c 1 3 && mount --move "$2/dev" /dev
    exec "$3" "$4" -o store="$2/store" "$1"`
  const outcome = await inNamespace(script, place.mountpoint, place.directory, process.execPath, main)
  t.match(outcome, { code: 2, stderr: 'mount.chfs: /dev/fuse is missing: is there FUSE in this kernel?\n' })
})

t.test('a disk that can only be read is one line and exit code 2', async (t) => {
  const place = new Place(t)
  const script = `
    mkdir "$2/disk" && mount -t tmpfs -o ro none "$2/disk"
    exec "$3" "$4" -o store="$2/disk/store" "$1"`
  const outcome = await inNamespace(script, place.mountpoint, place.directory, process.execPath, main)
  t.match(outcome, { code: 2, stdout: '', stderr: /^mount\.chfs: [^\n]*read-only[^\n]*\n$/i })
  t.notMatch(outcome.stderr, /internal error/)
})

t.test('a disk without room for a store is one line and exit code 2', async (t) => {
  const place = new Place(t)
  const script = `
    mkdir "$2/disk" && mount -t tmpfs -o size=1m none "$2/disk"
    exec "$3" "$4" -o store="$2/disk/store" "$1"`
  const outcome = await inNamespace(script, place.mountpoint, place.directory, process.execPath, main)
  t.match(outcome, { code: 2, stdout: '', stderr: /^mount\.chfs: [^\n]*(no space|room)[^\n]*\n$/i })
  t.notMatch(outcome.stderr, /internal error/)
})

t.test('a store that is full can be mounted, read and emptied', async (t) => {
  const place = new Place(t)
  const script = `
    mkdir "$2/disk" && mount -t tmpfs -o size=96m none "$2/disk"
    "$3" "$4" -o store="$2/disk/store" "$1"
    echo first >"$1/first"
    dd if=/dev/zero of="$1/large" bs=1M count=200 2>"$2/full" && exit 90
    grep -q 'No space left' "$2/full"
    dd if=/dev/zero of="$2/disk/filler" bs=4k 2>/dev/null || true
    "$5" "$1"
    "$3" "$4" -o store="$2/disk/store" "$1"
    cat "$1/first"
    rm "$1/large"
    rm "$2/disk/filler"
    i=0
    until echo second >"$1/second"; do i=$((i + 1)); [ $i -lt 300 ]; sleep 0.1; done
    cat "$1/second"
    "$5" "$1"`
  const helper = join(import.meta.dirname, '../../../scripts/umount.fuse.chfs')
  const outcome = await inNamespace(script, place.mountpoint, place.directory, process.execPath, main, helper)
  t.match(outcome, { code: 0, stdout: 'first\nsecond\n' }, outcome.stderr)
})

t.test('a store that is in use by another mount is exit code 32, and that mount goes on', async (t) => {
  const place = new Place(t)
  const other = new Place(t)
  await place.mount()
  const outcome = await mountChfs(['-o', `store=${place.store}`, other.mountpoint])
  t.match(outcome, { code: 32, stdout: '', stderr: /^mount\.chfs: [^\n]*in use[^\n]*\n$/ })
  t.notOk(other.isMounted)
  t.match(await shell('echo on >"$1/file" && cat "$1/file"', place.mountpoint), { stdout: 'on\n' })
  await place.unmount()
})

t.test('a store that is still drained is waited for, with one line', async (t) => {
  const place = new Place(t)
  await place.mount()
  const pid = place.server()
  // A stopped process drains for as long as we like.
  process.kill(pid, 'SIGSTOP')
  t.match(await run(['umount', '-i', '-l', place.mountpoint]), { code: 0 })
  const second = new Running([process.execPath, main, '-o', `store=${place.store}`, place.mountpoint])
  const line = `mount.chfs: store ${place.store} is still being drained by another process: waiting\n`
  await until(() => second.stderr === line || second.child.exitCode !== null)
  t.equal(second.stderr, line)
  const third = new Running([process.execPath, main, '-o', `store=${place.store}`, place.mountpoint])
  await until(() => third.stderr === line || third.child.exitCode !== null)
  third.child.kill('SIGINT')
  t.match(await third.ended, { code: 8, stderr: `${line}mount.chfs: interrupted\n` })
  process.kill(pid, 'SIGCONT')
  t.match(await second.ended, { code: 0, stderr: line })
  t.ok(place.isMounted)
  await place.unmount()
})

t.test('a directory with something else in it, and a file, are left alone', async (t) => {
  const place = new Place(t)
  await shell('mkdir "$1" && echo mine >"$1/thesis.tex"', place.store)
  const foreign = await place.mount()
  t.match(foreign, { code: 32, stdout: '', stderr: /^mount\.chfs: [^\n]+\n$/ })
  t.notMatch(foreign.stderr, /internal error/)
  t.match(await shell('ls "$1"; cat "$1/thesis.tex"', place.store), { stdout: 'thesis.tex\nmine\n' })
  writeFileSync(join(place.directory, 'file'), '')
  const noDirectory = await mountChfs(['-o', `store=${place.directory}/file`, place.mountpoint])
  t.ok(noDirectory.code === 32 || noDirectory.code === 2)
  t.match(noDirectory.stderr, /^mount\.chfs: (?!internal)[^\n]+\n$/)
  t.notOk(place.isMounted)
})

t.test('a store of a newer format is left alone', async (t) => {
  const place = new Place(t)
  await place.mount()
  await place.unmount()
  // The version at byte 8 of both copies of the record, and its checksum at 16 over the bytes before their end at 12.
  const path = join(place.store, 'superblock')
  const bytes = readFileSync(path)
  const hash = await loadHash32()
  for (const half of [0, 4096]) {
    const record = bytes.subarray(half, half + bytes.readUInt32LE(half + 12))
    record.writeUInt32LE(record.readUInt32LE(8) + 1, 8)
    record.writeUInt32LE(0, 16)
    record.writeUInt32LE(hash(record, 0), 16)
  }
  writeFileSync(path, bytes)
  t.match(await place.mount(), { code: 32, stdout: '', stderr: /^mount\.chfs: store [^\n]*too new[^\n]*\n$/ })
  t.notOk(place.isMounted)
  t.strictSame(readFileSync(path), bytes, 'nothing is changed')
})
