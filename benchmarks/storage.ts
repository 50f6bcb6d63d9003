/** The mount against the directory that holds its store, interleaved. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { median, print, type Row, record, root, runClient, spread, startMount, timeCommand } from './measure.js'

interface Workload {
  readonly work: string
  readonly workload: string
  readonly count: number
  readonly goal: number | null
}

const WORKLOADS: readonly Workload[] = [
  { work: 'create', workload: 'create', count: 5_000, goal: null },
  { work: 'unlink', workload: 'unlink', count: 5_000, goal: null },
  { work: 'stat, cached', workload: 'stat', count: 50_000, goal: 1 / 3 },
  { work: 'open, read 4 KiB, close', workload: 'open-read-close', count: 20_000, goal: null },
  { work: 'readdir of 10 000', workload: 'readdir', count: 20, goal: null },
  { work: 'random read, 4 KiB', workload: 'random-read', count: 5_000, goal: null },
  { work: 'random write, 4 KiB', workload: 'random-write', count: 5_000, goal: null },
  { work: 'sequential read, 1 MiB', workload: 'sequential-read', count: 256, goal: 0.3 },
  { work: 'sequential write, 1 MiB', workload: 'sequential-write', count: 256, goal: 0.3 },
]

/** The two places that are compared, and what each took, in µs per operation. */
type Sides = Record<'mount' | 'store', { directory: string; means: number[]; p99s: number[] }>

export async function benchmarkStorage(directory: string, repeats: number): Promise<void> {
  const twin = join(directory, 'twin')
  mkdirSync(twin, { recursive: true })
  const server = await startMount(join(directory, 'store'), join(directory, 'mount'))
  try {
    const rows: Row[] = []
    const places = { mount: server.directory, store: twin }
    for (const workload of WORKLOADS) rows.push(compareWorkload(workload, places, repeats))
    rows.push(compareTar(places, directory, repeats))
    print("The mount, against its store's directory", "store's directory", rows)
    record('storage', rows)
  } finally {
    await server.stop()
  }
}

function sidesOf(places: { mount: string; store: string }): Sides {
  return {
    mount: { directory: places.mount, means: [], p99s: [] },
    store: { directory: places.store, means: [], p99s: [] },
  }
}

/** Each round runs both sides, in turns which one first. The first round warms up and does not count. */
function interleave(
  sides: Sides,
  repeats: number,
  run: (directory: string) => { meanNs: number; p99Ns: number },
): void {
  for (let round = 0; round <= repeats; round++) {
    for (const name of round % 2 === 0 ? (['mount', 'store'] as const) : (['store', 'mount'] as const)) {
      const { meanNs, p99Ns } = run(sides[name].directory)
      if (round === 0) continue
      sides[name].means.push(meanNs / 1000)
      sides[name].p99s.push(p99Ns / 1000)
    }
  }
}

function rowOf(work: string, sides: Sides, goal: number | null): Row {
  const [ours, theirs] = [median(sides.mount.means), median(sides.store.means)]
  const p99 = { p99: median(sides.mount.p99s), theirP99: median(sides.store.p99s) }
  return { work, unit: 'µs', ours, theirs, ratio: theirs / ours, goal, spread: spread(sides.mount.means), ...p99 }
}

function compareWorkload(
  { work, workload, count, goal }: Workload,
  places: { mount: string; store: string },
  repeats: number,
) {
  const sides = sidesOf(places)
  interleave(sides, repeats, (directory) => {
    // What was created in one round is removed before the next, and what is to be unlinked exists.
    if (workload === 'unlink') runClient('create', directory, count)
    const sample = runClient(workload, directory, count)
    if (workload === 'create') runClient('unlink', directory, count)
    return sample
  })
  return rowOf(work, sides, goal)
}

/** Unpacks the sources of TypeScript's own package and this repository, and compares every byte. */
function compareTar(places: { mount: string; store: string }, directory: string, repeats: number): Row {
  const archive = join(directory, 'tree.tar')
  const trees = ['node_modules/typescript', 'node_modules/@types', 'lib', 'mount', 'addon', 'test']
  execFileSync('tar', ['-C', root, '-cf', archive, ...trees])
  const sides = sidesOf(places)
  interleave(sides, repeats, (place) => {
    const target = join(place, 'tree')
    mkdirSync(target)
    const ns = timeCommand('tar', ['-C', target, '-xf', archive])
    execFileSync('tar', ['-C', target, '--compare', '-f', archive])
    rmSync(target, { recursive: true })
    return { meanNs: ns, p99Ns: ns }
  })
  writeFileSync(archive, '')
  const { p99: _, theirP99: __, ...row } = rowOf('tar x of a source tree', sides, null)
  return { ...row, unit: 'ms', ours: row.ours / 1000, theirs: row.theirs / 1000 }
}
