import { EIO, fail } from '../../lib/base/errno.js'
import { type AttributeChange, noChange, type TimeChange } from '../../lib/share/attributes.js'
import { type Done, PENDING } from '../../lib/ports.js'
import {
  FATTR_ATIME,
  FATTR_ATIME_NOW,
  FATTR_CTIME,
  FATTR_FH,
  FATTR_GID,
  FATTR_KILL_SUIDGID,
  FATTR_MODE,
  FATTR_MTIME,
  FATTR_MTIME_NOW,
  FATTR_OF_FILE,
  FATTR_SIZE,
  FATTR_UID,
  OP,
  putAttrOut,
  putStatxOut,
  SETXATTR_ACL_KILL_SGID,
} from '../../lib/wire/kernel.js'
import { getSigned } from '../../lib/wire/records.js'
import type { Request } from '../request.js'
import { ASYNC, bare, type HandlerGroup, type Mount, settle } from './types.js'

function setTime(into: TimeChange, request: Request, set: boolean, now: boolean, seconds: number, ns: number): void {
  into.kind = now ? 'now' : set ? 'set' : 'omit'
  into.seconds = getSigned(request.words, request.args + seconds)
  into.nanoseconds = request.u32(ns)
}

/**
 * Words of fuse_setattr_in: valid 0, handle 2, size 4, atime 8, mtime 10, ctime 12, their ns 14–16, mode 17, uid 19,
 * gid 20.
 */
function readChange(request: Request): AttributeChange {
  const valid = request.u32(0)
  const change = noChange()
  const has = (bit: number): boolean => (valid & bit) !== 0
  if (has(FATTR_MODE)) change.mode = request.u32(17)
  if (has(FATTR_UID)) change.uid = request.u32(19)
  if (has(FATTR_GID)) change.gid = request.u32(20)
  if (has(FATTR_SIZE)) change.size = request.u64(4)
  // chown(2) of neither owner nor group comes without any field, and takes the set-id bits all the same.
  change.killPrivileges = has(FATTR_KILL_SUIDGID) || (valid & ~FATTR_OF_FILE) === 0
  setTime(change.atime, request, has(FATTR_ATIME), has(FATTR_ATIME_NOW), 8, 14)
  setTime(change.mtime, request, has(FATTR_MTIME), has(FATTR_MTIME_NOW), 10, 15)
  setTime(change.ctime, request, has(FATTR_CTIME), false, 12, 16)
  return change
}

/** ftruncate(2), through an open file whose locks are lost. */
const isLost = ({ fs }: Mount, request: Request): boolean => {
  const bits = FATTR_FH | FATTR_SIZE
  return (request.u32(0) & bits) === bits && fs.isLost(request.u64(2))
}

/** Answers with the value that `run` puts into the payload, or with its length where only that was asked for. */
function value(mount: Mount, request: Request, size: number, run: (done: Done) => number): number {
  const { slot, words, body } = request
  if (size === 0) return settle(mount, request, run, (length) => putWord(words, body, length))
  const result = run((late) => mount.finish(slot, Math.min(late, 0), 0, Math.max(late, 0)))
  if (result === PENDING) return ASYNC
  request.dataBytes = Math.max(result, 0)
  return Math.min(result, 0)
}

function putWord(words: Uint32Array, at: number, word: number): number {
  words[at] = word
  words[at + 1] = 0
  return 8
}

/** Words of fuse_setxattr_in, as long as SETXATTR_EXT makes it: size 0, flags 1, setxattr_flags 2; then the name. */
function setxattr(mount: Mount, request: Request): number {
  const killSetgid = (request.u32(2) & SETXATTR_ACL_KILL_SGID) !== 0
  const name = request.name(16)
  const bytes = request.valueBehindName(request.u32(0))
  return bare(mount, request, (done) => mount.fs.setxattr(request.node, name, bytes, request.u32(1), killSetgid, done))
}

export const attributeHandlers: HandlerGroup = (mount) => {
  const { fs, settings } = mount
  /** Answers with the attributes of the inode that `run` has found. */
  const attributes = (request: Request, run: (done: Done) => number): number => {
    const { words, body } = request
    return settle(mount, request, run, () => putAttrOut(words, body, fs.found, settings.timeouts))
  }
  return [
    [
      OP.GETATTR,
      { argumentBytes: 16, run: (request) => attributes(request, (done) => fs.getattr(request.node, done)) },
    ],
    [
      OP.STATX,
      {
        argumentBytes: 24,
        run: (request) => {
          const { words, body } = request
          const encode = (): number => putStatxOut(words, body, fs.found, settings.timeouts)
          return settle(mount, request, (done) => fs.getattr(request.node, done), encode)
        },
      },
    ],
    [
      OP.SETATTR,
      {
        argumentBytes: 88,
        run: (request) => {
          if (isLost(mount, request)) fail(EIO)
          return attributes(request, (done) => fs.setattr(request.node, readChange(request), done))
        },
      },
    ],
    // The kernel checks permissions itself (default_permissions) and does not ask.
    [OP.ACCESS, { argumentBytes: 8, run: () => 0 }],
    [OP.SETXATTR, { argumentBytes: 18, run: (request) => setxattr(mount, request) }],
    [
      OP.GETXATTR,
      {
        argumentBytes: 10,
        run: (request) => {
          const [size, name] = [request.u32(0), request.name(8)]
          const room = Math.min(size, request.payloadBytes)
          return value(mount, request, size, (done) => fs.getxattr(request.node, name, request.payload, room, done))
        },
      },
    ],
    [
      OP.LISTXATTR,
      {
        argumentBytes: 8,
        run: (request) => {
          const { node, payload } = request
          const size = request.u32(0)
          const room = Math.min(size, request.payloadBytes)
          const privileged = request.from(0).uid === 0
          return value(mount, request, size, (done) => fs.listxattr(node, payload, room, privileged, done))
        },
      },
    ],
    [
      OP.REMOVEXATTR,
      {
        argumentBytes: 2,
        run: (request) => bare(mount, request, (done) => fs.removexattr(request.node, request.name(0), done)),
      },
    ],
  ]
}
