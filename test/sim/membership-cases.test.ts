/** What nodes do when something is wrong with one of them, case by case. */
import t, { type Test } from 'tap'
import type { ControlConnection } from '../../lib/ports.js'
import {
  type ClusterRecord,
  type ControlMessage,
  decodeControl,
  encodeControl,
  type Hello,
  NO_CLUSTER,
  NO_ENTRY,
} from '../../lib/wire/control.js'
import { SimControl } from './control.js'
import { LINGER_MS, type SimMember, SimMembership, type SimProcess, type Start, WAIT_MS } from './membership.js'
import { Prng } from './prng.js'

/** When whoever can be ready is ready, and whoever has gone silent is given up. */
const SETTLED_MS = 10_000

const worlds: SimMembership[] = []

function start(members: number, clients = 0): SimMembership {
  const world = new SimMembership(new Prng(7), members, clients)
  worlds.push(world)
  return world
}

/** A test at whose end nothing may have gone against the rules in any of its worlds. */
function test(name: string, body: (t: Test) => Promise<void>): void {
  t.test(name, async (t) => {
    worlds.length = 0
    await body(t)
    for (const { faults } of worlds) t.strictSame(faults, [])
  })
}

function boot(world: SimMembership, more: (node: SimMember) => Partial<Start> = () => ({})): void {
  for (const node of world.all) node.boot(more(node))
  world.pass(SETTLED_MS)
}

const at = (world: SimMembership, index: number): SimMember => world.all[index] as SimMember
const of = (world: SimMembership, index: number): SimProcess => at(world, index).process as SimProcess
const states = (process: SimProcess): string =>
  process.membership
    .status()
    .members.map(({ state }) => state)
    .join()
const said = (process: SimProcess, pattern: RegExp): number => process.log.filter((line) => pattern.test(line)).length
/** Kills every process, where `isDue`. */
function killAll(world: SimMembership, isDue: boolean): void {
  if (isDue) for (const node of world.all) node.kill()
}

const readiness = (world: SimMembership): string =>
  world.all.map((_, index) => Number(of(world, index).isReady)).join('')

/** One that speaks for itself, with the right key. */
class Intruder {
  readonly heard: ControlMessage[] = []
  readonly connection: ControlConnection
  reason: string | undefined

  constructor(world: SimMembership, address: string, name = 'intruder') {
    const control = new SimControl(world.meeting, { node: name, address: null, key: 'key' })
    let connection: ControlConnection | undefined
    control.dial(address, (open) => (connection = open), {
      message: (bytes) => this.heard.push(decodeControl(bytes) as ControlMessage),
      ended: (reason) => (this.reason = reason),
    })
    world.until(() => connection !== undefined, 1000)
    this.connection = connection as unknown as ControlConnection
  }

  say(message: ControlMessage): void {
    this.connection.send(encodeControl(message))
  }

  get kinds(): string {
    return this.heard.map(({ kind }) => kind).join()
  }

  get refusal(): string {
    const last = this.heard.findLast(({ kind }) => kind === 'refuse') as { reason: string } | undefined
    return last?.reason ?? 'it was not refused'
  }
}

function helloTo(world: SimMembership, more: Partial<Hello>): Hello {
  return {
    kind: 'hello',
    ...{ protocolMin: 1, protocolMax: 1, isClient: false, isWhole: false, isUnmounted: false },
    ...{ id: '00000000000000aa', incarnation: 5, attempt: 1, entry: 1, names: world.names },
    ...{ chunkBytes: 4 << 20, virtualNodes: 150, layout: 0, seconds: 0, nanoseconds: 0 },
    ...{ cluster: { clusterId: NO_CLUSTER, epoch: 0, ids: [] }, address: of(world, 0).transport.address },
    ...more,
  }
}

test('one member is a cluster at once', async (t) => {
  const world = start(1)
  boot(world)
  t.equal(readiness(world), '1')
  t.match(of(world, 0).cluster, { epoch: 1, ids: [at(world, 0).own.superblock.memberId], virtualNodes: 150 })
  t.equal(of(world, 0).membership.status().members.length, 1)
})

