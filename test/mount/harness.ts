/**
 * A mount of the compiled command for a test: its own store in memory and its own mountpoint. Whatever happens,
 * nothing stays: no mount, no process, no file. The test's process never touches the mount itself (see driver.py).
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { type Driver, DriverServer, type User } from './driver.js'

const MAIN = fileURLToPath(new URL('../../mount/main.js', import.meta.url))
const FSCK = fileURLToPath(new URL('../../../scripts/fsck', import.meta.url))

const START_TIMEOUT_MS = 30_000
const END_TIMEOUT_MS = 60_000
/** From this level on a line of the log is a fault (pino's number for error). */
const LEVEL_ERROR = 50

/** nobody, whose mount goes through fusermount3. */
export const NOBODY: User = { uid: 65534, gid: 65534 }

/** Becomes nobody in a mount namespace where /dev/fuse is open to all, as it is on most systems. */
const AS_NOBODY = [
  'unshare',
  '--mount',
  'sh',
  '-c',
  `mknod -m 666 "$0" c 10 229 && mount --bind "$0" /dev/fuse && rm "$0" &&
    exec env -u NODE_OPTIONS setpriv --reuid=65534 --regid=65534 --clear-groups "$@"`,
]

export interface MountSettings {
  /** The command's source: a list of members. */
  readonly source?: string
  /** Beside store. */
  readonly options?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** Mounts as nobody; then only nobody may look into it. */
  readonly asUser?: boolean
  /** Where the store goes, instead of a new directory in memory. */
  readonly store?: string
  /** Lines of the log at level error are part of the test. */
  readonly mayFail?: boolean
}

export interface LogLine {
  readonly level: number
  readonly msg: string
}

export interface Outcome {
  code: number | string | null
  stdout: string
  stderr: string
}

/** Runs a command to its end, which comes within the time limit. */
export function run(command: string, args: readonly string[], timeoutMs = 30_000): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 1 << 26 } as const
    execFile(command, [...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? error.signal ?? null), stdout, stderr })
    })
  })
}

/** A test that takes too long is ended by its runner; 'exit' then comes too. */
const exitOnSignal = (): never => process.exit(143)

