/**
 * The two ways to a mount: as root mount(2) itself, as a user fusermount3, which mounts for us and sends the descriptor
 * over a socket (_FUSE_COMMFD).
 */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { getSystemErrorName } from 'node:util'
import type { Log } from '../lib/ports.js'
import type { Config } from './config.js'
import { exitCode, MountError } from './exit.js'
import { type KernelFlag, kernelFlagBits } from './kernel-flags.js'
import { formatOptions, type MountOption } from './options.js'
import type { MountCalls } from './seams.js'

export interface Mounter {
  /** Mounts, and returns the descriptor of /dev/fuse. */
  mount(config: Config, mountpoint: string, log: Log): Promise<number>
  /** False where it is busy; then a lazy unmount still takes it out of sight. True too where nothing is mounted. */
  unmount(mountpoint: string, lazy: boolean): Promise<boolean>
}

/** The largest read that the kernel sends in one request. */
const maxReadBytes = 1024 * 1024
/** MNT_DETACH of umount2(2). */
const lazyUnmount = 2
/** fusermount3 fails on a flag that it does not know; nosuid and nodev it sets for users by itself. */
const flagsOfFusermount: ReadonlySet<KernelFlag> = new Set([
  ...(['ro', 'nosuid', 'nodev', 'noexec', 'sync', 'dirsync', 'noatime'] as const),
])

export function directMounter(calls: MountCalls): Mounter {
  return {
    async mount(config, mountpoint) {
      needFuseDevice()
      const data = formatOptions(fuseOptions(config.allowOther))
      const fd = calls.mountDirect(config.source, mountpoint, kernelFlagBits(config.kernelFlags), data)
      if (fd >= 0) return fd
      if (getSystemErrorName(fd) === 'EPERM') {
        throw new MountError(`mounting at ${mountpoint} is not permitted (CAP_SYS_ADMIN is needed)`, exitCode.usage)
      }
      throw new MountError(`mounting at ${mountpoint} failed: ${getSystemErrorName(fd)}`, exitCode.mount)
    },
    async unmount(mountpoint, lazy) {
      const result = await new Promise<number>((done) => {
        calls.unmountAsync(mountpoint, lazy ? lazyUnmount : 0, done)
      })
      if (result === 0) return true
      const name = getSystemErrorName(result)
      if (name === 'EBUSY') return false
      // Somebody else was faster.
      if (name === 'EINVAL' || name === 'ENOENT') return true
      throw new MountError(`unmounting ${mountpoint} failed: ${name}`, exitCode.system)
    },
  }
}

export function userMounter(calls: MountCalls, command = 'fusermount3', fuseConf = '/etc/fuse.conf'): Mounter {
  return {
    async mount(config, mountpoint, log) {
      needFuseDevice()
      const allowOther = config.allowOther && allowsOther(fuseConf)
      if (config.allowOther && !allowOther) {
        log.warn({ file: fuseConf }, 'allow_other is left out: user_allow_other is not set')
      }
      const unknown = config.kernelFlags.filter((flag) => !flagsOfFusermount.has(flag))
      if (unknown.length > 0) log.warn({ options: unknown }, 'left out: fusermount3 does not know them')
      const options: MountOption[] = [
        ...config.kernelFlags.filter((flag) => flagsOfFusermount.has(flag)).map((name) => ({ name })),
        ...fuseOptions(allowOther),
        { name: 'fsname', value: config.source },
        { name: 'subtype', value: 'chfs' },
      ]
      return mountThrough(calls, command, ['-o', formatOptionsOfFusermount(options), '--', mountpoint])
    },
    async unmount(mountpoint, lazy) {
      const { code, message } = await run(command, ['-u', ...(lazy ? ['-z'] : []), '--', mountpoint])
      if (code === 0 || /not mounted|not found|Invalid argument/i.test(message)) return true
      if (/busy/i.test(message)) return false
      throw new MountError(`unmounting ${mountpoint} failed: ${message}`, exitCode.system)
    },
  }
}

/** Without user_allow_other in it, fusermount3 refuses allow_other to users (fuse(8)). */
export function allowsOther(fuseConf: string): boolean {
  try {
    return /^\s*user_allow_other\s*(#.*)?$/m.test(readFileSync(fuseConf, 'utf8'))
  } catch {
    return false
  }
}

function needFuseDevice(): void {
  if (!existsSync('/dev/fuse'))
    throw new MountError('/dev/fuse is missing: is there FUSE in this kernel?', exitCode.system)
}

/** The kernel checks permissions, so that they hold from its caches too. */
function fuseOptions(allowOther: boolean): MountOption[] {
  return [
    { name: 'default_permissions' },
    { name: 'max_read', value: String(maxReadBytes) },
    ...(allowOther ? [{ name: 'allow_other' }] : []),
  ]
}

/** fusermount3 takes a backslash before a comma or a backslash, and nothing else. */
function formatOptionsOfFusermount(options: readonly MountOption[]): string {
  const escaped = (text: string) => text.replace(/[\\,]/g, '\\$&')
  return options.map(({ name, value }) => (value === undefined ? name : `${name}=${escaped(value)}`)).join(',')
}

async function mountThrough(calls: MountCalls, command: string, args: string[]): Promise<number> {
  const pair = calls.socketPair()
  if (typeof pair === 'number') throw new MountError(`no socket: ${getSystemErrorName(pair)}`, exitCode.system)
  const [ours, theirs] = pair
  const finished = run(command, args, theirs)
  calls.closeFd(theirs)
  try {
    const [fd, { code, message }] = await Promise.all([
      new Promise<number>((done) => calls.receiveFd(ours, done)),
      finished,
    ])
    if (fd < 0 || code !== 0) {
      if (fd >= 0) calls.closeFd(fd)
      const cause = message || (fd < 0 ? getSystemErrorName(fd) : `exit code ${code}`)
      throw new MountError(`${command} did not mount: ${cause}`, code === null ? exitCode.system : exitCode.mount)
    }
    calls.setNonBlocking(fd)
    return fd
  } finally {
    calls.closeFd(ours)
  }
}

/** Runs a command to its end; `code` is null where it could not be started. The socket becomes its descriptor 3. */
function run(command: string, args: string[], socket?: number): Promise<{ code: number | null; message: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'pipe', ...(socket === undefined ? [] : [socket])],
      env: { ...process.env, LC_ALL: 'C', ...(socket === undefined ? {} : { _FUSE_COMMFD: '3' }) },
    })
    let message = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      message += text
    })
    child.on('error', (error) => resolve({ code: null, message: error.message }))
    child.on('close', (code) => resolve({ code: code ?? 1, message: message.trim().split('\n').join('; ') }))
  })
}
