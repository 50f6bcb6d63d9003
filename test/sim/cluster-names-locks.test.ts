/** Locks across nodes: waiting, hand-over, and what becomes of them when nodes and links die. */
import t, { type Test } from 'tap'
import { EAGAIN, EDEADLK, EINTR } from '../../lib/base/errno.js'
import { S_IFREG } from '../../lib/base/mode.js'
import type { LockKind } from '../../lib/fs/operations.js'
import { FENCE_MS, LEASE_MS } from '../../lib/node/leases.js'
import { F_RDLCK, F_UNLCK, F_WRLCK, LOCK_END, type Lock } from '../../lib/share/locks.js'
import type { ClusterNode, Operation } from './cluster-node.js'
import { NamesClient } from './names-client.js'
import { NamesWorld, ROOT } from './names-world.js'
import { Prng } from './prng.js'

const KINDS: readonly LockKind[] = ['record', 'flock']

/** A process on a node, with the file open under a handle. */
class Process {
  readonly client: NamesClient
  readonly handle: number
  readonly #file: number
  readonly #kind: LockKind

  constructor(client: NamesClient, file: number, kind: LockKind, handle: number) {
    this.client = client
    this.handle = handle
    this.#file = file
    this.#kind = kind
  }

  lock(type: number, start = 0, end = LOCK_END): Lock {
    return { owner: `owner ${this.handle}`, handle: this.handle, pid: 100 + this.handle, type, start, end }
  }

