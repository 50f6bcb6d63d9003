/**
 * Messages of a control connection, version 1. Each begins with its kind (32 bits); the fields follow as struct.ts has
 * them. The first three words of a hello are the same in every version, so that two versions can tell each other apart.
 *
 * | kind | name      | fields                                                                                     |
 * |------|-----------|--------------------------------------------------------------------------------------------|
 * | 1    | hello     | who speaks, see {@link Hello}                                                              |
 * | 2    | refuse    | the reason, for people; the connection is closed after it                                  |
 * | 3    | formed    | the cluster that is in the sender's superblock from now on: its id, epoch, and member ids  |
 * | 4    | channel   | the sender serves, and hears the receiver on this channel, by this secret (16 bytes)       |
 * | 5    | connected | the sender has connected that channel: requests may come on it                             |
 * | 6    | alive     | nothing                                                                                    |
 * | 7    | unmounted | the sender's own mount is gone; it goes on serving for a while                             |
 * | 8    | goodbye   | the sender serves no more                                                                  |
 *
 * Example: a channel with the number 7 and a secret of sixteen bytes 0xab:
 *
 *     00  04 00 00 00 07 00 00 00  10 00 00 00 ab ab ab ab
 *     10  ab ab ab ab ab ab ab ab  ab ab ab ab
 */
import { assert } from '../base/assert.js'
import type { ByteRange } from '../base/ids.js'
import { CONTROL_BYTES_MAX } from '../base/limits.js'
import { type Area, areaOf, type FieldKind, type Shape, Struct, type Values } from './struct.js'

/** The versions of all that nodes say to each other: what is spoken is the highest that both know. */
export const PROTOCOL = { min: 1, max: 1 } as const

/** A new store belongs to no cluster. */
export const NO_CLUSTER = '0'.repeat(32)
/** The entry of one that is no member. */
export const NO_ENTRY = 0xffffffff
export const SECRET_BYTES = 16
/** Longest address of a transport. */
const ADDRESS_BYTES_MAX = 4096
/** A reason may name two lists of members. */
const REASON_BYTES_MAX = 65536
const MEMBER_ID_BYTES = 8
const CLUSTER_ID_BYTES = 16

/** The cluster that a node is a part of. */
export interface ClusterRecord {
  /** 32 hexadecimal digits, {@link NO_CLUSTER} where there is none yet. */
  readonly clusterId: string
  readonly epoch: number
  /** Member ids of 16 hexadecimal digits, in the order of the list; none where there is no cluster yet. */
  readonly ids: readonly string[]
}

export interface Hello {
  readonly kind: 'hello'
  readonly protocolMin: number
  readonly protocolMax: number
  /** A mount without a store, which is no member. */
  readonly isClient: boolean
  /** Its store has all its parts: so all members have had the cluster in their superblocks once. */
  readonly isWhole: boolean
  /** Its own mount is gone. */
  readonly isUnmounted: boolean
  /** 16 hexadecimal digits. */
  readonly id: string
  readonly incarnation: number
  /** Grows with each hello of this incarnation to the same node. */
  readonly attempt: number
  /** Its place in the list, {@link NO_ENTRY} for a client. */
  readonly entry: number
  /** The member list, normalized. */
  readonly names: readonly string[]
  readonly chunkBytes: number
  readonly virtualNodes: number
  readonly layout: number
  readonly cluster: ClusterRecord
  /** Its wall clock. */
  readonly seconds: number
  readonly nanoseconds: number
  /** How its transport is reached. */
  readonly address: Uint8Array
}

export type ControlMessage =
  | Hello
  | { readonly kind: 'refuse'; readonly reason: string }
  | ({ readonly kind: 'formed' } & ClusterRecord)
  | { readonly kind: 'channel'; readonly channel: number; readonly secret: Uint8Array }
  | { readonly kind: 'connected' }
  | { readonly kind: 'alive' }
  | { readonly kind: 'unmounted' }
  | { readonly kind: 'goodbye' }

