/** `npm run bench`: the canonical run, without arguments. */
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { benchmarkBorder } from './border.js'
import { buildClient, stamp } from './measure.js'
import { benchmarkRpc } from './rpc.js'
import { benchmarkScale } from './scale.js'
import { benchmarkStorage } from './storage.js'

const USAGE = `usage: npm run bench [-- SECTION…] [--repeats=N]

Sections: border (a null file system on our border and on fuse-native), storage (the mount against the directory of its
store), scale (a million files), rpc (messages between nodes against ucx_perftest and Node's net). Without arguments:
all of them. Results go to benchmarks/history.jsonl too.`

const SECTIONS = ['border', 'storage', 'scale', 'rpc'] as const
const BYTES_NEEDED = 4 * 2 ** 30
const FILES = 1_000_000

async function main(args: readonly string[]): Promise<void> {
  if (args.includes('--help')) {
    console.log(USAGE)
    return
  }
  const repeats = Number(args.find((word) => word.startsWith('--repeats='))?.slice(10) ?? 5)
  const chosen = args.filter((word) => !word.startsWith('--'))
  const unknown = chosen.find((word) => !(SECTIONS as readonly string[]).includes(word))
  if (unknown !== undefined || !(repeats >= 1)) throw new Error(`wrong arguments\n${USAGE}`)
  if (process.geteuid?.() !== 0) throw new Error('the benchmarks mount, so they need root')
  const { bavail, bsize } = statfsSync('/dev/shm')
  if (bavail * bsize < BYTES_NEEDED) throw new Error('the benchmarks need 4 GiB of /dev/shm')
  buildClient()
  const { commit, cores, cpu, kernel, load } = stamp()
  console.log(`commit ${commit}, ${cores} × ${cpu}, Linux ${kernel}, load ${load.join(' ')}, pinned to one core`)
  const directory = mkdtempSync('/dev/shm/chfs-bench-')
  const wants = (section: (typeof SECTIONS)[number]): boolean => chosen.length === 0 || chosen.includes(section)
  const place = (name: string): string => {
    const path = join(directory, name)
    mkdirSync(path)
    return path
  }
  try {
    if (wants('border')) await benchmarkBorder(place('border'), repeats)
    if (wants('storage')) await benchmarkStorage(place('storage'), repeats)
    if (wants('scale')) await benchmarkScale(place('scale'), FILES)
    if (wants('rpc')) await benchmarkRpc(place('rpc'), repeats)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
})