test('members and clients are told the same, and who is there', async (t) => {
  const world = start(3, 2)
  boot(world)
  t.equal(readiness(world), '11111')
  const { cluster } = of(world, 0)
  t.match(cluster, { epoch: 1, chunkBytes: 4 << 20, virtualNodes: 150, layout: 0, clusterId: /^(?!0{32})/ })
  t.strictSame(
    cluster?.ids,
    world.members.map(({ own }) => own.superblock.memberId),
  )
  for (let index = 1; index < 5; index++) t.strictSame(of(world, index).cluster, cluster)
  t.match(of(world, 1).membership.status(), {
    clusterId: cluster?.clusterId,
    epoch: 1,
    members: world.names.map((name, index) => ({ name, id: cluster?.ids[index], state: 'up' })),
    clients: 2,
  })
  t.strictSame([...of(world, 0).served.values()].sort(), [1, 2, 3, 4], 'clients are numbered behind the members')
})

test('lists and settings that differ are refused, and what differs is named by both', async (t) => {
  const list = ['n0:7400', 'n1:7400']
  const cases: [string, (node: SimMember) => Partial<Start>, RegExp, (node: SimMember) => void][] = [
    [
      'list',
      ({ index }) => (index === 1 ? { names: list } : {}),
      /members are n0:7400,n1:7400, those of this node n0:7400,n1:7400,n2/,
      () => 0,
    ],
    ['layout', () => ({}), /its layout \(layout=\) is 1, that of this node 0/, ({ own }) => own.change({ layout: 1 })],
    [
      'chunks',
      () => ({}),
      /its chunk size \(chunk=\) is 65536, that of this node 4194304/,
      ({ own }) => own.change({ chunkBytes: 65536 }),
    ],
    [
      'virtual nodes',
      () => ({}),
      /its number of virtual nodes \(vnodes=\) is 1, that of/,
      ({ own }) => own.change({ virtualNodes: 1 }),
    ],
  ]
  for (const [name, more, reason, prepare] of cases) {
    const world = start(3)
    prepare(at(world, 1))
    boot(world, more)
    t.equal(readiness(world), '000', name)
    t.equal(said(of(world, 0), reason), 1, `${name}: said once`)
    for (const index of [1, 2])
      t.ok(said(of(world, index), /a node (was refused|has refused this one) .*n[01]/) >= 1, name)
    world.pass(WAIT_MS)
    t.match(of(world, 0).late, [
      { name: 'n1:7400', reason: /./ },
      { name: 'n2:7400', reason: 'it does not serve yet' },
    ])
    t.match(of(world, 0).late?.[0]?.reason, /refused/)
    for (const { own } of world.members) t.equal(own.superblock.clusterId, NO_CLUSTER, 'nothing is written')
  }
})

test('with another key nobody comes in', async (t) => {
  const world = start(3)
  boot(world, ({ index }) => (index === 2 ? { key: 'other' } : {}))
  world.pass(WAIT_MS)
  t.equal(readiness(world), '000')
  t.match(of(world, 0).late?.[1], { name: 'n2:7400', reason: 'it cannot be reached: it has another key' })
  at(world, 2).boot()
  world.pass(SETTLED_MS)
  t.equal(readiness(world), '111', 'and with the right one it works at once')
})

test('one that does not come is named', async (t) => {
  const world = start(3)
  for (const index of [0, 2]) at(world, index).boot()
  world.pass(WAIT_MS - 1000)
  t.equal(of(world, 0).late, undefined)
  world.pass(2000)
  const missing = [
    { name: 'n1:7400', reason: 'it cannot be reached: nobody listens there' },
    { name: 'n2:7400', reason: 'it does not serve yet' },
  ]
  t.strictSame(of(world, 0).late, missing)
  at(world, 1).boot()
  world.pass(SETTLED_MS)
  t.equal(readiness(world), '111', 'it may come later')
})

