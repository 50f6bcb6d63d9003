/** Files that lose their last name while a node has them open: they last as long as anybody has them open, anywhere. */
import t, { type Test } from 'tap'
import { EEXIST, EIO, ENOENT } from '../../lib/base/errno.js'
import { S_IFDIR, S_IFREG } from '../../lib/base/mode.js'
import { LEASE_MS } from '../../lib/node/leases.js'
import { RENAME_NOREPLACE } from '../../lib/share/remove.js'
import { CALLER, NamesClient, named, OPEN } from './names-client.js'
import { NamesWorld, ROOT } from './names-world.js'
import { Prng } from './prng.js'

const FILE = S_IFREG | 0o644

/** A file on member 0, open at node 1; node 2 does not have it open. */
function stage(seed: number) {
  const world = new NamesWorld(new Prng(seed), { members: 3 })
  const [owner, opener, other] = world.nodes.map((node) => new NamesClient(world, node)) as [
    NamesClient,
    NamesClient,
    NamesClient,
  ]
  const name = opener.nameOn(ROOT, 'f', 0)
  const file = opener.create(ROOT, name, FILE)
  return { world, owner, opener, other, name, file }
}

/** Whether the inode has a record on its member. */
const isThere = (client: NamesClient, number: number): boolean => client.node.share.meta.find(number) !== undefined

/** A file whose maker was told an error was made all the same, and goes with its name: nobody has it open. */
function goesWithItsName(
  t: Test,
  world: NamesWorld,
  finder: NamesClient,
  directory: number,
  name: string,
  owner: NamesClient,
  what = 'it is gone',
): void {
  const file = finder.lookup(directory, name)
  t.ok(file > 0, 'it was made all the same')
  t.equal(finder.unlink(directory, name), 0)
  world.rest(2000)
  t.notOk(isThere(owner, file), what)
}

t.test('it stays readable and writable, and goes with the last close', async (t) => {
  const { world, owner, opener, other, name, file } = stage(1)
  t.equal(other.lookup(ROOT, name), file)
  t.equal(other.open(file), 0)
  t.equal(owner.unlink(ROOT, name), 0)
  for (const client of [owner, opener, other]) t.equal(client.lookup(ROOT, name), -ENOENT)
  t.equal(opener.write(file, 'still here'), 10)
  t.equal(other.read(file), 'still here')
  const found = opener.stat(file)
  t.equal(typeof found === 'object' && found.nlink, 0)
  opener.release(file)
  world.rest(50)
  t.equal(other.read(file), 'still here', 'one of two has closed it')
  other.release(file)
  world.rest(50)
  t.notOk(isThere(owner, file))
  const gone = other.stat(file)
  t.equal(typeof gone === 'object' && gone.nlink, 0)
  world.settle()
  t.strictSame(world.audit(), [])
})

t.test('the same file opened twice by one node is closed twice', async (t) => {
  const { world, owner, opener, name, file } = stage(2)
  t.equal(opener.open(file), 0)
  t.equal(opener.unlink(ROOT, name), 0)
  opener.release(file)
  world.rest(50)
  t.ok(isThere(owner, file))
  opener.release(file)
  world.rest(50)
  t.notOk(isThere(owner, file))
})

t.test('a file that takes the place of an open one leaves it to those who have it open', async (t) => {
  const { world, owner, opener, other, name, file } = stage(3)
  const next = other.mknod(ROOT, 'next', FILE)
  t.equal(opener.write(file, 'old'), 3)
  t.equal(other.rename(ROOT, 'next', ROOT, name), 0)
  t.equal(owner.lookup(ROOT, name), next)
  t.equal(opener.read(file), 'old')
  opener.release(file)
  world.rest(50)
  t.notOk(isThere(owner, file))
})

t.test('its member starts anew', async (t) => {
  for (const how of ['process', 'power'] as const) {
    const { world, owner, opener, other, name, file } = stage(4)
    t.equal(opener.write(file, 'safe'), 4)
    t.equal(other.unlink(ROOT, name), 0)
    t.equal(opener.fsync(file), 0)
    world.crash(0, how)
    world.restart(0)
    world.gather()
    t.equal(opener.read(file), 'safe', `after the end of its ${how}`)
    opener.release(file)
    // Nodes without a store may have to come back.
    world.rest(LEASE_MS)
    t.notOk(isThere(owner, file))
    world.settle()
    t.strictSame(world.audit(), [])
  }
})

