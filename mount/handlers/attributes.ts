import { type AttributeChange, noChange, type TimeChange } from '../../lib/fs/attributes.js'
import { PENDING } from '../../lib/ports.js'
import {
  FATTR_ATIME,
  FATTR_ATIME_NOW,
  FATTR_CTIME,
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
import { ASYNC, type HandlerGroup, type Mount } from './types.js'

function setTime(into: TimeChange, request: Request, set: boolean, now: boolean, seconds: number, ns: number): void {
  into.kind = now ? 'now' : set ? 'set' : 'omit'
  into.seconds = getSigned(request.words, request.args + seconds)
  into.nanoseconds = request.u32(ns)
}

/**
 * Words of fuse_setattr_in: valid 0, size 4, atime 8, mtime 10, ctime 12, their ns 14–16, mode 17, uid 19, gid 20.
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

function setattr(mount: Mount, request: Request): number {
  const { fs, settings } = mount
  const { slot, node, words, body } = request
  const replyBytes = (): number => putAttrOut(words, body, fs.meta.inode(node), settings.timeouts)
  const result = fs.setattr(node, readChange(request), (late) => {
    mount.finish(slot, late, late < 0 ? 0 : replyBytes(), 0)
  })
  if (result === PENDING) return ASYNC
  if (result === 0) request.bodyBytes = replyBytes()
  return result
}

/** Answers with a value of `length` bytes in the payload, or with its length where only that was asked for. */
function replyLength(request: Request, length: number, size: number): number {
  if (size !== 0) {
    request.dataBytes = length
    return 0
  }
  request.words[request.body] = length
  request.words[request.body + 1] = 0
  request.bodyBytes = 8
  return 0
}

/** Words of fuse_setxattr_in, as long as SETXATTR_EXT makes it: size 0, flags 1, setxattr_flags 2; then the name. */
function setxattr(mount: Mount, request: Request): number {
  const killSetgid = (request.u32(2) & SETXATTR_ACL_KILL_SGID) !== 0
  const name = request.name(16)
  const value = request.valueBehindName(request.u32(0))
  mount.fs.xattrs.set(request.node, name, value, request.u32(1), killSetgid)
  return 0
}

export const attributeHandlers: HandlerGroup = (mount) => {
  const { fs, settings } = mount
  return [
    [
      OP.GETATTR,
      {
        argumentBytes: 16,
        run: (request) => {
          request.bodyBytes = putAttrOut(request.words, request.body, fs.meta.inode(request.node), settings.timeouts)
          return 0
        },
      },
    ],
    [
      OP.STATX,
      {
        argumentBytes: 24,
        run: (request) => {
          request.bodyBytes = putStatxOut(request.words, request.body, fs.meta.inode(request.node), settings.timeouts)
          return 0
        },
      },
    ],
    [OP.SETATTR, { argumentBytes: 88, run: (request) => setattr(mount, request) }],
    // The kernel checks permissions itself (default_permissions) and does not ask.
    [OP.ACCESS, { argumentBytes: 8, run: () => 0 }],
    [OP.SETXATTR, { argumentBytes: 18, run: (request) => setxattr(mount, request) }],
    [
      OP.GETXATTR,
      {
        argumentBytes: 10,
        run: (request) => {
          const [size, name] = [request.u32(0), request.name(8)]
          return replyLength(
            request,
            fs.xattrs.get(request.node, name, request.memory, request.payload, Math.min(size, request.payloadBytes)),
            size,
          )
        },
      },
    ],
    [
      OP.LISTXATTR,
      {
        argumentBytes: 8,
        run: (request) => {
          const size = request.u32(0)
          const room = Math.min(size, request.payloadBytes)
          const privileged = request.from(0).uid === 0
          const length = fs.xattrs.list(request.node, request.memory, request.payload, room, privileged)
          return replyLength(request, length, size)
        },
      },
    ],
    [
      OP.REMOVEXATTR,
      {
        argumentBytes: 2,
        run: (request) => {
          fs.xattrs.remove(request.node, request.name(0))
          return 0
        },
      },
    ],
  ]
}