const HELLO = 1
const REFUSE = 2
const FORMED = 3
const CHANNEL = 4
/** Those without fields. */
const BARE = new Map([
  [5, 'connected'],
  [6, 'alive'],
  [7, 'unmounted'],
  [8, 'goodbye'],
] as const)

const CLUSTER_SHAPE = { clusterId: 'bytes', epoch: 'u64', ids: 'bytes' } as const satisfies Shape
const HELLO_SHAPE = {
  protocolMin: 'u32',
  protocolMax: 'u32',
  flags: 'u32',
  id: 'bytes',
  incarnation: 'u64',
  attempt: 'u32',
  entry: 'u32',
  names: 'bytes',
  chunkBytes: 'u32',
  virtualNodes: 'u32',
  layout: 'u32',
  seconds: 'u64',
  nanoseconds: 'u32',
  address: 'bytes',
  ...CLUSTER_SHAPE,
} as const satisfies Record<string, FieldKind>

const hello = new Struct(HELLO_SHAPE)
const refuse = new Struct({ reason: 'bytes' } as const)
const formed = new Struct(CLUSTER_SHAPE)
const channel = new Struct({ channel: 'u32', secret: 'bytes' } as const)

const IS_CLIENT = 1
const IS_WHOLE = 2
const IS_UNMOUNTED = 4
const FLAGS = IS_CLIENT | IS_WHOLE | IS_UNMOUNTED

/** Messages are put together here; nothing is that long. */
const scratch = areaOf(new Uint32Array(CONTROL_BYTES_MAX / 4))
const encoder = new TextEncoder()
const decoder = new TextDecoder()

export function encodeControl(message: ControlMessage): Uint8Array {
  const end = put(message)
  return scratch.bytes.slice(0, end * 4)
}

/** Null where the bytes are no message of this version. A hello of other versions has its first fields only right. */
export function decodeControl(bytes: Uint8Array): ControlMessage | null {
  if (bytes.length % 4 !== 0 || bytes.length === 0 || bytes.length > CONTROL_BYTES_MAX) return null
  const words = new Uint32Array(bytes.length / 4)
  const area = areaOf(words)
  area.bytes.set(bytes)
  const [kind, end] = [words[0] as number, words.length]
  switch (kind) {
    case HELLO:
      return getHello(area, end)
    case REFUSE: {
      const fields = refuse.get(area, 1, end)
      return fields === null ? null : { kind: 'refuse', reason: textOf(fields.reason).slice(0, REASON_BYTES_MAX) }
    }
    case FORMED: {
      const fields = formed.get(area, 1, end)
      const cluster = fields === null ? null : getCluster(fields)
      return cluster === null ? null : { kind: 'formed', ...cluster }
    }
    case CHANNEL: {
      const fields = channel.get(area, 1, end)
      if (fields === null || fields.secret.length !== SECRET_BYTES) return null
      return { kind: 'channel', channel: fields.channel, secret: copyOf(fields.secret) }
    }
    default: {
      const name = BARE.get(kind as 5)
      return name === undefined || end !== 1 ? null : { kind: name }
    }
  }
}

function put(message: ControlMessage): number {
  const { words } = scratch
  switch (message.kind) {
    case 'hello':
      words[0] = HELLO
      return putHello(message)
    case 'refuse':
      words[0] = REFUSE
      return refuse.put(scratch, 1, { reason: rangeOf(encoder.encode(message.reason.slice(0, REASON_BYTES_MAX / 4))) })
    case 'formed':
      words[0] = FORMED
      return formed.put(scratch, 1, putCluster(message))
    case 'channel':
      assert(message.secret.length === SECRET_BYTES, 'a secret has 16 bytes')
      words[0] = CHANNEL
      return channel.put(scratch, 1, { channel: message.channel, secret: rangeOf(message.secret) })
    default:
      for (const [kind, name] of BARE) if (name === message.kind) words[0] = kind
      return 1
  }
}