t.test('whoever had it open starts anew, and has it open no more', async (t) => {
  const { world, owner, other, name, file } = stage(5)
  t.equal(other.unlink(ROOT, name), 0)
  world.crash(1, 'process')
  world.rest(60_000)
  t.ok(isThere(owner, file), 'it may only be cut off, as long as it has not said more')
  world.restart(1)
  world.gather()
  world.rest(50)
  t.notOk(isThere(owner, file))
  t.strictSame(world.audit(), [])
})

t.test('nothing is freed before everybody has said what is open', async (t) => {
  const { world, owner, opener, other, name, file } = stage(6)
  t.equal(opener.write(file, 'wait'), 4)
  t.equal(other.unlink(ROOT, name), 0)
  world.crash(0, 'process')
  world.cutOff(1)
  world.restart(0)
  world.rest(60_000)
  t.ok(isThere(owner, file), 'one node has not been heard of yet')
  t.notOk(owner.node.share.opens.isKnown)
  world.rejoin(1)
  world.gather()
  t.equal(opener.read(file), 'wait')
  opener.release(file)
  world.rest(50)
  t.notOk(isThere(owner, file))
})

t.test('a node that has left has nothing open', async (t) => {
  const { world, owner, other, name, file } = stage(7)
  t.equal(other.unlink(ROOT, name), 0)
  world.crash(1, 'process')
  world.rest(100)
  owner.node.node.peerLeft(1)
  world.rest(50)
  t.notOk(isThere(owner, file))
})

t.test('a file without a name goes with its node, and stays if it gets one', async (t) => {
  const world = new NamesWorld(new Prng(8), { members: 3 })
  const clients = world.nodes.map((node) => new NamesClient(world, node)) as [NamesClient, NamesClient, NamesClient]
  const [a, b] = clients
  const kept = b.tmpfile(ROOT, 0o600)
  const lost = b.tmpfile(ROOT, 0o600)
  t.ok(kept > 0 && lost > 0)
  t.equal(world.owner(Math.floor(kept / 2 ** 21)), 1, 'it lies where it was made')
  t.equal(b.write(kept, 'named'), 5)
  for (const member of [0, 1, 2]) t.equal(b.link(kept, ROOT, b.nameOn(ROOT, 'kept', member)), kept)
  t.equal(b.fsync(kept), 0)
  world.crash(1, 'process')
  world.restart(1)
  world.gather()
  for (const member of [0, 1, 2]) t.equal(a.lookup(ROOT, a.nameOn(ROOT, 'kept', member)), kept)
  t.equal(a.open(kept), 0)
  t.equal(a.read(kept), 'named')
  world.rest(LEASE_MS)
  t.notOk(isThere(b, lost))
  world.settle()
  t.strictSame(world.audit(), [])
})

t.test('whatever is lost on the way, it is open where the call has said so, and nowhere else', async (t) => {
  let runs = 0
  for (const how of ['open', 'create', 'tmpfile'] as const) {
    for (const trouble of ['break', 'process'] as const) {
      for (let at = 0, isOver = false; !isOver; at++, runs++) {
        const { world, owner, other, opener, name, file } = stage(9)
        t.equal(other.lookup(ROOT, name), file)
        const operation = other.begin((done) => {
          const { fs } = other.node
          if (how === 'open') return fs.open(file, OPEN, done)
          const caller = { uid: 1, gid: 2, pid: 3, umask: 0 }
          return how === 'create'
            ? fs.create(ROOT, other.named(name), FILE, OPEN, caller, done)
            : fs.tmpfile(ROOT, FILE, caller, done)
        })
        for (let event = 0; event < at; event++) world.step()
        isOver = operation.isOver
        if (trouble === 'break') world.break(0, 2)
        else {
          world.crash(0, 'process')
          world.restart(0)
        }
        t.equal(world.finish(operation), 0, `${how}, ${trouble} after ${at} events`)
        world.gather()
        const opened = other.node.fs.found.number
        other.node.fs.hold(other.node.fs.found)
        opener.release(file)
        t.equal(opener.unlink(ROOT, name), 0)
        world.rest(100)
        t.equal(other.write(opened, 'x'), 1, 'what it has open is there')
        other.release(opened)
        world.rest(100)
        t.notOk(isThere(owner, file))
        world.settle()
        t.strictSame(world.audit(), [])
      }
    }
  }
  t.comment(`${runs} runs`)
})

