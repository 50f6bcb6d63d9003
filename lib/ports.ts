/**
 * The ports: everything the file system needs of the world, as types only. `lib/native` implements them over the
 * kernel, `test/sim` over seeded memory; one conformance suite per port runs against both.
 *
 * Conventions. File data is named by an offset into the pool's memory and never becomes a JavaScript value. A size or
 * an offset is a safe integer in bytes. An operating error comes back as a negative errno, so that no exception is made
 * on the hot path. An operation that may have to wait takes `done` and returns either its result or {@link PENDING};
 * `done` is called, later and exactly once, only after PENDING.
 */

/** Returned in place of a result by an operation that will call `done` later. No errno and no size has this value. */
export const PENDING = -1_000_000

/** Receives the result of an operation that returned {@link PENDING}: bytes or 0, or a negative errno. */
export type Done = (result: number) => void

/** Time. Nothing else in `lib/` may read a clock or set a timer. */
export interface Clock {
  /** Reads the wall clock into {@link seconds} and {@link nanoseconds}. */
  readRealtime(): void
  /** Seconds since 1970, as of the last {@link readRealtime}. */
  readonly seconds: number
  /** 0 … 999 999 999, as of the last {@link readRealtime}. */
  readonly nanoseconds: number
  /** Milliseconds of a clock that never jumps. */
  monotonicMs(): number
  /** Calls `fire` once after `delayMs`, unless the returned function is called first. Does not keep a process alive. */
  after(delayMs: number, fire: () => void): () => void
}

/** Chance: 32 unsigned random bits. */
export interface Random {
  uint32(): number
}

/** XXH32 of some bytes: an unsigned 32-bit number. */
export type Hash32 = (bytes: Uint8Array, seed: number) => number

/**
 * Pinned memory that every device reads and writes: `count` slots, each of a head page of 4096 bytes and a payload of
 * `payloadBytes`. Slot s has its head at `s × stride` and its payload at `s × stride + 4096`.
 */
export interface BufferPool {
  readonly memory: Uint8Array
  /** The same memory as little-endian 32-bit words. */
  readonly words: Uint32Array
  readonly count: number
  readonly payloadBytes: number
  /** 4096 + payloadBytes. */
  readonly stride: number
  /** A free slot for this node's own clients, or −1. */
  acquire(): number
  /**
   * A free slot for what a peer asks of this node, or −1. The two kinds never lend to each other, so that two nodes
   * full of writes to each other go on serving each other.
   */
  acquireForPeer(): number
  release(slot: number): void
}

/**
 * The kernel's side of one mount. A request stands in its slot with the 40-byte fuse_in_header at head + 4016, so that
 * the payload of a WRITE (80 bytes later) starts exactly at the payload. A reply's body is written at head + 16 (up to
 * 4000 bytes, the 16-byte fuse_out_header before it is the session's) and its data at the payload.
 */
export interface Kernel {
  /** The slot of the next request, {@link NO_REQUEST}, or {@link MOUNT_ENDED}. Never blocks. */
  next(): number
  /**
   * Answers the request in `slot` and gives the slot back. `error` is 0 or a negative errno; then the reply is
   * `bodyBytes` of head + 16 followed by `dataBytes` of the payload.
   */
  reply(slot: number, error: number, bodyBytes: number, dataBytes: number): void
  /** Gives back a slot whose request takes no reply (FORGET, BATCH_FORGET, INTERRUPT). */
  release(slot: number): void
  /**
   * Gives back the slot but keeps its request open; returns a ticket for {@link answer}. For requests that may wait
   * for ever.
   */
  park(slot: number): number
  /** Answers a parked request, without a body. */
  answer(ticket: number, error: number): void
  /**
   * Answers the request in `slot` with an error before whoever works in the slot is done with it; the slot is given
   * back by its reply, which nobody gets any more. Without effect where it was answered so already.
   */
  abandon(slot: number, error: number): void
}

export const NO_REQUEST = -1
export const MOUNT_ENDED = -2

/**
 * Ordered keys and values with atomic batches. `put` and `delete` join the open batch and are seen by every later `get`
 * and `seek`; `commit` makes the batch atomic and safe against a crash of this process, before it returns. `sync` makes
 * everything committed so far safe against a power cut. After a crash the state is that of some commit, never older
 * than the last `sync` that was acknowledged before a power cut, nor than the last `commit` before a kill.
 *
 * Keys (1 … 500 bytes) and values (0 … 128 KiB) cross in the two scratch arrays, which every call overwrites as it
 * says.
 */