function putHello(message: Hello): number {
  const { isClient, isWhole, isUnmounted, names, id, address, cluster } = message
  assert(address.length <= ADDRESS_BYTES_MAX, 'the address of a transport is not too long')
  return hello.put(scratch, 1, {
    ...message,
    flags: Number(isClient) * IS_CLIENT + Number(isWhole) * IS_WHOLE + Number(isUnmounted) * IS_UNMOUNTED,
    id: rangeOf(bytesOfHex(id)),
    names: rangeOf(encoder.encode(names.join())),
    address: rangeOf(address),
    ...putCluster(cluster),
  })
}

function getHello(area: Area, end: number): Hello | null {
  const [, protocolMin = 0, protocolMax = 0] = area.words
  if (end < 3 || protocolMin > protocolMax) return null
  const isForeign = protocolMin > PROTOCOL.max || protocolMax < PROTOCOL.min
  if (isForeign) return { ...UNKNOWN, protocolMin, protocolMax }
  const fields = hello.get(area, 1, end)
  if (fields === null) return null
  const { flags, id, names, address, seconds, nanoseconds } = fields
  const cluster = getCluster(fields)
  if (cluster === null || (flags & ~FLAGS) !== 0 || id.length !== MEMBER_ID_BYTES) return null
  if (address.length > ADDRESS_BYTES_MAX || nanoseconds >= 1e9) return null
  return {
    kind: 'hello',
    ...{ protocolMin, protocolMax, cluster, seconds, nanoseconds },
    isClient: (flags & IS_CLIENT) !== 0,
    isWhole: (flags & IS_WHOLE) !== 0,
    isUnmounted: (flags & IS_UNMOUNTED) !== 0,
    id: hexOf(id),
    incarnation: fields.incarnation,
    attempt: fields.attempt,
    entry: fields.entry,
    names: textOf(names).split(','),
    chunkBytes: fields.chunkBytes,
    virtualNodes: fields.virtualNodes,
    layout: fields.layout,
    address: copyOf(address),
  }
}

const UNKNOWN: Hello = {
  kind: 'hello',
  ...{ protocolMin: 0, protocolMax: 0, isClient: false, isWhole: false, isUnmounted: false },
  ...{ id: '0'.repeat(16), incarnation: 0, attempt: 0, entry: NO_ENTRY, names: [] },
  ...{ chunkBytes: 0, virtualNodes: 0, layout: 0, seconds: 0, nanoseconds: 0 },
  cluster: { clusterId: NO_CLUSTER, epoch: 0, ids: [] },
  address: new Uint8Array(0),
}

function putCluster({ clusterId, epoch, ids }: ClusterRecord) {
  return { clusterId: rangeOf(bytesOfHex(clusterId)), epoch, ids: rangeOf(bytesOfHex(ids.join(''))) }
}

function getCluster({ clusterId, epoch, ids }: Values<typeof CLUSTER_SHAPE>): ClusterRecord | null {
  if (clusterId.length !== CLUSTER_ID_BYTES || ids.length % MEMBER_ID_BYTES !== 0) return null
  const digits = hexOf(ids)
  const list = Array.from({ length: ids.length / MEMBER_ID_BYTES }, (_, at) => digits.slice(16 * at, 16 * at + 16))
  return { clusterId: hexOf(clusterId), epoch, ids: list }
}

const rangeOf = (bytes: Uint8Array): ByteRange => ({ bytes, offset: 0, length: bytes.length })
const viewOf = ({ bytes, offset, length }: ByteRange): Uint8Array => bytes.subarray(offset, offset + length)
const copyOf = (range: ByteRange): Uint8Array => viewOf(range).slice()
const textOf = (range: ByteRange): string => decoder.decode(viewOf(range))

function hexOf(range: ByteRange): string {
  return Array.from(viewOf(range), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function bytesOfHex(digits: string): Uint8Array {
  assert(digits.length % 2 === 0 && /^[0-9a-f]*$/.test(digits), 'an id in hexadecimal')
  return Uint8Array.from({ length: digits.length / 2 }, (_, at) =>
    Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16),
  )
}
