/**
 * What stands in the records of changes that span several nodes. All but graves and the outbox are a head, and behind
 * it fields as struct.ts lays them out, in the order in which they are declared here.
 *
 * **Intent** ('S'): type u8, version u8, plan u8, step u8; then the fields of the plan. The plan is what is being done,
 * and the step is what is to be asked (again) after a restart; everything before it has been done.
 *
 * **Held name** ('L'): type u8, version u8, zero u16; then {@link HeldNameRecord}.
 *
 * **Grave** ('G'), 24 bytes:
 *
 * | at | bytes | field                                                                    |
 * |----|-------|--------------------------------------------------------------------------|
 * | 0  | 1     | type 'G'                                                                 |
 * | 1  | 1     | version                                                                  |
 * | 2  | 2     | state: 1 frozen, 2 buried                                                |
 * | 4  | 4     | zero                                                                     |
 * | 8  | 8     | member id of the node whose intent has frozen it                         |
 * | 16 | 8     | saga of that intent                                                      |
 *
 * **Outbox** ('P'), 36 bytes:
 *
 * | at | bytes | field                                                                    |
 * |----|-------|--------------------------------------------------------------------------|
 * | 0  | 1     | type 'P'                                                                 |
 * | 1  | 1     | version                                                                  |
 * | 2  | 1     | kind: 1 entries changed, 2 a name changed, 3 subdirectories, 4 a name is gone |
 * | 3  | 1     | zero                                                                     |
 * | 4  | 4     | generation of the inode                                                  |
 * | 8  | 8     | number of the inode, whose node is to be told                            |
 * | 16 | 8     | links gained, signed                                                     |
 * | 24 | 8     | when: seconds since 1970, signed                                         |
 * | 32 | 4     | its nanoseconds                                                          |
 */
import { Struct } from './struct.js'

/**
 * Who asked for it, whom its result is kept for: a client (empty: this node's own kernel, whom a crash takes along) and
 * its sequence; how old it is, for those that want the same name; and the errno it will fail with, or 0.
 */
const COMMON = { client: 'bytes', sequence: 'u64', seconds: 'i64', nanoseconds: 'u32', error: 'u32' } as const
const DIRECTORY = { parent: 'u64', parentGeneration: 'u32' } as const
const CHILD = { child: 'u64', childGeneration: 'u32', kind: 'u32' } as const
const OTHER = { other: 'u64', otherGeneration: 'u32', otherKind: 'u32' } as const
const TO = { toParent: 'u64', toParentGeneration: 'u32', flags: 'u32', name: 'bytes', toName: 'bytes' } as const

/** A directory (`other`) is removed; its entry goes, or becomes `child`'s. `method` is what was asked for. */
export const REMOVAL = {
  ...COMMON,
  method: 'u32',
  ...DIRECTORY,
  ...CHILD,
  ...OTHER,
  links: 'i64',
  name: 'bytes',
} as const

/** An entry of this node gets another name; `other` is what was there. */
export const MOVE = { ...COMMON, ...DIRECTORY, ...CHILD, ...OTHER, ...TO } as const

/** An inode of this node gets one more name, or, where it is new, its first. */
export const LINK = { ...COMMON, ...CHILD, ...DIRECTORY, name: 'bytes' } as const

/** A name that the intent of a peer holds here, and since when. */
export const HeldNameRecord = new Struct({ ...DIRECTORY, seconds: 'i64', nanoseconds: 'u32', name: 'bytes' })

export const GRAVE_BYTES = 24
export const OUTBOX_BYTES = 36
