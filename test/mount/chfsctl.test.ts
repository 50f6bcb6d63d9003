/** chfsctl on a mount, and scripts/cluster with one node, which is a cluster too. As root. */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { mountedAt } from '../../mount/mountinfo.js'
import type { MountStatus } from '../../mount/status.js'
import { isAlive, Place, repository, run, shell, until } from './command-helper.js'

const command = fileURLToPath(new URL('../../mount/chfsctl.js', import.meta.url))
const chfsctl = (...args: string[]) => run([process.execPath, command, ...args])
const cluster = (...args: string[]) => run([join(repository, 'scripts/cluster'), ...args])

t.test('status', async (t) => {
  const place = new Place(t)
  const { mountpoint } = place
  t.match(await chfsctl('status', '-m', mountpoint), { code: 3, stderr: /no chfs of this user is mounted on/ })
  t.match(await chfsctl('status', '-m', join(mountpoint, 'none')), { code: 3, stderr: /does not exist/ })
  t.match(await place.mount(), { code: 0 })
  const pid = place.server()
  const text = await chfsctl('status', '--mount', mountpoint)
  t.match(text, { code: 0, stderr: '' })
  t.match(text.stdout, new RegExp(`^${mountpoint}  cluster [0-9a-f]{32}, epoch 1\n  this node, alone  up\n  capacity `))
  const json = await chfsctl('status', '-m', `${mountpoint}/.`, '--json')
  t.match(json, { code: 0, stdout: /^{.*}\n$/ })
  const status = JSON.parse(json.stdout) as MountStatus
  t.match(status, { mountpoint, pid, epoch: 1, clients: 0, members: [{ name: '', state: 'up', isSelf: true }] })
  const { stdout } = await shell('stat -f -c "%b %f %a %S" "$1"', mountpoint)
  const [total = 0, , , block = 0] = stdout.trim().split(' ').map(Number)
  t.equal(status.capacity?.totalBytes, total * block)
  const sockets = readdirSync('/run/chfs').filter((name) => name.endsWith('.sock'))
  for (const name of sockets) t.equal(statSync(`/run/chfs/${name}`).mode & 0o777, 0o600)

  process.kill(pid, 'SIGSTOP')
  t.match(await chfsctl('status', '-m', mountpoint), { code: 1, stderr: /its process does not answer/ })
  process.kill(pid, 'SIGCONT')
  process.kill(pid, 'SIGKILL')
  await until(() => !isAlive(pid))
  t.match(await chfsctl('status', '-m', mountpoint), { code: 3 })
  t.match(await place.mount(), { code: 0 })
  t.match(await chfsctl('status', '-m', mountpoint), { code: 0 }, 'over the socket of one that was killed')
  await place.unmount()
  t.match(await chfsctl('status', '-m', mountpoint), { code: 3 })
})

t.test('without a mount of its own, and with more than one', async (t) => {
  const runtime = new Place(t)
  const surroundings = { env: { XDG_RUNTIME_DIR: join(runtime.directory, 'runtime') } }
  mkdirSync(surroundings.env.XDG_RUNTIME_DIR)
  const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
  const user = (...args: string[]) => run([...asNobody, process.execPath, command, ...args], surroundings)
  t.match(await user('status'), { code: 3, stderr: 'chfsctl: no chfs of this user is mounted\n' })
  const [first, second] = [new Place(t), new Place(t)]
  for (const place of [first, second]) t.match(await place.mount(), { code: 0 })
  t.match(await chfsctl('status'), { code: 2, stderr: /more than one chfs is mounted \(.*choose one with -m/ })
  for (const place of [first, second]) await place.unmount()
})

t.test('wrong arguments', async (t) => {
  const cases: [string[], RegExp][] = [
    [[], /the command is missing/],
    [['nonsense'], /unknown command 'nonsense'/],
    [['status', 'more'], /too many arguments: 'more'/],
    [['status', '--nonsense'], /Unknown option '--nonsense'/],
    [['status', '-m'], /argument missing|is missing/i],
  ]
  for (const [args, message] of cases) {
    const outcome = await chfsctl(...args)
    t.match(outcome, { code: 2, stdout: '', stderr: message }, args.join(' '))
    t.match(outcome.stderr, /^chfsctl: [^\n]* \(try --help\)\n$/)
  }
  t.match(await chfsctl('--help'), { code: 0, stdout: /^usage: chfsctl status/ })
})

t.test('scripts/cluster', async (t) => {
  // Those that scripts/cluster makes for this directory; other tests have theirs.
  const spacesOf = async (directory: string): Promise<string[]> => {
    const hash = createHash('sha256').update(directory).digest('hex').slice(0, 8)
    const { stdout } = await run(['ip', 'netns', 'list'])
    return stdout.split('\n').filter((line) => line.startsWith(`chfs-${hash}-`))
  }
  for (const option of [[], ['--netns']]) {
    const place = new Place(t)
    const directory = join(place.directory, 'a, b')
    const mountpoint = join(directory, 'mnt1')
    t.teardown(() => cluster('down', directory))
    t.match(await cluster('up', '1', directory, ...option, '-o', 'noatime,loglevel=debug'), { code: 0, stderr: '' })
    t.match(mountedAt(mountpoint), { type: 'fuse.chfs', source: option.length > 0 ? /^10\.74/ : /^127\.0\.0\.1:/ })
    t.match(await shell('findmnt -no OPTIONS "$1"', mountpoint), { stdout: /noatime/ })
    t.equal(statSync(join(directory, 'key')).mode & 0o777, 0o600)
    t.equal((await spacesOf(directory)).length, option.length > 0 ? 2 : 0)
    t.match(await cluster('up', '1', directory), { code: 1, stderr: /is mounted already/ })
    t.match(await shell('echo hello >"$1/file"', mountpoint), { code: 0 })
    t.match(await cluster('kill', '1', directory), { code: 0, stderr: '' })
    t.match(await cluster('kill', '1', directory), { code: 1, stderr: /node 1 does not run/ })
    t.match(await cluster('restart', '1', directory), { code: 0 })
    t.match(await shell('cat "$1/file"', mountpoint), { stdout: 'hello\n' })
    t.match(await cluster('restart', '1', directory), { code: 0 }, 'one that runs')
    t.match(await cluster('down', directory), { code: 0, stderr: '' })
    t.equal(mountedAt(mountpoint), null)
    t.strictSame(await spacesOf(directory), [], 'no namespace is left')
    t.match(await cluster('up', '1', directory, ...option), { code: 0 })
    t.match(await shell('cat "$1/file"', mountpoint), { stdout: 'hello\n' }, 'the data is there again')
    t.match(await cluster('down', directory), { code: 0 })
    t.match(await cluster('down', directory), { code: 0 }, 'nothing to do')
  }
  const { directory } = new Place(t)
  const cases: [string[], RegExp][] = [
    [[], /the command is missing/],
    [['nonsense'], /unknown command 'nonsense'/],
    [['up', '0', directory], /'0' is no number of nodes/],
    [['up', '100', directory], /no number of nodes from 1 to 99/],
    [['up', '1'], /are needed/],
    [['up', '1', directory, '-o'], /-o needs options/],
    [['up', '1', directory, '-x'], /unknown argument '-x'/],
    [['down', directory], /there is no cluster in/],
    [['kill', '1'], /kill takes the number/],
  ]
  for (const [args, message] of cases) t.match(await cluster(...args), { code: 1, stderr: message }, args.join(' '))
  writeFileSync(join(directory, 'cluster'), '2\n0\n')
  t.match(await cluster('kill', '3', directory), { code: 1, stderr: /'3' is none of the nodes 1 to 2/ })
})
