/** The command, as it is started on several nodes, by those who get it right and by those who do not. As root. */
import { chmodSync, copyFileSync, cpSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePorts } from './cluster.js'
import { mountChfs, type Outcome, Place, repository, run, shell, until } from './command-helper.js'

// Most of the time somebody waits.
t.jobs = 3

/** How long one waits for others that it is not to meet; and one that is to outwait it. */
const [WAIT, LONG_WAIT] = ['wait=5', 'wait=55']

interface Member extends Place {
  readonly self: string
}

interface Members {
  readonly list: string
  readonly ports: readonly number[]
  readonly key: string
  readonly members: readonly Member[]
}

async function makeKey(path: string): Promise<string> {
  const { code, stderr } = await run([join(repository, 'scripts/keygen'), path])
  if (code !== 0) throw new Error(stderr)
  return path
}

async function prepare(t: Test, count: number): Promise<Members> {
  const ports = await freePorts(count)
  const names = ports.map((port) => `127.0.0.1:${port}`)
  const members = names.map((self) => Object.assign(new Place(t), { self }))
  const key = await makeKey(join((members[0] as Member).directory, 'key'))
  return { list: names.join(','), ports, key, members }
}

/** Starts a member as its user would. */
const start = ({ list, key }: Members, member: Member, options = '', members = list): Promise<Outcome> =>
  mountChfs(
    [
      '-o',
      `store=${member.store},self=${member.self},key=${key}${options && `,${options}`}`,
      members,
      member.mountpoint,
    ],
    { env: { HOME: member.directory } },
  )

/** All of them at once, as srun does; each returns when it is mounted. */
async function startAll(t: Test, cluster: Members): Promise<void> {
  for (const outcome of await Promise.all(cluster.members.map((member) => start(cluster, member)))) {
    t.match(outcome, { code: 0, stdout: '', stderr: '' })
  }
}

const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })

interface Refusal {
  readonly what: string
  readonly message: RegExp | string
  /** Options of the one that comes, its list and its key, where they are others. */
  readonly theirs?: string
  readonly list?: string
  readonly key?: string
}

/** The second comes to the first, which is there already, and is told why it cannot stay. */
async function refuse(t: Test, cluster: Members, refusal: Refusal): Promise<void> {
  const { what, message, theirs = '', list = cluster.list, key = cluster.key } = refusal
  const [first, second] = cluster.members as [Member, Member]
  const patient = start(cluster, first, LONG_WAIT)
  await until(() => listens(cluster.ports[0] as number))
  const options = `${WAIT}${theirs && `,${theirs}`}`
  t.match(await start({ ...cluster, key }, second, options, list), { code: 32, stderr: message }, what)
  t.notOk(first.isMounted || second.isMounted || second.isServed)
  process.kill(first.server(), 'SIGTERM')
  t.match(await patient, { code: 8 })
}

const stopAll = ({ members }: Members): Promise<unknown> => Promise.all(members.map((member) => member.unmount()))

