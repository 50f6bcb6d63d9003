/**
 * The place of a mount: whether something can be mounted there, and what is left of an earlier mount. Nothing here
 * waits on the loop for a file system: the one at that place may be our own, or dead.
 */
import { realpath, stat, statfs } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { exitCode, MountError } from './exit.js'
import { mountedAt, mountType } from './mountinfo.js'

/** A mount that does not answer within this time is taken for hung. */
const answerTimeoutMs = 10_000
/** Mounts may lie on top of each other; a dead one below a dead one is cleared too. */
const deadMountsMax = 16

/**
 * Makes sure that a mount may be put at `path` and returns its real path. A dead mount of ours at that place is taken
 * away with `clear`, or where that resolves with false, accepted as it is.
 */
export async function prepareMountpoint(
  path: string,
  clear: (mountpoint: string) => Promise<boolean>,
): Promise<string> {
  for (let cleared = 0; ; cleared++) {
    const mountpoint = await resolveMountpoint(path)
    const state = await probe(mountpoint)
    const mounted = mountedAt(mountpoint)
    if (state === 'dead') {
      if (mounted?.type !== mountType) throw failure(`${path} is a dead mount of ${mounted?.type ?? 'another kind'}`)
      if (cleared === deadMountsMax) throw failure(`${path} is a dead mount that cannot be taken away`)
      if (await clear(mountpoint)) continue
      return mountpoint
    }
    if (state !== 'directory') throw new MountError(`${path} ${state.message}`, state.exitCode)
    if (mounted?.type === mountType) throw failure(`${path} is busy: ${mounted.source} is already mounted there`)
    return mountpoint
  }
}

/** Resolves once the mount answers a stat(2) from this process, which must not be the one that serves it. */
export async function waitUntilAnswers(mountpoint: string): Promise<void> {
  if (mountedAt(mountpoint)?.type !== mountType) throw failure(`${mountpoint} is not mounted`)
  await withTimeout(stat(mountpoint), mountpoint)
}

/** Whether a mount of ours is at this place that no process serves any more. */
export async function isDeadMount(mountpoint: string): Promise<boolean> {
  return mountedAt(mountpoint)?.type === mountType && (await probe(mountpoint)) === 'dead'
}

/** The real path. That of a dead mount cannot be asked for, but that of its parent can. */
export async function resolveMountpoint(path: string): Promise<string> {
  try {
    return await withTimeout(realpath(path), path)
  } catch (error) {
    if (isOfDeadMount(error)) return join(await withTimeout(realpath(dirname(path)), path), basename(path))
    throw error instanceof MountError ? error : describe(path, error)
  }
}

async function probe(path: string): Promise<'directory' | 'dead' | { message: string; exitCode: number }> {
  try {
    const found = await withTimeout(stat(path), path)
    // The kernel may know that from before its process died; this it has to ask for.
    if (mountedAt(path)?.type === mountType) await withTimeout(statfs(path), path)
    return found.isDirectory() ? 'directory' : { message: 'is not a directory', exitCode: exitCode.mount }
  } catch (error) {
    if (isOfDeadMount(error)) return 'dead'
    throw error instanceof MountError ? error : describe(path, error)
  }
}

function describe(path: string, error: unknown): MountError {
  switch (errorCode(error)) {
    case 'ENOENT':
      return failure(`${path} does not exist`)
    case 'ENOTDIR':
      return failure(`${path} is not a directory`)
    case 'EACCES':
      return new MountError(`${path} may not be entered`, exitCode.usage)
    default:
      return new MountError(`${path}: ${error instanceof Error ? error.message : String(error)}`, exitCode.system)
  }
}

function failure(message: string): MountError {
  return new MountError(message, exitCode.mount)
}

/** A mount whose process is gone answers ENOTCONN, or ECONNABORTED where it was aborted (FUSE_ABORT_ERROR). */
function isOfDeadMount(error: unknown): boolean {
  return ['ENOTCONN', 'ECONNABORTED'].includes(errorCode(error) ?? '')
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
}

async function withTimeout<T>(promise: Promise<T>, path: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(failure(`${path} does not answer`)), answerTimeoutMs)
  })
  try {
    return await Promise.race([promise, expired])
  } finally {
    clearTimeout(timer)
  }
}
