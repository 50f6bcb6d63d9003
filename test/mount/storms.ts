/** What all nodes do at once in one place, each kind with what must hold in the end, also where nodes die meanwhile. */
import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
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
  /** The call of a worker, until the file `over` is there. It may note in the file `log` what it has done. */
  work(place: string, who: string, over: string, log: string): Call
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
    work: (place, who, over) => ['churn', [place, who, 0, THREADS, over]],
    check: (place) => ['fits', [place]],
    end: (place) => ['agree', [place]],
  },
  'renames of the same files': {
    prepare: (driver, place) => driver.call('deal', [`${place}/dealt`, TOKENS]),
    work: (place, who, over) => ['shuffle', [`${place}/dealt`, TOKENS, who, over, THREADS]],
    check: (place) => ['dealt', [`${place}/dealt`, TOKENS]],
  },
  'the same directories made and removed': {
    work: (place, who, over) => ['directories', [place, who, over, THREADS]],
    check: (place) => ['listable', [place]],
    end: (place, { killed }) => ['sweep', [place, Object.keys(killed)]],
  },
  'O_EXCL, of which exactly one wins': {
    work: (place, who, over) => ['race', [place, who, over]],
    check: (place, { returned, killed }) => ['raced', [place, returned, Object.keys(killed)]],
  },
  'appending to one file': {
    work: (place, who, over, log) => ['append_noted', [`${place}/log`, who, over, log]],
    check: (place, { returned, killed }) => ['appended_noted', [`${place}/log`, returned, killed]],
  },
  'files in one directory': {
    work: (place, who, over, log) => ['make_noted', [place, who, over, log]],
    check: (place, { returned, killed }) => ['made_noted', [place, returned, killed]],
  },
}

/** What is needed of a node. */
interface StormNode {
  /** A directory that is none of the file system. */
  readonly beside: string
  driver(): Driver
}

export interface StormSettings<Node> {
  /** How long, without the trouble. */
  readonly seconds: number
  /** Workers on each node, of each kind. */
  readonly workers?: number
  /** Nodes that {@link trouble} kills. */
  readonly victims?: readonly Node[]
  /** What comes over the nodes in the midst of it. */
  readonly trouble?: () => Promise<void>
}

/** The trouble of nodes that are killed and started again. */
export const killing = (victims: readonly TestMount[]) => ({
  victims,
  trouble: async (): Promise<void> => {
    await Promise.all(victims.map((node) => node.kill()))
    await sleep(500)
    await Promise.all(victims.map((node) => node.mount()))
  },
})

/** Longer than any work here, with a node that is away for a while. */
const LIMIT_MS = 600_000

let storms = 0

/** Runs storms of these kinds at the same time. */
export async function runStorms<Node extends StormNode>(
  t: Test,
  nodes: readonly Node[],
  kinds: readonly string[],
  settings: StormSettings<Node>,
): Promise<void> {
  const { seconds, trouble = async () => undefined } = settings
  const over = `${(nodes[0] as Node).beside}/over${storms}`
  const underway = await Promise.all(kinds.map((kind) => begin(nodes, kind, over, settings)))
  await sleep((seconds * 1000) / 2)
  await trouble()
  await sleep((seconds * 1000) / 2)
  writeFileSync(over, '')
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
async function begin<Node extends StormNode>(
  nodes: readonly Node[],
  kind: string,
  over: string,
  { workers = 1, victims = [] }: StormSettings<Node>,
): Promise<Underway> {
  const storm = STORMS[kind] as Storm
  const first = nodes.find((node) => !victims.includes(node)) as Node
  const place = `storm${storms++}`
  await first.driver().sys.mkdir(place)
  await storm.prepare?.(first.driver(), place)
  const crew = nodes.flatMap((node, index) =>
    Array.from({ length: workers }, (_, worker) => ({ node, who: `w${index}x${worker}`, driver: node.driver() })),
  )
  await Promise.all(crew.map(({ driver }) => driver.pid))
  const killed: Record<string, string> = {}
  const returned: Record<string, unknown> = {}
  const work = crew.map(async ({ node, who, driver }) => {
    const log = `${first.beside}/${place}.${who}`
    const call = driver.call(...storm.work(place, who, over, log), LIMIT_MS)
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
    for (const node of nodes) {
      t.equal(await node.driver().call(...storm.check(place, facts)), null, `${kind}: all is as it should be`)
    }
    if (storm.end !== undefined)
      t.equal(await first.driver().call(...storm.end(place, facts)), null, `${kind}: and ends`)
  }
  return { worked, end }
}