t.test('all at once, as srun does it, with ranges in one list and a host file in another', async (t) => {
  const cluster = await prepare(t, 4)
  const [first] = cluster.members as [Member]
  const hosts = join(first.directory, 'hosts')
  writeFileSync(hosts, `# the nodes\n${cluster.ports.map((port) => `127.0.0.1:${port} # one\n`).join('\n')}`)
  const ranges = `127.0.0.[1-1]:[${cluster.ports.join(',')}]`
  const lists = [cluster.list, `@${hosts}`, ranges, cluster.list.split(',').reverse().join(',')]
  const outcomes = await Promise.all(
    cluster.members.map((member, index) => start(cluster, member, '', lists[index] as string)),
  )
  for (const outcome of outcomes) t.match(outcome, { code: 0, stdout: '', stderr: '' })
  t.match(await shell('echo hello >"$1/file"', first.mountpoint), { code: 0 })
  for (const { mountpoint } of cluster.members) {
    t.match(await shell('cat "$1/file"', mountpoint), { stdout: 'hello\n' })
  }

  await t.test('a client has all of it, and no store', async (t) => {
    const client = new Place(t)
    const options = `client,key=${cluster.key},store=${client.store}`
    t.match(await mountChfs(['-o', options, `@${hosts}`, client.mountpoint]), { code: 0, stderr: '' })
    t.match(await shell('cat "$1/file" && echo more >>"$1/file"', client.mountpoint), { code: 0, stdout: 'hello\n' })
    t.match(await shell('ls "$1"', client.store), { stderr: /No such file/ })
    t.match(await client.unmount(), { code: 0 })
    t.match(await shell('cat "$1/file"', first.mountpoint), { stdout: 'hello\nmore\n' })
  })
  await stopAll(cluster)
})

t.test('what differs is named, and nobody is mounted', async (t) => {
  // Whichever of the two is told first, by itself or by the other one.
  const refusals: ((cluster: Members) => Promise<Refusal> | Refusal)[] = [
    () => ({
      what: 'chunk size',
      theirs: 'chunk=2MiB',
      message: /its chunk size \(chunk=\) is \d+, that of this node \d+/,
    }),
    () => ({
      what: 'vnodes=',
      theirs: 'vnodes=9',
      message: /virtual nodes \(vnodes=\) is (150|9), that of this node (150|9)/,
    }),
    () => ({
      what: 'layout=',
      theirs: 'layout=local',
      message: /layout \(layout=\) is [01], that of this node [01]/,
    }),
    ({ list }) => ({
      what: 'the list',
      list: list.split(',').slice(0, 2).join(','),
      message: /its members are [\d.:,]+, those of this node [\d.:,]+/,
    }),
    async ({ key }) => ({ what: 'the key', key: await makeKey(`${key}.other`), message: /it has another key/ }),
    ({ members }) => ({
      what: 'who never comes',
      message: `${members[2]?.self} (it cannot be reached: nobody listens`,
    }),
  ]
  await Promise.all(
    refusals.map(async (refusalOf) => {
      const cluster = await prepare(t, 3)
      await refuse(t, cluster, await refusalOf(cluster))
    }),
  )
})

t.test('keys', async (t) => {
  const cluster = await prepare(t, 2)
  const [first] = cluster.members as [Member]
  const { store, mountpoint, directory, self } = first
  const surroundings = { env: { HOME: store } }
  const without = await mountChfs(['-o', `store=${store},self=${self}`, cluster.list, mountpoint], surroundings)
  t.match(without, { code: 1, stderr: /know each other by a key, and there is none: make one with scripts\/keygen/ })
  const open = join(directory, 'open')
  copyFileSync(cluster.key, open)
  chmodSync(open, 0o644)
  t.match(await start({ ...cluster, key: open }, first), {
    code: 1,
    stderr: /others than its owner may use it \(mode 644/,
  })
  writeFileSync(open, 'abc\n', { mode: 0o600 })
  chmodSync(open, 0o600)
  t.match(await start({ ...cluster, key: open }, first), { code: 1, stderr: /it is no key: 64 hexadecimal digits/ })
})

t.test('two nodes that take themselves for the same member', async (t) => {
  const cluster = await prepare(t, 2)
  const [first, second] = cluster.members as [Member, Member]
  const waiting = start(cluster, first, LONG_WAIT)
  await until(() => listens(cluster.ports[0] as number))
  const wrong = await start(cluster, Object.assign(second, { self: first.self }), WAIT)
  t.not(wrong.code, 0)
  t.match(wrong.stderr, new RegExp(`127.0.0.1.*${cluster.ports[0]}`), 'the port is in use')
  process.kill(first.server(), 'SIGTERM')
  t.match(await waiting, { code: 8 })
})

t.test('stores that are not the ones of before', async (t) => {
  const cluster = await prepare(t, 2)
  const [first, second] = cluster.members as [Member, Member]
  await startAll(t, cluster)
  t.match(await shell('mkdir "$1/d" && echo hello >"$1/d/file"', first.mountpoint), { code: 0 })
  await stopAll(cluster)
  const kept = join(second.directory, 'kept')
  cpSync(second.store, kept, { recursive: true })
  const place = (from?: string): void => {
    rmSync(second.store, { recursive: true, force: true })
    if (from !== undefined) cpSync(from, second.store, { recursive: true })
  }

  place()
  await refuse(t, cluster, {
    what: 'an empty one',
    message: /store is new to (its|the) cluster \w+, which had another/,
  })

  place()
  const alone = await mountChfs(['-o', `store=${second.store}`, second.mountpoint])
  t.match(alone, { code: 0 })
  await second.unmount()
  t.match(await start(cluster, second, WAIT), { code: 32, stderr: /it is that of a node which is alone/ }, 'alone')

  place(first.store)
  const copied = await start(cluster, second, WAIT)
  t.match(copied, { code: 32, stderr: /store/ }, 'that of the other member')

  place()
  const mine = join(first.directory, 'mine')
  cpSync(first.store, mine, { recursive: true })
  rmSync(first.store, { recursive: true })
  await startAll(t, cluster)
  await stopAll(cluster)
  rmSync(first.store, { recursive: true })
  cpSync(mine, first.store, { recursive: true })
  await refuse(t, cluster, { what: 'of another cluster', message: /its cluster is \w{32}, that of this node \w{32}/ })

  place(kept)
  const more = `${cluster.list},127.0.0.1:1`
  t.match(await start(cluster, first, WAIT, more), { code: 32, stderr: /members/ }, 'a longer list')
  await startAll(t, cluster)
  t.match(await shell('cat "$1/d/file"', second.mountpoint), { stdout: 'hello\n' }, 'with its own all is there')
  await stopAll(cluster)
})
