/** A cluster of scripts/cluster, for as long as a benchmark takes: whatever happens, nothing of it is left. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root, run } from './measure.js'

const SCRIPT = join(root, 'scripts/cluster')
const STOP_SECONDS = 60
/** All nodes end together, so nobody has to be waited for; to start may take long on a busy machine. */
const OPTIONS = ['linger=5', 'wait=120']

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

export class Cluster {
  readonly #directory: string
  readonly #nodes: number
  readonly #isTcp: boolean
  readonly #options: readonly string[]

  /** @param isTcp each node in a network namespace of its own */
  constructor(directory: string, nodes: number, isTcp: boolean, options: readonly string[] = []) {
    this.#directory = directory
    this.#nodes = nodes
    this.#isTcp = isTcp
    this.#options = [...OPTIONS, ...options]
  }

  /** Where the first node is mounted. */
  get mount(): string {
    return this.#mountOf(1)
  }

  store(node: number): string {
    return join(this.#directory, `store${node}`)
  }

  /** The interface by which the nodes reach each other; none over shared memory. */
  get device(): string | undefined {
    if (!this.#isTcp) return undefined
    // As scripts/cluster picks it.
    return readdirSync('/sys/class/net').find((name) => name !== 'lo') ?? 'eth0'
  }

  /** What begins a command that runs where a node is. */
  enter(node: number): string[] {
    return this.#isTcp ? ['nsenter', `--net=/run/netns/${this.#space}-${node}`, '--'] : []
  }

  /** Starts all nodes; the first one has the core `own`. */
  async start(cores: { own: number; others: number }): Promise<void> {
    mkdirSync(this.#directory, { recursive: true })
    const options = this.#options.flatMap((option) => ['-o', option])
    const netns = this.#isTcp ? ['--netns'] : []
    await run(SCRIPT, ['up', String(this.#nodes), this.#directory, ...netns, ...options])
    for (let node = 1; node <= this.#nodes; node++) {
      const core = node === 1 ? cores.own : cores.others
      execFileSync('taskset', ['-a', '-c', '-p', String(core), String(this.#pidOf(node))], { stdio: 'ignore' })
    }
  }

  /** Takes it down, by force where it does not go by itself. */
  async end(): Promise<void> {
    if (!existsSync(join(this.#directory, 'cluster'))) return
    try {
      execFileSync('timeout', [String(STOP_SECONDS), SCRIPT, 'down', this.#directory], { stdio: 'ignore' })
    } catch {
      for (let node = 1; node <= this.#nodes; node++) {
        attempt(SCRIPT, ['kill', String(node), this.#directory])
        attempt('umount', ['-l', this.#mountOf(node)])
      }
      if (!this.#isTcp) return
      for (const end of ['hub', ...Array.from({ length: this.#nodes }, (_, index) => index + 1)])
        attempt('ip', ['netns', 'del', `${this.#space}-${end}`])
    }
  }

  #mountOf(node: number): string {
    return join(this.#directory, `mnt${node}`)
  }

  get #space(): string {
    return `chfs-${sha256(this.#directory).slice(0, 8)}`
  }

  #pidOf(node: number): number {
    const file = `/run/chfs/${sha256(this.#mountOf(node)).slice(0, 16)}.pid`
    return Number(readFileSync(file, 'utf8').split(' ')[0])
  }
}

function attempt(command: string, args: string[]): void {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
  } catch {
    // It was not there.
  }
}
