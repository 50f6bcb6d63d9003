/** Processes that do system calls for a test (driver.py), and the calls as TypeScript sees them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { killNow } from '../processes.js'

/** Sources that are not compiled lie beside the compiled test only in the repository. */
export const sourceOf = (name: string): string => fileURLToPath(new URL(`../../../test/mount/${name}`, import.meta.url))

/** A call that takes longer hangs: its process is killed. */
const CALL_TIMEOUT_MS = 60_000

export interface Stat {
  kind: string
  /** Permissions and set-id bits, octal. */
  mode: string
  nlink: number
  uid: number
  gid: number
  size: number
  device: [number, number]
}

export type Time = 'now' | 'omit' | [number, number]
export type LockKind = 'read' | 'write' | 'unlock'

/**
 * The calls of calls.py. Each rejects with a {@link CallError}. Names and data are strings of one character a byte;
 * paths are relative to the directory that the test looks at.
 */
export interface Calls {
  mkdir(path: string, mode?: number): Promise<void>
  rmdir(path: string): Promise<void>
  unlink(path: string): Promise<void>
  rename(from: string, to: string, flags?: number): Promise<void>
  link(from: string, to: string): Promise<void>
  linkFd(fd: number, to: string): Promise<void>
  symlink(target: string, path: string): Promise<void>
  readlink(path: string): Promise<string>
  mknod(path: string, mode: number, major?: number, minor?: number): Promise<void>
  stat(path: string): Promise<Stat>
  fstat(fd: number): Promise<Stat>
  times(path: string): Promise<{ atime: string; mtime: string; ctime: string }>
  inode(path: string): Promise<number>
  blocks(path: string): Promise<number>
  birth(path: string): Promise<{ known: boolean; btime: string; ctime: string }>
  statfs(path: string): Promise<Record<string, number>>
  access(path: string, mode: number): Promise<void>
  chmod(path: string, mode: number): Promise<void>
  fchmod(fd: number, mode: number): Promise<void>
  chown(path: string, uid: number, gid: number): Promise<void>
  utimens(path: string, atime: Time, mtime: Time): Promise<void>
  moved(paths: string[], name: string, ...args: unknown[]): Promise<[string, Record<string, string>]>
  umask(mask: number): Promise<void>
  open(path: string, flags?: number, mode?: number): Promise<number>
  close(fd: number): Promise<void>
  read(fd: number, size: number): Promise<string>
  write(fd: number, data: string): Promise<number>
  pread(fd: number, size: number, offset: number): Promise<string>
  pwrite(fd: number, data: string, offset: number): Promise<number>
  readAll(path: string): Promise<string>
  put(path: string, data: string, flags?: number): Promise<number>
  fill(path: string, size: number, seed?: number): Promise<void>
  same(path: string, offset: number, size: number, seed?: number): Promise<boolean>
  direct(path: string, flags: number, size: number, offset: number): Promise<unknown>
  seek(fd: number, offset: number, whence: number): Promise<number>
  truncate(path: string, size: number): Promise<void>
  ftruncate(fd: number, size: number): Promise<void>
  fallocate(fd: number, mode: number, offset: number, size: number): Promise<void>
  copy(from: number, to: number, size: number, fromOffset?: number, toOffset?: number): Promise<number>
  fsync(fd: number): Promise<void>
  fsyncPath(path: string): Promise<void>
  fdatasync(fd: number): Promise<void>
  syncfs(fd: number): Promise<void>
  sizeLimit(size: number): Promise<void>
  ioctl(fd: number, request: number): Promise<number>
  list(path: string): Promise<string[]>
  getdents(fd: number, size?: number): Promise<[string, number, number][]>
  makeMany(path: string, count: number, prefix?: string): Promise<void>
  removeMany(path: string, first: number, end: number, step?: number, prefix?: string): Promise<void>
  setxattr(path: string, name: string, value: string, flags?: number): Promise<void>
  fillxattr(path: string, name: string, size: number): Promise<void>
  getxattr(path: string, name: string, size?: number): Promise<string | number>
  listxattr(path: string, size?: number): Promise<string[] | number>
  removexattr(path: string, name: string): Promise<void>
  setacl(path: string, entries: [number, number, number][], kind?: string): Promise<void>
  getacl(path: string, kind?: string): Promise<[number, number, number][]>
  lock(
    fd: number,
    how: 'get' | 'set' | 'wait',
    kind: LockKind,
    start?: number,
    length?: number,
    ofd?: boolean,
  ): Promise<[string, number, number, number] | null>
  flock(fd: number, operation: number): Promise<void>
  waitWithSignals(fd: number, kind: LockKind, seconds: number): Promise<void>
  alarmStorm(path: string, count: number): Promise<Record<string, number>>
  map(fd: number, size: number, writable?: boolean): Promise<void>
  mapRead(fd: number, offset: number, size: number): Promise<string>
  mapWrite(fd: number, offset: number, data: string): Promise<void>
  mapSync(fd: number): Promise<void>
  unmap(fd: number): Promise<void>
  mapTouch(fd: number, offset: number): Promise<string | null>
}

/** A call failed with this errno. */
export class CallError extends Error {
  override name = 'CallError'
  readonly errno: string

  constructor(call: string, errno: string) {
    super(`${call}: ${errno}`)
    this.errno = errno
  }
}

