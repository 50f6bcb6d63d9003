import { EINVAL, fail } from '../../lib/base/errno.js'
import type { LockKind } from '../../lib/fs/operations.js'
import { PENDING } from '../../lib/ports.js'
import { F_RDLCK, F_UNLCK, F_WRLCK, LOCK_END, type Lock } from '../../lib/share/locks.js'
import { LK_FLOCK, LK_OUT_BYTES, LOCK_END_HIGH, OP, RELEASE_FLOCK_UNLOCK } from '../../lib/wire/kernel.js'
import { putWords } from '../../lib/wire/records.js'
import type { Request } from '../request.js'
import { bare, forKeeper, type HandlerGroup, type Mount, NO_REPLY, PARKED, settle } from './types.js'

/** Words of fuse_lk_in: handle 0, owner 2, start 4, end 6, type 8, pid 9, lk_flags 10. */
function readLock(request: Request): Lock {
  const type = request.u32(8)
  if (type !== F_RDLCK && type !== F_WRLCK && type !== F_UNLCK) fail(EINVAL)
  const end = request.u32(7) >= LOCK_END_HIGH ? LOCK_END : request.u64(6)
  const owner = request.uniqueAt(request.args + 2)
  return { owner, handle: request.u64(0), pid: request.u32(9), type, start: request.u64(4), end }
}

const kindOf = (request: Request): LockKind => ((request.u32(10) & LK_FLOCK) !== 0 ? 'flock' : 'record')

function getlk(mount: Mount, request: Request): number {
  const { words, body } = request
  const lock = readLock(request)
  return settle(
    mount,
    request,
    (done) => mount.fs.testLock(request.node, kindOf(request), lock, done),
    () => putLock(words, body, mount.fs.blocker),
  )
}

function putLock(words: Uint32Array, body: number, lock: Lock | undefined): number {
  words.fill(0, body, body + LK_OUT_BYTES / 4)
  words[body + 4] = lock?.type ?? F_UNLCK
  if (lock === undefined) return LK_OUT_BYTES
  putWords(words, body, lock.start)
  if (lock.end === LOCK_END) {
    words[body + 2] = 0xffffffff
    words[body + 3] = LOCK_END_HIGH
  } else putWords(words, body + 2, lock.end)
  words[body + 5] = lock.pid
  return LK_OUT_BYTES
}

/** Waits without a slot: a lock may be held for days. */
function setlkw(mount: Mount, request: Request): number {
  const { kernel, fs } = mount
  const { slot, node, unique } = request
  let ticket = -1
  const result = fs.waitLock(node, kindOf(request), readLock(request), unique, (error) => kernel.answer(ticket, error))
  if (result !== PENDING) return result
  ticket = kernel.park(slot)
  return PARKED
}

export const lockHandlers: HandlerGroup = (mount) => {
  const { fs } = mount
  return [
    [OP.GETLK, { argumentBytes: 48, run: (request) => getlk(mount, request) }],
    [
      OP.SETLK,
      {
        argumentBytes: 48,
        run: (request) =>
          bare(mount, request, (done) => fs.setLock(request.node, kindOf(request), readLock(request), done)),
      },
    ],
    [OP.SETLKW, { argumentBytes: 48, run: (request) => setlkw(mount, request) }],
    [
      // close(2) of any descriptor takes away the process's record locks: POSIX wants that. ENOSYS makes the kernel ask
      // no more; it still writes back the pages that a shared mapping has changed.
      OP.FLUSH,
      {
        argumentBytes: 24,
        run: forKeeper(mount, (request) =>
          bare(mount, request, (done) => fs.flush(request.node, request.uniqueAt(request.args + 4), done)),
        ),
      },
    ],
    [
      OP.RELEASE,
      {
        argumentBytes: 24,
        run: (request) => {
          const unlocks = (request.u32(3) & RELEASE_FLOCK_UNLOCK) !== 0
          const flockOwner = unlocks ? request.uniqueAt(request.args + 4) : undefined
          fs.release(request.node, request.u64(0), flockOwner)
          return 0
        },
      },
    ],
    [
      // A signal ends the wait for a lock, and that for a peer that is away. Anything else is soon done, and EINTR
      // would break callers with timers.
      OP.INTERRUPT,
      {
        argumentBytes: 8,
        noReply: true,
        run: (request) => {
          const unique = request.uniqueAt(request.args)
          fs.interrupt(unique)
          mount.interrupted(unique)
          return NO_REPLY
        },
      },
    ],
  ]
}