// After a start a member waits until all members have said what they have open. Of a node without a store it does not
// know any more, and so it freed what such a node had open and no other, as soon as the last member had come.
t.test(
  'what a node without a store has open outlives a start of its member, also when that node comes last',
  async (t) => {
    const world = new NamesWorld(new Prng(7), { members: 3, storeless: 1 })
    const clients = world.nodes.map((node) => new NamesClient(world, node))
    const [owner, , , opener] = clients as [NamesClient, NamesClient, NamesClient, NamesClient]
    const name = opener.nameOn(ROOT, 'f', 0)
    const file = opener.create(ROOT, name, FILE)
    t.equal(opener.write(file, 'still here'), 10)
    t.equal(opener.unlink(ROOT, name), 0)
    world.rest(100)
    world.cutOff(3)
    world.crash(0, 'process')
    world.restart(0)
    world.rest(LEASE_MS - 2000)
    t.ok(owner.node.share.opens.isKnown, 'all members have said what they have')
    world.rejoin(3)
    world.rest(LEASE_MS)
    t.equal(opener.read(file), 'still here')
    opener.release(file)
    world.rest(100)
    t.notOk(isThere(owner, file))
    world.crash(0, 'process')
    world.restart(0)
    world.settle()
    t.strictSame(world.audit(), [])
  },
)

// The caller had got EIO, and nobody ever closed what had been made for it.
t.test('a file that was made by a call that gave EIO is not open', async (t) => {
  for (const by of [0, 2]) {
    const world = new NamesWorld(new Prng(10), { members: 3 })
    const clients = world.nodes.map((node) => new NamesClient(world, node))
    const [owner, other, client] = clients as [NamesClient, NamesClient, NamesClient]
    const caller = clients[by] as NamesClient
    const directory = client.mknod(ROOT, client.nameOn(ROOT, 'd', 1), S_IFDIR | 0o755)
    for (const one of clients) t.equal(one.lookup(ROOT, client.nameOn(ROOT, 'd', 1)), directory)
    const name = client.nameOn(directory, 'f', 0)
    world.rest(100)
    const { faults } = other.node.kv
    faults.failCommit = true
    t.equal(caller.create(directory, name, FILE), -EIO)
    t.notOk(faults.failCommit)
    world.rest(2000)
    goesWithItsName(t, world, client, directory, name, owner)
  }
})

t.test('a file that was made by a call whose node has died meanwhile is not open', async (t) => {
  // The one that comes back, and one without a store that never does: its member may give it up before or after.
  for (const end of ['back', 'given up', 'given up later'] as const) {
    const world = new NamesWorld(new Prng(11), { members: 3, storeless: 1 })
    const clients = world.nodes.map((node) => new NamesClient(world, node))
    const [owner, other] = clients as [NamesClient, NamesClient]
    const by = end === 'back' ? 2 : 3
    const caller = clients[by] as NamesClient
    const place = owner.nameOn(ROOT, 'd', 1)
    const directory = owner.mknod(ROOT, place, S_IFDIR | 0o755)
    for (const client of [other, caller]) t.equal(client.lookup(ROOT, place), directory)
    const name = owner.nameOn(directory, 'f', 0)
    world.rest(100)
    // The directory is to be told first.
    const { fs } = caller.node
    caller.begin((done) => fs.create(directory, named(name), FILE, OPEN, CALLER, done))
    world.crash(1, 'process')
    world.rest(1000)
    world.crash(by, 'process')
    world.rest(1000)
    if (end === 'back') world.restart(by)
    else if (end === 'given up') owner.node.node.peerLeft(by)
    world.rest(1000)
    world.restart(1)
    world.rest(2000)
    if (end === 'given up later') owner.node.node.peerLeft(by)
    goesWithItsName(t, world, owner, directory, name, owner, end)
  }
})

