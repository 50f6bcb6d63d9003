/** Why a store cannot be opened: one line that names it, and the exit code of mount(8) that it stands for. */
import { constants } from 'node:os'

const { EACCES, EPERM, EBADMSG, ENOSPC, EDQUOT, EROFS, ENOTDIR, EEXIST } = constants.errno

/**
 * in-use: another process has it. foreign: the directory is no store. newer: a later chfs wrote it. damaged: it was a
 * store once. rights: the caller may not. system: the disk is full, read-only or failing, or memory is short.
 */
export type StoreErrorKind = 'in-use' | 'foreign' | 'newer' | 'damaged' | 'rights' | 'system'

/** Of the table in mount/exit.ts, which this layer may not import. */
const EXIT_CODES: Readonly<Record<StoreErrorKind, number>> = {
  'in-use': 32,
  foreign: 32,
  newer: 32,
  damaged: 32,
  rights: 1,
  system: 2,
}

export class StoreError extends Error {
  override name = 'StoreError'
  readonly kind: StoreErrorKind
  readonly exitCode: number

  constructor(path: string, kind: StoreErrorKind, reason: string) {
    super(`store ${path}: ${reason}`)
    this.kind = kind
    this.exitCode = EXIT_CODES[kind]
  }

  /** It may be free again in a moment. */
  get inUse(): boolean {
    return this.kind === 'in-use'
  }

  /** The error for whatever was thrown while the store was opened: by Node, by the addon, or one of these already. */
  static from(path: string, cause: unknown): StoreError {
    if (cause instanceof StoreError) return cause
    if (!(cause instanceof Error)) return new StoreError(path, 'system', String(cause))
    // Node's are negative, the addon's positive.
    const errno = Math.abs(Number((cause as { errno?: unknown }).errno))
    const text = cause.message.replace(/\s*\n\s*/g, '; ')
    switch (errno) {
      case ENOSPC:
      case EDQUOT:
        return new StoreError(path, 'system', `the disk is full (${text})`)
      case EROFS:
        return new StoreError(path, 'system', `its file system is read-only (${text})`)
      case EACCES:
      case EPERM:
        return new StoreError(path, 'rights', `no permission (${text})`)
      case ENOTDIR:
      case EEXIST:
        return new StoreError(path, 'foreign', `it is not a directory (${text})`)
      case EBADMSG:
        return new StoreError(path, 'damaged', `its metadata is damaged: ${text}`)
      default:
        return new StoreError(path, 'system', text)
    }
  }
}
