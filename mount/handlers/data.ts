import { EINVAL, fail } from '../../lib/base/errno.js'
import { noChange } from '../../lib/fs/attributes.js'
import { PENDING } from '../../lib/ports.js'
import {
  ENTRY_OUT_BYTES,
  FOPEN_KEEP_CACHE,
  OP,
  OPEN_KILL_SUIDGID,
  putEntryOut,
  putOpenOut,
  WRITE_KILL_SUIDGID,
} from '../../lib/wire/kernel.js'
import { putWords } from '../../lib/wire/records.js'
import type { Request } from '../request.js'
import { ASYNC, forKeeper, type HandlerGroup, type Mount } from './types.js'

const O_EXCL = 0o200
const O_TRUNC = 0o1000
const O_DSYNC = 0o10000

/** Empties a file for open(2) with O_TRUNC; 0, a negative errno, or PENDING. */
function truncateForOpen(mount: Mount, node: number, killPrivileges: boolean, done: (error: number) => void): number {
  const change = noChange()
  change.size = 0
  change.killPrivileges = killPrivileges
  return mount.fs.setattr(node, change, done)
}

/** Words of fuse_open_in: flags 0, open_flags 1. */
function open(mount: Mount, request: Request): number {
  const { slot, node } = request
  mount.fs.meta.inode(node)
  const bodyBytes = putOpenOut(request.words, request.body, FOPEN_KEEP_CACHE, mount.nextHandle())
  request.bodyBytes = bodyBytes
  if ((request.u32(0) & O_TRUNC) === 0) return 0
  const killPrivileges = (request.u32(1) & OPEN_KILL_SUIDGID) !== 0
  const result = truncateForOpen(mount, node, killPrivileges, (late) => mount.finish(slot, late, bodyBytes, 0))
  return result === PENDING ? ASYNC : result
}

/** Words of fuse_create_in: flags 0, mode 1, umask 2, open_flags 3. */
function create(mount: Mount, request: Request): number {
  const { fs, settings } = mount
  const { slot, words, body } = request
  const flags = request.u32(0)
  const caller = request.from(request.u32(2))
  const inode = fs.open(request.node, request.name(16), request.u32(1), (flags & O_EXCL) !== 0, caller)
  const { number } = inode
  const reply = (): number => {
    fs.hold(number)
    putEntryOut(words, body, fs.meta.inode(number), settings.timeouts)
    return ENTRY_OUT_BYTES + putOpenOut(words, body + ENTRY_OUT_BYTES / 4, FOPEN_KEEP_CACHE, mount.nextHandle())
  }
  if ((flags & O_TRUNC) !== 0 && inode.size > 0) {
    const result = truncateForOpen(mount, number, (request.u32(3) & OPEN_KILL_SUIDGID) !== 0, (late) =>
      mount.finish(slot, late, late < 0 ? 0 : reply(), 0),
    )
    if (result === PENDING) return ASYNC
    if (result < 0) return result
  }
  request.bodyBytes = reply()
  return 0
}

function tmpfile(mount: Mount, request: Request): number {
  const { fs, settings } = mount
  const caller = request.from(request.u32(2))
  const inode = fs.create.tmpfile(request.node, (request.u32(1) & 0o7777) | 0o100000, caller)
  fs.hold(inode.number)
  const entryBytes = putEntryOut(request.words, request.body, inode, settings.timeouts)
  const opened = request.body + entryBytes / 4
  request.bodyBytes = entryBytes + putOpenOut(request.words, opened, FOPEN_KEEP_CACHE, mount.nextHandle())
  return 0
}

/** Words of fuse_read_in: offset 2, size 4. */
function read(mount: Mount, request: Request): number {
  const { slot } = request
  const bytes = Math.min(request.u32(4), request.payloadBytes)
  const result = mount.fs.read(request.node, request.payload, bytes, request.u64(2), (late) => {
    mount.finish(slot, Math.min(late, 0), 0, Math.max(late, 0))
  })
  if (result === PENDING) return ASYNC
  if (result < 0) return result
  request.dataBytes = result
  return 0
}

function putWritten(words: Uint32Array, body: number, bytes: number): number {
  words[body] = bytes
  words[body + 1] = 0
  return 8
}

