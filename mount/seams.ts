/** What the command needs of the node that serves and of the addon, as types: tests put their own in place. */
import type { Operations } from '../lib/fs/operations.js'
import type { Turn } from '../lib/meta/turn.js'
import type { MappedPool } from '../lib/native/pool.js'
import type { Clock, Log } from '../lib/ports.js'
import type { AccessTimes } from '../lib/share/context.js'
import type { Config } from './config.js'
import type { NodeStatus } from './status.js'

/** A node whose store is open. */
export interface Node {
  /** Serves the mount behind this descriptor of /dev/fuse; resolves when the kernel's INIT has been answered. */
  serve(fuseFd: number): Promise<void>
  /** Resolves when the kernel has ended the mount. */
  readonly ended: Promise<void>
  /** How it and its cluster are. */
  status(): Promise<NodeStatus>
  /** Answers what is in flight, syncs the store and closes it. */
  stop(): Promise<void>
}

/** Opens the store, and meets the other nodes; rejects with an error that carries `message` and `exitCode`. */
export type OpenNode = (config: Config, log: Log, interrupted: Promise<never>) => Promise<Node>

/** A file system that can be served. */
export interface Opened {
  readonly fs: Operations
  readonly turn: Turn
  readonly pool: MappedPool
  readonly clock: Clock
  /** Other nodes change the same files. */
  readonly isShared: boolean
  /** Of this node's share, if it has one. */
  readonly accessTimes: AccessTimes | null
  /** All but the capacity. */
  status(): Omit<NodeStatus, 'capacity'>
}

/** The addon's calls around mount(2). Each returns 0 or a descriptor, or a negative errno. */
export interface MountCalls {
  mountDirect(source: string, mountpoint: string, flags: number, data: string): number
  /** umount2(2) on another thread: it may wait for writes that this process has to serve. */
  unmountAsync(mountpoint: string, flags: number, done: (result: number) => void): void
  socketPair(): [number, number] | number
  /** Waits for a descriptor that is sent over the socket. */
  receiveFd(socket: number, done: (result: number) => void): void
  setNonBlocking(fd: number): number
  closeFd(fd: number): number
}
