/** `npm run bench`: the canonical run, without arguments. */
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { benchmarkBorder } from './border.js'
import { buildClient, checkInterrupted, stamp, watchSignals } from './measure.js'
import { benchmarkNodes } from './nodes.js'
import { benchmarkRpc } from './rpc.js'
import { benchmarkScale } from './scale.js'
import { benchmarkStorage } from './storage.js'

const USAGE = `usage: npm run bench [-- SECTION…] [--repeats=N]

Sections: border (a null file system on our border and on fuse-native), storage (the mount against the directory of its
store), scale (a million files), rpc (messages between nodes against ucx_perftest and Node's net), nodes (the mount on
several nodes). Without arguments: all of them. Results go to benchmarks/history.jsonl too.`

const SECTIONS = ['border', 'storage', 'scale', 'rpc', 'nodes'] as const
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
  watchSignals()
  buildClient()
  const { commit, cores, cpu, kernel, load } = stamp()
  console.log(`commit ${commit}, ${cores} × ${cpu}, Linux ${kernel}, load ${load.join(' ')}`)
  const directory = mkdtempSync('/dev/shm/chfs-bench-')
  const place = (name: string): string => {
    const path = join(directory, name)
    mkdirSync(path)
    return path
  }
  const run: Record<(typeof SECTIONS)[number], (directory: string) => Promise<void>> = {
    border: async (directory) => await benchmarkBorder(directory, repeats),
    storage: async (directory) => await benchmarkStorage(directory, repeats),
    scale: async (directory) => await benchmarkScale(directory, FILES),
    rpc: async (directory) => await benchmarkRpc(directory, repeats),
    nodes: async (directory) => await benchmarkNodes(directory, repeats),
  }
  try {
    for (const section of SECTIONS) {
      if (chosen.length > 0 && !chosen.includes(section)) continue
      await checkInterrupted()
      await run[section](place(section))
    }
    await checkInterrupted()
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
})
