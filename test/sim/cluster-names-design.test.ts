/** What the design promises of names on several nodes, sentence by sentence, each in the situation that it is about. */
import t from 'tap'
import { EEXIST, EINVAL, EIO, ENOENT, ENOTEMPTY, ESTALE } from '../../lib/base/errno.js'
import { S_IFDIR, S_IFREG, S_ISGID } from '../../lib/base/mode.js'
import { type Done, PENDING } from '../../lib/ports.js'
import { KEY_GRAVE, KEY_INTENT, KEY_OUTBOX } from '../../lib/wire/records.js'
import type { NumberedInode } from '../../lib/wire/struct.js'
import { NamesClient, named } from './names-client.js'
import { NamesWorld, ROOT, type WorldOptions } from './names-world.js'
import { Prng } from './prng.js'

const FILE = S_IFREG | 0o644
const DIRECTORY = S_IFDIR | 0o755
const TIMEOUT_MS = 30_000
const CALLER = { uid: 1, gid: 2, pid: 3, umask: 0 }

type Clients = [NamesClient, NamesClient, NamesClient]

function stage(seed = 1, options: Partial<WorldOptions> = {}): { world: NamesWorld; clients: Clients } {
  const world = new NamesWorld(new Prng(seed), { members: 3, ...options })
  return { world, clients: world.nodes.map((node) => new NamesClient(world, node)) as Clients }
}

/** A directory whose inode lies on this member. */
const directoryOn = (client: NamesClient, member: number, prefix = 'd'): number =>
  client.mknod(ROOT, client.nameOn(ROOT, prefix, member), DIRECTORY)

function inodeOf(client: NamesClient, number: number): NumberedInode {
  const inode = client.stat(number)
  if (typeof inode === 'number') throw new Error(`stat: ${inode}`)
  return inode
}

/** Records of a type in a member's store. */
const records = ({ node }: NamesClient, type: number): number =>
  [...node.kv.records()].filter(([key]) => key[0] === type).length

/** How long it takes. */
function timeOf(world: NamesWorld, run: () => void): number {
  const startedMs = world.clock.monotonicMs()
  run()
  return world.clock.monotonicMs() - startedMs
}

const later = (a: NumberedInode, b: NumberedInode): boolean =>
  a.mtime > b.mtime || (a.mtime === b.mtime && a.mtimeNs > b.mtimeNs)

t.test('when a change of entries has returned, the directory says so to everybody', async (t) => {
  const { clients } = stage()
  const [a, b] = clients
  const directory = directoryOn(a, 0)
  b.walk([a.nameOn(ROOT, 'd', 0)])
  for (const member of [0, 1, 2]) {
    const name = a.nameOn(directory, 'f', member)
    for (const change of [
      () => a.mknod(directory, name, FILE),
      () => a.rename(directory, name, directory, a.nameOn(directory, 'g', (member + 1) % 3)),
      () => a.unlink(directory, a.nameOn(directory, 'g', (member + 1) % 3)),
    ]) {
      const before = inodeOf(b, directory)
      t.ok(change() >= 0)
      t.ok(later(inodeOf(b, directory), before))
    }
    const links = inodeOf(b, directory).nlink
    t.ok(a.mknod(directory, name, DIRECTORY) > 0)
    t.equal(inodeOf(b, directory).nlink, links + 1)
    t.equal(a.rmdir(directory, name), 0)
    t.equal(inodeOf(b, directory).nlink, links)
  }
})

t.test('what gathers while an update of a directory is under way is sent as one', async (t) => {
  const { world, clients } = stage()
  const [a] = clients
  const directory = directoryOn(a, 1)
  const sent = (): number => clients[0].node.node.sent.get('InodeTouch') ?? 0
  const before = sent()
  const operations = Array.from({ length: 50 }, (_, index) => {
    const name = named(a.nameOn(directory, `f${index}-`, 0))
    return a.begin((done) => a.node.fs.mknod(directory, name, FILE, 0, CALLER, done))
  })
  for (const operation of operations) t.equal(world.finish(operation), 0)
  t.ok(sent() - before <= 2, `${sent() - before} messages for 50 files`)
  world.rest(10)
  t.equal(records(a, KEY_OUTBOX), 0)
})

