/**
 * A soak of three nodes: workers change files through all of them and know what must be in these (soak.py), while nodes
 * are killed, stopped and brought back. Everything acknowledged is proven on every node between the rounds and at the end.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import type { Test } from 'tap'
import { Prng } from '../sim/prng.js'
import { TestCluster } from './cluster.js'
import { type Driver, DriverServer } from './driver.js'
import type { TestMount } from './harness.js'

const NODES = 3
const WORKERS = 6
const PLACES = ['s0', 's1', 's2', 's3']
/** How long the workers and the killer are at it before all is looked at. */
const ROUND_SECONDS = 40
const TIMEO_SECONDS = 5
/** What a call may take at most beside the time that the workers were given: nodes are away for up to 8 s. */
const GRACE_MS = 120_000

/** pino's number for error. */
const LEVEL_ERROR = 50

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

interface Figures {
  kills: number
  stops: number
  [name: string]: number
}

/** Does to the nodes what happens to nodes, until it is told to end; then all are up. */
class Killer {
  readonly figures: Figures = { kills: 0, stops: 0 }
  readonly #nodes: readonly TestMount[]
  readonly #chance: Prng
  readonly #pauseMs: number
  #ended = false

  constructor(nodes: readonly TestMount[], seed: number, pauseMs: number) {
    this.#nodes = nodes
    this.#pauseMs = pauseMs
    this.#chance = new Prng(seed)
  }

  /** Ends it before its time. */
  end(): void {
    this.#ended = true
  }

  async run(seconds: number): Promise<void> {
    for (let end = Date.now() + seconds * 1000; ; ) {
      await sleep(this.#pauseMs / 5 + this.#chance.below((this.#pauseMs * 4) / 5))
      if (this.#ended || Date.now() > end) return
      const first = this.#chance.below(NODES)
      const node = this.#nodes[first] as TestMount
      const what = this.figures.kills === 0 ? 5 : this.#chance.below(10)
      if (what < 3) await this.#stop(node)
      else if (what < 8) await this.#killAndMount([node])
      else await this.#killAndMount([node, this.#nodes[(first + 1) % NODES] as TestMount])
    }
  }

  async #stop({ pid }: TestMount): Promise<void> {
    process.kill(pid, 'SIGSTOP')
    await sleep(500 + this.#chance.below(6000))
    process.kill(pid, 'SIGCONT')
    this.figures.stops++
  }

  async #killAndMount(nodes: readonly TestMount[]): Promise<void> {
    await Promise.all(nodes.map((node) => node.kill()))
    this.figures.kills += nodes.length
    // Back at once, in time for those who wait, or too late for them.
    await sleep(this.#chance.pick([0, 1000, 3000, 1000 * TIMEO_SECONDS + 3000]))
    if (this.#chance.oneIn(4)) {
      const begun = nodes.map((node) => node.mount().catch(() => undefined))
      await sleep(this.#chance.below(1500))
      await Promise.all(nodes.map((node) => node.kill()))
      await Promise.all(begun)
      this.figures.kills += nodes.length
    }
    await Promise.all(nodes.map((node) => node.mount()))
  }
}

/** Each worker its process, which survives whatever happens to the mounts. */
function startWorkers(t: Test): Driver[] {
  const directory = mkdtempSync('/dev/shm/chfs-soak-')
  const server = new DriverServer(`${directory}/socket`)
  t.teardown(() => {
    server.end()
    rmSync(directory, { recursive: true, force: true })
  })
  return Array.from({ length: WORKERS }, () => server.driver('/'))
}

/**
 * `pauseMs` is what the killer waits at most from one trouble to the next; the first one is a kill, and comes within it.
 */
export async function runSoak(t: Test, seconds: number, seed: number, pauseMs: number): Promise<void> {
  t.comment(`seed ${seed}, ${seconds} s`)
  const cluster = await TestCluster.start(t, NODES, {
    options: ['chunk=64KiB', `timeo=${TIMEO_SECONDS}`],
    mayFail: true,
  })
  const workers = startWorkers(t)
  const { sys } = cluster.node(0).driver()
  for (const place of PLACES) await sys.mkdir(place)
  await sys.put('log', '')
  await sys.put('current', 'da39a3ee5e6b4b0d3255bfef95601890afd80709\n')
  const mounts = cluster.nodes.map(({ mountpoint }) => mountpoint)
  const all = (name: string, args: unknown[], timeoutMs = GRACE_MS): Promise<unknown[]> =>
    Promise.all(
      workers.map((worker, who) =>
        worker.call(name, name === 'soak_begin' ? [mounts, who, ...args] : [who, ...args], timeoutMs),
      ),
    )
  await all('soak_begin', [seed, PLACES])
  const killer = new Killer(cluster.nodes, seed, pauseMs)
  let counts: Record<string, number>[] = []
  for (let left = seconds; left > 0; left -= ROUND_SECONDS) {
    const round = Math.min(left, ROUND_SECONDS)
    const killing = killer.run(round)
    // What it says is heard at the end.
    killing.catch(() => undefined)
    try {
      await all('soak_run', [round], round * 1000 + GRACE_MS)
    } catch (error) {
      killer.end()
      for (const [index, { log }] of cluster.nodes.entries()) {
        for (const line of log.slice(-30)) t.comment(`node ${index}: ${JSON.stringify(line)}`)
      }
      throw error
    } finally {
      await killing
    }
    counts = (await all('soak_settle', [])) as Record<string, number>[]
    t.pass(`after ${seconds - left + round} s all is as acknowledged, on every node`)
  }
  const names = (await all('soak_end', [])) as number[]
  const figures: Record<string, number> = { ...killer.figures, names: names.reduce((sum, count) => sum + count, 0) }
  for (const count of counts)
    for (const [name, value] of Object.entries(count)) figures[name] = (figures[name] ?? 0) + value
  t.comment(
    Object.entries(figures)
      .map(([name, value]) => `${name} ${value}`)
      .join(', '),
  )
  t.ok(killer.figures.kills > 0, 'nodes were killed')
  const faults = cluster.nodes.flatMap(({ log }) => log.filter(({ level }) => level >= LEVEL_ERROR))
  t.strictSame(faults, [], 'and none had a fault to tell')
  await cluster.end()
}
