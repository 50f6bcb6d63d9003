/**
 * The files by which others find the process of a mount: `HASH.pid` and the socket `HASH.sock` while it runs,
 * `HASH.status` with its exit code afterwards, and `HASH.stderr` with its last words. HASH is the first 16 hexadecimal
 * digits of the mountpoint's SHA-256. scripts/umount.fuse.chfs reads them, chfsctl asks on the socket, and a mount that
 * finds its store in use asks whether the holder is draining.
 */
import { createHash } from 'node:crypto'
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exitCode, MountError } from './exit.js'

export interface RunRecord {
  readonly pid: number
  /** In clock ticks since boot: tells a process from a later one with the same id. */
  readonly startTime: string
  readonly store: string
  readonly mountpoint: string
}

/** Where run files are kept: for a user in their own run-time directory, or in one of /tmp that nobody else may use. */
export function runDirectory(uid: number, runtimeDirectory: string | undefined): string {
  if (uid === 0) return '/run/chfs'
  return runtimeDirectory?.startsWith('/') ? join(runtimeDirectory, 'chfs') : `/tmp/.chfs-${uid}`
}

export class RunFile {
  readonly mountpoint: string
  readonly pidPath: string
  readonly statusPath: string
  readonly stderrPath: string
  readonly socketPath: string
  readonly #directory: string

  constructor(directory: string, mountpoint: string) {
    this.#directory = directory
    this.mountpoint = mountpoint
    const name = join(directory, createHash('sha256').update(mountpoint).digest('hex').slice(0, 16))
    this.pidPath = `${name}.pid`
    this.statusPath = `${name}.status`
    this.stderrPath = `${name}.stderr`
    this.socketPath = `${name}.sock`
  }

  /** Makes the directory, and forgets an earlier process at this mountpoint. */
  prepare(uid: number): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
    // In /tmp somebody else may have been first.
    const stat = lstatSync(this.#directory)
    if (!stat.isDirectory() || stat.uid !== uid) {
      throw new MountError(`${this.#directory} belongs to somebody else`, exitCode.usage)
    }
    chmodSync(this.#directory, 0o700)
    rmSync(this.statusPath, { force: true })
    rmSync(this.stderrPath, { force: true })
  }

  writeRunning(record: RunRecord): void {
    replaceFile(this.pidPath, `${record.pid} ${record.startTime}\n${record.store}\n${record.mountpoint}\n`)
  }

  /** The last thing that a process does. Without a reader the status stays until the next mount at this place. */
  writeFinished(pid: number, code: number): void {
    replaceFile(this.statusPath, `${pid} ${code}\n`)
    rmSync(this.pidPath, { force: true })
    rmSync(this.socketPath, { force: true })
    if (code === exitCode.done) rmSync(this.stderrPath, { force: true })
  }
}

/** The record of the live process that has this store mounted or is draining it, if one is known. */
export function findHolder(directory: string, store: string): RunRecord | null {
  return findRunning(directory).find((record) => record.store === store) ?? null
}

/** The records of all live processes, also of those that drain. */
export function findRunning(directory: string): RunRecord[] {
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch {
    return []
  }
  return names.flatMap((name) => {
    const record = name.endsWith('.pid') ? readRecord(join(directory, name)) : null
    return record !== null && startTimeOf(record.pid) === record.startTime ? [record] : []
  })
}

/** Field 22 of /proc/PID/stat; null for a process that is no more, and for one that only waits to be reaped. */
export function startTimeOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name before the last bracket may hold anything, blanks and brackets too.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? null : (fields[19] ?? null)
  } catch {
    return null
  }
}

function readRecord(path: string): RunRecord | null {
  try {
    const [first, store, mountpoint] = readFileSync(path, 'utf8').split('\n')
    const [pid, startTime] = first?.split(' ') ?? []
    if (startTime === undefined || store === undefined || mountpoint === undefined) return null
    return { pid: Number(pid), startTime, store, mountpoint }
  } catch {
    return null
  }
}

/** A reader sees the old text or the new one, never a part. */
function replaceFile(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}
