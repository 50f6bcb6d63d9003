/** Our transport against ucx_perftest, UCX's own measure, and against a socket of Node's net. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { UcxSettings } from '../lib/native/ucx.js'
import { INTERFACE, Network } from '../test/native/ucx-network.js'
import { checkInterrupted, median, print, type Row, record, spread } from './measure.js'
import type { Measured, Place, Told, Workload } from './rpc-peer.js'

const PEER = fileURLToPath(new URL('./rpc-peer.js', import.meta.url))
const MIB = 1048576
const PERFTEST_PORT = 13341

const GOAL_OVER_PERFTEST_US = 20
const GOAL_NET = 1.5
const GOAL_PERFTEST_BANDWIDTH = 0.6

/** Where the two ends are, and how they reach each other. */
export interface World {
  readonly name: string
  readonly settings: UcxSettings
  /** What begins a command that runs at this end. */
  enter(end: 0 | 1): string[]
  /** What Node's server listens on, and the host that its client dials; none for a socket of the file system. */
  readonly listen: string
  readonly host: string | undefined
  /** What perftest's client dials, and its environment. */
  readonly perftestHost: string
  readonly perftest: Record<string, string>
}

interface Work {
  readonly name: string
  readonly workload: Workload
  /** Whether it is a time or a rate that counts, and how ucx_perftest measures the same. */
  readonly unit: 'µs' | '/s' | 'MB/s'
  /** That of the client and that of the server. */
  readonly cores: readonly [number, number]
  readonly perftest: string[] | null
  readonly goalNet: number
  readonly goalPerftest: (world: World) => number | null
}

const bandwidth = (mib: number, inFlight: number, count: number): Work => ({
  name: `read ${mib} MiB, ${inFlight} under way`,
  workload: { bytes: mib * MIB, inFlight, count },
  unit: 'MB/s',
  cores: [0, 1],
  perftest: ['-t', 'ucp_am_bw', '-s', String(mib * MIB), '-n', String(count), '-w', '20', '-O', String(inFlight)],
  goalNet: GOAL_NET,
  goalPerftest: ({ host }) => (mib === 1 && inFlight === 8 && host !== undefined ? GOAL_PERFTEST_BANDWIDTH : null),
})

/** Both ends on one core, as on a machine that computes, or each on its own. */
const smallMessages = (cores: Work['cores']): Work[] => {
  const where = cores[0] === cores[1] ? 'one core' : 'two cores'
  const common = { cores, goalNet: GOAL_NET, goalPerftest: () => null }
  return [
    {
      ...common,
      name: `round trip of 64 B, ${where}`,
      workload: { bytes: 0, inFlight: 1, count: 10_000 },
      unit: 'µs',
      perftest: ['-t', 'ucp_am_lat', '-s', '64', '-n', '5000', '-w', '500'],
    },
    {
      ...common,
      name: `64 B, 64 under way, ${where}`,
      workload: { bytes: 0, inFlight: 64, count: 50_000 },
      unit: '/s',
      perftest: null,
    },
  ]
}

const WORKS: readonly Work[] = [
  ...smallMessages([0, 0]),
  ...smallMessages([0, 1]),
  bandwidth(1, 1, 300),
  bandwidth(1, 8, 600),
  bandwidth(4, 1, 100),
  bandwidth(4, 8, 200),
]

/** A process that does as it is told. */
export class Peer {
  readonly #child: ChildProcess

