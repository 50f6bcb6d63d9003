/** What all nodes do at once in one place, each kind with what must hold in the end, also where nodes die meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { TestCluster } from './cluster.js'
import type { Driver } from './driver.js'
import type { TestMount } from './harness.js'

const TOKENS = 16
const THREADS = 2

interface Facts {
  /** Workers whose node was killed under them, with the files beside the stores in which they have noted what they did. */
  readonly killed: Readonly<Record<string, string>>
  /** What the others have returned. */
  readonly returned: Readonly<Record<string, unknown>>
}

type Call = [name: string, args: unknown[]]

interface Storm {
  /** Makes what is needed in `place`, a directory. */
  prepare?(driver: Driver, place: string): Promise<unknown>
  /** The call of a worker. It may note in the file `log` what it has done. */
  work(place: string, who: string, seconds: number, log: string): Call
  /** A call that returns null, on every node. */
  check(place: string, facts: Facts): Call
  /** At last, on one node: it takes everything away, and returns null. */
  end?(place: string, facts: Facts): Call
}

export const STORMS: Readonly<Record<string, Storm>> = {
  'names of all kinds': {
    prepare: async ({ sys }, place) => {
      for (const name of ['a', 'b']) await sys.mkdir(`${place}/${name}`)
    },
    work: (place, who, seconds) => ['churn', [place, who, seconds, THREADS, true]],
    check: (place) => ['fits', [place]],
    end: (place) => ['agree', [place]],
  },
  'renames of the same files': {
    prepare: (driver, place) => driver.call('deal', [`${place}/dealt`, TOKENS]),
    work: (place, who, seconds) => ['shuffle', [`${place}/dealt`, TOKENS, who, seconds, THREADS]],
    check: (place) => ['dealt', [`${place}/dealt`, TOKENS]],
  },
  'the same directories made and removed': {
    work: (place, who, seconds) => ['directories', [place, who, seconds, THREADS]],
    check: (place) => ['listable', [place]],
    end: (place, { killed }) => ['sweep', [place, Object.keys(killed)]],
  },
  'O_EXCL, of which exactly one wins': {
    work: (place, who, seconds) => ['race', [place, who, seconds]],
    check: (place, { returned, killed }) => ['raced', [place, returned, Object.keys(killed)]],
  },
  'appending to one file': {
    work: (place, who, seconds, log) => ['append_noted', [`${place}/log`, who, seconds, log]],
    check: (place, { returned, killed }) => ['appended_noted', [`${place}/log`, returned, killed]],
  },
  'files in one directory': {
    work: (place, who, seconds, log) => ['make_noted', [place, who, seconds, log]],
    check: (place, { returned, killed }) => ['made_noted', [place, returned, killed]],
  },
}

export interface StormSettings {
  readonly seconds: number
  /** Workers on each node, of each kind. */
  readonly workers?: number
  /** These are killed in the midst of it and started again. */
  readonly victims?: readonly TestMount[]
}

/** Longer than any work here, with a node that is away for a while. */
const LIMIT_MS = 600_000

let storms = 0

/** Runs storms of these kinds at the same time. */
export async function runStorms(
  t: Test,
  cluster: TestCluster,
  kinds: readonly string[],
  settings: StormSettings,
): Promise<void> {
  const { seconds, victims = [] } = settings
  const first = cluster.nodes.find((node) => !victims.includes(node)) as TestMount
  const underway = await Promise.all(kinds.map((kind) => begin(cluster, kind, first, settings)))
  if (victims.length > 0) {
    await sleep((seconds * 1000) / 3)
    await Promise.all(victims.map((node) => node.kill()))
    await sleep((seconds * 1000) / 6)
    await Promise.all(victims.map((node) => node.mount()))
  }
  // Renames of other storms would make the kernel say ESTALE to those who look at a directory that was moved.
  await Promise.all(underway.map(({ worked }) => worked))
  for (const { end } of underway) await end(t)
}

interface Underway {
  readonly worked: Promise<unknown>
  /** Looks at what the workers have left. */
  end(t: Test): Promise<void>
}

/** All workers of one kind are there, and begin. */
async function begin(
  cluster: TestCluster,
  kind: string,
  first: TestMount,
  { seconds, workers = 1, victims = [] }: StormSettings,
): Promise<Underway> {
  const storm = STORMS[kind] as Storm
  const place = `storm${storms++}`
  await first.driver().sys.mkdir(place)
  await storm.prepare?.(first.driver(), place)
  const crew = cluster.nodes.flatMap((node, index) =>
    Array.from({ length: workers }, (_, worker) => ({ node, who: `w${index}x${worker}`, driver: node.driver() })),
  )
  await Promise.all(crew.map(({ driver }) => driver.pid))
  const killed: Record<string, string> = {}
  const returned: Record<string, unknown> = {}
  const work = crew.map(async ({ node, who, driver }) => {
    const log = `${first.beside}/${place}.${who}`
    const call = driver.call(...storm.work(place, who, seconds, log), LIMIT_MS)
    try {
      returned[who] = await call
    } catch (error) {
      if (!victims.includes(node)) throw error
      killed[who] = log
    }
  })
  const worked = Promise.all(work)
  // Whoever awaits it hears of it; until then nobody does.
  worked.catch(() => undefined)
  const end = async (t: Test): Promise<void> => {
    const facts = { killed, returned }
    t.equal(Object.keys(killed).length, victims.length * workers, `${kind}: as many were killed as should be`)
    for (const node of cluster.nodes) {
      t.equal(await node.driver().call(...storm.check(place, facts)), null, `${kind}: all is as it should be`)
    }
    if (storm.end !== undefined)
      t.equal(await first.driver().call(...storm.end(place, facts)), null, `${kind}: and ends`)
  }
  return { worked, end }
}
