/**
 * The binary that needs UCX, apart from the other one: a node without peers never loads it, and runs where there is no
 * libucx. Both are compiled from the same sources of the pool, so that a device here takes a pool made there.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { isMainThread } from 'node:worker_threads'
import type { NativeBufferPool } from './addon.js'

export interface NativeTransport {
  readonly address: Uint8Array
  readonly outbox: Uint32Array
  readonly inbox: Uint32Array
  /** Eight words an event: see addon/ucx/mailbox.hh. */
  readonly records: Int32Array
  expect(secret: Uint8Array): number
  connect(channel: number, address: Uint8Array, peerChannel: number, peerSecret: Uint8Array): number
  /** UCX's own description of a channel's endpoint; empty where there is none (yet). */
  describe(channel: number): string
  request(channel: number, headBytes: number, at: number, bytes: number, to: number, room: number): number
  reply(channel: number, token: number, headBytes: number, at: number, bytes: number, slot: number): void
  cancel(token: number): void
  close(channel: number): void
  /** In how many turns of the loop there was something to do. */
  turns(): number
  end(): void
}

interface Binary {
  /** A fault of UCX's TCP is kept from happening: see addon/ucx/epoll_guard.hh. */
  readonly isGuarded: boolean
  /** `settings`: names and values by turns, as ucp_config_modify takes them. */
  Transport: new (
    pool: NativeBufferPool,
    settings: string[],
    onEvents: (count: number) => void,
  ) => NativeTransport
}

/**
 * What UCX must be told before it is loaded, since its libraries read the environment in their constructors. What the
 * user has set stays.
 */
const ENVIRONMENT = {
  // Its hooks of memory calls are tested at load by moving the break, under V8's feet: up to one process in four died.
  UCX_MEM_EVENTS: 'n',
  // Its handler of SIGSEGV would replace V8's, by which WebAssembly catches accesses out of bounds.
  UCX_ERROR_SIGNALS: '',
  // Standard output is not UCX's. A file of its own would be opened by name, which a socket cannot be.
  UCX_LOG_FILE: 'stderr',
  UCX_WARN_UNUSED_ENV_VARS: 'n',
  // A thread that shows UCX's state in a file system of its own.
  UCX_VFS_ENABLE: 'n',
  // Without these an endpoint that notices its peer's death takes neither shared memory nor process_vm_readv. UCX fears
  // that a buffer is used again while a peer may still read it: addon/ucx/witness.hh is our answer to that.
  UCX_POSIX_ERROR_HANDLING: 'y',
  UCX_CMA_MEMORY_INVALIDATE: 'y',
  // With the usual 64 places both sides spin, once 64 requests are under way.
  UCX_POSIX_FIFO_SIZE: '512',
  // Half the system calls of the usual 8k and 64k where data is long: a fifth less CPU a MiB, twice the speed at best.
  UCX_TCP_TX_SEG_SIZE: '64k',
  UCX_TCP_RX_SEG_SIZE: '128k',
  // Otherwise the loop would stand still for minutes in connect(2) to a host that does not answer.
  UCX_TCP_CONN_NB: 'y',
} as const

const FILE = 'chfs_ucx.node'

let binary: Binary | undefined

/**
 * Loads the binary. The first call must be the main thread's: a worker has a copy of the environment, which the
 * libraries do not see.
 */
export function loadUcx(): Binary {
  if (binary !== undefined) return binary
  if (!isMainThread && !readFileSync('/proc/self/maps', 'latin1').includes(FILE))
    throw new Error('UCX must be loaded by the main thread first')
  for (const [name, value] of Object.entries(ENVIRONMENT)) process.env[name] ??= value
  // The path is relative to the compiled file, dist/lib/native/ucx-binary.js.
  binary = createRequire(import.meta.url)(`../../../build/Release/${FILE}`) as Binary
  return binary
}
