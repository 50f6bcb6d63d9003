import { EPROTO } from '../../lib/base/errno.js'
import {
  getNode,
  INIT,
  INIT_EXT_SINCE,
  INIT_HIGH,
  INIT_OUT_BYTES,
  OP,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  putStatfsOut,
  type StatfsFigures,
} from '../../lib/wire/kernel.js'
import { getWords } from '../../lib/wire/records.js'
import type { Request } from '../request.js'
import { type HandlerGroup, type Mount, type MountSettings, NO_REPLY, settle } from './types.js'

/** Largest READ and WRITE: 256 pages, the payload of a slot. */
const IO_BYTES_MAX = 1 << 20
const PAGES_MAX = 256

/** Requests that the kernel may have under way in the background (readahead, writeback, asynchronous I/O). */
const BACKGROUND_MAX = 48
const CONGESTION_THRESHOLD = 36

/** Oldest protocol that is served: Linux 5.14. */
const PROTOCOL_MINOR_MIN = 34

const WANTED =
  INIT.ASYNC_READ |
  INIT.BIG_WRITES |
  INIT.DONT_MASK |
  INIT.DO_READDIRPLUS |
  INIT.READDIRPLUS_AUTO |
  INIT.PARALLEL_DIROPS |
  INIT.POSIX_ACL |
  INIT.ABORT_ERROR |
  INIT.MAX_PAGES |
  INIT.CACHE_SYMLINKS |
  INIT.HANDLE_KILLPRIV_V2 |
  INIT.SETXATTR_EXT

/** What belongs to keeping open files and locks here. */
const KEEPING = INIT.POSIX_LOCKS | INIT.FLOCK_LOCKS | INIT.ATOMIC_O_TRUNC

/** Attributes that come with a listing: of no use where they may not be kept. */
const LISTING_AHEAD = INIT.DO_READDIRPLUS | INIT.READDIRPLUS_AUTO

function wantedOf({ keeper, shared, writeback }: MountSettings): number {
  let wanted: number = WANTED
  if (keeper === 'node') wanted |= KEEPING
  if (shared) wanted &= ~LISTING_AHEAD
  if (writeback) wanted |= INIT.WRITEBACK_CACHE
  return wanted
}

/** Words of fuse_init_in: major 0, minor 1, max_readahead 2, flags 3, high flags 4. */
function init(mount: Mount, request: Request): number {
  const { words, body } = request
  const [major, minor, readahead, offered] = [request.u32(0), request.u32(1), request.u32(2), request.u32(3)]
  const offeredHigh = (offered & INIT.INIT_EXT) !== 0 && request.argumentBytes >= 20 ? request.u32(4) : 0
  const { settings, log } = mount
  words.fill(0, body, body + INIT_OUT_BYTES / 4)
  words[body] = PROTOCOL_MAJOR
  request.bodyBytes = INIT_OUT_BYTES
  if (major > PROTOCOL_MAJOR) return 0 // The kernel asks again, in our version.
  if (major < PROTOCOL_MAJOR || minor < PROTOCOL_MINOR_MIN) {
    log.error({ major, minor }, 'this kernel is too old: Linux 5.14 or newer is needed')
    return -EPROTO
  }
  const agreed = Math.min(minor, PROTOCOL_MINOR, settings.protocolMinorMax)
  let wanted = wantedOf(settings)
  if (agreed >= INIT_EXT_SINCE) {
    wanted |= INIT.INIT_EXT
    // Without it (before Linux 6.6) what bypasses the cache cannot be mapped to be shared.
    if (settings.shared) words[body + 8] = offeredHigh & INIT_HIGH.DIRECT_IO_ALLOW_MMAP
  }
  words[body + 1] = agreed
  words[body + 2] = Math.min(readahead, IO_BYTES_MAX)
  words[body + 3] = offered & wanted
  words[body + 4] = BACKGROUND_MAX | (CONGESTION_THRESHOLD << 16)
  words[body + 5] = IO_BYTES_MAX
  words[body + 6] = 1 // Nanoseconds of a timestamp's granularity.
  words[body + 7] = PAGES_MAX
  log.debug({ minor, agreed, flags: (offered & wanted) >>> 0 }, 'the kernel has greeted')
  settings.onReady()
  return 0
}

export const sessionHandlers: HandlerGroup = (mount) => {
  const { fs, places } = mount
  const forget = (number: number, count: number): void => {
    places.forget(number, count)
    fs.forget(number, count)
  }
  const figures: StatfsFigures = {
    blocks: 0,
    blocksFree: 0,
    blocksAvailable: 0,
    files: 0,
    filesFree: 0,
    blockBytes: 0,
    nameBytesMax: 0,
  }
  return [
    [OP.INIT, { argumentBytes: 16, run: (request) => init(mount, request) }],
    [OP.DESTROY, { argumentBytes: 0, run: () => 0 }],
    // We never ask the kernel for its pages.
    [OP.NOTIFY_REPLY, { argumentBytes: 0, noReply: true, run: () => NO_REPLY }],
    [
      OP.STATFS,
      {
        argumentBytes: 0,
        run: (request) => {
          const { words, body } = request
          const encode = (): number => putStatfsOut(words, body, figures)
          return settle(mount, request, (done) => fs.statfs(figures, done), encode)
        },
      },
    ],
    [
      OP.FORGET,
      {
        argumentBytes: 8,
        noReply: true,
        run: (request) => {
          forget(request.node, request.u64(0))
          return NO_REPLY
        },
      },
    ],
    [
      OP.BATCH_FORGET,
      {
        argumentBytes: 8,
        noReply: true,
        run: (request) => {
          const count = Math.min(request.u32(0), Math.floor((request.argumentBytes - 8) / 16))
          for (let i = 0; i < count; i++) {
            const at = request.args + 2 + i * 4
            forget(getNode(request.words, at), getWords(request.words, at + 2))
          }
          return NO_REPLY
        },
      },
    ],
  ]
}
