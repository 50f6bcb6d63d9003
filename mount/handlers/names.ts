import { ENOENT } from '../../lib/base/errno.js'
import { S_IFDIR } from '../../lib/base/mode.js'
import type { Inode } from '../../lib/meta/inode.js'
import {
  DIRENT_HEAD_BYTES,
  direntBytes,
  ENTRY_OUT_BYTES,
  FOPEN_CACHE_DIR,
  FOPEN_KEEP_CACHE,
  OP,
  putDirent,
  putEntryOut,
  putNegativeEntryOut,
  putOpenOut,
} from '../../lib/wire/kernel.js'
import type { Request } from '../request.js'
import { forKeeper, type HandlerGroup, type Mount } from './types.js'

const COOKIE_PARENT = 2

/** Answers with an inode that the kernel from now on holds. */
function replyEntry({ fs, settings }: Mount, request: Request, inode: Inode): number {
  fs.hold(inode.number)
  request.bodyBytes = putEntryOut(request.words, request.body, inode, settings.timeouts)
  return 0
}

function lookup(mount: Mount, request: Request): number {
  const inode = mount.fs.lookup(request.node, request.name(0))
  if (inode !== undefined) return replyEntry(mount, request, inode)
  if (mount.settings.timeouts.entrySeconds === 0) return -ENOENT
  request.bodyBytes = putNegativeEntryOut(request.words, request.body, mount.settings.timeouts)
  return 0
}

function rename(mount: Mount, request: Request, argumentBytes: number, flags: number): number {
  const from = request.name(argumentBytes)
  mount.fs.remove.rename(request.node, from, request.u64(0), request.secondName(), flags)
  return 0
}

/** Fills the payload with entries, each with its attributes where `plus` is set. */
function readdir(mount: Mount, request: Request, plus: boolean): number {
  const { words, memory, payload } = request
  const end = payload + Math.min(request.u32(4), request.payloadBytes)
  const entryBytes = plus ? ENTRY_OUT_BYTES : 0
  let at = payload
  mount.fs.readdir(request.node, request.u64(2), (child, kind, cookie, name) => {
    if (at + entryBytes + direntBytes(name.length) > end) return false
    const dirent = at + entryBytes
    const nameAt = dirent + DIRENT_HEAD_BYTES
    const next = dirent + putDirent(words, dirent >>> 2, child, cookie, kind, name.length)
    memory.fill(0, nameAt + name.length, next)
    for (let i = 0; i < name.length; i++) memory[nameAt + i] = name.bytes[name.offset + i] as number
    if (plus) putEntry(mount, words, at >>> 2, child, cookie)
    at = next
    return true
  })
  request.dataBytes = at - payload
  return 0
}

/**
 * The entry's attributes. "." and "..", and an entry whose inode is gone, have none: the kernel looks those up itself.
 */
function putEntry({ fs, settings }: Mount, words: Uint32Array, at: number, child: number, cookie: number): void {
  const inode = cookie <= COOKIE_PARENT ? undefined : fs.meta.find(child)
  if (inode === undefined) {
    words.fill(0, at, at + ENTRY_OUT_BYTES / 4)
    return
  }
  fs.hold(inode.number)
  putEntryOut(words, at, inode, settings.timeouts)
}

export const nameHandlers: HandlerGroup = (mount) => {
  const { fs } = mount
  return [
    [OP.LOOKUP, { argumentBytes: 2, run: (request) => lookup(mount, request) }],
    [
      OP.MKNOD,
      {
        argumentBytes: 18,
        run: (request) => {
          const [mode, rdev, caller] = [request.u32(0), request.u32(1), request.from(request.u32(2))]
          return replyEntry(mount, request, fs.create.mknod(request.node, request.name(16), mode, rdev, caller))
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
          return replyEntry(mount, request, fs.create.mknod(request.node, request.name(8), mode, 0, caller))
        },
      },
    ],
    [
      OP.SYMLINK,
      {
        argumentBytes: 3,
        run: (request) => {
          const name = request.name(0)
          const inode = fs.create.symlink(request.node, name, request.secondName(), request.from(0))
          return replyEntry(mount, request, inode)
        },
      },
    ],
    [
      OP.LINK,
      {
        argumentBytes: 10,
        run: (request) => replyEntry(mount, request, fs.create.link(request.u64(0), request.node, request.name(8))),
      },
    ],
    [
      OP.UNLINK,
      {
        argumentBytes: 2,
        run: (request) => {
          fs.remove.unlink(request.node, request.name(0))
          return 0
        },
      },
    ],
    [
      OP.RMDIR,
      {
        argumentBytes: 2,
        run: (request) => {
          fs.remove.rmdir(request.node, request.name(0))
          return 0
        },
      },
    ],
    [OP.RENAME, { argumentBytes: 12, run: (request) => rename(mount, request, 8, 0) }],
    [OP.RENAME2, { argumentBytes: 20, run: (request) => rename(mount, request, 16, request.u32(2)) }],
    [
      OP.OPENDIR,
      {
        argumentBytes: 8,
        run: forKeeper(mount, (request) => {
          request.bodyBytes = putOpenOut(request.words, request.body, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR)
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
          const target = fs.readlink(request.node)
          const { bytes, offset, length } = target
          request.memory.set(bytes.subarray(offset, offset + length), request.payload)
          request.dataBytes = length
          return 0
        },
      },
    ],
  ]
}
