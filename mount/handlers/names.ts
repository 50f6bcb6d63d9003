import { ENOENT } from '../../lib/base/errno.js'
import { type ByteRange, ROOT_INODE } from '../../lib/base/ids.js'
import { isDirectory, S_IFDIR } from '../../lib/base/mode.js'
import { type Done, PENDING } from '../../lib/ports.js'
import { RENAME_EXCHANGE } from '../../lib/share/remove.js'
import type { VisitEntry } from '../../lib/share/share.js'
import {
  DIRENT_HEAD_BYTES,
  direntBytes,
  ENTRY_OUT_BYTES,
  FOPEN_CACHE_DIR,
  FOPEN_KEEP_CACHE,
  OP,
  putAlias,
  putDirent,
  putEntryOut,
  putNegativeEntryOut,
  putOpenOut,
} from '../../lib/wire/kernel.js'
import type { Request } from '../request.js'
import { ASYNC, bare, forKeeper, type HandlerGroup, type Mount, settle } from './types.js'

const COOKIE_PARENT = 2
const DOT = 0x2e

/** Answers with the inode that `run` has found; the kernel holds it from then on. */
function entry(mount: Mount, request: Request, run: (done: Done) => number): number {
  const { fs, settings } = mount
  const { words, body } = request
  return settle(mount, request, run, () => {
    fs.hold(fs.found)
    return putEntryOut(words, body, fs.found, settings.timeouts)
  })
}

const copyOf = ({ bytes, offset, length }: ByteRange): Uint8Array => bytes.slice(offset, offset + length)

/** {@link entry} of what may be a directory that other nodes move: see DirectoryPlaces. */
function entryInPlace(mount: Mount, request: Request, name: ByteRange, run: (done: Done) => number): number {
  const { fs, settings, places } = mount
  const { words, body, node: parent, alias: ofParent } = request
  // By the time of the answer `name` is the one of another request.
  const [bytes, since] = [copyOf(name), places.now]
  const dots = bytes.length <= 2 && bytes.every((byte) => byte === DOT) ? bytes.length : 0
  const aliasOf = (number: number): number => {
    if (dots === 0) return places.tell(number, { parent, alias: ofParent, name: bytes }, since)
    const alias = places.tellAgain(number)
    return dots === 1 ? ofParent : alias
  }
  return settle(mount, request, run, () => {
    const { found } = fs
    fs.hold(found)
    const length = putEntryOut(words, body, found, settings.timeouts)
    if (isDirectory(found.mode) && found.number !== ROOT_INODE) putAlias(words, body, aliasOf(found.number))
    return length
  })
}

/** A name that is not there may be remembered as such, where the kernel may remember names at all. */
function lookup(mount: Mount, request: Request): number {
  const { fs, settings } = mount
  const { words, body } = request
  const { timeouts } = settings
  const name = request.name(0)
  const look = (done: Done): number => fs.lookup(request.node, name, done)
  if (settings.shared) return entryInPlace(mount, request, name, look)
  if (timeouts.entrySeconds === 0) return entry(mount, request, look)
  const known = (result: number): number => (result === -ENOENT ? 1 : result)
  const encode = (result: number): number => {
    if (result === 1) return putNegativeEntryOut(words, body, timeouts)
    fs.hold(fs.found)
    return putEntryOut(words, body, fs.found, timeouts)
  }
  const run = (done: Done): number => known(fs.lookup(request.node, name, (late) => done(known(late))))
  return settle(mount, request, run, encode)
}

/** Runs an operation and says to `ended` how it ended, however that comes. */
function endedBy(ended: Done, done: Done, run: (done: Done) => number): number {
  try {
    const result = run((late) => {
      ended(late)
      done(late)
    })
    if (result !== PENDING) ended(result)
    return result
  } catch (error) {
    ended(-1)
    throw error
  }
}

function rename(mount: Mount, request: Request, argumentBytes: number, flags: number): number {
  const { fs, places, settings } = mount
  const { node: parent, alias } = request
  const [from, newParent, to] = [request.name(argumentBytes), request.nodeAt(0), request.secondName()]
  if (!settings.shared) return bare(mount, request, (done) => fs.rename(parent, from, newParent, to, flags, done))
  const old = { parent, alias, name: copyOf(from) }
  const place = { parent: newParent, alias: request.aliasAt(0), name: copyOf(to) }
  return bare(mount, request, (done) => {
    const ended = places.rename(old, place, (flags & RENAME_EXCHANGE) !== 0)
    return endedBy(ended, done, (finish) => fs.rename(parent, from, newParent, to, flags, finish))
  })
}