export interface Kv {
  readonly key: Uint8Array
  readonly value: Uint8Array
  /**
   * Loads the value of the key that stands in the first `keyBytes` of `key`; its length, or −ENOENT, or −EIO
   * where its checksum is wrong.
   */
  get(keyBytes: number): number
  /**
   * Inserts or replaces. 0, or −ENOSPC where only the reserve for deletions is left (see {@link canGrow}), or −EIO.
   */
  put(keyBytes: number, valueBytes: number): number
  /** 0, or −ENOENT. */
  delete(keyBytes: number): number
  /**
   * Finds the smallest key that is greater than or equal to the given one, loads it into `key` and its value into
   * `value`, and returns the key's length (the value's is then in {@link valueBytes}); −ENOENT past the end, −EIO
   * where its checksum is wrong (its key is loaded all the same).
   */
  seek(keyBytes: number): number
  /** The length of the value that the last successful `get` or `seek` loaded. */
  readonly valueBytes: number
  /**
   * False when the store's file system is so full that only deletions may still proceed; an operation that grows must
   * ask first.
   */
  canGrow(): boolean
  /** 0, or a negative errno; then the whole batch is undone. Nothing to do when the batch is empty. */
  commit(): number
  /** Undoes the open batch. */
  abort(): void
  /**
   * `done` is called once everything committed before this call is safe against a power cut. Never returns PENDING;
   * always calls `done`.
   */
  sync(done: Done): void
  /** Syncs, then closes. */
  close(done: Done): void
}

/** Size and allocation of a backing file, filled in by {@link Disk.stat}. */
export interface FileStat {
  sizeBytes: number
  /** Allocated 512-byte blocks. */
  blocks: number
}

/** Figures of the store's file system, filled in by {@link Disk.statfs}. */
export interface DiskFigures {
  blockBytes: number
  blocks: number
  blocksFree: number
  blocksAvailable: number
}

/**
 * The backing files of a store: flat names that are safe integers (an id of their own, never an inode number), each a
 * sparse file. `file` is what `open` returned. `at` and `to` are offsets into the pool's memory.
 */
export interface Disk {
  /** Opens, and where `create` is set makes, the backing file `id`. A handle ≥ 0, or a negative errno. */
  open(id: number, create: boolean): number
  close(file: number): void
  /** Bytes read (fewer at the end of the file), or a negative errno. */
  read(file: number, to: number, bytes: number, offset: number, done: Done): number
  /** Bytes written, always all of them, or a negative errno. */
  write(file: number, at: number, bytes: number, offset: number, done: Done): number
  truncate(file: number, sizeBytes: number, done: Done): number
  /** fallocate(2) with these mode bits (FALLOC_FL_KEEP_SIZE 1, PUNCH_HOLE 2, ZERO_RANGE 16). */
  allocate(file: number, mode: number, offset: number, bytes: number, done: Done): number
  /** Bytes copied within the disk, file to file, possibly fewer than asked; or a negative errno. */
  copy(from: number, fromOffset: number, to: number, toOffset: number, bytes: number, done: Done): number
  /** lseek(2) with SEEK_DATA (3) or SEEK_HOLE (4): an offset, or −ENXIO. */
  seek(file: number, offset: number, whence: number): number
  stat(file: number, out: FileStat): number
  /** Makes the file's data and size safe against a power cut. */
  sync(file: number, done: Done): number
  /** Makes every backing file safe against a power cut. */
  syncAll(done: Done): number
  /** Removes the backing file. −ENOENT where there is none. */
  remove(id: number, done: Done): number
  /** The ids of existing backing files in [first, end), ascending; for recovery and fsck, so it may block. */
  list(first: number, end: number): number[]
  statfs(out: DiskFigures): number
}

/**
 * Requests and replies between nodes. A message is a head (a multiple of 4 bytes, at most MESSAGE_HEAD_BYTES_MAX) and
 * data: up to the payload of a slot, sent from the pool's memory and received into it. Messages of one channel may
 * overtake each other; none is lost or comes twice unless its channel fails. Whoever sends nothing for long, and a link
 * that is down, is not noticed here: callers have deadlines.
 */
