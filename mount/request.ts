import { EINVAL, fail } from '../lib/base/errno.js'
import type { ByteRange } from '../lib/base/ids.js'
import type { BufferPool } from '../lib/ports.js'
import type { Caller } from '../lib/share/context.js'
import {
  getAlias,
  getNode,
  HEADER_GID,
  HEADER_LENGTH,
  HEADER_NODE,
  HEADER_OPCODE,
  HEADER_PID,
  HEADER_UID,
  HEADER_UNIQUE,
  HEADER_WORDS,
  OUT_HEADER_BYTES,
  PAYLOAD_OFFSET,
  REQUEST_OFFSET,
} from '../lib/wire/kernel.js'
import { getWords } from '../lib/wire/records.js'

/**
 * The request in a slot, decoded field by field where it lies. There is one such object, set on one slot after the
 * other: nothing of it may be kept over a wait but numbers.
 */
export class Request {
  readonly words: Uint32Array
  readonly memory: Uint8Array
  slot = 0
  /** Word index of the operation's arguments, and of the reply's body. */
  args = 0
  body = 0
  /** Byte offset of the slot's payload. */
  payload = 0
  /** Lengths of the reply that is being made. */
  bodyBytes = 0
  dataBytes = 0
  readonly caller: Caller = { uid: 0, gid: 0, pid: 0, umask: 0 }
  /** The most that a reply's data may take, or a WRITE bring. */
  readonly payloadBytes: number
  readonly #stride: number
  readonly #name: ByteRange
  readonly #secondName: ByteRange
  #header = 0
  #end = 0

  constructor(pool: BufferPool) {
    this.words = pool.words
    this.memory = pool.memory
    this.payloadBytes = pool.payloadBytes
    this.#stride = pool.stride
    this.#name = { bytes: pool.memory, offset: 0, length: 0 }
    this.#secondName = { bytes: pool.memory, offset: 0, length: 0 }
  }

  set(slot: number): void {
    const head = slot * this.#stride
    this.slot = slot
    this.#header = (head + REQUEST_OFFSET) >>> 2
    this.args = this.#header + HEADER_WORDS
    this.body = (head + OUT_HEADER_BYTES) >>> 2
    this.payload = head + PAYLOAD_OFFSET
    this.#end = head + REQUEST_OFFSET + (this.words[this.#header + HEADER_LENGTH] as number)
    this.bodyBytes = 0
    this.dataBytes = 0
  }

  get opcode(): number {
    return this.words[this.#header + HEADER_OPCODE] as number
  }

  /** Bytes of arguments behind the header. */
  get argumentBytes(): number {
    return this.#end - this.args * 4
  }

  /** Names this request as long as it is open; INTERRUPT refers to it. */
  get unique(): string {
    return this.uniqueAt(this.#header + HEADER_UNIQUE)
  }

  /** A 64-bit id that is only compared: both words, exactly. */
  uniqueAt(at: number): string {
    return `${this.words[at + 1]}:${this.words[at]}`
  }

  /** The inode number that the request is about. */
  get node(): number {
    return getNode(this.words, this.#header + HEADER_NODE)
  }

  /** Which of its aliases the kernel means. */
  get alias(): number {
    return getAlias(this.words, this.#header + HEADER_NODE)
  }

  /** The inode number in the argument at this word. */
  nodeAt(word: number): number {
    return getNode(this.words, this.args + word)
  }

  aliasAt(word: number): number {
    return getAlias(this.words, this.args + word)
  }

  /** The 32-bit argument at this word. */
  u32(word: number): number {
    return this.words[this.args + word] as number
  }

  /** The 64-bit argument at this word; exact below 2^53. */
  u64(word: number): number {
    return getWords(this.words, this.args + word)
  }

  /** Who asks; `umask` as the operation carries it. */
  from(umask: number): Caller {
    const { caller, words } = this
    caller.uid = words[this.#header + HEADER_UID] as number
    caller.gid = words[this.#header + HEADER_GID] as number
    caller.pid = words[this.#header + HEADER_PID] as number
    caller.umask = umask
    return caller
  }

  /** The name that begins `bytes` after the start of the arguments, ended by NUL. EINVAL where none is. */
  name(bytes: number): ByteRange {
    return this.#nameAt(this.#name, this.args * 4 + bytes)
  }

  /** The name behind the one that {@link name} found. */
  secondName(): ByteRange {
    return this.#nameAt(this.#secondName, this.#name.offset + this.#name.length + 1)
  }

  /** The `length` bytes behind the name that {@link name} found. EINVAL where there are fewer. */
  valueBehindName(length: number): ByteRange {
    const value = this.#secondName
    value.offset = this.#name.offset + this.#name.length + 1
    value.length = length
    if (value.offset + length > this.#end) fail(EINVAL)
    return value
  }

  #nameAt(name: ByteRange, offset: number): ByteRange {
    const { memory } = this
    let end = offset
    while (end < this.#end && memory[end] !== 0) end++
    if (end >= this.#end) fail(EINVAL)
    name.offset = offset
    name.length = end - offset
    return name
  }
}