// Its kernel was told EIO, its node had nothing to say again, and the member opened the file only after that.
t.test('a file that was made by a call that its node has given up meanwhile is not open', async (t) => {
  const world = new NamesWorld(new Prng(13), { members: 3 })
  const clients = world.nodes.map((node) => new NamesClient(world, node))
  const [owner, , caller] = clients as [NamesClient, NamesClient, NamesClient]
  const place = owner.nameOn(ROOT, 'd', 1)
  const directory = owner.mknod(ROOT, place, S_IFDIR | 0o755)
  t.equal(caller.lookup(ROOT, place), directory)
  const name = owner.nameOn(directory, 'f', 0)
  world.rest(100)
  const { fs } = caller.node
  const creation = caller.begin((done) => fs.create(directory, named(name), FILE, OPEN, CALLER, done))
  world.crash(1, 'process')
  world.rest(10)
  world.break(0, 2, 40_000)
  t.equal(world.finish(creation), -EIO)
  world.rest(15_000)
  world.restart(1)
  world.gather()
  world.rest(2000)
  goesWithItsName(t, world, owner, directory, name, owner)
})

// It had waited for a name that a rename held, and then found a file and opened it for nobody.
t.test('a file that was found by a call whose node has died meanwhile is not open', async (t) => {
  for (const by of [2, 3]) {
    const world = new NamesWorld(new Prng(14), { members: 3, storeless: 1 })
    const clients = world.nodes.map((node) => new NamesClient(world, node))
    const [owner, caller] = [clients[0], clients[by]] as [NamesClient, NamesClient]
    const [name, taken] = [owner.nameOn(ROOT, 'f', 0), owner.nameOn(ROOT, 'g', 1)]
    const file = owner.mknod(ROOT, name, FILE)
    t.ok(owner.mknod(ROOT, taken, FILE) > 0)
    world.rest(100)
    const [from, to] = [named(name), named(taken)]
    const rename = owner.begin((done) => owner.node.fs.rename(ROOT, from, ROOT, to, RENAME_NOREPLACE, done))
    world.crash(1, 'process')
    const creation = caller.begin((done) => caller.node.fs.create(ROOT, from, FILE, OPEN, CALLER, done))
    world.rest(1000)
    t.notOk(rename.isOver || creation.isOver)
    world.crash(by, 'process')
    world.rest(1000)
    if (by === 2) world.restart(by)
    world.rest(1000)
    world.restart(1)
    t.equal(world.finish(rename), -EEXIST)
    world.rest(2000)
    t.equal(owner.unlink(ROOT, name), 0)
    world.rest(2000)
    t.notOk(isThere(owner, file), `by ${by}`)
  }
})

// The same where it lies with its maker, and its name elsewhere.
t.test('a file of the layout local that was made by a call that gave EIO is not open', async (t) => {
  const world = new NamesWorld(new Prng(12), { members: 3 })
  const [maker, , other] = world.nodes.map((node) => new NamesClient(world, node)) as [
    NamesClient,
    NamesClient,
    NamesClient,
  ]
  const place = maker.nameOn(ROOT, 'd', 2)
  const directory = maker.mknod(ROOT, place, S_IFDIR | 0o755)
  t.equal(maker.setxattr(directory, 'user.chfs.layout', new TextEncoder().encode('local')), 0)
  t.equal(other.lookup(ROOT, place), directory)
  const name = maker.nameOn(directory, 'f', 1)
  world.rest(100)
  const { fs } = maker.node
  const creation = maker.begin((done) => fs.create(directory, named(name), FILE, OPEN, CALLER, done))
  world.crash(1, 'process')
  t.equal(world.finish(creation), -EIO)
  world.restart(1)
  world.gather()
  world.rest(2000)
  goesWithItsName(t, world, other, directory, name, maker)
  world.settle()
  t.strictSame(world.audit(), [])
})

t.test('a file without a name whose maker has lost its session over it is there when it asks again', async (t) => {
  for (let events = 0; events < 12; events++) {
    const world = new NamesWorld(new Prng(9), { members: 3, storeless: 1 })
    const clients = world.nodes.map((node) => new NamesClient(world, node))
    const [owner, maker] = [clients[0], clients[3]] as [NamesClient, NamesClient]
    const { fs } = maker.node
    const making = maker.begin((done) => fs.tmpfile(ROOT, 0o600, CALLER, done))
    for (let event = 0; event < events && !making.isOver; event++) world.step()
    world.break(0, 3)
    t.equal(world.finish(making), 0)
    fs.hold(fs.found)
    const { number } = fs.found
    world.rest(5000)
    t.equal(maker.write(number, 'mine'), 4, `after ${events} events`)
    maker.release(number)
    world.rest(5000)
    t.notOk(isThere(owner, number))
    world.settle()
    t.strictSame(world.audit(), [])
  }
})
