/**
 * The configuration of one mount: defaults, then the TOML file named by config=, then the command line. Every name is
 * known here, with its kind; an unknown one is an error that names it.
 */
import { readFileSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { parse } from 'smol-toml'
import type { Arguments } from './arguments.js'
import {
  applyClusterOption,
  type ClusterConfig,
  type ClusterDraft,
  clusterDefaults,
  finishCluster,
} from './cluster-options.js'
import { exitCode, MountError } from './exit.js'
import { type KernelFlag, kernelFlags } from './kernel-flags.js'
import { type MountOption, valueIn, withoutValue } from './options.js'
import { parseSize } from './sizes.js'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface Config extends ClusterConfig {
  /** As typed: what the mount table shows. */
  readonly source: string
  /** Absolute. */
  readonly mountpoint: string
  /** Absolute. */
  readonly store: string
  /** Chunk size of the files of a store that is made now: a power of two. An existing store has its own. */
  readonly chunkBytes: number
  /** Absolute; null to log to the standard error. */
  readonly logFile: string | null
  /** Whether the log file was asked for by name, so that failing to open it is an error. */
  readonly logFileChosen: boolean
  readonly logLevel: LogLevel
  readonly writeback: boolean
  readonly allowOther: boolean
  /** The kernel's own options that differ from its defaults, in a fixed order. */
  readonly kernelFlags: readonly KernelFlag[]
}

/** Whatever a configuration takes from the process that reads it. */
export interface Surroundings {
  readonly workingDirectory: string
  readonly isRoot: boolean
  readonly home: string
  /** $XDG_STATE_HOME, or undefined. */
  readonly stateHome: string | undefined
  /** The text of a file; throws where there is none. */
  readonly readFile: (path: string) => string
}

const chunkBytesMin = 64 * 1024
const chunkBytesMax = 1024 ** 3
const logLevels: readonly string[] = ['debug', 'info', 'warn', 'error'] satisfies LogLevel[]

/** For mount(8) and /etc/fstab; nothing of them reaches a mount helper's work. */
const ignoredOptions: ReadonlySet<string> = new Set([
  ...['defaults', '_netdev', 'nofail', 'auto', 'noauto', 'nouser', 'owner', 'group', 'comment', 'user', 'users'],
])
/** Options of /etc/fstab that imply others, each unless a later option says otherwise (mount(8)). */
const restrictingOptions: ReadonlySet<string> = new Set(['user', 'users'])

/** What the options said so far. */
interface Draft {
  store?: string
  chunkBytes?: number
  log?: string
  logLevel?: LogLevel
  writeback?: boolean
  allowOther?: boolean
  readonly cluster: ClusterDraft
  readonly kernel: Set<KernelFlag>
}

export function makeConfig(args: Arguments, surroundings: Surroundings): Config {
  const draft: Draft = { kernel: new Set(), cluster: clusterDefaults() }
  const directory = surroundings.workingDirectory
  const file = args.options.findLast(({ name }) => name === 'config')?.value
  if (file !== undefined) applyFile(draft, resolve(directory, file), surroundings)
  for (const option of args.options) applyOption(draft, option, directory, args.sloppy)
  const store = draft.store ?? defaultStore(surroundings)
  const mountpoint = resolve(directory, args.mountpoint)
  const cluster = finishCluster(draft.cluster, args.source, directory, surroundings.readFile)
  // A client has no store for it: there it goes where the last words of the process go.
  const logFile = draft.log ?? (args.foreground || cluster.client ? null : join(store, 'log'))
  if (!cluster.client) forbidInside(mountpoint, 'store', store)
  if (logFile !== null) forbidInside(mountpoint, 'log', logFile)
  return {
    ...cluster,
    source: args.source,
    mountpoint,
    store,
    chunkBytes: draft.chunkBytes ?? 4 * 1024 * 1024,
    logFile,
    logFileChosen: draft.log !== undefined,
    logLevel: draft.logLevel ?? 'info',
    writeback: draft.writeback ?? false,
    allowOther: draft.allowOther ?? surroundings.isRoot,
    kernelFlags: [...kernelFlags.keys()].filter((flag) => draft.kernel.has(flag)),
  }
}

export function surroundingsOfProcess(): Surroundings {
  return {
    workingDirectory: process.cwd(),
    isRoot: process.geteuid?.() === 0,
    home: process.env['HOME'] ?? '/',
    stateHome: process.env['XDG_STATE_HOME'],
    readFile: (path) => readFileSync(path, 'utf8'),
  }
}

function defaultStore({ isRoot, home, stateHome }: Surroundings): string {
  if (isRoot) return '/var/lib/chfs'
  // A relative path in it is to be ignored (XDG Base Directory Specification).
  return stateHome !== undefined && isAbsolute(stateHome) ? join(stateHome, 'chfs') : join(home, '.local/state/chfs')
}

/** A process that waits for its own mount waits for ever. */
function forbidInside(mountpoint: string, what: string, path: string): void {
  if (path === mountpoint || path.startsWith(mountpoint === '/' ? '/' : `${mountpoint}/`)) {
    throw misuse(`the ${what} (${path}) may not lie below the mountpoint (${mountpoint})`)
  }
}

function misuse(message: string): MountError {
  return new MountError(message, exitCode.usage)
}

function applyFile(draft: Draft, path: string, surroundings: Surroundings): void {
  let entries: [string, unknown][]
  try {
    entries = Object.entries(parse(surroundings.readFile(path)))
  } catch (error) {
    const [firstLine] = (error as Error).message.split('\n')
    throw misuse(`configuration ${path}: ${firstLine}`)
  }
  for (const [name, value] of entries) {
    try {
      if (name === 'config' || ignoredOptions.has(name)) throw misuse(`option '${name}' is for the command line only`)
      applyOption(draft, optionOfFile(name, value), dirname(path), false)
    } catch (error) {
      if (error instanceof MountError) throw misuse(`configuration ${path}: ${error.message}`)
      throw error
    }
  }
}

/** `ro = true` is ro, `ro = false` is rw, and a number may stand without quotes. */
function optionOfFile(name: string, value: unknown): MountOption {
  if (typeof value === 'string') return { name, value }
  if (typeof value === 'number' || typeof value === 'bigint') return { name, value: String(value) }
  if (value === true) return { name }
  if (value === false) return { name: oppositeOf(name) }
  throw misuse(`option '${name}' takes no such value`)
}

function oppositeOf(name: string): string {
  for (const [flag, { opposite }] of kernelFlags) {
    if (flag === name) return opposite
    if (opposite === name) return flag
  }
  if (name.startsWith('no')) return name.slice(2)
  return `no${name}`
}

function applyOption(draft: Draft, option: MountOption, directory: string, sloppy: boolean): void {
  const { name } = option
  if (/^x-/i.test(name) || ignoredOptions.has(name)) {
    if (restrictingOptions.has(name)) for (const flag of ['noexec', 'nosuid', 'nodev'] as const) draft.kernel.add(flag)
    return
  }
  if (applyKernelFlag(draft.kernel, option) || applyOwnOption(draft, option, directory) || sloppy) return
  throw misuse(`unknown option '${name}'`)
}

function applyKernelFlag(kernel: Set<KernelFlag>, option: MountOption): boolean {
  for (const [flag, { opposite, excludes }] of kernelFlags) {
    if (option.name !== flag && option.name !== opposite) continue
    withoutValue(option)
    if (option.name === opposite) {
      kernel.delete(flag)
    } else {
      kernel.add(flag)
      for (const other of excludes) kernel.delete(other)
    }
    // `atime` is the opposite of more than one.
    if (option.name !== 'atime') return true
  }
  return option.name === 'atime'
}

function applyOwnOption(draft: Draft, option: MountOption, directory: string): boolean {
  switch (option.name) {
    case 'store':
      draft.store = resolve(directory, valueIn(option))
      return true
    case 'config':
      // Read before everything else; here only its form is checked.
      valueIn(option)
      return true
    case 'log':
      draft.log = resolve(directory, valueIn(option))
      return true
    case 'loglevel':
      draft.logLevel = parseLogLevel(valueIn(option))
      return true
    case 'chunk':
      draft.chunkBytes = parseChunk(valueIn(option))
      return true
    case 'writeback':
    case 'nowriteback':
      draft.writeback = withoutValue(option) === 'writeback'
      return true
    case 'allow_other':
    case 'noallow_other':
      draft.allowOther = withoutValue(option) === 'allow_other'
      return true
    default:
      return applyClusterOption(draft.cluster, option, directory)
  }
}

function parseLogLevel(text: string): LogLevel {
  if (!logLevels.includes(text)) throw misuse(`loglevel=${text} is none of ${logLevels.join(', ')}`)
  return text as LogLevel
}

function parseChunk(text: string): number {
  const bytes = parseSize(text)
  if (bytes === null) throw misuse(`chunk=${text} is no size (such as 64K or 4MiB)`)
  const isPowerOfTwo = Number.isInteger(Math.log2(bytes))
  if (!isPowerOfTwo || bytes < chunkBytesMin || bytes > chunkBytesMax) {
    throw misuse(`chunk=${text} is no power of two from 64KiB to 1GiB`)
  }
  return bytes
}
