/** A million files created and removed: what a create costs meanwhile, the memory, and the CPU of the idle mount. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { anonymousBytes, cpuNs, median, print, type Row, record, runClient, startMount } from './measure.js'

const BATCH = 50_000
const REFERENCE_BATCH = 5_000
/** Batches at each end that are compared. */
const ENDS = 4
const IDLE_SECONDS = 20
const MEMORY_GOAL_MIB = 250

export async function benchmarkScale(directory: string, files: number): Promise<void> {
  const server = await startMount(join(directory, 'store'), join(directory, 'mount'))
  const costs: number[] = []
  // What a create costs on the store's own file system at that moment: the machine is not equally fast all the time.
  const referenceCosts: number[] = []
  const reference = join(directory, 'twin')
  mkdirSync(reference)
  let peakBytes = 0
  const run = (workload: string, batch: number): void => {
    const place = join(server.directory, `batch-${batch}`)
    if (workload === 'create') mkdirSync(place)
    const { meanNs } = runClient(workload, place, BATCH)
    if (workload === 'create') {
      costs.push(meanNs / 1000)
      referenceCosts.push(runClient('create', reference, REFERENCE_BATCH).meanNs / 1000)
      runClient('unlink', reference, REFERENCE_BATCH)
    }
    peakBytes = Math.max(peakBytes, anonymousBytes(server.pid))
  }
  try {
    const batches = files / BATCH
    for (let batch = 0; batch < batches; batch++) run('create', batch)
    const afterCreate = anonymousBytes(server.pid)
    for (let batch = 0; batch < batches; batch++) run('unlink', batch)
    // What follows a burst (publication of the store) is not idleness.
    await sleep(5_000)
    const before = cpuNs(server.pid)
    await sleep(IDLE_SECONDS * 1000)
    const idle = (cpuNs(server.pid) - before) / 1e9 / IDLE_SECONDS
    report(costs, referenceCosts, { afterCreate, peakBytes, idle })
  } finally {
    await server.stop()
  }
}

interface Figures {
  readonly afterCreate: number
  readonly peakBytes: number
  /** Cores. */
  readonly idle: number
}

function report(
  costs: readonly number[],
  referenceCosts: readonly number[],
  { afterCreate, peakBytes, idle }: Figures,
): void {
  const [first, last] = [median(costs.slice(0, ENDS)), median(costs.slice(-ENDS))]
  const relative = costs.map((cost, batch) => cost / (referenceCosts[batch] as number))
  const flatness = median(relative.slice(0, ENDS)) / median(relative.slice(-ENDS))
  const peak = peakBytes / 2 ** 20
  const rows: Row[] = [
    {
      work: "create, last batches against the first, each relative to the store's directory at that moment",
      unit: 'µs',
      ours: last,
      theirs: first,
      goal: 0.9,
      ...derived(flatness),
    },
    {
      work: 'anonymous memory at its peak, against 250 MiB',
      unit: 'MiB',
      ours: peak,
      theirs: MEMORY_GOAL_MIB,
      goal: 1,
      ...derived(MEMORY_GOAL_MIB / peak),
    },
  ]
  print(`${costs.length * BATCH} files`, 'reference', rows)
  console.log(`\nIdle for ${IDLE_SECONDS} s: ${(idle * 100).toFixed(3)}% of a core.`)
  record('scale', rows, {
    costsUs: costs.map(Math.round),
    relative: relative.map(Math.round),
    afterCreateMiB: Math.round(afterCreate / 2 ** 20),
    idleCores: idle,
  })
}

const derived = (ratio: number): { ratio: number; spread: number } => ({ ratio, spread: 0 })
