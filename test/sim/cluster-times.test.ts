/**
 * Times of an inode never run back for anybody, whatever the nodes' clocks say: clocks that differ by hours, that jump
 * while everything runs, or that are wrong when a node starts. `CHFS_SIM_SEED=n` runs one seed, `CHFS_SIM_SECONDS=s` new ones.
 * Takes 15 s.
 */
import t from 'tap'
import { S_IFDIR, S_IFREG } from '../../lib/base/mode.js'
import { PENDING } from '../../lib/ports.js'
import { noChange } from '../../lib/share/attributes.js'
import type { NumberedInode } from '../../lib/wire/struct.js'
import type { ClusterNode } from './cluster-node.js'
import { NamesClient, named } from './names-client.js'
import { NamesWorld, ROOT } from './names-world.js'
import { Prng } from './prng.js'

const FILE = S_IFREG | 0o644
const DIRECTORY = S_IFDIR | 0o755
const CALLER = { uid: 1, gid: 2, pid: 3, umask: 0 }
const HOUR = 3_600_000
const SECONDS = Number(process.env['CHFS_SIM_SECONDS'] ?? 10)

type Stamp = readonly [seconds: number, nanoseconds: number]
type Kind = 'ctime' | 'mtime' | 'atime'
const KINDS: readonly Kind[] = ['ctime', 'mtime', 'atime']

const stampOf = (inode: NumberedInode, kind: Kind): Stamp => [inode[kind], inode[`${kind}Ns`]]
const isBefore = (a: Stamp, b: Stamp): boolean => a[0] < b[0] || (a[0] === b[0] && a[1] < b[1])

function inodeOf(client: NamesClient, number: number): NumberedInode {
  const inode = client.stat(number)
  if (typeof inode === 'number') throw new Error(`stat: ${inode}`)
  return inode
}

/** Three members and a node without a store, and a directory of member 1 that all of them hold. */
function stage(seed: number, skews: readonly number[]) {
  const world = new NamesWorld(new Prng(seed), { members: 3, storeless: 1 })
  const clients = world.nodes.map((node) => new NamesClient(world, node))
  const [a] = clients as [NamesClient]
  world.nodes.forEach((node, index) => {
    node.clock.skewMs = skews[index] ?? 0
  })
  const name = a.nameOn(ROOT, 'd', 1)
  const directory = a.mknod(ROOT, name, DIRECTORY)
  for (const client of clients) client.walk([name])
  return { world, clients, directory, name }
}

/** Files of all members, held by all nodes. */
function filesOf({ clients, directory }: ReturnType<typeof stage>): number[] {
  const [a] = clients as [NamesClient]
  return [0, 1, 2].map((member) => {
    const name = a.nameOn(directory, 'f', member)
    const number = a.mknod(directory, name, FILE)
    for (const client of clients) client.lookup(directory, name)
    return number
  })
}

/** Every change of the file or the directory that moves its times. */
const CHANGES: Record<string, (client: NamesClient, file: number, directory: number, serial: number) => number> = {
  chmod: (client, file) => client.chmod(file, 0o600),
  chown: (client, file) => client.chown(file, 5),
  write: (client, file) => client.write(file, 'text'),
  setxattr: (client, file) => client.setxattr(file, 'user.x', new Uint8Array(1)),
  truncate: (client, file, _, serial) => {
    const change = noChange()
    change.size = serial
    return client.run((done) => client.node.fs.setattr(file, change, done))
  },
  link: (client, file, directory, serial) => client.link(file, directory, `l${serial}`),
  rename: (client, _file, directory, serial) => client.rename(directory, `l${serial - 1}`, directory, `r${serial}`),
  unlink: (client, _file, directory, serial) => client.unlink(directory, `r${serial - 1}`),
}

t.test('clocks hours apart: whatever is changed from wherever, whoever looks next sees a later time', async (t) => {
  for (const skews of [
    [0, 5 * HOUR, -7 * HOUR, 9 * HOUR],
    [5 * HOUR, -HOUR, 0, -20 * HOUR],
  ]) {
    const s = stage(1, skews)
    const { clients, directory } = s
    let serial = 0
    for (const file of filesOf(s)) {
      for (let round = 0; round < clients.length; round++) {
        for (const [name, change] of Object.entries(CHANGES)) {
          const [changer, looker] = [0, 1].map((ahead) => clients[(serial + ahead) % clients.length] as NamesClient)
          const before = inodeOf(changer as NamesClient, file)
          t.ok(change(changer as NamesClient, file, directory, serial++) >= 0, name)
          const after = inodeOf(looker as NamesClient, file)
          t.ok(isBefore(stampOf(before, 'ctime'), stampOf(after, 'ctime')), name)
          t.notOk(isBefore(stampOf(after, 'mtime'), stampOf(before, 'mtime')), name)
        }
      }
    }
  }
})

