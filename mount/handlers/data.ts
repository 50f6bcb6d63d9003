import { EINVAL, EIO, ENXIO, fail } from '../../lib/base/errno.js'
import type { OpenFlags } from '../../lib/fs/operations.js'
import { PENDING } from '../../lib/ports.js'
import {
  FOPEN_DIRECT_IO,
  FOPEN_KEEP_CACHE,
  FOPEN_PARALLEL_DIRECT_WRITES,
  OP,
  OPEN_KILL_SUIDGID,
  putEntryOut,
  putOpenOut,
  WRITE_CACHE,
  WRITE_KILL_SUIDGID,
} from '../../lib/wire/kernel.js'
import { putWords } from '../../lib/wire/records.js'
import type { Request } from '../request.js'
import { ASYNC, bare, forKeeper, type HandlerGroup, type Mount, settle } from './types.js'

const O_EXCL = 0o200
const O_TRUNC = 0o1000
const O_APPEND = 0o2000
const O_DSYNC = 0o10000

const openFlags = (flags: number, more: number): OpenFlags => ({
  exclusive: (flags & O_EXCL) !== 0,
  truncate: (flags & O_TRUNC) !== 0,
  killPrivileges: (more & OPEN_KILL_SUIDGID) !== 0,
})

/**
 * What the kernel may do with the pages of a file that it opens. Among nodes writes of one file are no more in order
 * than those of two nodes are; one whose chunk lies with a node that is away must not stop the others.
 */
const cacheFlags = ({ settings }: Mount): number =>
  settings.shared ? FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES : FOPEN_KEEP_CACHE

/** Words of fuse_open_in: flags 0, open_flags 1. */
function open(mount: Mount, request: Request): number {
  const { words, body } = request
  const flags = openFlags(request.u32(0), request.u32(1))
  return settle(
    mount,
    request,
    (done) => mount.fs.open(request.node, flags, done),
    () => putOpenOut(words, body, cacheFlags(mount), mount.nextHandle()),
  )
}

/** Answers with an inode that the kernel from now on holds and has open. */
function replyOpened(mount: Mount, words: Uint32Array, body: number): number {
  const { fs, settings } = mount
  fs.hold(fs.found)
  const entryBytes = putEntryOut(words, body, fs.found, settings.timeouts)
  return entryBytes + putOpenOut(words, body + entryBytes / 4, cacheFlags(mount), mount.nextHandle())
}

/** Words of fuse_create_in: flags 0, mode 1, umask 2, open_flags 3. */
function create(mount: Mount, request: Request): number {
  const { words, body } = request
  const flags = openFlags(request.u32(0), request.u32(3))
  const caller = request.from(request.u32(2))
  return settle(
    mount,
    request,
    (done) => mount.fs.create(request.node, request.name(16), request.u32(1), flags, caller, done),
    () => replyOpened(mount, words, body),
  )
}

function tmpfile(mount: Mount, request: Request): number {
  const { words, body } = request
  const caller = request.from(request.u32(2))
  const mode = (request.u32(1) & 0o7777) | 0o100000
  return settle(
    mount,
    request,
    (done) => mount.fs.tmpfile(request.node, mode, caller, done),
    () => replyOpened(mount, words, body),
  )
}

/** Whoever has lost a lock that was set through this open file must not go on as if nothing was. Handle: word 0. */
function mustHold({ fs }: Mount, request: Request): void {
  if (fs.isLost(request.u64(0))) fail(EIO)
}

