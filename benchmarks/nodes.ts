/** Several nodes: the same work through the mount of 1, 2 and 4, and remote data against the same bytes by RPC. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Cluster } from './cluster.js'
import { checkInterrupted, median, print, type Row, record, runClient, type Sample, spread } from './measure.js'
import { type Peer, type World, connected } from './rpc.js'

/** The client and its node have this core, the other nodes the other one: as if each were a machine. */
const OWN_CORE = 0
const OTHER_CORE = 1

interface Workload {
  readonly work: string
  readonly workload: string
  readonly count: number
}

const WORKLOADS: readonly Workload[] = [
  { work: 'create', workload: 'create', count: 500 },
  { work: 'stat', workload: 'stat', count: 2_000 },
  { work: 'unlink', workload: 'unlink', count: 500 },
  { work: 'readdir of 10 000', workload: 'readdir', count: 5 },
  { work: 'random read, 4 KiB', workload: 'random-read', count: 1_000 },
  { work: 'random write, 4 KiB', workload: 'random-write', count: 1_000 },
  { work: 'sequential read, 1 MiB', workload: 'sequential-read', count: 32 },
  { work: 'sequential write, 1 MiB', workload: 'sequential-write', count: 32 },
]

const MIB = 1048576
const REMOTE_COUNT = 64
const GOAL_OF_RPC = 0.5
/** A file of the remote part is one chunk, so that all of it lies with one member. */
const REMOTE_CHUNK = '64MiB'
const CANDIDATES = 32

/** A cluster in a row's name. */
interface Side {
  readonly name: string
  readonly cluster: Cluster
}

export async function benchmarkNodes(directory: string, repeats: number): Promise<void> {
  await compareSizes(join(directory, 'sizes'), repeats)
  for (const isTcp of [true, false]) await compareRemote(join(directory, isTcp ? 'tcp' : 'memory'), isTcp, repeats)
}

async function compareSizes(directory: string, repeats: number): Promise<void> {
  const clusters: Cluster[] = []
  const start = async (nodes: number, isTcp: boolean): Promise<Cluster> => {
    const cluster = new Cluster(join(directory, `${nodes}${isTcp ? '-tcp' : ''}`), nodes, isTcp)
    clusters.push(cluster)
    await cluster.start({ own: OWN_CORE, others: OTHER_CORE })
    return cluster
  }
  try {
    const one = { name: '1 node', cluster: await start(1, true) }
    const others = [
      { name: '2 nodes', cluster: await start(2, true) },
      { name: '4 nodes', cluster: await start(4, true) },
      { name: '2 nodes, shared memory', cluster: await start(2, false) },
    ]
    const rows: Row[] = []
    for (const workload of WORKLOADS) rows.push(...(await compareWorkload(workload, [one, ...others], repeats)))
    print('Several nodes over TCP, against one', '1 node', rows)
    record('nodes', rows, { part: 'sizes' })
  } finally {
    for (const cluster of clusters) await cluster.end()
  }
}

/** All sides in each round, each round another one first. The first round warms up and does not count. */
async function interleave<T>(sides: readonly (() => Promise<T>)[], repeats: number): Promise<T[][]> {
  const results: T[][] = sides.map(() => [])
  for (let round = 0; round <= repeats; round++) {
    for (let turn = 0; turn < sides.length; turn++) {
      await checkInterrupted()
      const side = (turn + round) % sides.length
      const result = await (sides[side] as () => Promise<T>)()
      if (round > 0) (results[side] as T[]).push(result)
    }
  }
  return results
}