t.test('a clock that jumps back while everything runs', async (t) => {
  const s = stage(1, [0, 0, 0, 0])
  const { world, clients } = s
  for (const file of filesOf(s)) {
    let last = inodeOf(clients[0] as NamesClient, file)
    for (let round = 0; round < 12; round++) {
      for (const node of world.nodes) node.clock.skewMs -= (round % 4) * HOUR
      t.ok((clients[round % 4] as NamesClient).chmod(file, 0o600) >= 0)
      const next = inodeOf(clients[(round + 1) % 4] as NamesClient, file)
      t.ok(isBefore(stampOf(last, 'ctime'), stampOf(next, 'ctime')))
      last = next
    }
  }
})

t.test('a node that starts anew with a clock that is hours behind', async (t) => {
  const s = stage(1, [0, 0, 0, 0])
  const { world, clients, directory, name } = s
  const files = filesOf(s)
  for (const [member, file] of files.entries()) {
    const looker = clients[3] as NamesClient
    t.equal(looker.write(file, 'text'), 4)
    t.equal(looker.read(file), 'text')
    const before = inodeOf(looker, file)
    const above = inodeOf(looker, directory)
    // All of them: a message of one that has stayed would tell of the right time.
    for (const node of world.nodes) node.clock.skewMs -= 5 * HOUR
    world.crash(member, 'process')
    world.rest(100)
    world.restart(member)
    world.gather()
    for (const client of clients) {
      client.walk([name, client.nameOn(directory, 'f', member)])
    }
    const changer = clients[(member + 1) % 3] as NamesClient
    t.equal(changer.write(file, 'more'), 4)
    const after = inodeOf(looker, file)
    for (const kind of ['ctime', 'mtime'] as const) {
      t.ok(isBefore(stampOf(before, kind), stampOf(after, kind)), `${kind} of a file of ${member}`)
    }
    t.equal(changer.read(file), 'more')
    t.ok(isBefore(stampOf(before, 'atime'), stampOf(inodeOf(looker, file), 'atime')), `atime of a file of ${member}`)
    t.ok(changer.mknod(directory, changer.nameOn(directory, `n${member}-`, (member + 2) % 3), FILE) > 0)
    t.ok(isBefore(stampOf(above, 'mtime'), stampOf(inodeOf(looker, directory), 'mtime')), 'the directory')
  }
})

t.test('what is changed after somebody has seen another change has the later time, also on another node', async (t) => {
  const s = stage(1, [5 * HOUR, 0, 0, 0])
  const { world, clients } = s
  const [first, second, third] = filesOf(s) as [number, number, number]
  const [a, b, c, storeless] = clients as [NamesClient, NamesClient, NamesClient, NamesClient]
  t.equal(a.chmod(first, 0o600), 0)
  // Its stamps go on from where they were, which its clock does not tell any more.
  ;(world.nodes[0] as ClusterNode).clock.skewMs = 0
  for (const client of [b, c, storeless]) {
    for (const next of [second, third]) {
      for (let count = 0; count < 5; count++) t.equal(a.chmod(first, 0o600), 0)
      const seen = inodeOf(client, first)
      t.equal(client.chmod(next, 0o600), 0)
      t.ok(isBefore(stampOf(seen, 'ctime'), stampOf(inodeOf(a, next), 'ctime')))
    }
  }
})

/** When a look at an inode began and ended, and what it saw. */
interface Look {
  readonly from: number
  readonly to: number
  readonly inode: NumberedInode
  readonly node: number
}

/** Changes and looks at a time from all nodes, while clocks jump and members die. */
class Run {
  readonly #prng: Prng
  readonly #stage: ReturnType<typeof stage>
  readonly #files: number[]
  readonly #looks = new Map<number, Look[]>()
  #now = 0
  #serial = 0
  #away = -1

