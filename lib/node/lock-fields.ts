/** Locks as they go from node to node, and whose they are. */
import { bytesOf, type ByteRange } from '../base/ids.js'
import { LOCK_END, type Lock } from '../share/locks.js'
import type { LockTest, RequestOf } from '../wire/methods.js'

/** What stands for the end of a file, whatever its size. */
const LOCK_TO_END = Number.MAX_SAFE_INTEGER

/** Handles of a node are below this; so each node has a range of its own. */
const HANDLE_SPAN = 2 ** 40

export type LockFields = Omit<RequestOf<typeof LockTest>, 'number' | 'generation'>

const decoder = new TextDecoder('latin1')
const encoder = new TextEncoder()

export function rangeOf(text: string): ByteRange {
  const bytes = encoder.encode(text)
  return { bytes, offset: 0, length: bytes.length }
}

export const textOf = (range: ByteRange): string => decoder.decode(bytesOf(range))

/** What a node calls something, as one name among those of all nodes. */
export const nameOf = (member: number, range: ByteRange): string => `${member} ${textOf(range)}`

export const isOf =
  (member: number) =>
  (name: string): boolean =>
    name.startsWith(`${member} `)

export const handleOf = (member: number, handle: number): number => (member + 1) * HANDLE_SPAN + (handle % HANDLE_SPAN)

/** A node's lock as the member keeps it that has the inode. */
export function keptLock(member: number, { type, start, end, pid, handle, owner }: LockFields): Lock {
  return {
    owner: nameOf(member, owner),
    handle: handleOf(member, handle),
    pid,
    type,
    start,
    end: end === LOCK_TO_END ? LOCK_END : end,
  }
}

/** A lock as the node knows it whose process has set it. */
export function ownLock({ type, start, end, pid, handle, owner }: LockFields): Lock {
  return { owner: textOf(owner), handle, pid, type, start, end: end === LOCK_TO_END ? LOCK_END : end }
}

export function fieldsOf(isFlock: boolean, { type, start, end, pid, handle, owner }: Lock): LockFields {
  return {
    flock: isFlock ? 1 : 0,
    type,
    start: Math.min(start, LOCK_TO_END),
    end: Math.min(end, LOCK_TO_END),
    pid,
    handle,
    owner: rangeOf(owner),
  }
}