export interface Transport {
  /** How peers reach this transport: opaque, at most 4096 bytes, for them only; it goes over a control connection. */
  readonly address: Uint8Array
  /** Heads to be sent are written here, at the word that {@link prepare} returns. */
  readonly outbox: Uint32Array
  /** Heads that have arrived stand here, at the word that a callback is given, and until it returns. */
  readonly inbox: Uint32Array
  /** Who gets requests and news; set once, before the first channel. */
  attach(events: TransportEvents): void
  /**
   * A new channel, on which one peer will be heard: a message is its only if it carries the channel's number and this
   * secret (16 bytes), and is dropped otherwise, before it costs a slot. A positive number that is not given again
   * while this process lives, or −EMFILE where there are too many channels.
   */
  expect(secret: Uint8Array): number
  /**
   * Connects a channel to the peer that is reached at `address`, by the number and the secret that the peer expects
   * there. Only then may anything be sent on it; it goes out when the peer has connected its end, too. 0, or −EINVAL
   * for an address that is none or this transport's own, or another errno.
   */
  connect(channel: number, address: Uint8Array, peerChannel: number, peerSecret: Uint8Array): number
  /** Ends a channel at once. Nothing of it is delivered any more; its open requests end with −ECONNRESET. */
  close(channel: number): void
  /**
   * The word of {@link outbox} where the head of the next message belongs; {@link request} or {@link reply} follows
   * before any other call.
   */
  prepare(): number
  /**
   * Sends the prepared head, and `bytes` at `at` of the pool's memory. The reply's data goes to `to`, where there is
   * room for `room` bytes. `done` is called exactly once, never inside of this call, and when nobody touches the memory
   * at `at` and `to` any more. Returns a token for {@link cancel}.
   */
  request(
    channel: number,
    headBytes: number,
    at: number,
    bytes: number,
    to: number,
    room: number,
    done: ReplyDone,
  ): number
  /**
   * Gives a request up: it ends with −ECANCELED, or with its reply where that is being received already; in either
   * case only when nobody touches its memory any more, as always.
   */
  cancel(token: number): void
  /**
   * Sends the prepared head, and `bytes` at `at`, as the answer to the request `token` of this channel. The slot that
   * holds the data, if any (else −1), goes back to the pool when it is out, or when the channel fails.
   */
  reply(channel: number, token: number, headBytes: number, at: number, bytes: number, slot: number): void
  /**
   * Ends all channels, and with them their open requests, and then calls `done`; nobody is called back after that.
   * Nothing may be asked any more.
   */
  end(done: () => void): void
}

/**
 * Receives a reply: the bytes of its data, and where in the inbox its head is; or, with neither, −ECONNRESET where
 * the channel failed or was closed, −ECANCELED, or −EMSGSIZE where it had more data than there was room for.
 */
export type ReplyDone = (result: number, headAt: number, headBytes: number) => void

export interface TransportEvents {
  /**
   * A request: its head in the inbox, and the slot whose payload begins with its data (the receiver's to release, or to
   * give to {@link Transport.reply}), or −1 where it has none. It is answered at most once, by channel and token.
   */
  request(channel: number, token: number, headAt: number, headBytes: number, slot: number, bytes: number): void
  /** A slot for peers has come free by itself, as the answer that it held is out. */
  slotFree(): void
  /** The channel's peer is gone or broke the protocol (−errno); it is for the receiver to close it. */
  failed(channel: number, error: number): void
}

/**
 * Connections on which nodes meet. Whoever is at the other end of an open one knows the cluster's key. Messages arrive
 * whole and in order, until the connection ends; whoever says nothing for long is not noticed here.
 */
export interface Control {
  /** Calls `accept` for each connection that a peer opens from now on; the result takes its events. */
  listen(accept: (connection: ControlConnection) => ControlEvents): void
  /**
   * Tries once to connect to "host:port". `opened` is called when it is open; without that, `ended` says why, after a
   * bounded time. Neither is called inside of this.
   */
  dial(address: string, opened: (connection: ControlConnection) => void, events: ControlEvents): void
  /** Accepts nobody any more, closes all connections, and calls `done` when they have ended. */
  end(done: () => void): void
}

export interface ControlConnection {
  /** "host:port" of the other end, for people. */
  readonly peer: string
  /** At most CONTROL_BYTES_MAX. Without effect once the connection has been closed or has ended. */
  send(message: Uint8Array): void
  /** Ends it, once what was sent is out; no message is received after this. */
  close(): void
}

export interface ControlEvents {
  /** The bytes are the receiver's to keep. */
  message(bytes: Uint8Array): void
  /** Exactly once, also after `close`, and never inside of it; nothing comes after it. */
  ended(reason: string): void
}

/** Where events go. One line each, never one per operation at the default level. */
export interface Log {
  debug(event: object, message: string): void
  info(event: object, message: string): void
  warn(event: object, message: string): void
  error(event: object, message: string): void
}