  constructor(seed: number) {
    this.#prng = new Prng(seed)
    const skew = (): number => (this.#prng.below(41) - 20) * HOUR
    this.#stage = stage(seed, [skew(), skew(), skew(), skew()])
    this.#files = filesOf(this.#stage)
  }

  run(): void {
    const { world } = this.#stage
    for (let count = 0; count < 120; count++) {
      if (this.#prng.oneIn(10)) this.#jump()
      if (this.#prng.oneIn(40)) this.#fail()
      this.#begin()
      for (let steps = this.#prng.below(12); steps > 0; steps--) world.clock.step()
    }
    if (this.#away >= 0) world.restart(this.#away)
    world.gather()
    world.settle()
    for (const [number, looks] of this.#looks) for (const kind of KINDS) this.#judge(number, looks, kind)
    if (world.faults.length > 0) throw new Error(world.faults.join('\n'))
  }

  #jump(): void {
    const { clock } = this.#prng.pick(this.#stage.world.nodes)
    clock.skewMs = (this.#prng.below(41) - 20) * HOUR
  }

  /** The process of a member ends, or comes back. */
  #fail(): void {
    const { world } = this.#stage
    if (this.#away < 0) {
      this.#away = this.#prng.below(3)
      world.crash(this.#away, 'process')
    } else {
      world.restart(this.#away)
      this.#away = -1
      world.gather()
      for (const client of this.#stage.clients) {
        client.walk([this.#stage.name])
        for (const member of [0, 1, 2]) {
          client.lookup(this.#stage.directory, client.nameOn(this.#stage.directory, 'f', member))
        }
      }
    }
  }

  #begin(): void {
    const { clients, directory } = this.#stage
    const client = this.#prng.pick(clients.filter(({ node }) => node.isReady))
    const { fs } = client.node
    const file = this.#prng.pick(this.#files)
    const change = noChange()
    const acts = [
      () => this.#look(client, file),
      () => this.#look(client, directory),
      () => this.#look(client, file),
      () => {
        change.mode = 0o600
        client.begin((done) => fs.setattr(file, change, done))
      },
      () => {
        change.size = this.#prng.below(3)
        client.begin((done) => fs.setattr(file, change, done))
      },
      () => client.begin((done) => fs.link(file, directory, named(`l${this.#serial++}`), done)),
      () => client.begin((done) => fs.unlink(directory, named(`l${this.#serial - 1}`), done)),
      () => client.begin((done) => fs.mknod(directory, named(`n${this.#serial++}`), FILE, 0, CALLER, done)),
      () => client.begin((done) => fs.removexattr(file, named('user.x'), done)),
      () => this.#read(client, file),
    ]
    this.#prng.pick(acts)()
  }

  #read(client: NamesClient, file: number): void {
    const { fs, pool } = client.node
    const slot = pool.acquire()
    if (slot < 0) return
    client.begin(
      (done) => fs.read(file, pool.payloadOf(slot), 10, 0, done),
      () => pool.release(slot),
    )
  }

  #look(client: NamesClient, number: number): void {
    const { node } = client
    const from = ++this.#now
    let inode: NumberedInode | undefined
    const taken = (result: number): number => {
      if (result === 0) inode = { ...node.fs.found }
      return result
    }
    client.begin(
      (done) => {
        const result = node.fs.getattr(number, (late) => done(taken(late)))
        return result === PENDING ? result : taken(result)
      },
      () => {
        const to = ++this.#now
        if (inode === undefined || inode.nlink === 0) return
        const looks = this.#looks.get(number) ?? []
        looks.push({ from, to, inode, node: node.index })
        this.#looks.set(number, looks)
      },
    )
  }

  /** A look that began after another one had ended has seen no earlier time. */
  #judge(number: number, looks: readonly Look[], kind: Kind): void {
    for (const later of looks) {
      for (const earlier of looks) {
        if (earlier.to > later.from || !isBefore(stampOf(later.inode, kind), stampOf(earlier.inode, kind))) continue
        const [seen, before] = [stampOf(later.inode, kind), stampOf(earlier.inode, kind)]
        throw new Error(`${kind} of ${number}: ${later.node} sees ${seen} after ${earlier.node} has seen ${before}`)
      }
    }
  }
}

const seed = process.env['CHFS_SIM_SEED']
t.test('changes and looks at a time, while clocks jump and members die', async (t) => {
  if (seed !== undefined) {
    new Run(Number(seed)).run()
    t.pass(`seed ${seed}`)
    return
  }
  const first = (Date.now() % 1_000_000) * 1000
  const end = Date.now() + SECONDS * 1000
  let next = first
  for (; Date.now() < end; next++) {
    try {
      new Run(next).run()
    } catch (error) {
      t.fail(`CHFS_SIM_SEED=${next}: ${error}`)
      break
    }
  }
  t.comment(`${next - first} seeds from ${first} on`)
  t.ok(next > first)
})
