import { EINVAL, fail } from '../../lib/base/errno.js'
import { F_RDLCK, F_UNLCK, F_WRLCK, LOCK_END, type Lock, type Locks } from '../../lib/fs/locks.js'
import { LK_FLOCK, LK_OUT_BYTES, LOCK_END_HIGH, OP, RELEASE_FLOCK_UNLOCK } from '../../lib/wire/kernel.js'
import { putWords } from '../../lib/wire/records.js'
import type { Request } from '../request.js'
import { ASYNC, forKeeper, type HandlerGroup, type Mount, NO_REPLY } from './types.js'

/** Words of fuse_lk_in: handle 0, owner 2, start 4, end 6, type 8, pid 9, lk_flags 10. */
function readLock(request: Request): Lock {
  const type = request.u32(8)
  if (type !== F_RDLCK && type !== F_WRLCK && type !== F_UNLCK) fail(EINVAL)
  const end = request.u32(7) >= LOCK_END_HIGH ? LOCK_END : request.u64(6)
  const owner = request.uniqueAt(request.args + 2)
  return { owner, handle: request.u64(0), pid: request.u32(9), type, start: request.u64(4), end }
}

const locksFor = ({ fs }: Mount, request: Request): Locks =>
  (request.u32(10) & LK_FLOCK) !== 0 ? fs.fileLocks : fs.recordLocks

function getlk(mount: Mount, request: Request): number {
  const { words, body } = request
  const lock = readLock(request)
  const found = locksFor(mount, request).test(request.node, lock)
  words.fill(0, body, body + LK_OUT_BYTES / 4)
  request.bodyBytes = LK_OUT_BYTES
  words[body + 4] = found?.type ?? F_UNLCK
  if (found === undefined) return 0
  putWords(words, body, found.start)
  if (found.end === LOCK_END) {
    words[body + 2] = 0xffffffff
    words[body + 3] = LOCK_END_HIGH
  } else putWords(words, body + 2, found.end)
  words[body + 5] = found.pid
  return 0
}

/** Waits without a slot: a lock may be held for days. */
function setlkw(mount: Mount, request: Request): number {
  const { kernel } = mount
  const { slot, node, unique } = request
  const locks = locksFor(mount, request)
  let ticket: number | undefined
  let result: number | undefined
  locks.wait(node, readLock(request), unique, (error) => {
    if (ticket === undefined) result = error
    else kernel.answer(ticket, error)
  })
  if (result !== undefined) return result
  ticket = kernel.park(slot)
  return ASYNC
}

export const lockHandlers: HandlerGroup = (mount) => {
  const { fs } = mount
  return [
    [OP.GETLK, { argumentBytes: 48, run: (request) => getlk(mount, request) }],
    [OP.SETLK, { argumentBytes: 48, run: (request) => locksFor(mount, request).set(request.node, readLock(request)) }],
    [OP.SETLKW, { argumentBytes: 48, run: (request) => setlkw(mount, request) }],
    [
      // close(2) of any descriptor takes away the process's record locks: POSIX wants that. ENOSYS makes the kernel ask
      // no more; it still writes back the pages that a shared mapping has changed.
      OP.FLUSH,
      {
        argumentBytes: 24,
        run: forKeeper(mount, (request) => {
          const { node } = request
          if (fs.recordLocks.has(node)) fs.recordLocks.releaseOwner(node, request.uniqueAt(request.args + 4))
          return 0
        }),
      },
    ],
    [
      OP.RELEASE,
      {
        argumentBytes: 24,
        run: (request) => {
          const { node } = request
          if ((request.u32(3) & RELEASE_FLOCK_UNLOCK) !== 0) {
            fs.fileLocks.releaseOwner(node, request.uniqueAt(request.args + 4))
          }
          fs.recordLocks.releaseHandle(node, request.u64(0))
          return 0
        },
      },
    ],
    [
      // A signal ends only the wait for a lock. Anything else is soon done, and EINTR would break callers with timers.
      OP.INTERRUPT,
      {
        argumentBytes: 8,
        noReply: true,
        run: (request) => {
          const id = request.uniqueAt(request.args)
          if (!fs.recordLocks.interrupt(id)) fs.fileLocks.interrupt(id)
          return NO_REPLY
        },
      },
    ],
  ]
}
