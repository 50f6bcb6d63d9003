/** The kernel border alone: the same null file system on our own session and on fuse-native. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  cpuNs,
  median,
  print,
  type Row,
  record,
  root,
  runClient,
  type Server,
  spread,
  startMount,
  startServer,
} from './measure.js'

const CREATE_UNLINK = { work: 'create + unlink', workload: 'create-unlink', count: 5_000 } as const

const WORKLOADS = [
  { work: 'fstat', workload: 'fstat', count: 20_000 },
  { work: 'stat', workload: 'stat-one', count: 10_000 },
  { work: 'open + close', workload: 'open-close', count: 10_000 },
  CREATE_UNLINK,
] as const

/** Installs what we are compared with, in the benchmarks' own folder. */
function installFuseNative(): void {
  const folder = join(root, 'benchmarks')
  if (existsSync(join(folder, 'node_modules/fuse-native'))) return
  console.log('installing fuse-native')
  execFileSync('npm', ['ci', '--ignore-scripts', '--loglevel=error'], { cwd: folder, stdio: 'inherit' })
}

export async function benchmarkBorder(directory: string, repeats: number): Promise<void> {
  installFuseNative()
  const ours = await startServer([join(root, 'dist/benchmarks/null-chfs.js'), `${directory}/ours`], `${directory}/ours`)
  const script = join(root, 'benchmarks/null-fuse-native.js')
  const theirs = await startServer([script, `${directory}/theirs`], `${directory}/theirs`)
  const real = await startMount(`${directory}/store`, `${directory}/real`)
  try {
    const rows = WORKLOADS.flatMap((workload) => compare(workload, ours, theirs, repeats))
    const [wall, cpu] = compare(CREATE_UNLINK, real, theirs, repeats)
    rows.push({ ...(wall as Row), work: 'create + unlink, chfs with its store' })
    rows.push({ ...(cpu as Row), work: 'create + unlink, chfs with its store, CPU of the server', goal: null })
    print('The border alone: a null file system on both', 'fuse-native', rows)
    record('border', rows)
  } finally {
    for (const server of [ours, theirs, real]) await server.stop()
  }
}

function compare(
  { work, workload, count }: (typeof WORKLOADS)[number],
  ours: Server,
  theirs: Server,
  repeats: number,
): Row[] {
  const runs = {
    ours: { wall: [] as number[], cpu: [] as number[] },
    theirs: { wall: [] as number[], cpu: [] as number[] },
  }
  // The first round warms both up and is thrown away.
  for (let round = 0; round <= repeats; round++) {
    for (const side of round % 2 === 0 ? (['ours', 'theirs'] as const) : (['theirs', 'ours'] as const)) {
      const server = side === 'ours' ? ours : theirs
      const before = cpuNs(server.pid)
      const { meanNs } = runClient(workload, server.directory, count)
      if (round === 0) continue
      runs[side].wall.push(meanNs / 1000)
      runs[side].cpu.push((cpuNs(server.pid) - before) / 1000 / count)
    }
  }
  const row = (label: string, goal: number, kind: 'wall' | 'cpu'): Row => {
    const [mine, other] = [median(runs.ours[kind]), median(runs.theirs[kind])]
    const goals = { unit: 'µs', ours: mine, theirs: other, ratio: other / mine, goal, spread: spread(runs.ours[kind]) }
    return { work: label, ...goals }
  }
  return [row(work, 3, 'wall'), row(`${work}, CPU of the server`, 2, 'cpu')]
}