/** The errno of a call that fails, or 'ok'. */
export async function errnoOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'ok'
  } catch (error) {
    if (error instanceof CallError) return error.errno
    throw error
  }
}

/** An object that has every call, each handed to `run`. */
export function callsBy(run: (name: string, args: unknown[]) => Promise<unknown>): Calls {
  return new Proxy({} as Calls, {
    get:
      (_, name) =>
      (...args: unknown[]) =>
        run(String(name), args),
  })
}

export interface User {
  readonly uid: number
  readonly gid: number
  readonly groups?: readonly number[]
}

interface Open {
  resolve(value: unknown): void
  reject(error: Error): void
  readonly call: string
}

/** The process that makes drivers: they are forked, which is much faster than to start Python for each. */
export class DriverServer {
  readonly #process: ChildProcess
  readonly #socket: string
  readonly #ready: Promise<void>
  readonly #drivers = new Set<Driver>()

  /** `launcher` is put before the command, such as nsenter(1) with its arguments. */
  constructor(socket: string, launcher: readonly string[] = []) {
    const command = [...launcher, 'python3', '-B', sourceOf('driver.py'), socket]
    this.#socket = socket
    rmSync(socket, { force: true })
    // A process group of its own, to be killed as a whole.
    const stdio = ['ignore', 'pipe', 'inherit'] as const
    this.#process = spawn(command[0] as string, command.slice(1), { stdio: [...stdio], detached: true })
    this.#ready = new Promise((resolve, reject) => {
      this.#process.stdout?.once('data', () => resolve())
      this.#process.once('error', reject)
      this.#process.once('exit', () => reject(new Error('the server of the drivers has ended')))
    })
    this.#ready.catch(() => undefined)
  }

  driver(directory: string, user?: User): Driver {
    const driver = new Driver(
      this.#ready.then(() => createConnection(this.#socket)),
      directory,
      user,
    )
    this.#drivers.add(driver)
    return driver
  }

  /** Kills all of them. A process that hangs in the kernel may outlive this. */
  end(): void {
    const { pid } = this.#process
    if (pid !== undefined) killNow(-pid)
    for (const driver of this.#drivers) driver.end()
    this.#drivers.clear()
  }
}

export class Driver {
  readonly sys: Calls
  /** The process that does the calls. */
  readonly pid: Promise<number>
  readonly #socket: Promise<Socket>
  readonly #open = new Map<number, Open>()
  #lastId = 0
  #ended = false
  #announce = (_pid: number): void => undefined

  constructor(socket: Promise<Socket>, directory: string, user?: User) {
    this.pid = new Promise((resolve) => {
      this.#announce = resolve
    })
    this.#socket = socket.then((socket) => {
      socket.on('error', () => undefined)
      socket.once('close', () => this.end())
      // A process that is killed resets its connection, which the reader of lines hears of, too.
      const lines = createInterface({ input: socket })
      lines.on('error', () => undefined)
      lines.on('line', (line) => this.#receive(line))
      const who = user === undefined ? null : [user.uid, user.gid, user.groups ?? []]
      socket.write(`${JSON.stringify([directory, who])}\n`)
      return socket
    })
    this.#socket.catch(() => this.end())
    this.sys = callsBy((name, args) => this.call(name, args))
  }

  call(name: string, args: readonly unknown[], timeoutMs = CALL_TIMEOUT_MS): Promise<unknown> {
    const id = ++this.#lastId
    const call = `${name}(${args.map((value) => JSON.stringify(value)?.slice(0, 60)).join(', ')})`
    return new Promise((resolve, reject) => {
      // Optional arguments that were left out.
      const given = args.slice(0, args.findLastIndex((value) => value !== undefined) + 1)
      const timer = setTimeout(() => {
        this.#open.delete(id)
        void this.kill()
        reject(new Error(`${call} hangs`))
      }, timeoutMs)
      const settle =
        <T>(then: (value: T) => void) =>
        (value: T): void => {
          clearTimeout(timer)
          then(value)
        }
      this.#open.set(id, { resolve: settle(resolve), reject: settle(reject), call })
      if (this.#ended) this.end()
      else this.#socket.then((socket) => socket.write(`${JSON.stringify([id, name, given])}\n`)).catch(() => undefined)
    })
  }

  /** kill -9 of the process, in the middle of whatever it does. */
  async kill(): Promise<void> {
    process.kill(await this.pid, 'SIGKILL')
  }

  /** Its calls that are still open reject; the process ends with its connection. */
  end(): void {
    this.#ended = true
    for (const { call, reject } of this.#open.values()) reject(new Error(`${call}: the driver has ended`))
    this.#open.clear()
    this.#socket.then((socket) => socket.destroy()).catch(() => undefined)
  }

  #receive(line: string): void {
    const message = JSON.parse(line) as number | [number, unknown, string | undefined]
    if (typeof message === 'number') {
      this.#announce(message)
      return
    }
    const [id, value, errno] = message
    const open = this.#open.get(id)
    this.#open.delete(id)
    if (open === undefined) return
    if (errno === undefined) open.resolve(value)
    else if (errno.startsWith('driver:')) open.reject(new Error(`${open.call}: ${errno}`))
    else open.reject(new CallError(open.call, errno))
  }
}