t.test('what one turn changes of a directory is told as one', async (t) => {
  const { world, clients } = stage()
  const [a] = clients
  const directory = directoryOn(a, 1)
  const { fs, turn, node } = a.node
  const before = node.sent.get('InodeTouch') ?? 0
  const results: number[] = []
  turn.begin()
  for (const prefix of ['f', 'g', 'h']) {
    const made = fs.mknod(directory, named(a.nameOn(directory, prefix, 0)), FILE, 0, CALLER, (late) =>
      results.push(late),
    )
    t.equal(made, PENDING)
  }
  turn.end()
  world.rest(1000)
  t.strictSame(results, [0, 0, 0])
  t.equal((node.sent.get('InodeTouch') ?? 0) - before, 1)
  t.equal(records(a, KEY_OUTBOX), 0)
})

t.test('a crash between the entry and its directory loses neither', async (t) => {
  const { world, clients } = stage()
  const [a, b, c] = clients
  const directory = directoryOn(a, 1)
  c.walk([a.nameOn(ROOT, 'd', 1)])
  const before = inodeOf(b, b.walk([a.nameOn(ROOT, 'd', 1)]))
  const name = a.nameOn(directory, 'f', 0)
  world.cutOff(1)
  c.begin((done) => c.node.fs.mknod(directory, named(name), DIRECTORY, 0, CALLER, done))
  world.rest(1000)
  t.equal(records(a, KEY_OUTBOX), 1)
  world.crash(0, 'process')
  world.restart(0)
  world.rest(1000)
  world.rejoin(1)
  world.gather()
  world.rest(100)
  t.equal(records(a, KEY_OUTBOX), 0)
  t.ok(later(inodeOf(b, directory), before))
  t.equal(inodeOf(b, directory).nlink, before.nlink + 1)
  t.strictSame(world.audit(), [])
})

t.test('a new inode inherits what its directory hands down now, not what the asker has seen', async (t) => {
  for (const member of [0, 1, 2]) {
    for (const mode of [FILE, DIRECTORY]) {
      const { clients } = stage(member)
      const [a, b, c] = clients
      const directory = directoryOn(a, 0)
      t.equal(b.walk([a.nameOn(ROOT, 'd', 0)]), directory)
      t.equal(a.chown(directory, 77), 0)
      t.equal(a.chmod(directory, 0o755 | S_ISGID), 0)
      const name = b.nameOn(directory, 'n', member)
      const number = b.mknod(directory, name, mode)
      t.ok(number > 0)
      t.equal(b.node.fs.found.gid, 77, 'the answer says so')
      c.walk([a.nameOn(ROOT, 'd', 0)])
      t.equal(c.lookup(directory, name), number)
      const { gid, mode: made } = inodeOf(c, number)
      t.equal(gid, 77)
      t.equal((made & S_ISGID) !== 0, mode === DIRECTORY)
      t.equal(a.chmod(directory, 0o755), 0)
      const other = b.mknod(directory, b.nameOn(directory, 'o', member), mode)
      t.equal(inodeOf(b, other).gid, 2, 'and back')
    }
  }
})

t.test('the same of default access lists', async (t) => {
  const list = (group: number): Uint8Array => {
    const entries = [1, 7, 4, group, 0x10, 7, 0x20, 0, 8, 5]
    const words: number[] = []
    for (const [tag, permissions, id] of [
      [1, 7, 0xffffffff],
      [4, group, 0xffffffff],
      [8, 5, 99],
      [0x10, 7, 0xffffffff],
      [0x20, 0, 0xffffffff],
    ] as const) {
      words.push(tag | (permissions << 16), id)
    }
    t.ok(entries.length > 0)
    return new Uint8Array(Uint32Array.from([2, ...words]).buffer)
  }
  for (const member of [0, 1, 2]) {
    const { clients } = stage(member)
    const [a, b, c] = clients
    const directory = directoryOn(a, 0)
    t.equal(b.walk([a.nameOn(ROOT, 'd', 0)]), directory)
    t.equal(a.setxattr(directory, 'system.posix_acl_default', list(5)), 0)
    const first = b.mknod(directory, b.nameOn(directory, 'n', member), S_IFREG | 0o666)
    t.equal(inodeOf(b, first).mode & 0o777, 0o660, 'the mask, and nothing for others')
    t.match(b.getxattr(first, 'system.posix_acl_access'), { length: 44 })
    t.equal(a.setxattr(directory, 'system.posix_acl_default', list(7)), 0)
    const second = b.mknod(directory, b.nameOn(directory, 'o', member), DIRECTORY)
    t.strictSame(b.getxattr(second, 'system.posix_acl_default'), list(7), 'the newer list')
    c.walk([a.nameOn(ROOT, 'd', 0)])
    t.equal(c.lookup(directory, b.nameOn(directory, 'o', member)), second)
    const below = c.mknod(second, 'x', S_IFREG | 0o666)
    t.strictSame(c.getxattr(below, 'system.posix_acl_access')?.length, 44, 'handed down further')
  }
})

