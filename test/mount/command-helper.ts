/**
 * Runs the command mount.chfs as a user types it. Whatever touches a mount runs in a process of its own with a time
 * limit, since a mount that hangs hangs its caller.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { mountedAt } from '../../mount/mountinfo.js'
import { startTimeOf } from '../../mount/runfile.js'

export const main = fileURLToPath(new URL('../../mount/main.js', import.meta.url))
export const repository = fileURLToPath(new URL('../../..', import.meta.url))

/** How long anything here may take before it counts as hung. Generous: the machine may be busy. */
const LIMIT_MS = 60_000

/** How long a server that a failed test left may drain before it is killed. */
const DRAIN_MS = 10_000

export interface Outcome {
  /** Exit code; null where a signal ended it. */
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

export interface Surroundings {
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  /** A command that runs the command: setpriv, nsenter… */
  readonly launcher?: readonly string[]
}

/** A running command; its output so far, and its end. */
export class Running {
  readonly child: ChildProcess
  readonly ended: Promise<Outcome>
  stdout = ''
  stderr = ''

  constructor(command: readonly string[], { env, cwd, launcher = [] }: Surroundings = {}) {
    // The hooks of the test runner, which it puts into every environment, do not belong into the processes under test.
    this.child = spawn('/usr/bin/env', ['-u', 'NODE_OPTIONS', ...launcher, ...command], {
      env: { ...process.env, ...env },
      cwd: cwd ?? '/',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child.stdout?.on('data', (data) => {
      this.stdout += String(data)
    })
    this.child.stderr?.on('data', (data) => {
      this.stderr += String(data)
    })
    const timer = setTimeout(() => this.child.kill('SIGKILL'), LIMIT_MS)
    this.ended = new Promise((resolve, reject) => {
      this.child.on('error', reject)
      this.child.on('close', (code, signal) => {
        clearTimeout(timer)
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr })
      })
    })
  }

  get pid(): number {
    return this.child.pid as number
  }
}

export const run = (command: readonly string[], surroundings?: Surroundings): Promise<Outcome> =>
  new Running(command, surroundings).ended

/** Runs `mount.chfs` with these arguments to its end. */
export const mountChfs = (args: readonly string[], surroundings?: Surroundings): Promise<Outcome> =>
  run([process.execPath, main, ...args], surroundings)

/** Runs a shell script, with "$1" and so on. */
export const shell = (script: string, ...args: string[]): Promise<Outcome> => run(['sh', '-c', script, 'sh', ...args])

/** What is needed of a tap test. */
export interface Scope {
  teardown(handler: () => Promise<void>): unknown
}

/** Places for one test: a mountpoint and a store. What is still mounted or running at the end is taken away. */
export class Place {
  readonly directory: string
  readonly mountpoint: string
  readonly store: string
  readonly #processes = new Set<number>()

  constructor(t: Scope, base = '/dev/shm') {
    this.directory = mkdtempSync(join(base, 'chfs-command-'))
    this.mountpoint = join(this.directory, 'mnt')
    this.store = join(this.directory, 'store')
    mkdirSync(this.mountpoint)
    t.teardown(() => this.#end())
  }

  /** Mounts in the background with `options` too. */
  mount(options = '', surroundings?: Surroundings): Promise<Outcome> {
    return mountChfs(['-o', `store=${this.store}${options && `,${options}`}`, this.mountpoint], surroundings)
  }

  /** Mounts in the foreground, and resolves when the mount is there. */
  async foreground(options = '', surroundings?: Surroundings): Promise<Running> {
    const words = [
      process.execPath,
      main,
      '-F',
      '-o',
      `store=${this.store}${options && `,${options}`}`,
      this.mountpoint,
    ]
    const running = new Running(words, surroundings)
    this.#processes.add(running.pid)
    await until(() => running.stderr.includes('"mounted"') || running.child.exitCode !== null)
    return running
  }

  get isMounted(): boolean {
    return mountedAt(this.mountpoint)?.type === 'fuse.chfs'
  }

  get isServed(): boolean {
    return this.#findServer() !== undefined
  }

  /** The process that serves the mount, by its title. */
  server(): number {
    const pid = this.#findServer()
    if (pid === undefined) throw new Error(`nobody serves ${this.mountpoint}`)
    return pid
  }

  #findServer(): number | undefined {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    return pids.map(Number).find((pid) => titleOf(pid).endsWith(` ${this.mountpoint}`))
  }

  /** Unmounts and waits until the server is gone. */
  async unmount(): Promise<Outcome> {
    const pid = this.server()
    const outcome = await run(['umount', '-i', this.mountpoint])
    await until(() => !isAlive(pid))
    return outcome
  }

  /** The lines of the log. */
  log(): Record<string, unknown>[] {
    const text = readFileSync(join(this.store, 'log'), 'utf8')
    return text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  async #end(): Promise<void> {
    while (this.isMounted) await run(['umount', '-i', '-l', this.mountpoint])
    for (const pid of this.#processes) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
    const servers = () => readdirSync('/proc').filter((name) => titleOf(Number(name)).includes(` ${this.directory}/`))
    const patience = performance.now() + DRAIN_MS
    while (servers().length > 0) {
      if (performance.now() > patience) for (const pid of servers()) process.kill(Number(pid), 'SIGKILL')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    rmSync(this.directory, { recursive: true })
  }
}

/** The command line of a process as ps(1) shows it; empty for one that is no more. */
export function titleOf(pid: number): string {
  try {
    const title = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim()
    return title.startsWith('mount.chfs ') ? title : ''
  } catch {
    return ''
  }
}

/** Whether a process still runs: a zombie does not. */
export function isAlive(pid: number): boolean {
  return startTimeOf(pid) !== null
}

/** Resolves when `holds` does, within the limit. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + LIMIT_MS
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`it did not come about: ${holds}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