/** Fills the payload with entries, each with its attributes where `plus` is set. */
function readdir(mount: Mount, request: Request, plus: boolean): number {
  const { slot, words, memory, payload } = request
  // What is left of the payload is for whoever gathers the entries.
  const wanted = Math.min(request.u32(4), request.payloadBytes / 4)
  const end = payload + wanted
  const listing = { plus, wanted, at: end, bytes: request.payloadBytes - wanted }
  const entryBytes = plus ? ENTRY_OUT_BYTES : 0
  let at = payload
  const visit: VisitEntry = (child, kind, cookie, name) => {
    if (at + entryBytes + direntBytes(name.length) > end) return false
    const dirent = at + entryBytes
    const nameAt = dirent + DIRENT_HEAD_BYTES
    const next = dirent + putDirent(words, dirent >>> 2, child, cookie, kind, name.length)
    memory.fill(0, nameAt + name.length, next)
    for (let i = 0; i < name.length; i++) memory[nameAt + i] = name.bytes[name.offset + i] as number
    if (plus) putEntry(mount, words, at >>> 2, child, cookie)
    at = next
    return true
  }
  const late = (error: number): void => mount.finish(slot, error, 0, error < 0 ? 0 : at - payload)
  const result = mount.fs.readdir(request.node, request.u64(2), visit, listing, late)
  if (result === PENDING) return ASYNC
  request.dataBytes = at - payload
  return result
}

/**
 * The entry's attributes. "." and "..", and an entry whose inode is gone, have none: the kernel looks those up itself.
 */
function putEntry({ fs, settings }: Mount, words: Uint32Array, at: number, child: number, cookie: number): void {
  const inode = cookie <= COOKIE_PARENT ? undefined : fs.peek(child)
  if (inode === undefined) {
    words.fill(0, at, at + ENTRY_OUT_BYTES / 4)
    return
  }
  fs.hold(inode)
  putEntryOut(words, at, inode, settings.timeouts)
}

export const nameHandlers: HandlerGroup = (mount) => {
  const { fs, settings } = mount
  return [
    [OP.LOOKUP, { argumentBytes: 2, run: (request) => lookup(mount, request) }],
    [
      OP.MKNOD,
      {
        argumentBytes: 18,
        run: (request) => {
          const [mode, rdev, caller] = [request.u32(0), request.u32(1), request.from(request.u32(2))]
          return entry(mount, request, (done) => fs.mknod(request.node, request.name(16), mode, rdev, caller, done))
        },
      },
    ],
    [
      OP.MKDIR,
      {
        argumentBytes: 10,
        run: (request) => {
          const mode = (request.u32(0) & 0o7777) | S_IFDIR
          const caller = request.from(request.u32(1))
          const name = request.name(8)
          const make = (done: Done): number => fs.mknod(request.node, name, mode, 0, caller, done)
          return settings.shared ? entryInPlace(mount, request, name, make) : entry(mount, request, make)
        },
      },
    ],
    [
      OP.SYMLINK,
      {
        argumentBytes: 3,
        run: (request) => {
          const name = request.name(0)
          const target = request.secondName()
          return entry(mount, request, (done) => fs.symlink(request.node, name, target, request.from(0), done))
        },
      },
    ],
    [
      OP.LINK,
      {
        argumentBytes: 10,
        run: (request) =>
          entry(mount, request, (done) => fs.link(request.nodeAt(0), request.node, request.name(8), done)),
      },
    ],
    [
      OP.UNLINK,
      {
        argumentBytes: 2,
        run: (request) => bare(mount, request, (done) => fs.unlink(request.node, request.name(0), done)),
      },
    ],
    [
      OP.RMDIR,
      {
        argumentBytes: 2,
        run: (request) => bare(mount, request, (done) => fs.rmdir(request.node, request.name(0), done)),
      },
    ],
    [OP.RENAME, { argumentBytes: 12, run: (request) => rename(mount, request, 8, 0) }],
    [OP.RENAME2, { argumentBytes: 20, run: (request) => rename(mount, request, 16, request.u32(2)) }],
    [
      OP.OPENDIR,
      {
        argumentBytes: 8,
        run: forKeeper(mount, (request) => {
          const flags = mount.settings.shared ? 0 : FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR
          request.bodyBytes = putOpenOut(request.words, request.body, flags)
          return 0
        }),
      },
    ],
    [OP.READDIR, { argumentBytes: 40, run: (request) => readdir(mount, request, false) }],
    [OP.READDIRPLUS, { argumentBytes: 40, run: (request) => readdir(mount, request, true) }],
    [OP.RELEASEDIR, { argumentBytes: 24, run: () => 0 }],
    [
      OP.READLINK,
      {
        argumentBytes: 0,
        run: (request) => {
          const { slot } = request
          const late = (length: number): void => mount.finish(slot, Math.min(length, 0), 0, Math.max(length, 0))
          const result = fs.readlink(request.node, request.payload, late)
          if (result === PENDING) return ASYNC
          request.dataBytes = Math.max(result, 0)
          return Math.min(result, 0)
        },
      },
    ],
  ]
}