t.test('a removed directory is dead for everybody who has not heard, however long he waits', async (t) => {
  for (const waitMs of [0, 240_000, 3_600_000]) {
    for (const member of [0, 1, 2]) {
      const { world, clients } = stage(member)
      const [a, b, c] = clients
      const directory = directoryOn(a, 0)
      const name = b.nameOn(directory, 'n', member)
      t.equal(b.walk([a.nameOn(ROOT, 'd', 0)]), directory)
      const file = b.mknod(ROOT, 'file', FILE)
      t.equal(c.rmdir(ROOT, a.nameOn(ROOT, 'd', 0)), 0)
      t.equal(records(b, KEY_GRAVE), 1)
      world.rest(waitMs)
      t.equal(records(b, KEY_GRAVE), waitMs > 600_000 ? 0 : 1)
      t.equal(b.mknod(directory, name, FILE), -ENOENT)
      t.equal(b.mknod(directory, name, DIRECTORY), -ENOENT)
      t.equal(b.link(file, directory, name), -ENOENT)
      t.equal(b.rename(ROOT, 'file', directory, name), -ENOENT)
      t.equal(b.rename(directory, name, ROOT, 'x'), -ENOENT)
      t.equal(b.lookup(directory, name), -ENOENT)
      t.equal(b.lookup(ROOT, 'file'), file)
      t.equal(inodeOf(b, file).nlink, 1)
      world.settle()
      t.strictSame(world.audit(), [])
    }
  }
})

t.test('rmdir against a create: one of them wins, and nothing is lost', async (t) => {
  let [removed, made] = [0, 0]
  for (let seed = 0; seed < 120; seed++) {
    const { world, clients } = stage(seed, { delayMsMax: 8 })
    const [a, b, c] = clients
    const directory = directoryOn(a, seed % 3)
    const path = a.nameOn(ROOT, 'd', seed % 3)
    t.equal(b.walk([path]), directory)
    const rmdir = a.begin((done) => a.node.fs.rmdir(ROOT, named(path), done))
    for (let event = 0; event < seed % 40; event++) world.clock.step()
    const create = b.begin((done) => b.node.fs.mknod(directory, named('n'), FILE, 0, CALLER, done))
    const results = [world.finish(rmdir), world.finish(create)]
    if (results[0] === 0) {
      removed++
      t.ok(results[1] === -ENOENT || results[1] === -ESTALE)
      t.equal(c.walk([path]), -ENOENT)
    } else {
      made++
      t.strictSame(results, [-ENOTEMPTY, 0])
      t.ok(c.walk([path, 'n']) > 0)
    }
    world.settle()
    t.strictSame(world.audit(), [])
  }
  t.ok(removed > 0 && made > 0, `${removed} removed, ${made} made`)
})

t.test('a create that waits for a directory to be removed goes on when that is undecided by a crash', async (t) => {
  let events = 0
  for (let at = 0, isOver = false; !isOver; at++, events++) {
    for (const how of ['process', 'power'] as const) {
      const { world, clients } = stage(5)
      const [a, b, c] = clients
      const directory = directoryOn(a, 0)
      const path = a.nameOn(ROOT, 'd', 0)
      t.equal(b.walk([path]), directory)
      t.equal(
        a.run((done) => a.node.fs.syncfs(done)),
        0,
      )
      const rmdir = c.begin((done) => c.node.fs.rmdir(ROOT, named(path), done))
      for (let event = 0; event < at; event++) world.clock.step()
      isOver = rmdir.isOver
      const name = b.nameOn(directory, 'n', 1)
      const create = b.begin((done) => b.node.fs.mknod(directory, named(name), FILE, 0, CALLER, done))
      world.crash(0, how)
      world.clock.after(50, () => world.restart(0))
      const results = [world.finish(rmdir), world.finish(create)]
      world.gather()
      if (results[0] === 0 && results[1] !== 0) t.equal(results[1], -ENOENT)
      else if (results[0] !== 0) t.strictSame(results, [-ENOTEMPTY, 0])
      else t.ok(how === 'power' && isOver, 'what was not yet safe may come back')
      world.settle()
      t.strictSame(world.audit(), [])
    }
  }
  t.comment(`${events} events`)
})