test('a crash while the cluster is formed is harmless, at whichever node, before and after', async (t) => {
  for (const index of [0, 1, 2]) {
    for (const when of [false, true]) {
      const world = start(3)
      const node = at(world, index)
      node.own.onForm = (isWritten) => {
        if (isWritten === when) node.kill()
      }
      boot(world)
      t.notOk(node.isAlive)
      t.equal(node.own.superblock.clusterId === NO_CLUSTER, !when)
      t.notMatch(readiness(world), '1', 'nobody is ready without it')
      node.own.onForm = () => undefined
      node.boot()
      world.pass(SETTLED_MS)
      t.equal(readiness(world), '111', `n${index}, ${when ? 'after' : 'before'}`)
    }
  }
})

test('all crash after the first has decided', async (t) => {
  const world = start(3)
  const { own } = at(world, 0)
  own.onForm = (isWritten) => killAll(world, isWritten)
  boot(world)
  const decided = own.superblock.clusterId
  t.not(decided, NO_CLUSTER)
  t.equal(at(world, 1).own.superblock.clusterId, NO_CLUSTER)
  own.onForm = () => undefined
  boot(world)
  t.equal(readiness(world), '111')
  t.equal(of(world, 2).cluster?.clusterId, decided, 'what was decided stays')
})