export class TestMount {
  readonly store: string
  readonly mountpoint: string
  /** A directory beside the store, in memory too. */
  readonly beside: string
  readonly log: LogLine[] = []
  readonly #settings: MountSettings
  /** The last net, for a test that dies before its teardown. */
  readonly #onExit = (): void => {
    this.#endDrivers()
    this.#server?.kill('SIGKILL')
    for (let attempt = 0; attempt < 4 && isMounted(this.mountpoint); attempt++) {
      for (const how of ['-f', '-l']) spawnSync('umount', [how, this.mountpoint], { timeout: 5000 })
    }
    this.#removeFiles()
  }
  #server: ChildProcess | undefined
  #drivers: DriverServer | undefined
  #exited: Promise<number | string> = Promise.resolve(0)
  #finished = false

  private constructor(settings: MountSettings) {
    this.#settings = settings
    this.beside = mkdtempSync('/dev/shm/chfs-mount-')
    this.mountpoint = mkdtempSync('/tmp/chfs-mount-')
    this.store = settings.store ?? `${this.beside}/store`
    for (const directory of [this.beside, this.mountpoint]) {
      chmodSync(directory, 0o755)
      if (settings.asUser) chownSync(directory, NOBODY.uid, NOBODY.gid)
    }
    process.once('exit', this.#onExit)
    if (process.listenerCount('SIGTERM', exitOnSignal) === 0) process.on('SIGTERM', exitOnSignal)
  }

  /** Mounts; the test's teardown ends it. */
  static async start(test: Test, settings: MountSettings = {}): Promise<TestMount> {
    const mount = TestMount.prepare(settings)
    test.teardown(() => mount.end())
    await mount.mount()
    return mount
  }

  /** Makes the directories only; whoever calls this has to call {@link end}. */
  static prepare(settings: MountSettings): TestMount {
    return new TestMount(settings)
  }

  get pid(): number {
    return this.#server?.pid ?? 0
  }

  async mount(): Promise<void> {
    const { source, options = [], environment = {}, asUser = false } = this.#settings
    const all = [`store=${this.store}`, ...options].join(',')
    const launcher = asUser ? [...AS_NOBODY, `${this.beside}/fuse`] : []
    const places = source === undefined ? [this.mountpoint] : [source, this.mountpoint]
    const command = [...launcher, process.execPath, MAIN, '-F', '-o', all, ...places]
    // Without the hooks of tap, which write files.
    const env = { PATH: process.env['PATH'], HOME: this.beside, ...environment }
    const server = spawn(command[0] as string, command.slice(1), { env, stdio: ['ignore', 'ignore', 'pipe'] })
    this.#server = server
    this.#exited = new Promise((resolve) => server.once('exit', (code, signal) => resolve(signal ?? code ?? -1)))
    const said: string[] = []
    const mounted = new Promise<void>((resolve) => {
      createInterface({ input: server.stderr as NodeJS.ReadableStream }).on('line', (text) => {
        said.push(text)
        const line = parseLine(text)
        this.log.push(line)
        if (line.msg === 'mounted') resolve()
      })
    })
    const outcome = await within(START_TIMEOUT_MS, Promise.race([mounted.then(() => 'mounted'), this.#exited]))
    if (outcome !== 'mounted') throw new Error(`the mount did not come (${outcome}): ${said.join('\n')}`)
  }

  /** A process that does calls in the mount, or in another directory. */
  driver(user?: User, directory = this.mountpoint): Driver {
    const inside = this.#settings.asUser ? ['nsenter', `--mount=/proc/${this.pid}/ns/mnt`] : []
    this.#drivers ??= new DriverServer(`${this.beside}/socket`, inside)
    return this.#drivers.driver(directory, user ?? (this.#settings.asUser ? NOBODY : undefined))
  }

  /** kill -9 of the server; the mount is dead then, as are all drivers. */
  async kill(): Promise<void> {
    this.#server?.kill('SIGKILL')
    await this.#exited
    this.#endDrivers()
    await this.#clear()
  }

  /** kill -9, fsck, and mounted again: what a user sees after a crash. */
  async crash(): Promise<void> {
    await this.kill()
    await this.fsck()
    await this.mount()
  }

  /** Unmounts in order; the server's exit code. */
  async unmount(): Promise<number | string> {
    this.#endDrivers()
    if (this.#settings.asUser) this.#server?.kill('SIGTERM')
    // The drivers that were just killed are still closing what they had open.
    else await until(async () => (await run('umount', [this.mountpoint])).code === 0, 'an unmount')
    const code = await within(END_TIMEOUT_MS, this.#exited)
    if (code === 'timeout') await this.kill()
    return code
  }

  async remount(): Promise<void> {
    const code = await this.unmount()
    if (code !== 0) throw new Error(`the server ended with ${code}`)
    await this.mount()
  }

  /** Proves the store consistent; nobody may have it open. */
  async fsck(): Promise<void> {
    await checkStores([this.store])
  }

  async end(): Promise<void> {
    if (this.#finished) return
    try {
      await this.stop()
      await this.fsck()
    } finally {
      await this.cleanUp()
    }
  }

  /** Unmounts, where it is mounted, and looks whether all went well. */
  async stop(): Promise<void> {
    const alive = this.#server !== undefined && this.#server.exitCode === null && this.#server.signalCode === null
    const code = alive ? await this.unmount() : 0
    const faults = this.log.filter((line) => line.level >= LEVEL_ERROR)
    if (code !== 0) throw new Error(`the server ended with ${code}: ${JSON.stringify(this.log)}`)
    if (faults.length > 0 && !this.#settings.mayFail) throw new Error(`in the log: ${JSON.stringify(faults)}`)
  }

  /** Takes everything away. */
  async cleanUp(): Promise<void> {
    if (this.#finished) return
    this.#finished = true
    this.#server?.kill('SIGKILL')
    await this.#clear()
    process.off('exit', this.#onExit)
    this.#removeFiles()
  }

  #removeFiles(): void {
    rmSync(this.beside, { recursive: true, force: true })
    rmdirSync(this.mountpoint)
  }

  #endDrivers(): void {
    this.#drivers?.end()
    this.#drivers = undefined
  }

  /** Frees whoever hangs in the mount, and takes it away. */
  async #clear(): Promise<void> {
    this.#endDrivers()
    while (isMounted(this.mountpoint)) {
      await run('umount', ['-f', this.mountpoint], 5000)
      if (isMounted(this.mountpoint)) await run('umount', ['-l', this.mountpoint], 5000)
    }
  }
}

/** Proves stores consistent, also with each other where there are several; nobody may have one open. */
export async function checkStores(stores: readonly string[]): Promise<void> {
  if (!existsSync(FSCK)) return
  const { code, stdout, stderr } = await run(FSCK, stores, 120_000)
  if (code !== 0) throw new Error(`fsck does not find the stores consistent: ${stdout}${stderr}`)
}

function parseLine(text: string): LogLine {
  try {
    return JSON.parse(text) as LogLine
  } catch {
    return { level: LEVEL_ERROR, msg: text }
  }
}

function isMounted(path: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${path} `)
}

export function within<T>(ms: number, promise: Promise<T>): Promise<T | 'timeout'> {
  let timer: NodeJS.Timeout
  const timeout = new Promise<'timeout'>((resolve) => {
    timer = setTimeout(() => resolve('timeout'), ms)
  })
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer))
}

/** Polls until `condition` holds; no time is asserted, but a test must end. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let attempt = 0; attempt < 1500; attempt++) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`never happened: ${what}`)
}

/** A directory on tmpfs, beside a store, that takes the same calls. */
export function twinOf(mount: TestMount, asUser: boolean): string {
  const directory = `${mount.beside}/twin`
  mkdirSync(directory, { mode: 0o755 })
  if (asUser) chownSync(directory, NOBODY.uid, NOBODY.gid)
  return directory
}