t.test('directories never get below themselves, whoever moves them at a time', async (t) => {
  let moved = 0
  for (let seed = 0; seed < 60; seed++) {
    const { world, clients } = stage(seed)
    const names = ['x', 'y', 'z']
    const numbers = names.map((name) => clients[0].mknod(ROOT, name, DIRECTORY))
    for (const client of clients) for (const name of names) client.walk([name])
    const operations = clients.map((client, index) => {
      const [from, to] = [names[index] as string, numbers[(index + 1) % 3] as number]
      return client.begin((done) => client.node.fs.rename(ROOT, named(from), to, named('in'), 0, done))
    })
    const results = operations.map((operation) => world.finish(operation))
    moved += results.filter((result) => result === 0).length
    t.ok(results.some((result) => result === -EINVAL) && results.every((result) => result === 0 || result === -EINVAL))
    world.settle()
    t.strictSame(world.audit(), [], 'every way up ends at the root')
  }
  t.equal(moved, 120, 'two of three each time')
})

t.test('with the layout local a file lies with its maker, and its name where it belongs', async (t) => {
  const { world, clients } = stage()
  const [a, b, c] = clients
  const directory = directoryOn(a, 0)
  t.equal(a.setxattr(directory, 'user.chfs.layout', new TextEncoder().encode('local')), 0)
  for (const client of [b, c]) t.equal(client.walk([a.nameOn(ROOT, 'd', 0)]), directory)
  const memberOf = (number: number): number => world.owner(Math.floor(number / 2 ** 21))
  for (const [maker, client] of clients.entries()) {
    for (const member of [0, 1, 2]) {
      const made = client.mknod(directory, client.nameOn(directory, `m${maker}-`, member), FILE)
      t.equal(memberOf(made), maker)
      const opened = client.create(directory, client.nameOn(directory, `c${maker}-`, member), FILE)
      t.equal(memberOf(opened), maker)
      for (const other of clients)
        t.equal(other.lookup(directory, client.nameOn(directory, `c${maker}-`, member)), opened)
      const next = clients[(maker + 1) % 3] as NamesClient
      t.equal(next.create(directory, client.nameOn(directory, `c${maker}-`, member), FILE), opened, 'it is there')
      t.equal(client.unlink(directory, client.nameOn(directory, `c${maker}-`, member)), 0)
      t.equal(client.write(opened, 'open'), 4)
      client.release(opened)
      t.equal(next.read(opened), 'open')
      next.release(opened)
    }
  }
  const flags = { exclusive: true, truncate: false, killPrivileges: false }
  const operations = clients.map((client) =>
    client.begin((done) => client.node.fs.create(directory, named('one'), FILE, flags, CALLER, done)),
  )
  const results = operations.map((operation) => world.finish(operation))
  t.strictSame(results.toSorted(), [-EEXIST, -EEXIST, 0].toSorted(), 'exactly one wins')
  const winner = clients[results.indexOf(0)] as NamesClient
  const one = winner.lookup(directory, 'one')
  t.equal(memberOf(one), results.indexOf(0))
  const room = (done: Done): number => winner.node.fs.fallocate(one, 1, 0, Number.MAX_SAFE_INTEGER, done)
  t.equal(winner.run(room), 0, 'nobody looks at each of its chunks')
  winner.release(one)
  t.equal(memberOf(a.mknod(directory, a.nameOn(directory, 'dir', 2), DIRECTORY)), 2, 'directories lie with their names')
  world.settle()
  t.strictSame(world.audit(), [])
})

t.test('O_EXCL: of all that make one name at a time exactly one wins', async (t) => {
  for (let seed = 0; seed < 20; seed++) {
    const { world, clients } = stage(seed)
    const operations = clients.flatMap((client) =>
      [0, 1].map(() => client.begin((done) => client.node.fs.mknod(ROOT, named('one'), FILE, 0, CALLER, done))),
    )
    const results = operations.map((operation) => world.finish(operation))
    t.equal(results.filter((result) => result === 0).length, 1)
    t.equal(results.filter((result) => result === -EEXIST).length, operations.length - 1)
  }
})

