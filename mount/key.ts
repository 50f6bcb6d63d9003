/** The cluster's key: 64 hexadecimal digits in a file that nobody but its owner may read; scripts/keygen makes one. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import type { ClusterConfig } from './cluster-options.js'
import { exitCode, MountError } from './exit.js'

const DIGITS = 64
/** A longer file is no key, and is not read to its end. */
const FILE_BYTES_MAX = 256

/**
 * The key of a mount; null for a member that is the only one and has none, so that nobody can come to it.
 *
 * @throws {MountError} where there is none though there are others, or where it cannot be used
 */
export function keyOf({ keyFile, members, client }: ClusterConfig, home: string, uid: number): Uint8Array | null {
  const usual = [join(home, '.config/chfs/key'), '/etc/chfs/key']
  const key = readKey(keyFile, usual, uid)
  if (key !== null || (members.length === 1 && !client)) return key
  const advice = `make one with scripts/keygen and put the same on every node (key=FILE, ${usual.join(' or ')})`
  throw new MountError(
    `the members of a cluster know each other by a key, and there is none: ${advice}`,
    exitCode.usage,
  )
}

/**
 * The key in the file that was named or else in the first of the others that is there; null where there is none.
 *
 * @throws {MountError} for a file that cannot be read, that others may read, or that is no key
 */
export function readKey(named: string | null, others: readonly string[], uid: number): Uint8Array | null {
  for (const path of named === null ? others : [named]) {
    let file: number
    try {
      file = openSync(path, 'r')
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (named === null && (code === 'ENOENT' || code === 'ENOTDIR')) continue
      throw refused(path, message)
    }
    try {
      return keyIn(file, path, uid)
    } finally {
      closeSync(file)
    }
  }
  return null
}

function keyIn(file: number, path: string, uid: number): Uint8Array {
  const stat = fstatSync(file)
  if (!stat.isFile()) throw refused(path, 'it is not a file')
  // Root may use the key of the user for whom it mounts, and a user one that root has put there.
  if (stat.uid !== uid && stat.uid !== 0 && uid !== 0) throw refused(path, 'it belongs to somebody else')
  if ((stat.mode & 0o077) !== 0) {
    const mode = (stat.mode & 0o777).toString(8).padStart(3, '0')
    throw refused(path, `others than its owner may use it (mode ${mode}; chmod 600 helps)`)
  }
  const bytes = Buffer.alloc(FILE_BYTES_MAX)
  const text = bytes.toString('latin1', 0, readSync(file, bytes)).trim()
  if (!/^[0-9a-f]*$/i.test(text) || text.length !== DIGITS) {
    throw refused(path, `it is no key: ${DIGITS} hexadecimal digits, as scripts/keygen writes them`)
  }
  return new Uint8Array(Buffer.from(text, 'hex'))
}

function refused(path: string, reason: string): MountError {
  return new MountError(`key ${path}: ${reason}`, exitCode.usage)
}
