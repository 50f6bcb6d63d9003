/** What every benchmark shares: pinned processes, the client, CPU time, medians, and where the results go. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { cpus, loadavg, release } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url))
const source = join(root, 'benchmarks/client.cc')
const client = join(root, 'build/benchmark-client')
/** Clients and servers share one core: a wake-up of another costs more than most operations and says nothing of us. */
const CPU = '0'
/** A mount that does not answer is given up. */
const TIMEOUT_SECONDS = '600'

/** One run of one workload. */
export interface Sample {
  readonly count: number
  readonly meanNs: number
  readonly p50Ns: number
  readonly p99Ns: number
}

export const pinned = (command: string, args: readonly string[]): [string, string[]] => [
  'taskset',
  ['-c', CPU, command, ...args],
]

export function buildClient(): void {
  if (existsSync(client) && statSync(client).mtimeMs >= statSync(source).mtimeMs) return
  execFileSync('g++', ['-O2', '-std=c++17', '-Wall', '-Wextra', '-Werror', '-o', client, source], { stdio: 'inherit' })
}

let isInterrupted = false

/** From here on a signal ends the run where it is, as an error does: what was started is taken down. */
export function watchSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => (isInterrupted = true))
}

/** Throws where a signal has asked for the end. */
export async function checkInterrupted(): Promise<void> {
  // Signals are told by the loop.
  await new Promise((resolve) => setImmediate(resolve))
  if (isInterrupted) throw new Error('interrupted')
}

/** Runs a command that starts something, to its end: what it starts can only be taken down when it is all there. */
export async function run(command: string, args: readonly string[]): Promise<void> {
  await checkInterrupted()
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'], detached: true })
  const code = await new Promise((resolve, reject) => {
    child.once('exit', resolve)
    child.once('error', reject)
  })
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} failed`)
}

/** Runs a workload of client.cc; throws where a call failed or the data was wrong. */
export function runClient(workload: string, directory: string, count: number): Sample {
  const [command, args] = pinned('timeout', ['-s', 'KILL', TIMEOUT_SECONDS, client, workload, directory, String(count)])
  return JSON.parse(execFileSync(command, args, { encoding: 'utf8' })) as Sample
}

/** Wall time of a command in nanoseconds. */
export function timeCommand(command: string, args: readonly string[]): number {
  const [wrapper, all] = pinned('timeout', ['-s', 'KILL', TIMEOUT_SECONDS, command, ...args])
  const started = process.hrtime.bigint()
  execFileSync(wrapper, all)
  return Number(process.hrtime.bigint() - started)
}

/** CPU time of a process in nanoseconds, all threads. */
export function cpuNs(pid: number): number {
  let total = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    total += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0])
  }
  return total
}

/** Anonymous memory of a process in bytes. */
export function anonymousBytes(pid: number): number {
  const match = /^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(match?.[1]) * 1024
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] as number
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2
}

/** Half the distance between the smallest and the largest, relative to the median. */
export const spread = (values: readonly number[]): number =>
  (Math.max(...values) - Math.min(...values)) / 2 / median(values)

export interface Server {
  readonly pid: number
  readonly directory: string
  stop(): Promise<void>
}

/** Starts a pinned file system in the foreground and waits until it is mounted at `directory`. */
export async function startServer(args: readonly string[], directory: string): Promise<Server> {
  mkdirSync(directory, { recursive: true })
  const [command, all] = pinned(process.execPath, args)
  const child = spawn(command, all, { stdio: ['ignore', 'ignore', 'inherit'] })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await until(() => isMounted(directory), child)
  return {
    pid: child.pid as number,
    directory,
    async stop() {
      execFileSync('umount', [directory])
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      // A server of fuse-native stays when its mount has gone.
      child.kill('SIGTERM')
      await exited
      clearTimeout(timer)
      rmSync(directory, { recursive: true })
    },
  }
}

/** A mount of this file system with a store of its own. */
export async function startMount(store: string, mountpoint: string): Promise<Server> {
  mkdirSync(store, { recursive: true, mode: 0o700 })
  const main = join(root, 'dist/mount/main.js')
  return await startServer([main, '-F', '-o', `store=${store},log=${store}.log`, mountpoint], mountpoint)
}

function isMounted(directory: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${directory} `)
}

async function until(holds: () => boolean, child: ChildProcess): Promise<void> {
  for (let turn = 0; !holds(); turn++) {
    if (turn > 1500 || child.exitCode !== null) throw new Error('the file system did not start')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** One line of a result: what was compared, as medians. */
export interface Row {
  readonly work: string
  readonly unit: string
  readonly ours: number
  readonly theirs: number
  /** Ours ÷ theirs in speed: above 1 is faster than what we are compared with. */
  readonly ratio: number
  readonly goal: number | null
  readonly spread: number
  /** 99th percentiles of both sides, where single calls were timed. */
  readonly p99?: number
  readonly theirP99?: number
}

/** What a result has to say about where it was measured. */
export function stamp() {
  const commit = execFileSync('git', ['-C', root, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  const isClean = execFileSync('git', ['-C', root, 'status', '--porcelain', '-uno'], { encoding: 'utf8' }) === ''
  const [cpu] = cpus()
  return {
    date: new Date().toISOString(),
    commit: isClean ? commit : `${commit}+`,
    nodes: 1,
    cores: cpus().length,
    cpu: cpu?.model ?? '',
    kernel: release(),
    node: process.version,
    load: loadavg().map((value) => Math.round(value * 100) / 100),
  }
}

export function record(section: string, rows: readonly Row[], more: object = {}): void {
  const line = JSON.stringify({ ...stamp(), section, ...more, rows })
  appendFileSync(join(root, 'benchmarks/history.jsonl'), `${line}\n`)
}

export function print(title: string, theirs: string, rows: readonly Row[]): void {
  console.log(
    `\n## ${title}\n\n| work | chfs | ${theirs} | ratio | goal | p99 | spread |\n|---|---|---|---|---|---|---|`,
  )
  for (const row of rows) {
    const number = (value: number): string => `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${row.unit}`
    const goal = row.goal === null ? '' : `≥ ${row.goal.toFixed(2)}${row.ratio >= row.goal ? '' : ' (missed)'}`
    const p99 =
      row.p99 === undefined || row.theirP99 === undefined ? '' : `${number(row.p99)} / ${number(row.theirP99)}`
    const cells = [row.work, number(row.ours), number(row.theirs), row.ratio.toFixed(2), goal, p99]
    console.log(`| ${cells.join(' | ')} | ±${(row.spread * 100).toFixed(0)}% |`)
  }
}