t.test('a listing is complete, or an error', async (t) => {
  const { world, clients } = stage()
  const [a, b, c] = clients
  const directory = directoryOn(a, 0)
  const stay = Array.from({ length: 300 }, (_, index) => `stays ${index}`)
  for (const name of stay) t.ok(b.walk([a.nameOn(ROOT, 'd', 0)]) > 0 && b.mknod(directory, name, FILE) > 0)
  t.equal(c.walk([a.nameOn(ROOT, 'd', 0)]), directory)
  // Entries come and go while it is listed.
  let turns = 0
  const churn = (): void => {
    if (turns++ > 500) return
    const name = named(`goes ${turns}`)
    b.begin(
      (done) => b.node.fs.mknod(directory, name, FILE, 0, CALLER, done),
      () =>
        b.node.clock.after(0, () =>
          b.begin(
            (done) => b.node.fs.unlink(directory, name, done),
            () => b.node.clock.after(0, churn),
          ),
        ),
    )
  }
  churn()
  const seen = c.listAll(directory)
  t.strictSame(seen.filter((name) => name.startsWith('stays')).sort(), stay.toSorted(), 'each once')
  world.settle()
  for (const index of [0, 1, 2].filter((member) => member !== 2)) {
    world.crash(index, 'process')
    const took = timeOf(world, () => t.equal(c.list(directory), -EIO))
    t.ok(took >= TIMEOUT_MS && took < TIMEOUT_MS + 1000, `after ${took} ms`)
    world.restart(index)
    world.gather()
    t.equal((c.list(directory) as Map<string, number>).size, stay.length)
  }
})

t.test(
  'how long a call waits counts from when the node went: who comes later waits for less, or not at all',
  async (t) => {
    const { world, clients } = stage()
    const [a, b] = clients
    const there = a.nameOn(ROOT, 'there', 2)
    t.ok(a.mknod(ROOT, there, FILE) > 0)
    for (let round = 0; round < 2; round++) {
      world.crash(2, 'process')
      world.rest(TIMEOUT_MS / 2)
      const late = timeOf(world, () => t.equal(a.walk([there]), -EIO))
      t.ok(late > TIMEOUT_MS / 4 && late < (TIMEOUT_MS * 3) / 4, `after ${late} ms`)
      for (const client of [a, b]) {
        const more = timeOf(world, () => t.equal(client.walk([there]), -EIO))
        t.ok(more < 1000, `and then after ${more} ms`)
      }
      world.restart(2)
      world.gather()
      t.ok(a.walk([there]) > 0)
    }
  },
)

t.test(
  'a node is away: what has nothing to do with it goes on, the rest waits, then fails, and nothing is half done',
  async (t) => {
    const { world, clients } = stage()
    const [a, b, c] = clients
    const directory = directoryOn(a, 0)
    const empty = directoryOn(a, 0, 'e')
    const [path, emptyPath] = [a.nameOn(ROOT, 'd', 0), a.nameOn(ROOT, 'e', 0)]
    for (const client of [b, c]) t.ok(client.walk([path]) === directory && client.walk([emptyPath]) === empty)
    const [here, there] = [c.nameOn(directory, 'n', 0), c.nameOn(directory, 'n', 1)]
    t.ok(c.mknod(directory, here, FILE) > 0)
    world.crash(1, 'process')
    const wentMs = world.clock.monotonicMs()
    world.rest(100)
    const fails = (what: string, run: () => number): void => {
      const took = timeOf(world, () => t.equal(run(), -EIO, what))
      const awayMs = world.clock.monotonicMs() - wentMs
      t.ok(awayMs >= TIMEOUT_MS && took < TIMEOUT_MS + 1000, `after ${took} ms, ${awayMs} ms after it went`)
    }
    t.equal(timeOf(world, () => t.ok(c.lookup(directory, here) > 0)) < 100, true)
    t.ok(timeOf(world, () => t.ok(c.mknod(directory, c.nameOn(directory, 'm', 2), FILE) > 0)) < 100)
    fails('a lookup there', () => c.lookup(directory, there))
    fails('a file there', () => c.mknod(directory, there, FILE))
    fails('a move to there', () => c.rename(directory, here, directory, there))
    fails('a link to there', () => c.link(c.lookup(directory, here), directory, there))
    fails('a removal on which it has a say', () => c.rmdir(ROOT, emptyPath))
    t.ok(timeOf(world, () => t.ok(c.lookup(directory, here) > 0)) < 100, 'what could not be moved is where it was')
    t.ok(timeOf(world, () => t.ok(c.mknod(empty, c.nameOn(empty, 'f', 0), FILE) > 0)) < 100, 'and nothing is frozen')
    world.restart(1)
    world.gather()
    t.equal(inodeOf(c, c.lookup(directory, here)).nlink, 1)
    t.equal(b.node.isReady, true)
    world.settle()
    t.strictSame(world.audit(), [])
  },
)

