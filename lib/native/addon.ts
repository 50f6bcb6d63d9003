/**
 * The native binary, and the only place that loads it. Its functions return a negative errno where a system call fails,
 * and abort the process where the caller broke an invariant: only wrappers in this folder call them.
 */
import { createRequire } from 'node:module'

export interface NativeBufferPool {
  readonly memory: ArrayBuffer
  /** A free slot, or −1 when only the slots reserved for kernel sessions are left. */
  acquire(): number
  /** A free slot of those that serve peers, or −1. */
  acquireForPeer(): number
  release(slot: number): void
}

export interface NativeFuseSession {
  next(): number
  /** 0, or a negative errno of the write; −ENOENT where the caller no longer waits. */
  reply(slot: number, error: number, bodyBytes: number, dataBytes: number): number
  release(slot: number): void
  park(slot: number): number
  abandon(slot: number, error: number): void
  answer(ticket: number, error: number): number
  /** Writes a FUSE_NOTIFY_* message from another thread. The bytes are copied. */
  notify(code: number, bytes: Uint8Array, done: (error: number) => void): void
  answerAll(error: number): void
  close(): void
  ref(): void
  unref(): void
  counters(): SessionCounters
}

export interface SessionCounters {
  requests: number
  replies: number
  /** Replies that the kernel refused for another reason than that nobody waits any more. */
  replyErrors: number
  wakes: number
}

export interface NativeUring {
  /** 16 words an operation: operation, SQE flags, file, token, pool offset, bytes (2), offset (2), mode. */
  readonly descriptors: Int32Array
  /** How many descriptors wait to be submitted. */
  readonly pending: Int32Array
  /** Token and result of each completed operation of a batch. */
  readonly completions: Int32Array
  /** How many operations may be in flight. */
  readonly limit: number
  /** Says that descriptors wait, so that the loop stays alive until the next turn submits them. */
  arm(): void
  submit(): void
  close(): void
}

export interface NativeFiles {
  open(directory: number, path: string, flags: number, mode: number): number
  close(fd: number): number
  pread(fd: number, poolOffset: number, bytes: number, offset: number, nowait: boolean): number
  pwrite(fd: number, poolOffset: number, bytes: number, offset: number, nowait: boolean): number
  ftruncate(fd: number, sizeBytes: number): number
  fallocate(fd: number, mode: number, offset: number, bytes: number): number
  lseek(fd: number, offset: number, whence: number): number
  /** size, blocks, mtime seconds, mtime nanoseconds, device, inode */
  fstat(fd: number, out: Float64Array): number
  /** block bytes, blocks, free, available, files, files free, type */
  fstatfs(fd: number, out: Float64Array): number
  unlinkat(directory: number, path: string, flags: number): number
  mkdirat(directory: number, path: string, mode: number): number
  renameat(directory: number, path: string, newDirectory: number, newPath: string): number
  flock(fd: number, operation: number): number
  fdatasync(fd: number): number
  work(operation: number, fd: number, a: number, b: number, c: number, d: number, done: (result: number) => void): void
  workUnlink(directory: number, path: string, done: (result: number) => void): void
}

export interface NativeClock {
  /** Two doubles: seconds and nanoseconds since 1970, as of the last {@link readRealtime}. */
  readonly now: ArrayBuffer
  readRealtime(): number
}

/** What {@link NativeFiles.work} can do, with the meaning of its numbers a, b, c, d. */
export const FILE_WORK = {
  /** a: size */
  FTRUNCATE: 1,
  /** a: mode, b: offset, c: bytes */
  FALLOCATE: 2,
  /** a: offset, b: target descriptor, c: target offset, d: bytes; gives the bytes copied */
  COPY_FILE_RANGE: 3,
  FDATASYNC: 4,
  SYNCFS: 5,
} as const

interface Binary {
  BufferPool: new (options: { count: number; payloadBytes: number; forPeers: number }) => NativeBufferPool
  FuseSession: new (pool: NativeBufferPool, fd: number, onReadable: () => void) => NativeFuseSession
  Uring: new (pool: NativeBufferPool, options: { entries: number }, onComplete: (count: number) => void) => NativeUring
  Files: new (pool: NativeBufferPool) => NativeFiles
  Clock: new () => NativeClock
  Kv: new (...args: unknown[]) => unknown
  /** A mounted, non-blocking /dev/fuse, or a negative errno. `data` is a comma-separated list, may be empty. */
  mountDirect(source: string, mountpoint: string, flags: number, data: string): number
  unmount(mountpoint: string, flags: number): number
  unmountAsync(mountpoint: string, flags: number, done: (error: number) => void): void
  socketPair(): [number, number] | number
  /** A descriptor sent over the socket within 30 s, or a negative errno. */
  receiveFd(socket: number, done: (fd: number) => void): void
  setNonBlocking(fd: number): number
  closeFd(fd: number): number
  /** Ends the process without waiting for its threads, one of which may be held by a mount that hangs. */
  exitNow(code: number): never
  readonly mountFlag: Readonly<
    Record<
      | 'RDONLY'
      | 'NOSUID'
      | 'NODEV'
      | 'NOEXEC'
      | 'SYNCHRONOUS'
      | 'DIRSYNC'
      | 'NOATIME'
      | 'NODIRATIME'
      | 'RELATIME'
      | 'STRICTATIME'
      | 'LAZYTIME',
      number
    >
  >
}

// The path is relative to the compiled file, dist/lib/native/addon.js.
export const addon = createRequire(import.meta.url)('../../../build/Release/chfs.node') as Binary