  try(type: number, start = 0, end = LOCK_END): number {
    const lock = this.lock(type, start, end)
    return this.client.run((done) => this.client.node.fs.setLock(this.#file, this.#kind, lock, done))
  }

  wait(type: number, start = 0, end = LOCK_END): Operation {
    const lock = this.lock(type, start, end)
    const id = `wait ${this.handle}`
    return this.client.begin((done) => this.client.node.fs.waitLock(this.#file, this.#kind, lock, id, done))
  }

  interrupt(): void {
    this.client.node.fs.interrupt(`wait ${this.handle}`)
  }

  blocker(type: number): Lock | undefined {
    const lock = this.lock(type)
    this.client.run((done) => this.client.node.fs.testLock(this.#file, this.#kind, lock, done))
    return this.client.node.fs.blocker
  }

  close(): void {
    const { fs } = this.client.node
    this.client.run(() => {
      fs.release(this.#file, this.handle, this.#kind === 'flock' ? `owner ${this.handle}` : undefined)
      return 0
    })
  }

  get isLost(): boolean {
    return this.client.node.fs.isLost(this.handle)
  }
}

/** A file on member 0, open in a process of each node; the first two have nothing to do with its member. */
function stage(kind: LockKind, seed = 1, storeless = 0) {
  const world = new NamesWorld(new Prng(seed), { members: 4, storeless })
  const clients = world.nodes.map((node) => new NamesClient(world, node))
  const name = (clients[0] as NamesClient).nameOn(ROOT, 'f', 0)
  const processes = clients.map((client, index) => {
    const file = client.create(ROOT, name, S_IFREG | 0o644)
    return new Process(client, file, kind, index + 1)
  })
  const [local, a, b, c, client] = processes as [Process, Process, Process, Process, Process]
  return { world, local, a, b, c, client }
}

/** A process of a node that has started anew. */
function again(world: NamesWorld, index: number, kind: LockKind): Process {
  const client = new NamesClient(world, world.nodes[index] as ClusterNode)
  return new Process(client, client.create(ROOT, client.nameOn(ROOT, 'f', 0), S_IFREG | 0o644), kind, index + 100)
}

/** Lets time pass until the operation is over; how long that took. */
function timeOf(world: NamesWorld, operation: Operation): number {
  const startedMs = world.clock.monotonicMs()
  world.finish(operation)
  return world.clock.monotonicMs() - startedMs
}

/** The node without a store has been cut off, and has its lock as long as it wants when it is back. */
function comesBackInTime(t: Test, world: NamesWorld, client: Process, wait: Operation): void {
  t.notOk(wait.isOver)
  world.rejoin(4)
  world.rest(2 * LEASE_MS)
  t.notOk(wait.isOver)
  t.notOk(client.isLost)
  t.equal(client.try(F_UNLCK), 0)
  t.equal(world.finish(wait), 0)
}

for (const kind of KINDS) {
  t.test(`${kind} locks exclude each other on all nodes`, async (t) => {
    const { world, local, a, b, c } = stage(kind)
    t.equal(a.try(F_WRLCK), 0)
    for (const other of [local, b, c]) t.equal(other.try(F_WRLCK), -EAGAIN)
    t.equal(b.blocker(F_RDLCK)?.pid, 102)
    const first = b.wait(F_RDLCK)
    const second = c.wait(F_RDLCK)
    world.rest(60_000)
    t.notOk(first.isOver || second.isOver, 'as long as it is held')
    t.equal(a.try(F_UNLCK), 0)
    t.equal(world.finish(first), 0)
    t.equal(world.finish(second), 0, 'those who read share it')
    const writer = local.wait(F_WRLCK)
    b.close()
    world.rest(50)
    t.notOk(writer.isOver)
    c.close()
    t.equal(world.finish(writer), 0, 'a close gives it back')
    t.equal(a.blocker(F_WRLCK)?.pid, 101)
  })

  t.test(`waiting for a ${kind} lock ends with an interrupt, also one that overtakes it`, async (t) => {
    for (let at = 0; at < 12; at++) {
      const { world, a, b, c } = stage(kind, at)
      t.equal(a.try(F_WRLCK), 0)
      const wait = b.wait(F_WRLCK)
      for (let event = 0; event < at; event++) world.clock.step()
      b.interrupt()
      t.equal(world.finish(wait), -EINTR)
      t.equal(a.try(F_UNLCK), 0)
      t.equal(c.try(F_WRLCK), 0, 'nobody has got it who has given up')
    }
  })

  t.test(`the member of a ${kind} lock dies while a wait for it is interrupted`, async (t) => {
    for (let at = 0; at < 8; at++) {
      const { world, a, b } = stage(kind, at)
      t.equal(a.try(F_WRLCK), 0)
      const wait = b.wait(F_WRLCK)
      world.rest(50)
      b.interrupt()
      for (let event = 0; event < at; event++) world.clock.step()
      world.crash(0, 'process')
      world.restart(0)
      t.equal(world.finish(wait), -EINTR)
    }
  })

  t.test(`a node dies, and its ${kind} locks with it`, async (t) => {
    const { world, a, b } = stage(kind)
    t.equal(a.try(F_WRLCK), 0)
    const wait = b.wait(F_WRLCK)
    world.rest(100)
    world.crash(1, 'process')
    const took = timeOf(world, wait)
    t.equal(wait.result, 0)
    t.ok(took >= FENCE_MS && took <= LEASE_MS + 100, `after ${took} ms`)
  })

  t.test(`a node dies and comes back at once: its ${kind} locks are gone`, async (t) => {
    const { world, a, b } = stage(kind)
    t.equal(a.try(F_WRLCK), 0)
    const wait = b.wait(F_WRLCK)
    world.crash(1, 'process')
    world.restart(1)
    t.ok(timeOf(world, wait) < 1000)
    t.equal(wait.result, 0)
  })

  t.test(`a node that waits for a ${kind} lock dies, and does not get it`, async (t) => {
    const { world, a, b, c } = stage(kind)
    t.equal(a.try(F_WRLCK), 0)
    b.wait(F_WRLCK)
    const next = c.wait(F_WRLCK)
    world.rest(50)
    world.crash(2, 'process')
    world.rest(LEASE_MS + 100)
    t.equal(a.try(F_UNLCK), 0)
    t.ok(timeOf(world, next) < 100)
    t.equal(next.result, 0)
  })

  t.test(`a short loss of the session costs no ${kind} lock`, async (t) => {
    const { world, a, b, c } = stage(kind)
    t.equal(a.try(F_WRLCK), 0)
    const wait = b.wait(F_WRLCK)
    for (const index of [1, 2]) world.break(0, index, 3000)
    world.rest(LEASE_MS * 2)
    t.notOk(a.isLost)
    t.equal(c.try(F_WRLCK), -EAGAIN)
    t.notOk(wait.isOver)
    t.equal(a.try(F_UNLCK), 0)
    t.equal(world.finish(wait), 0)
  })

  t.test(`a node that is cut off knows that its ${kind} lock is lost before anybody gets it`, async (t) => {
    const { world, a, b, c } = stage(kind)
    t.equal(a.try(F_WRLCK), 0)
    const wait = b.wait(F_WRLCK)
    world.rest(10)
    world.cutOff(1)
    world.rest(FENCE_MS - 100)
    t.notOk(a.isLost)
    world.rest(200)
    t.ok(a.isLost)
    t.notOk(wait.isOver)
    t.equal(world.finish(wait), 0)
    world.rejoin(1)
    world.gather()
    t.ok(a.isLost, 'it stays lost')
    t.equal(c.try(F_WRLCK), -EAGAIN)
    t.equal(b.try(F_UNLCK), 0)
    world.rest(50)
    t.equal(c.try(F_WRLCK), 0, 'nothing of it has come back')
    a.close()
    t.notOk(a.isLost, 'what is opened next has its own')
  })

  t.test(`the member of a ${kind} lock starts anew, and all say again what they have`, async (t) => {
    const { world, a, b, c } = stage(kind)
    t.equal(a.try(F_WRLCK, 0, 9), 0)
    if (kind === 'record') t.equal(c.try(F_WRLCK, 10, 19), 0)
    const wait = b.wait(F_WRLCK)
    world.rest(50)
    world.crash(0, 'process')
    world.restart(0)
    world.gather()
    t.equal(c.try(F_WRLCK, 0, 9), -EAGAIN)
    t.equal(a.try(F_UNLCK), 0)
    if (kind === 'record') {
      world.rest(100)
      t.notOk(wait.isOver)
      t.equal(c.try(F_UNLCK), 0)
    }
    t.equal(world.finish(wait), 0)
    t.notOk(a.isLost)
  })

  t.test(`the member of a ${kind} lock starts anew, and one that may have it says nothing`, async (t) => {
    const { world, a, b } = stage(kind)
    t.equal(a.try(F_WRLCK), 0)
    world.cutOff(1)
    world.crash(0, 'process')
    world.restart(0)
    const wait = b.wait(F_WRLCK)
    const took = timeOf(world, wait)
    t.equal(wait.result, 0)
    t.ok(took >= FENCE_MS && took <= LEASE_MS + 200, `after ${took} ms`)
    t.ok(a.isLost)
    world.rejoin(1)
    world.gather()
    t.ok(a.isLost)
    t.equal(b.try(F_UNLCK), 0)
  })

  // What it had asked waited on, and got the lock for a process that was no more.
  t.test(`a node asks for a ${kind} lock, and dies before it is known who has which`, async (t) => {
    const { world, a, b } = stage(kind)
    world.cutOff(1)
    world.crash(0, 'process')
    world.restart(0)
    const wait = b.wait(F_WRLCK)
    world.rest(200)
    t.notOk(wait.isOver)
    world.crash(2, 'process')
    world.restart(2)
    world.rest(200)
    world.rejoin(1)
    world.gather()
    t.equal(a.try(F_WRLCK), 0)
    t.equal(a.try(F_UNLCK), 0)
  })

  // It gave the lock away at once, since all members had said that they have none.
  t.test(`the member of a ${kind} lock starts anew, and a node without a store has it`, async (t) => {
    const { world, a, client } = stage(kind, 1, 1)
    t.equal(client.try(F_WRLCK), 0)
    world.cutOff(4)
    world.crash(0, 'process')
    world.restart(0)
    const wait = a.wait(F_WRLCK)
    world.rest(FENCE_MS - 2000)
    comesBackInTime(t, world, client, wait)
  })

  // None of them had heard of that node in this run, so each gave the lock away as soon as the others had come.
  t.test(`all members of a ${kind} lock start anew, and a node without a store has it`, async (t) => {
    const { world, client } = stage(kind, 1, 1)
    t.equal(client.try(F_WRLCK), 0)
    world.cutOff(4)
    for (const member of [0, 1, 2, 3]) world.crash(member, 'power')
    for (const member of [0, 1, 2, 3]) world.restart(member)
    world.rest(1000)
    const other = again(world, 1, kind)
    const wait = other.wait(F_WRLCK)
    world.rest(FENCE_MS - 3000)
    comesBackInTime(t, world, client, wait)
  })

  t.test(`a ${kind} lock waits once for a node without a store that never comes back`, async (t) => {
    for (const how of ['it has died', 'it has left'] as const) {
      const { world } = stage(kind, 1, 1)
      world.crash(4, 'process')
      world.rest(1000)
      if (how === 'it has left') for (const member of [0, 1, 2, 3]) world.nodes[member]?.node.peerLeft(4)
      for (const start of ['first', 'second'] as const) {
        world.rest(100)
        world.crash(0, 'process')
        world.restart(0)
        world.rest(1000)
        const process = again(world, 0, kind)
        const took = timeOf(world, process.wait(F_WRLCK))
        if (how === 'it has died' && start === 'first') t.ok(took > FENCE_MS && took <= LEASE_MS, `${took} ms`)
        else t.ok(took < 1000, `${how}, ${start}: ${took} ms`)
        t.equal(process.try(F_UNLCK), 0)
      }
    }
  })

  t.test(`a node that was stopped does not trust its ${kind} lock`, async (t) => {
    const { world, a } = stage(kind)
    t.equal(a.try(F_WRLCK), 0)
    a.client.node.node.heard(0)
    world.rest(FENCE_MS - 10)
    t.notOk(a.isLost)
    a.client.node.node.heard(0)
    // Nothing of this node runs meanwhile, so no timer of its own has told it.
    world.rest(FENCE_MS + 10)
    t.ok(a.isLost)
  })

  t.test(`a node that was stopped does not trust its ${kind} lock for what has arrived meanwhile`, async (t) => {
    const { world, a } = stage(kind)
    t.equal(a.try(F_WRLCK), 0)
    a.client.node.node.heard(0)
    world.rest(FENCE_MS + 10)
    a.client.node.node.heard(0)
    t.ok(a.isLost)
  })
}

t.test('two nodes that wait for each other are told so', async (t) => {
  const { world, a, b } = stage('record')
  t.equal(a.try(F_WRLCK, 0, 9), 0)
  t.equal(b.try(F_WRLCK, 10, 19), 0)
  const first = a.wait(F_WRLCK, 10, 19)
  world.rest(50)
  t.equal(world.finish(b.wait(F_WRLCK, 0, 9)), -EDEADLK)
  t.equal(b.try(F_UNLCK), 0)
  t.equal(world.finish(first), 0)
})

t.test('closing any descriptor takes the record locks of its process away, on whatever node', async (t) => {
  const { world, a, b } = stage('record')
  t.equal(a.try(F_WRLCK), 0)
  const { node } = a.client
  const file = a.client.lookup(ROOT, a.client.nameOn(ROOT, 'f', 0))
  t.equal(
    a.client.run((done) => node.fs.flush(file, 'owner 2', done)),
    0,
  )
  world.rest(50)
  t.equal(b.try(F_WRLCK), 0)
})
