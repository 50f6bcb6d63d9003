/**
 * Programs that nobody here wrote, run inside a mount. Each runs in a process group of its own with a time limit, and
 * all that is left of them is killed before the mount is taken down. This process itself never touches the mount: a
 * mount that hangs must not hang its test.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { TestCluster } from '../mount/cluster.js'
import { type MountSettings, TestMount } from '../mount/harness.js'
import { killNow } from '../processes.js'

/** The root of this repository. */
export const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '')

const RUN_TIMEOUT_MS = 120_000
const OUTPUT_TAIL = 4000

/** Who a program may be, by name. */
type UserName = 'postgres'

export interface RunSettings {
  /** Below the mountpoint; its root where this is absent. */
  readonly in?: string
  readonly timeoutMs?: number
  readonly environment?: Readonly<Record<string, string>>
  readonly input?: string
  readonly user?: UserName
  /** Exit codes that are no failure, beside 0. */
  readonly codes?: readonly number[]
  /** Every line of stdout as it comes. */
  readonly onLine?: (line: string) => void
}

export interface Program {
  readonly pid: number
  /** Kills the process group. */
  kill(): void
  /** Resolves with the exit code or signal and all output. */
  readonly ended: Promise<Ended>
}

export interface Ended {
  readonly code: number | string
  readonly stdout: string
  readonly stderr: string
}

/** A program failed where it should not have. */
class ProgramError extends Error {
  override name = 'ProgramError'
}

export class App {
  readonly mount: TestMount
  /** The programs' HOME, beside the mount. */
  readonly home: string
  readonly #groups = new Set<number>()

  private constructor(mount: TestMount) {
    this.mount = mount
    this.home = `${mount.beside}/home`
    mkdirSync(this.home)
    // A repository whose owner is another user is read all the same.
    writeFileSync(`${this.home}/.gitconfig`, '[safe]\n\tdirectory = *\n')
  }

  static async start(test: Test, settings: MountSettings = {}): Promise<App> {
    return App.on(test, await TestMount.start(test, settings))
  }

  /** Programs in a mount that somebody else ends. */
  static on(test: Test, mount: TestMount): App {
    const app = new App(mount)
    test.teardown(() => app.killAll())
    startGuard(mount)
    return app
  }

  /** A path inside the mount. */
  path(relative = ''): string {
    return relative === '' ? this.mount.mountpoint : `${this.mount.mountpoint}/${relative}`
  }

  /** Runs a program to its end and resolves with its stdout; rejects when it fails or takes too long. */
  async run(command: readonly string[], settings: RunSettings = {}): Promise<string> {
    const { code, stdout, stderr } = await this.start(command, settings).ended
    if (code === 0 || settings.codes?.includes(Number(code))) return stdout
    throw new ProgramError(`${command.join(' ').slice(0, 500)} ended with ${code}:\n${tail(stdout)}${tail(stderr)}`)
  }

  /** Runs a script of bash, which stops at the first command that fails. */
  shell(script: string, settings: RunSettings = {}): Promise<string> {
    // Without --norc bash reads it where stdin is a socket, as here.
    return this.run(['bash', '--norc', '-euo', 'pipefail', '-c', script], settings)
  }

  start(command: readonly string[], settings: RunSettings = {}): Program {
    const { timeoutMs = RUN_TIMEOUT_MS, environment = {}, user, input } = settings
    const asUser = user === undefined ? [] : ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--init-groups']
    // env(1) changes the directory, since spawn() itself would wait for a mount that hangs.
    const all = ['env', '-C', this.path(settings.in), ...asUser, ...command]
    const env = { PATH: process.env['PATH'], HOME: this.home, LC_ALL: 'C.UTF-8', TZ: 'UTC', ...environment }
    const child = spawn(all[0] as string, all.slice(1), { env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
    const { pid } = child
    if (pid === undefined) throw new ProgramError(`${all[0]} could not be started`)
    const kill = (): void => killNow(-pid)
    this.#groups.add(pid)
    const timer = setTimeout(kill, timeoutMs)
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input ?? '')
    const ended = endOf(child, settings.onLine).finally(() => {
      clearTimeout(timer)
      this.#groups.delete(pid)
    })
    return { pid, kill, ended }
  }

  /** Kills the server in the middle of things, and mounts again after fsck has found the store consistent. */
  async crash(): Promise<void> {
    await this.mount.kill()
    this.killAll()
    await this.mount.fsck()
    await this.mount.mount()
  }

  /** Kills every program that is still there. */
  killAll(): void {
    for (const group of this.#groups) killNow(-group)
  }
}

/**
 * A test with a mount of its own. After it the mount is taken down, and must end with exit code 0, without a fault in
 * its log, and leave a store that fsck finds consistent.
 */
export function appTest(name: string, body: (test: Test, app: App) => Promise<void>, settings?: MountSettings): void {
  void t.test(name, async (test) => {
    const app = await App.start(test, settings)
    await body(test, app)
    app.killAll()
    await app.mount.end()
  })
}

/** As {@link appTest} with three nodes of one file system, and programs on each. */
export function clusterTest(
  name: string,
  body: (test: Test, apps: [App, App, App], cluster: TestCluster) => Promise<void>,
  settings?: MountSettings,
): void {
  void t.test(name, async (test) => {
    const cluster = await TestCluster.start(test, 3, settings)
    const apps = cluster.nodes.map((node) => App.on(test, node))
    await body(test, apps as [App, App, App], cluster)
    for (const app of apps) app.killAll()
    await cluster.end()
  })
}

/** What ends the mount when this process is killed; it sees that by its end of a pipe. */
function startGuard({ mountpoint, beside }: TestMount): void {
  const command = `${REPOSITORY}/test/apps/guard.sh`
  const guard = spawn(command, [mountpoint, beside], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  guard.unref()
  ;(guard.stdin as Socket).unref()
}

function endOf(child: ChildProcess, onLine: (line: string) => void = () => undefined): Promise<Ended> {
  let stdout = ''
  let stderr = ''
  let unfinished = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    const lines = (unfinished + text).split('\n')
    unfinished = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: error.message, stdout, stderr }))
    child.once('close', (code, signal) => resolve({ code: signal ?? code ?? -1, stdout, stderr }))
  })
}

const tail = (text: string): string => text.slice(-OUTPUT_TAIL)
