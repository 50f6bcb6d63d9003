/** The errno table: Linux numbers, positive. Ports and the kernel border carry them negated. */

export const EPERM = 1 // The operation needs a right that nobody here has.
export const ENOENT = 2 // No such name, or no such inode any more.
export const EINTR = 4 // The caller was interrupted while it waited for a lock.
export const EIO = 5 // The store failed, or a record is damaged.
export const ENXIO = 6 // No data or hole at or beyond this offset.
export const E2BIG = 7 // An attribute's value is larger than 64 KiB.
export const EAGAIN = 11 // The lock is held by somebody else.
export const EEXIST = 17 // The name is there already.
export const ENOTDIR = 20 // A directory was needed.
export const EISDIR = 21 // Anything but a directory was needed.
export const EINVAL = 22 // The request makes no sense.
export const EFBIG = 27 // Beyond the largest size of a file.
export const ENOSPC = 28 // The store is full.
export const EMLINK = 31 // Too many links.
export const ERANGE = 34 // The caller's buffer is too small for the value.
export const EDEADLK = 35 // Waiting for this lock would never end.
export const ENAMETOOLONG = 36 // A name has more than 255 bytes.
export const ENOSYS = 38 // This operation does not exist here.
export const ENOTEMPTY = 39 // The directory still has entries.
export const ENODATA = 61 // No such attribute.
export const EREMOTE = 66 // Not for this node to do: the asker has to ask another one.
export const EPROTO = 71 // The peer on the other side broke the protocol.
export const EREMCHG = 78 // The other node has another ring.
export const EMSGSIZE = 90 // A message has more data than there is room for.
export const EOPNOTSUPP = 95 // Not for this kind of file.
export const ECONNRESET = 104 // The connection to a peer has ended.
export const ETIMEDOUT = 110 // A request is older than it may be.
export const EINPROGRESS = 115 // It is being done, and waits for a node that is away.
export const ESTALE = 116 // The inode number is no longer valid.
export const ECANCELED = 125 // The request was given up.

/** An operating error: always handled, at last by the reply to the kernel. */
export class FsError extends Error {
  override name = 'FsError'
  readonly errno: number

  constructor(errno: number) {
    super(`errno ${errno}`)
    this.errno = errno
  }
}

const thrown = new Map<number, FsError>()

/**
 * Ends an operation with an errno. The error objects are made once and have no useful stack: a stack trace costs
 * microseconds, and most of these errors (EEXIST, ENOTEMPTY) are ordinary answers.
 */
export function fail(errno: number): never {
  let error = thrown.get(errno)
  if (error === undefined) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    error = new FsError(errno)
    Error.stackTraceLimit = limit
    thrown.set(errno, error)
  }
  throw error
}

/**
 * The result of a step that nobody else would catch, such as the last one of an operation: an error as a negative
 * errno.
 */
export function caught(step: () => number): number {
  try {
    return step()
  } catch (error) {
    if (error instanceof FsError) return -error.errno
    throw error
  }
}