  constructor(launcher: readonly string[], core: number) {
    const command = [...launcher, 'taskset', '-c', String(core), process.execPath, PEER]
    this.#child = spawn(command[0] as string, command.slice(1), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  }

  async tell<T>(told: Told): Promise<T> {
    this.#child.send(told)
    const answer = await new Promise<{ result: T; error?: string }>((resolve, reject) => {
      this.#child.once('message', (message) => resolve(message as { result: T }))
      this.#child.once('exit', () => reject(new Error('a process of the benchmark has ended')))
    })
    this.#child.removeAllListeners('exit')
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer.result
  }

  /** Resolves when it has gone. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = new Promise((resolve) => this.#child.once('exit', resolve))
    if (this.#child.connected) this.#child.disconnect()
    await exited
  }
}

/** A client and a server that are connected. */
export async function connected(
  world: Pick<World, 'enter' | 'settings' | 'listen' | 'host'>,
  kind: 'ours' | 'net',
  cores: readonly [number, number],
): Promise<[Peer, Peer]> {
  const client = new Peer(world.enter(0), cores[0])
  const server = new Peer(world.enter(1), cores[1])
  if (kind === 'net') {
    const place = await server.tell<Place>({ tell: 'listen', on: world.listen })
    await client.tell({ tell: 'dial', host: world.host, place })
  } else {
    const open: Told = { tell: 'ucx', settings: world.settings }
    const [atClient, atServer] = [await client.tell<Place>(open), await server.tell<Place>(open)]
    await client.tell({ tell: 'connect', place: atServer })
    await server.tell({ tell: 'connect', place: atClient })
  }
  return [client, server]
}

async function measure(
  world: World,
  kind: 'ours' | 'net',
  work: Work,
  cores: readonly [number, number],
): Promise<number> {
  const [client, server] = await connected(world, kind, cores)
  try {
    await client.tell({ tell: 'run', workload: { ...work.workload, count: Math.ceil(work.workload.count / 10) } })
    return figure(work, await client.tell<Measured>({ tell: 'run', workload: work.workload }))
  } finally {
    await client.end()
    await server.end()
  }
}

function figure({ unit, workload }: Work, measured: Measured): number {
  if (unit === 'µs') return measured.p50Us
  const perSecond = workload.count / measured.seconds
  return unit === '/s' ? perSecond : (perSecond * workload.bytes) / 1e6
}

/** A core for each end: perftest never sleeps. */
async function perftest(world: World, { perftest: args, unit }: Work): Promise<number> {
  const command = (end: 0 | 1, more: string[]): string[] => [
    ...world.enter(end),
    ...['taskset', '-c', String(end), 'timeout', '60', 'ucx_perftest', '-p', String(PERFTEST_PORT)],
    ...[...more, '-v'],
  ]
  const env = { ...process.env, ...world.perftest, UCX_WARN_UNUSED_ENV_VARS: 'n' }
  const [first, ...rest] = command(1, [])
  const server = spawn(first as string, rest, { stdio: 'ignore', env })
  const exited = new Promise((resolve) => server.once('exit', resolve))
  try {
    await sleep(500)
    const [program, ...all] = command(0, [world.perftestHost, ...(args as string[])])
    const { stdout } = await promisify(execFile)(program as string, all, { env, timeout: 60_000 })
    // iterations, typical, average and overall latency, average and overall bandwidth in MiB/s, …
    const fields = (stdout.trim().split('\n').at(-1) as string).split(',').map(Number)
    return unit === 'µs' ? 2 * (fields[1] as number) : ((fields[5] as number) * MIB) / 1e6
  } finally {
    await exited
  }
}

/** `over`: how many µs a round trip takes longer than perftest's, the longest. */
async function compare(world: World, repeats: number): Promise<{ net: Row[]; perftest: Row[]; over: number }> {
  const net: Row[] = []
  const reference: Row[] = []
  let over = 0
  for (const work of WORKS) {
    const ours: number[] = []
    const theirs: number[] = []
    const perf: number[] = []
    const { cores } = work
    for (let repeat = 0; repeat <= repeats; repeat++) {
      const round: (() => Promise<unknown>)[] = [
        async () => ours.push(await measure(world, 'ours', work, cores)),
        async () => theirs.push(await measure(world, 'net', work, cores)),
        async () => work.perftest !== null && perf.push(await perftest(world, work)),
      ]
      for (let turn = 0; turn < round.length; turn++) {
        await checkInterrupted()
        await round[(turn + repeat) % round.length]?.()
      }
    }
    // The first round warms up.
    for (const samples of [ours, theirs, perf]) samples.shift()
    net.push(rowOf(work, ours, theirs, work.goalNet))
    if (work.perftest !== null) reference.push(rowOf(work, ours, perf, work.goalPerftest(world)))
    if (work.unit === 'µs') over = Math.max(over, median(ours) - median(perf))
  }
  return { net, perftest: reference, over }
}

function rowOf({ name, unit }: Work, ours: readonly number[], theirs: readonly number[], goal: number | null): Row {
  const [one, other] = [median(ours), median(theirs)]
  const ratio = unit === 'µs' ? other / one : one / other
  return { work: name, unit, ours: one, theirs: other, ratio, goal, spread: spread(ours) }
}

export async function benchmarkRpc(directory: string, repeats: number): Promise<void> {
  const network = await Network.make()
  const worlds: readonly World[] = [
    {
      name: 'shared memory',
      settings: {},
      enter: () => [],
      listen: `${directory}/socket`,
      host: undefined,
      perftestHost: '127.0.0.1',
      perftest: { UCX_TLS: 'posix,cma,self' },
    },
    {
      name: 'TCP over veth',
      settings: { transports: 'tcp', interfaces: INTERFACE },
      enter: (end) => network.enter(end),
      listen: network.address(1),
      host: network.address(1),
      perftestHost: network.address(1),
      perftest: { UCX_TLS: 'tcp', UCX_NET_DEVICES: INTERFACE },
    },
  ]
  try {
    for (const world of worlds) {
      const { net, perftest: reference, over } = await compare(world, repeats)
      print(`${world.name}, against Node's net`, 'net', net)
      print(`${world.name}, against ucx_perftest`, 'ucx_perftest', reference)
      console.log(
        `\nRound trip: at most ${over.toFixed(1)} µs over perftest's (goal: at most ${GOAL_OVER_PERFTEST_US}).`,
      )
      record('rpc', net, { world: world.name, opponent: 'net' })
      record('rpc', reference, { world: world.name, opponent: 'ucx_perftest', overPerftestUs: over })
    }
  } finally {
    network.end()
  }
}