async function compareWorkload(
  { work, workload, count }: Workload,
  sides: readonly Side[],
  repeats: number,
): Promise<Row[]> {
  const runs = sides.map(({ cluster }) => async (): Promise<Sample> => {
    const { mount } = cluster
    // What was created in one round is removed before the next, and what is to be unlinked exists.
    if (workload === 'unlink') runClient('create', mount, count)
    const sample = runClient(workload, mount, count)
    if (workload === 'create') runClient('unlink', mount, count)
    return sample
  })
  const [base, ...others] = (await interleave(runs, repeats)) as [Sample[], ...Sample[][]]
  return others.map((samples, index) => {
    const [ours, theirs] = [samples, base].map((side) => side.map(({ meanNs }) => meanNs / 1000)) as [
      number[],
      number[],
    ]
    const p99 = (side: readonly Sample[]): number => median(side.map(({ p99Ns }) => p99Ns / 1000))
    return {
      work: `${work}, ${sides[index + 1]?.name}`,
      unit: 'µs',
      ours: median(ours),
      theirs: median(theirs),
      ratio: median(theirs) / median(ours),
      goal: null,
      spread: spread(ours),
      p99: p99(samples),
      theirP99: p99(base),
    }
  })
}

// --- remote data

/** A file that lies with the other of two nodes, read and written here, against the same bytes by RPC. */
async function compareRemote(directory: string, isTcp: boolean, repeats: number): Promise<void> {
  const cluster = new Cluster(directory, 2, isTcp, [`chunk=${REMOTE_CHUNK}`])
  try {
    await cluster.start({ own: OWN_CORE, others: OTHER_CORE })
    const place = remotePlace(cluster)
    const world = worldOf(cluster)
    const rows: Row[] = []
    for (const kind of ['read', 'write'] as const) {
      const mount = async (): Promise<number> =>
        MIB / (runClient(`sequential-${kind}`, place, REMOTE_COUNT).meanNs / 1e3)
      const rpc = (inFlight: number) => async (): Promise<number> =>
        await conversation(world, kind === 'write', inFlight)
      const [ours, one, eight] = (await interleave([mount, rpc(1), rpc(8)], repeats)) as [number[], number[], number[]]
      for (const [name, theirs, goal] of [
        ['one under way', one, isTcp ? GOAL_OF_RPC : null],
        ['eight under way', eight, null],
      ] as const) {
        const [mine, other] = [median(ours), median(theirs)]
        const work = `sequential ${kind}, 1 MiB; RPC: ${name}`
        rows.push({ work, unit: 'MB/s', ours: mine, theirs: other, ratio: mine / other, goal, spread: spread(ours) })
      }
    }
    const how = isTcp ? 'TCP over veth' : 'shared memory'
    print(`A file of another node over ${how}, through the mount against RPC`, 'RPC', rows)
    record('nodes', rows, { part: 'remote', world: how })
  } finally {
    await cluster.end()
  }
}

/** A directory in which the file `sequential` of client.cc lies with the second node: whose store has it tells. */
function remotePlace(cluster: Cluster): string {
  for (let index = 0; index < CANDIDATES; index++) {
    const place = join(cluster.mount, `place${index}`)
    mkdirSync(place)
    const before = backingFiles(cluster.store(2))
    runClient('sequential-write', place, 1)
    if (backingFiles(cluster.store(2)) > before) return place
    rmSync(place, { recursive: true })
  }
  throw new Error('no name of a file lies with the second node')
}

const backingFiles = (store: string): number =>
  readdirSync(join(store, 'data'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).length

function worldOf(cluster: Cluster): Pick<World, 'enter' | 'settings'> {
  return {
    enter: (end) => cluster.enter(end + 1),
    settings: cluster.device === undefined ? {} : { transports: 'tcp,self', interfaces: cluster.device },
  }
}

/** MB/s of 1 MiB messages between the places of the two nodes, which are idle meanwhile. */
async function conversation(
  world: Pick<World, 'enter' | 'settings'>,
  writes: boolean,
  inFlight: number,
): Promise<number> {
  const peers: [Peer, Peer] = await connected({ ...world, listen: '', host: undefined }, 'ours', [OWN_CORE, OTHER_CORE])
  try {
    const workload = { bytes: MIB, inFlight, count: REMOTE_COUNT * 4, writes }
    await peers[0].tell({ tell: 'run', workload: { ...workload, count: REMOTE_COUNT } })
    const { seconds } = await peers[0].tell<{ seconds: number }>({ tell: 'run', workload })
    return (workload.count * MIB) / seconds / 1e6
  } finally {
    for (const peer of peers) await peer.end()
  }
}