t.test(
  'the node of a directory is away: what was made in it is there, and the directory hears of it later',
  async (t) => {
    for (const asker of [1, 2]) {
      const { world, clients } = stage(asker)
      const client = clients[asker] as NamesClient
      const directory = directoryOn(client, 0)
      const before = inodeOf(client, directory)
      const [file, below] = [client.nameOn(directory, 'f', 1), client.nameOn(directory, 'b', 1)]
      world.crash(0, 'process')
      const took = timeOf(world, () => {
        t.equal(client.mknod(directory, file, FILE), -EIO)
        t.equal(client.mknod(directory, below, DIRECTORY), -EIO)
      })
      t.ok(took >= TIMEOUT_MS && took < TIMEOUT_MS + 1000, `after ${took} ms`)
      world.restart(0)
      world.gather()
      world.rest(2000)
      t.ok(client.lookup(directory, file) > 0 && client.lookup(directory, below) > 0)
      t.ok(later(inodeOf(client, directory), before))
      t.equal(inodeOf(client, directory).nlink, before.nlink + 1)
      world.settle()
      t.strictSame(world.audit(), [])
    }
  },
)

t.test('a node without a store sees and does what the others do', async (t) => {
  const { world, clients } = stage(1, { storeless: 1 })
  const [a] = clients
  const guest = clients[3 as 0]
  const directory = guest.mknod(ROOT, 'd', DIRECTORY)
  t.ok(directory > 0)
  t.equal(a.walk(['d']), directory)
  const file = guest.create(directory, 'f', FILE)
  t.equal(guest.write(file, 'from a guest'), 12)
  t.equal(a.unlink(directory, 'f'), 0)
  t.equal(guest.read(file), 'from a guest', 'what it has open stays')
  guest.release(file)
  const unnamed = guest.tmpfile(directory, 0o600)
  t.equal(guest.link(unnamed, directory, 'g'), unnamed)
  guest.release(unnamed)
  t.equal(guest.rename(directory, 'g', ROOT, 'g'), 0)
  t.equal(a.lookup(ROOT, 'g'), unnamed)
  t.equal(guest.rmdir(ROOT, 'd'), 0)
  world.rest(100)
  world.settle()
  t.strictSame(world.audit(), [])
})

t.test('a move whose other node dies in its middle is done when that comes back', async (t) => {
  let hung = 0
  for (let at = 0; at < 14; at++) {
    const { world, clients } = stage(3)
    const [a, , c] = clients
    const directory = directoryOn(a, 2)
    t.equal(c.walk([a.nameOn(ROOT, 'd', 2)]), directory)
    const [from, to] = [c.nameOn(directory, 'n', 0), c.nameOn(directory, 'm', 1)]
    const file = c.mknod(directory, from, FILE)
    const rename = c.begin((done) => c.node.fs.rename(directory, named(from), directory, named(to), 0, done))
    for (let event = 0; event < at; event++) world.clock.step()
    world.crash(1, 'process')
    const took = timeOf(world, () => world.finish(rename))
    const isPending = records(a, KEY_INTENT) > 0
    if (rename.result !== 0) t.equal(rename.result, -EIO)
    if (rename.result !== 0) t.ok(took >= TIMEOUT_MS && took < TIMEOUT_MS + 2000, `after ${took} ms`)
    if (isPending) {
      hung++
      const look = timeOf(world, () => t.equal(c.lookup(directory, from), -EIO, 'nobody knows'))
      t.ok(look >= TIMEOUT_MS && look < TIMEOUT_MS + 1000)
    }
    world.restart(1)
    world.gather()
    world.rest(2000)
    const isMoved = c.lookup(directory, to) === file
    t.equal(c.lookup(directory, from), isMoved ? -ENOENT : file)
    t.equal(isMoved, rename.result === 0 || isPending)
    world.settle()
    t.strictSame(world.audit(), [])
  }
  t.ok(hung > 0)
})

