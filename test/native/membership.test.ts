/** Members that meet over real control connections, with real stores; only the transport is simulated. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { SystemClock } from '../../lib/native/clock.js'
import { KEY_BYTES, TlsControl } from '../../lib/native/control.js'
import { loadHash32 } from '../../lib/native/hash.js'
import { SystemRandom } from '../../lib/native/random.js'
import { StoreDirectory, viewStore } from '../../lib/native/store.js'
import { type Cluster, Membership, type Missing } from '../../lib/node/membership.js'
import type { Log } from '../../lib/ports.js'
import { SimPool } from '../sim/pool.js'
import { Prng } from '../sim/prng.js'
import { SimNetwork, SimTransport } from '../sim/transport.js'

const clock = new SystemClock()
const random = new SystemRandom()
const hash = await loadHash32()
const KEY = new Uint8Array(KEY_BYTES).fill(7)
const CHUNK_BYTES = 1 << 20

async function until(holds: () => boolean, limitMs = 20_000): Promise<void> {
  const end = performance.now() + limitMs
  while (!holds()) {
    if (performance.now() > end) throw new Error(`it did not come about: ${holds}`)
    await sleep(5)
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  await Promise.all(servers.map((server) => new Promise<void>((done) => server.listen(0, '127.0.0.1', done))))
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
  return ports.sort((a, b) => a - b)
}

/** A member as mount.chfs has it, but for its files. */
class Process {
  readonly up = new Map<number, number>()
  /** Signs of life, by member. */
  readonly heard = new Map<number, number>()
  readonly lines: string[] = []
  cluster: Cluster | undefined
  isReady = false
  late: readonly Missing[] | undefined
  membership!: Membership
  #control!: TlsControl
  #store: StoreDirectory | null = null
  #transport!: SimTransport

  static async start(world: World, self: number, key = KEY, waitMs = 60_000): Promise<Process> {
    const process = new Process()
    const { names, network } = world
    const note = (event: object, message: string): void => void process.lines.push(message + JSON.stringify(event))
    const log: Log = { debug: note, info: note, warn: note, error: note }
    const isClient = self < 0
    const listen = isClient ? null : { host: '127.0.0.1', port: world.ports[self] as number }
    if (!isClient) {
      process.#store = StoreDirectory.open(world.storeOf(self), CHUNK_BYTES, hash, {
        names,
        self,
        virtualNodes: 150,
        layout: 0,
      })
    }
    process.#control = await TlsControl.open({ key, listen }, clock, log)
    process.#transport = new SimTransport(network, new SimPool(1, 4096))
    process.#transport.attach({ request: () => undefined, slotFree: () => undefined, failed: () => undefined })
    const ports = { control: process.#control, transport: process.#transport, clock, random, log }
    const settings = { names, self, waitMs, lingerMs: 5000 }
    process.membership = new Membership(ports, settings, process.#store, {
      formed: (cluster) => {
        process.cluster = cluster
        if (process.#store !== null) {
          // What else a store has.
          mkdirSync(join(process.#store.path, 'data'), { recursive: true })
          for (const name of ['root', 'log.0', 'log.1', 'data.mdb']) writeFileSync(join(process.#store.path, name), '')
          process.#store.finish()
        }
        process.membership.serve()
      },
      peerServed: () => undefined,
      peerUp: (member, channel) => process.up.set(member, channel),
      heard: (member) => process.heard.set(member, (process.heard.get(member) ?? 0) + 1),
      peerDown: (member) => process.up.delete(member),
      peerLeft: (member) => process.up.delete(member),
      ready: () => {
        process.isReady = true
      },
      late: (missing) => {
        process.late = missing
      },
      failed: (error) => {
        throw error
      },
    })
    process.membership.start()
    world.processes.add(process)
    return process
  }

  async leave(): Promise<void> {
    await new Promise<void>((done) => this.membership.leave(done))
    await this.end()
  }

  async end(): Promise<void> {
    this.membership.stop()
    await new Promise<void>((done) => this.#control.end(done))
    this.#transport.die()
    this.#store?.close()
    this.#store = null
  }
}

class World {
  readonly processes = new Set<Process>()
  readonly network = new SimNetwork(new Prng(1), clock)
  readonly ports: readonly number[]
  readonly names: readonly string[]
  readonly directory = mkdtempSync('/dev/shm/chfs-test-membership-')

  constructor(t: Test, ports: readonly number[]) {
    this.ports = ports
    this.names = ports.map((port) => `127.0.0.1:${port}`)
    t.teardown(async () => {
      for (const process of this.processes) await process.end()
      rmSync(this.directory, { recursive: true })
    })
  }

  storeOf(self: number): string {
    return join(this.directory, `store${self}`)
  }
}

t.test('three members and a client meet, lose one, and leave', async (t) => {
  const world = new World(t, await freePorts(3))
  const first = await Process.start(world, 0)
  const second = await Process.start(world, 1)
  await sleep(300)
  t.notOk(first.isReady || second.isReady)
  const third = await Process.start(world, 2)
  const members = [first, second, third]
  await until(() => members.every(({ isReady }) => isReady))
  const ids = first.cluster?.ids
  for (const { cluster } of members) t.strictSame(cluster, first.cluster)
  const client = await Process.start(world, -1)
  await until(() => client.isReady && members.every(({ up }) => up.size === 3))
  t.strictSame(client.cluster, first.cluster)
  const before = first.heard.get(1) ?? 0
  await until(() => (first.heard.get(1) ?? 0) >= before + 2)

  await t.test('one that goes without a word is away at once, and comes back with its store', async (t) => {
    const started = performance.now()
    await third.end()
    await until(() => !first.up.has(2) && !second.up.has(2))
    t.ok(performance.now() - started < 2000)
    t.equal(first.membership.status().members[2]?.state, 'suspected')
    const { superblock, close } = viewStore(world.storeOf(2), hash)
    close()
    t.match(superblock, { isWhole: true, incarnation: 1, clusterId: first.cluster?.clusterId, ringEpoch: 1 })
    t.strictSame(
      superblock.members.map(({ id, name }) => [id, name]),
      ids?.map((id, index) => [id, world.names[index]]),
    )
    members[2] = await Process.start(world, 2)
    await until(() => members.every(({ up }) => up.size === 3))
    t.ok(members[2]?.isReady)
  })

  await t.test('all leave at once', async (t) => {
    const started = performance.now()
    await Promise.all([client, ...members].map((process) => process.leave()))
    t.ok(performance.now() - started < 4000, 'and nobody lingers')
    t.notMatch(first.lines.join(), /answers EIO/)
  })
})

t.test('one with another key costs the others nothing', async (t) => {
  const world = new World(t, await freePorts(2))
  const stranger = await Process.start(world, 1, new Uint8Array(KEY_BYTES).fill(8), 1000)
  const first = await Process.start(world, 0)
  await until(() => stranger.late !== undefined)
  t.strictSame(stranger.late, [{ name: world.names[0], reason: 'it cannot be reached: it has another key' }])
  t.equal(first.lines.filter((line) => /a control connection was refused: it has another key/.test(line)).length, 1)
  await stranger.end()
  const second = await Process.start(world, 1)
  await until(() => first.isReady && second.isReady)
  t.pass('with the right one all is well')
})