test('a store that was replaced while the cluster was formed', async (t) => {
  const world = start(3)
  const { own } = at(world, 0)
  own.onForm = (isWritten) => killAll(world, isWritten)
  boot(world)
  own.onForm = () => undefined
  at(world, 1).store = at(world, 1).newStore()
  for (const index of [1, 2]) at(world, index).boot()
  world.pass(SETTLED_MS)
  at(world, 0).boot()
  world.pass(SETTLED_MS)
  t.equal(readiness(world), '000')
  t.ok(
    said(of(world, 2), /n1:7400.*this node's store is new.*which had another one/) > 0,
    'though they had met before, as both were new',
  )
  t.ok(said(of(world, 0), /n1:7400.*its store is new to the cluster [0-9a-f]{32}, which had another one/) > 0)
  t.ok(said(of(world, 1), /refuse.*is new/) > 0)
})

test('an empty store in place of an old one is refused, and harms nobody', async (t) => {
  const world = start(3)
  boot(world)
  const node = at(world, 1)
  const old = node.store
  node.store = node.newStore()
  node.boot()
  world.pass(SETTLED_MS)
  t.notOk(of(world, 1).isReady)
  t.equal(node.store.superblock.clusterId, NO_CLUSTER, 'it is not written to')
  t.ok(said(of(world, 0), /n1:7400.*its store is new to the cluster/) > 0)
  t.ok(
    said(
      of(world, 1),
      /(this node's store is new to its cluster|its store is new to the cluster) [0-9a-f]{32}, which had another one/,
    ) > 0,
  )
  t.equal(states(of(world, 0)), 'up,suspected,up')
  t.equal(said(of(world, 0), /a node was refused/), 1, 'it tries again and again, and that is said once')
  const empty = node.store
  node.store = old
  node.boot()
  world.pass(SETTLED_MS)
  t.ok(world.isConnected)
  node.store = empty
  node.boot()
  world.pass(SETTLED_MS)
  t.equal(said(of(world, 0), /a node was refused/), 2, 'unless all was well meanwhile')
})

test('a store of another cluster, of another member, a copy, and one from before', async (t) => {
  const world = start(3)
  boot(world)
  const stores = world.members.map(({ store }) => store)
  const own = at(world, 1).own.superblock
  const cases: [string, (node: SimMember) => void, RegExp][] = [
    [
      'another cluster',
      (node) => node.own.change({ clusterId: 'ab'.repeat(16) }),
      /its cluster is (ab){16}, that of this node/,
    ],
    ['another epoch', (node) => node.own.change({ ringEpoch: 2 }), /its epoch is 2, that of this node 1/],
    ['others in it', (node) => node.own.change({ members: own.members.toReversed() }), /it knows the members as/],
    ['a member missing', (node) => node.own.change({ members: own.members.slice(0, 2) }), /it knows 2 members of 3/],
    [
      'a copy',
      (node) => (node.store = node.newStore(stores[0]?.superblock)),
      /it is this node itself, or has a copy of its store/,
    ],
    [
      'before the cluster',
      (node) => node.own.change({ clusterId: NO_CLUSTER, isWhole: false }),
      /its store is older than the cluster/,
    ],
  ]
  for (const [name, prepare, reason] of cases) {
    const node = at(world, 1)
    node.kill()
    prepare(node)
    const before = of(world, 0).log.length
    const { clusterId } = node.own.superblock
    node.boot()
    world.pass(SETTLED_MS)
    t.notOk(of(world, 1).isReady, name)
    t.equal(node.own.superblock.clusterId, clusterId, `${name}: it is not written to`)
    t.match(of(world, 0).log.slice(before).join('\n'), reason, name)
    t.equal(states(of(world, 0)), 'up,suspected,up', name)
    node.kill()
    node.store = stores[1] ?? null
    node.own.change({ ...own, incarnation: node.own.superblock.incarnation })
    // It was told of its own cluster at once, as one that comes back is.
    world.faults.length = 0
  }
  // Two members have each other's stores.
  for (const index of [1, 2]) at(world, index).kill()
  at(world, 1).store = stores[2] ?? null
  at(world, 2).store = stores[1] ?? null
  const before = of(world, 0).log.length
  for (const index of [1, 2]) at(world, index).boot()
  world.pass(SETTLED_MS)
  t.match(of(world, 0).log.slice(before).join('\n'), /it is n1:7400, and has the store of n2:7400/)
  for (const index of [1, 2]) {
    at(world, index).kill()
    at(world, index).store = stores[index] ?? null
    at(world, index).boot()
  }
  world.pass(SETTLED_MS)
  t.equal(readiness(world), '111', 'with their own they are welcome')
})

test('two that take the same place', async (t) => {
  const world = start(3)
  boot(world, ({ index }) => (index === 2 ? { self: 1 } : {}))
  t.equal(readiness(world), '000')
  t.ok(said(of(world, 0), /another node has come as n1:7400/) > 0, 'the one that was later is refused')
  world.pass(WAIT_MS)
  t.match(of(world, 0).late, [{ name: 'n1:7400' }, { name: 'n2:7400', reason: /nobody listens there/ }])
})

test('a name that leads to another member, or back to this node', async (t) => {
  const world = start(3)
  boot(world)
  at(world, 1).kill()
  for (const [target, reason] of [
    [2, /n1:7400.*n2:7400 answers there/],
    [0, /n1:7400.*it is this node itself/],
  ] as const) {
    world.meeting.listeners.set('n1:7400', of(world, target).control)
    world.pass(SETTLED_MS)
    t.ok(said(of(world, 0), reason) > 0, String(reason))
  }
})

test('clocks that differ', async (t) => {
  for (const skewMs of [5000, -5000]) {
    const world = start(2)
    boot(world, ({ index }) => (index === 1 ? { skewMs } : {}))
    t.equal(readiness(world), '00')
    t.ok(said(of(world, 0), /its clock is 5 s away/) + said(of(world, 1), /its clock is 5 s away/) > 0)
    at(world, 1).boot({ skewMs: skewMs / 10 })
    world.pass(SETTLED_MS)
    t.equal(readiness(world), '11', 'half a second is none')
    // One that was there already keeps it, and says so.
    world.cut(at(world, 0), at(world, 1))
    of(world, 1).clock.skewMs = skewMs
    world.pass(SETTLED_MS)
    world.heal()
    world.pass(SETTLED_MS)
    t.ok(world.isConnected)
    t.ok(said(of(world, 0), /clocks differ/) + said(of(world, 1), /clocks differ/) > 0)
  }
})

t.test(
  'who is silent is suspected by both, whichever way the link is cut, and welcome when it is healed',
  async (t) => {
    for (const [from, to] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const world = start(3)
      boot(world)
      world.cut(at(world, from), at(world, to))
      t.ok(
        world.until(() => states(of(world, to)).split(',')[from] === 'suspected', 6000),
        'in six seconds',
      )
      world.pass(6000)
      t.equal(states(of(world, 0)), 'up,suspected,up')
      t.equal(states(of(world, 1)), 'suspected,up,up')
      t.equal(said(of(world, 0), /a member is away/), 1)
      world.pass(60_000)
      world.heal()
      t.ok(world.until(() => world.isConnected, SETTLED_MS))
      t.equal(said(of(world, 0), /a member is away/), 1, 'it was said once')
    }
  },
)

test('a process that was stopped', async (t) => {
  const world = start(3)
  boot(world)
  const stopped = of(world, 1)
  stopped.clock.stoppedUntilMs = world.clock.monotonicMs() + 20_000
  world.pass(10_000)
  t.equal(states(of(world, 0)), 'up,suspected,up')
  world.pass(20_000)
  t.ok(world.isConnected)
  t.equal(said(stopped, /it is silent/), 0, 'it hears what came meanwhile before it gives anybody up')
})

test('a node that comes back while another is away serves what it has', async (t) => {
  const world = start(3)
  boot(world)
  for (const index of [1, 2]) at(world, index).kill()
  at(world, 1).boot()
  world.pass(SETTLED_MS)
  t.not(of(world, 1).cluster, undefined, 'its store knows the cluster')
  t.ok(world.isConnected)
  t.notOk(of(world, 1).isReady)
  t.equal(states(of(world, 1)), 'up,up,absent')
  world.pass(WAIT_MS)
  t.match(of(world, 1).late, [{ name: 'n2:7400', reason: /nobody listens there/ }])
  at(world, 2).boot()
  world.pass(SETTLED_MS)
  t.equal(readiness(world), '111')
})

test('a channel that fails is replaced', async (t) => {
  const world = start(2)
  boot(world)
  const [channel] = of(world, 0).served.keys()
  of(world, 0).membership.channelFailed(channel as number, -104)
  t.equal(of(world, 0).served.size, 0)
  t.ok(world.until(() => world.isConnected && of(world, 0).served.size === 1, SETTLED_MS))
  t.not([...of(world, 0).served.keys()][0], channel)
  of(world, 0).membership.channelFailed(12345, -104)
  t.equal(of(world, 0).served.size, 1, 'one that is no more says nothing')
})

test('a channel that cannot be had, or connected', async (t) => {
  const world = start(2)
  const process = at(world, 0).boot()
  let left = 3
  const { transport } = process
  const expect = transport.expect.bind(transport)
  transport.expect = (secret) => (left-- > 0 ? -24 : expect(secret))
  const connect = transport.connect.bind(transport)
  let refused = 2
  transport.connect = (...args) => (refused-- > 0 ? -22 : connect(...args))
  at(world, 1).boot()
  world.pass(2 * SETTLED_MS)
  t.equal(said(process, /there is no channel for it \(errno 24\)/), 1)
  t.equal(said(process, /its channel cannot be connected \(errno 22\)/), 1)
  t.equal(readiness(world), '11')
})

test('a superblock that cannot be written', async (t) => {
  const world = start(2)
  at(world, 1).own.onForm = () => {
    throw new Error('the disk is full')
  }
  boot(world)
  t.match(of(world, 1).failure, { message: 'the disk is full' })
  t.equal(readiness(world), '00')
})

test('all leave at once', async (t) => {
  const world = start(4, 2)
  boot(world)
  for (const { process } of world.all) process?.leave()
  world.pass(1000)
  t.ok(
    world.all.every(({ process }) => (process?.doneMs ?? -1) >= 0),
    'and nobody lingers',
  )
  t.equal(said(of(world, 0), /answers EIO/), 0)
})

test('one leaves, serves on for a while, and then it is said what that means', async (t) => {
  const world = start(3)
  boot(world)
  of(world, 1).leave()
  world.pass(LINGER_MS - 1000)
  t.ok(world.isConnected, 'it serves on')
  t.equal(states(of(world, 0)), 'up,up,up')
  world.pass(2000)
  t.ok(of(world, 1).doneMs > 0)
  t.equal(states(of(world, 0)), 'up,left,up')
  t.strictSame([...of(world, 0).left], [1])
  t.equal(said(of(world, 0), /a member has left: what lies there answers EIO.*n1:7400/), 1)
  world.pass(60_000)
  t.equal(said(of(world, 0), /a member is away/), 0, 'it is not dead')
  at(world, 1).boot()
  world.pass(SETTLED_MS)
  t.ok(world.isConnected, 'and it may come back')
  t.equal(of(world, 0).left.size, 0)
  at(world, 1).kill()
  world.pass(1000)
  t.equal(states(of(world, 0)), 'up,suspected,up', 'and be lost')
  at(world, 1).boot()
  world.pass(SETTLED_MS)
  for (const { process } of world.all) process?.leave()
  world.pass(1000)
  t.ok(world.all.every(({ process }) => (process?.doneMs ?? -1) >= 0))
})

test('who leaves while another is away lingers, for its mount may still be there', async (t) => {
  const world = start(3)
  boot(world)
  at(world, 2).kill()
  world.pass(1000)
  for (const index of [0, 1]) of(world, index).leave()
  world.pass(LINGER_MS - 1000)
  t.ok(of(world, 0).doneMs < 0)
  world.pass(1100)
  t.ok(of(world, 0).doneMs > 0 && of(world, 1).doneMs > 0)
})

test('one that is away when another says that it has unmounted is told when they meet again', async (t) => {
  const world = start(2)
  boot(world)
  world.cut(at(world, 0), at(world, 1))
  world.cut(at(world, 1), at(world, 0))
  world.pass(SETTLED_MS)
  for (const { process } of world.all) process?.leave()
  world.pass(5000)
  t.ok(of(world, 0).doneMs < 0)
  world.heal()
  world.pass(SETTLED_MS)
  t.ok(of(world, 0).doneMs > 0 && of(world, 1).doneMs > 0, 'and nobody lingers to the end')
})

test('one that leaves while it says hello', async (t) => {
  const world = start(3)
  boot(world)
  of(world, 2).leave()
  at(world, 1).kill()
  world.pass(LINGER_MS + 1000)
  at(world, 1).boot()
  // So that it is the one that dials.
  world.meeting.listeners.delete('n1:7400')
  const before = world.meeting.opened.get('n0,n1') as number
  t.ok(world.until(() => (world.meeting.opened.get('n0,n1') as number) > before, SETTLED_MS))
  for (const index of [0, 1]) of(world, index).leave()
  world.pass(5000)
  t.ok(of(world, 0).doneMs > 0, 'the other learns it')
  t.ok(of(world, 1).doneMs < 0, 'though it has to linger itself, as it does not know of the third')
})

test('clients come and go', async (t) => {
  const world = start(2, 1)
  boot(world)
  t.equal(of(world, 0).membership.status().clients, 1)
  of(world, 2).leave()
  world.pass(1000)
  t.ok(of(world, 2).doneMs >= 0, 'it serves nothing, so it does not linger')
  t.equal(of(world, 0).membership.status().clients, 0)
  t.strictSame([...of(world, 0).left], [2])
  t.equal(said(of(world, 0), /answers EIO/), 0)
  at(world, 2).boot()
  world.pass(SETTLED_MS)
  t.strictSame([...of(world, 0).served.values()].sort(), [1, 3], 'another time it is another one')
  at(world, 2).kill()
  world.pass(599_000)
  t.notOk(of(world, 0).left.has(3), 'it may come back')
  world.pass(10_000)
  t.ok(of(world, 0).left.has(3), 'until it is given up')
  const client = new Intruder(world, 'n0:7400')
  client.say(helloTo(world, { isClient: true, entry: NO_ENTRY, incarnation: 1 }))
  world.pass(1000)
  client.connection.close()
  world.pass(610_000)
  const again = new Intruder(world, 'n0:7400')
  again.say(helloTo(world, { isClient: true, entry: NO_ENTRY, incarnation: 1, attempt: 2 }))
  world.pass(1000)
  t.equal(again.refusal, 'it was away for too long, and was given up: it has to be mounted again')
  for (const index of [0, 1]) of(world, index).leave()
  world.pass(1000)
  t.ok(of(world, 0).doneMs > 0, 'and nobody waits for it')
})

test('a client finds a member again that has left and come back', async (t) => {
  const world = start(2, 1)
  boot(world)
  of(world, 1).leave()
  world.pass(LINGER_MS + 5000)
  t.equal(states(of(world, 2)), 'up,left')
  at(world, 1).boot()
  t.ok(world.until(() => world.isConnected, SETTLED_MS))
  t.equal(states(of(world, 2)), 'up,up')
})

test('a client needs no other member than those that there are', async (t) => {
  const world = start(3, 1)
  for (const { index } of world.members) at(world, index).boot()
  world.pass(SETTLED_MS)
  at(world, 1).kill()
  at(world, 3).boot()
  world.pass(SETTLED_MS)
  t.match(of(world, 3).cluster, { epoch: 1 })
  t.equal(of(world, 3).answered.size, 2)
  t.equal(states(of(world, 3)), 'up,absent,up')
})

test('what is said out of turn, or is no message', async (t) => {
  const world = start(2, 0)
  boot(world)
  const id = at(world, 1).own.superblock.memberId as string
  const { cluster } = of(world, 0)
  const record = { clusterId: cluster?.clusterId as string, epoch: 1, ids: cluster?.ids as string[] }
  const hello = helloTo(world, { id, incarnation: 50, cluster: record, seconds: 1 })
  const channel: ControlMessage = { kind: 'channel', channel: 1, secret: new Uint8Array(16) }
  const cases: [string, (ControlMessage | Uint8Array)[], RegExp][] = [
    ['nothing', [new Uint8Array(0)], /has sent what is no message/],
    ['noise', [Uint8Array.of(1, 2, 3, 4, 5)], /has sent what is no message/],
    ['no hello', [{ kind: 'alive' }], /has sent alive out of turn/],
    ['a channel first', [channel], /has sent channel out of turn/],
    ['a goodbye first', [{ kind: 'goodbye' }], /out of turn/],
    ['hello twice', [hello, hello], /has sent hello out of turn/],
    [
      'connected without a channel',
      [{ ...hello, incarnation: 51 }, { kind: 'connected' }],
      /has sent connected out of turn/,
    ],
    ['two channels', [{ ...hello, incarnation: 52 }, channel, channel], /has sent channel out of turn/],
    [
      'another cluster',
      [
        { ...hello, incarnation: 53 },
        { kind: 'formed', ...record, epoch: 9 },
      ],
      /its epoch is 9/,
    ],
    ['another version', [{ ...hello, protocolMin: 2, protocolMax: 3 }], /speaks version 2 to 3, this node 1 to 1/],
    ['no such entry', [{ ...hello, entry: 2 }], /no member of the list/],
    ['our entry', [{ ...hello, entry: 0 }], /takes itself for n0:7400, which is this node/],
    ['an earlier life', [{ ...hello, incarnation: 1 }], /an earlier process of the same store/],
    ['a client as a member', [{ ...hello, isClient: true }], /a client and a member/],
    [
      'a client that forms',
      [
        { ...hello, id: '1'.repeat(16), isClient: true, entry: NO_ENTRY },
        { kind: 'formed', ...record },
      ],
      /it is a client/,
    ],
  ]
  for (const [name, messages, reason] of cases) {
    const intruder = new Intruder(world, 'n0:7400')
    for (const message of messages) {
      if (message instanceof Uint8Array) intruder.connection.send(message)
      else intruder.say(message)
    }
    t.ok(
      world.until(() => intruder.reason !== undefined, 5000),
      name,
    )
    t.match(intruder.refusal, reason, name)
  }
  world.pass(SETTLED_MS)
  at(world, 1).boot()
  at(world, 1).own.change({ incarnation: 100 })
  at(world, 1).boot()
  t.ok(
    world.until(() => world.isConnected, SETTLED_MS),
    'the real one is welcome all the same',
  )
})

test('whatever one says that has the key, nobody breaks', async (t) => {
  for (let seed = 1; seed <= 60; seed++) {
    const world = start(2)
    boot(world)
    const prng = new Prng(seed)
    const id = at(world, 1).own.superblock.memberId
    const known = of(world, 0).membership.status()
    const record = (): ClusterRecord => ({
      clusterId: prng.pick([known.clusterId, NO_CLUSTER, 'ee'.repeat(16)]),
      epoch: prng.pick([0, 1, 2]),
      ids: prng.pick([[], world.members.map(({ own }) => own.superblock.memberId), [id, id], [id]]),
    })
    const bytes = (): Uint8Array => Uint8Array.from({ length: 16 }, () => prng.below(256))
    const makers: (() => ControlMessage)[] = [
      () =>
        helloTo(world, {
          ...{ id: prng.pick([id, 'aa'.repeat(8)]), incarnation: prng.pick([0, 1, 7]), attempt: prng.below(4) },
          ...{ entry: prng.pick([0, 1, 2, NO_ENTRY]), isClient: prng.oneIn(2), isWhole: prng.oneIn(2) },
          ...{ isUnmounted: prng.oneIn(2), names: prng.pick([world.names, [], ['n0:7400']]), cluster: record() },
          ...{ address: prng.pick([bytes(), of(world, 1).transport.address]), protocolMax: prng.pick([1, 1, 9]) },
        }),
      () => ({ kind: 'channel', channel: prng.pick([0, 1, 0xffffffff]), secret: bytes() }),
      () => ({ kind: 'formed', ...record() }),
      () => ({ kind: 'refuse', reason: 'x'.repeat(prng.below(5000)) }),
      () => ({ kind: prng.pick(['connected', 'alive', 'unmounted', 'goodbye'] as const) }),
    ]
    for (let count = 0; count < 20; count++) {
      const intruder = new Intruder(world, prng.pick(world.names as string[]), `intruder${count}`)
      for (let said = 0; said <= prng.below(6); said++)
        intruder.say((prng.oneIn(2) ? (makers[0] as () => Hello) : prng.pick(makers))())
      world.pass(prng.below(2000))
      if (prng.oneIn(2)) intruder.connection.close()
    }
    world.faults.length = 0
    boot(world)
    t.equal(readiness(world), '11', `seed ${seed}`)
  }
})

test('who says nothing at all, or stops', async (t) => {
  const world = start(1)
  boot(world)
  const silent = new Intruder(world, 'n0:7400')
  const client = new Intruder(world, 'n0:7400')
  client.say(helloTo(world, { isClient: true, entry: NO_ENTRY }))
  world.pass(1000)
  t.match(client.kinds, /^hello,channel/)
  world.pass(6000)
  t.equal(silent.reason, 'the other end has closed it')
  t.equal(client.reason, 'the other end has closed it')
  t.ok(client.heard.filter(({ kind }) => kind === 'alive').length >= 4)
})

test('of two connections the later hello counts', async (t) => {
  const world = start(1)
  boot(world)
  const hello = helloTo(world, { isClient: true, entry: NO_ENTRY, attempt: 5 })
  const first = new Intruder(world, 'n0:7400')
  first.say(hello)
  world.pass(500)
  const earlier = new Intruder(world, 'n0:7400')
  earlier.say({ ...hello, attempt: 4 })
  world.pass(500)
  t.equal(earlier.kinds, '')
  t.equal(earlier.reason, 'the other end has closed it')
  t.equal(first.reason, undefined)
  const later = new Intruder(world, 'n0:7400')
  later.say({ ...hello, attempt: 6 })
  world.pass(500)
  t.match(later.kinds, /^hello/)
  t.equal(first.reason, 'the other end has closed it')
  later.say({ kind: 'refuse', reason: 'no more' })
  world.pass(500)
  t.equal(said(of(world, 0), /a node has refused this one.*|.*no more/) > 0, true)
})

test('an end without a goodbye', async (t) => {
  const world = start(2)
  boot(world)
  of(world, 1).membership.stop()
  world.pass(SETTLED_MS)
  t.equal(states(of(world, 0)), 'up,suspected')
  t.equal(of(world, 0).left.size, 0)
  const late = new Intruder(world, 'n1:7400')
  world.pass(1000)
  t.equal(late.reason, 'the other end has closed it', 'who comes after it is sent away')
})