/** Words of fuse_read_in: handle 0, offset 2, size 4. */
function read(mount: Mount, request: Request): number {
  mustHold(mount, request)
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

function putLength(words: Uint32Array, body: number, length: number): number {
  putWords(words, body, length)
  return 8
}

/** Words of fuse_write_in: handle 0, offset 2, size 4, write_flags 5, open flags 8. */
function write(mount: Mount, request: Request): number {
  mustHold(mount, request)
  const { slot, node, words, body } = request
  const bytes = request.u32(4)
  if (request.argumentBytes !== 40 + bytes) fail(EINVAL)
  const writeFlags = request.u32(5)
  const append = (request.u32(8) & O_APPEND) !== 0 && (writeFlags & WRITE_CACHE) === 0
  const how = { killPrivileges: (writeFlags & WRITE_KILL_SUIDGID) !== 0, append }
  const synchronous = (request.u32(8) & O_DSYNC) !== 0
  const finish = (result: number): void => {
    mount.finish(slot, Math.min(result, 0), result < 0 ? 0 : putLength(words, body, result), 0)
  }
  const written = (result: number): number => {
    if (result < 0 || !synchronous) return result
    const failed = mount.fs.fsync(node, (error) => finish(error < 0 ? error : result))
    return failed === 0 ? result : failed
  }
  const first = mount.fs.write(node, request.payload, bytes, request.u64(2), how, (late) => {
    const result = written(late)
    if (result === PENDING) mount.endTurnSoon()
    else finish(result)
  })
  const result = first === PENDING ? PENDING : written(first)
  if (result === PENDING) return ASYNC
  if (result < 0) return result
  request.bodyBytes = putLength(words, body, result)
  return 0
}

/** Words of fuse_copy_file_range_in: offset in 2, node out 4, offset out 8, length 10, flags 12. */
function copyFileRange(mount: Mount, request: Request): number {
  const { words, body, node } = request
  if (request.u32(12) !== 0) fail(EINVAL)
  const bytes = Math.min(request.u64(10), 0x7ffff000)
  const [from, to, toOffset] = [request.u64(2), request.u64(4), request.u64(8)]
  const via = { at: request.payload, bytes: request.payloadBytes }
  return settle(
    mount,
    request,
    (done) => mount.fs.copyFileRange(node, from, to, toOffset, bytes, via, done),
    (copied) => putLength(words, body, copied),
  )
}

function lseek(mount: Mount, request: Request): number {
  const { words, body } = request
  const offset = request.u64(2)
  if (!Number.isSafeInteger(offset)) fail(ENXIO)
  return settle(
    mount,
    request,
    (done) => mount.fs.lseek(request.node, offset, request.u32(4), done),
    (offset) => putLength(words, body, offset),
  )
}

export const dataHandlers: HandlerGroup = (mount) => {
  const { fs } = mount
  const fsync = (request: Request): number => {
    if (fs.isLost(request.u64(0))) fail(EIO)
    return bare(mount, request, (done) => fs.fsync(request.node, done))
  }
  const copy = (request: Request): number => copyFileRange(mount, request)
  return [
    [OP.OPEN, { argumentBytes: 8, run: forKeeper(mount, (request) => open(mount, request)) }],
    [OP.CREATE, { argumentBytes: 18, run: forKeeper(mount, (request) => create(mount, request)) }],
    [OP.TMPFILE, { argumentBytes: 16, run: (request) => tmpfile(mount, request) }],
    [OP.READ, { argumentBytes: 40, run: (request) => read(mount, request) }],
    [OP.WRITE, { argumentBytes: 40, run: (request) => write(mount, request) }],
    [OP.FSYNC, { argumentBytes: 16, run: fsync }],
    [
      OP.FSYNCDIR,
      { argumentBytes: 16, run: (request) => bare(mount, request, (done) => fs.fsyncdir(request.node, done)) },
    ],
    [OP.SYNCFS, { argumentBytes: 8, run: (request) => bare(mount, request, (done) => fs.syncfs(done)) }],
    [
      OP.FALLOCATE,
      {
        argumentBytes: 32,
        run: (request) => {
          const [offset, bytes, mode] = [request.u64(2), request.u64(4), request.u32(6)]
          if (fs.isLost(request.u64(0))) fail(EIO)
          return bare(mount, request, (done) => fs.fallocate(request.node, mode, offset, bytes, done))
        },
      },
    ],
    [OP.LSEEK, { argumentBytes: 24, run: (request) => lseek(mount, request) }],
    [OP.COPY_FILE_RANGE, { argumentBytes: 56, run: copy }],
    [OP.COPY_FILE_RANGE_64, { argumentBytes: 56, run: copy }],
  ]
}