t.test('times of an inode never run back, whatever the clocks of its nodes say', async (t) => {
  const { world, clients } = stage()
  world.nodes.forEach((node, index) => {
    node.clock.skewMs = (index * 1000 - 1000) * 1000
  })
  const [a] = clients
  const directory = directoryOn(a, 1)
  for (const client of clients) t.equal(client.walk([a.nameOn(ROOT, 'd', 1)]), directory)
  let last = inodeOf(a, directory)
  for (let index = 0; index < 60; index++) {
    const client = clients[index % 3] as NamesClient
    t.ok(client.mknod(directory, `n${index}`, FILE) > 0)
    const next = inodeOf(clients[(index + 1) % 3] as NamesClient, directory)
    t.ok(later(next, last))
    last = next
  }
})

// Stamps came after the latest that the process had seen, which a new one had forgotten.
t.test('nor when a clock was ahead, and is right after a restart', async (t) => {
  const { world, clients } = stage()
  const [a, b] = clients
  const directory = directoryOn(a, 1)
  t.equal(b.walk([a.nameOn(ROOT, 'd', 1)]), directory)
  for (const node of world.nodes) node.clock.skewMs = 100_000
  t.ok(a.mknod(directory, 'n', FILE) > 0)
  const last = inodeOf(a, directory)
  for (const node of world.nodes) node.clock.skewMs = 0
  for (const index of [0, 1, 2]) world.crash(index, 'process')
  for (const index of [0, 1, 2]) world.restart(index)
  world.gather()
  t.equal(b.walk([a.nameOn(ROOT, 'd', 1)]), directory)
  t.equal(b.chmod(directory, 0o700), 0)
  const next = inodeOf(b, directory)
  t.ok(next.ctime > last.ctime || (next.ctime === last.ctime && next.ctimeNs > last.ctimeNs))
  t.ok(b.mknod(directory, 'm', FILE) > 0)
  t.ok(later(inodeOf(b, directory), next))
})

t.test('messages for each call', async (t) => {
  const { world, clients } = stage()
  const [a, b] = clients
  const directory = directoryOn(a, 1)
  const file = a.mknod(directory, a.nameOn(directory, 'f', 2), FILE)
  t.ok(file > 0)
  const total = (): number =>
    clients.reduce((sum, { node }) => [...node.node.sent.values()].reduce((more, count) => more + count, sum), 0)
  const count = (run: () => number): number => {
    world.rest(100)
    const before = total()
    t.ok(run() >= 0)
    world.rest(100)
    return total() - before
  }
  t.equal(
    count(() => a.lookup(directory, a.nameOn(directory, 'f', 2))),
    1,
    'lookup',
  )
  t.equal(
    count(() => Number(typeof a.stat(file) === 'object')),
    1,
    'getattr',
  )
  t.equal(
    count(() => a.create(directory, a.nameOn(directory, 'g', 2), FILE)),
    2,
    'create, and its directory',
  )
  t.equal(
    count(() => a.mknod(directory, a.nameOn(directory, 'h', 2), DIRECTORY)),
    2,
    'mkdir',
  )
  t.equal(
    count(() => a.mknod(directory, a.nameOn(directory, 'h', 1), FILE)),
    1,
    'a file beside its directory',
  )
  t.equal(
    count(() => a.open(file)),
    1,
    'open',
  )
  t.equal(
    count(() => a.release(file)),
    1,
    'release',
  )
  t.equal(
    count(() => a.unlink(directory, a.nameOn(directory, 'f', 2))),
    2,
    'unlink',
  )
  t.equal(
    count(() => Number(typeof a.list(directory) === 'object')),
    2 * 2,
    'readdir, and its end: a message a member',
  )
  const { parent } = { parent: directory }
  t.equal(b.walk([a.nameOn(ROOT, 'd', 1)]), parent)
  // Source on 0, which asks; target on 2; the inode on 0, the directory on 1.
  t.ok(a.mknod(directory, a.nameOn(directory, 'i', 0), FILE) > 0)
  const rename = (): number => a.rename(directory, a.nameOn(directory, 'i', 0), directory, a.nameOn(directory, 'i', 2))
  t.equal(count(rename), 3, 'rename: the new name, and the directory from both')
  t.equal(
    count(() => a.rmdir(directory, a.nameOn(directory, 'h', 2))),
    6,
    'rmdir: the call, two others to freeze and to bury, and the directory',
  )
})