/** Words of fuse_write_in: offset 2, size 4, write_flags 5, open flags 8. */
function write(mount: Mount, request: Request): number {
  const { slot, node, words, body } = request
  const bytes = request.u32(4)
  if (request.argumentBytes !== 40 + bytes) fail(EINVAL)
  const kill = (request.u32(5) & WRITE_KILL_SUIDGID) !== 0
  const synchronous = (request.u32(8) & O_DSYNC) !== 0
  const finish = (result: number): void => {
    mount.finish(slot, Math.min(result, 0), result < 0 ? 0 : putWritten(words, body, result), 0)
  }
  const written = (result: number): number => {
    if (result < 0 || !synchronous) return result
    const failed = mount.fs.fsync(node, (error) => finish(error < 0 ? error : result))
    return failed === 0 ? result : failed
  }
  const first = mount.fs.write(node, request.payload, bytes, request.u64(2), kill, (late) => {
    const result = written(late)
    if (result === PENDING) mount.endTurnSoon()
    else finish(result)
  })
  const result = first === PENDING ? PENDING : written(first)
  if (result === PENDING) return ASYNC
  if (result < 0) return result
  request.bodyBytes = putWritten(words, body, result)
  return 0
}

/** Runs an operation whose reply has no body. */
function bare(mount: Mount, request: Request, run: (done: (error: number) => void) => number): number {
  const { slot } = request
  const result = run((late) => mount.finish(slot, late, 0, 0))
  return result === PENDING ? ASYNC : result
}

/** Words of fuse_copy_file_range_in: offset in 2, node out 4, offset out 8, length 10, flags 12. */
function copyFileRange(mount: Mount, request: Request): number {
  const { slot, words, body } = request
  if (request.u32(12) !== 0) fail(EINVAL)
  const bytes = Math.min(request.u64(10), 0x7ffff000)
  const reply = (result: number): number => {
    if (result < 0) return 0
    putWords(words, body, result)
    return 8
  }
  const done = (late: number): void => mount.finish(slot, Math.min(late, 0), reply(late), 0)
  const result = mount.fs.copyFileRange(request.node, request.u64(2), request.u64(4), request.u64(8), bytes, done)
  if (result === PENDING) return ASYNC
  request.bodyBytes = reply(result)
  return Math.min(result, 0)
}

function lseek(mount: Mount, request: Request): number {
  const result = mount.fs.lseek(request.node, request.u64(2), request.u32(4))
  if (result < 0) return result
  putWords(request.words, request.body, result)
  request.bodyBytes = 8
  return 0
}

export const dataHandlers: HandlerGroup = (mount) => {
  const { fs } = mount
  const fsync = (request: Request): number => bare(mount, request, (done) => fs.fsync(request.node, done))
  const copy = (request: Request): number => copyFileRange(mount, request)
  return [
    [OP.OPEN, { argumentBytes: 8, run: forKeeper(mount, (request) => open(mount, request)) }],
    [OP.CREATE, { argumentBytes: 18, run: forKeeper(mount, (request) => create(mount, request)) }],
    [OP.TMPFILE, { argumentBytes: 16, run: (request) => tmpfile(mount, request) }],
    [OP.READ, { argumentBytes: 40, run: (request) => read(mount, request) }],
    [OP.WRITE, { argumentBytes: 40, run: (request) => write(mount, request) }],
    [OP.FSYNC, { argumentBytes: 16, run: fsync }],
    [OP.FSYNCDIR, { argumentBytes: 16, run: (request) => bare(mount, request, (done) => fs.fsyncdir(done)) }],
    [OP.SYNCFS, { argumentBytes: 8, run: (request) => bare(mount, request, (done) => fs.syncfs(done)) }],
    [
      OP.FALLOCATE,
      {
        argumentBytes: 32,
        run: (request) => {
          const [offset, bytes, mode] = [request.u64(2), request.u64(4), request.u32(6)]
          return bare(mount, request, (done) => fs.fallocate(request.node, mode, offset, bytes, done))
        },
      },
    ],
    [OP.LSEEK, { argumentBytes: 24, run: (request) => lseek(mount, request) }],
    [OP.COPY_FILE_RANGE, { argumentBytes: 56, run: copy }],
    [OP.COPY_FILE_RANGE_64, { argumentBytes: 56, run: copy }],
  ]
}
