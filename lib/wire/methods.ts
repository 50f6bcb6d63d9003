/**
 * Everything that one node may ask of another: one table, and in it each record once. The layout of a field's kind
 * stands in struct.ts. A method's data, where it has some, travels beside its fields in a slot.
 */
import { type Shape, Struct, type Values } from './struct.js'

export interface Method<Q extends Shape, R extends Shape> {
  readonly name: string
  readonly number: number
  readonly request: Struct<Q>
  readonly reply: Struct<R>
  /** It may take for ever, or waits for somebody who asks by the same rank, so it takes no credit. */
  readonly isPatient?: boolean
  /**
   * Who serves a method may have to ask others, but only by methods of a higher rank; and each rank has credits of its
   * own. So whatever waits, waits for something that can be asked: no circle of nodes waits for itself.
   */
  readonly rank: Rank
  /** Doing it twice would do harm: it is asked with a sequence, and a repetition gets the first one's result. */
  readonly changes: boolean
}

/** 0: what a kernel asks for; 1: what serving that asks others to do with their entries; 2: what asks nobody. */
export type Rank = 0 | 1 | 2
export const RANKS = 3

export type RequestOf<M> = M extends Method<infer Q, Shape> ? Values<Q> : never
export type ReplyOf<M> = M extends Method<Shape, infer R> ? Values<R> : never

function reads<Q extends Shape, R extends Shape>(number: number, name: string, request: Q, reply: R): Method<Q, R> {
  return { name, number, request: new Struct(request), reply: new Struct(reply), changes: false, rank: 0 }
}

function changes<Q extends Shape, R extends Shape>(number: number, name: string, request: Q, reply: R): Method<Q, R> {
  return { ...reads(number, name, request, reply), changes: true }
}

const ranked = <Q extends Shape, R extends Shape>(rank: Rank, method: Method<Q, R>): Method<Q, R> => ({
  ...method,
  rank,
})

const patient = <Q extends Shape, R extends Shape>(method: Method<Q, R>): Method<Q, R> => ({
  ...method,
  isPatient: true,
})

/** A directory: whoever is asked about its entries need not have its inode. */
const DIRECTORY = { parent: 'u64', parentGeneration: 'u32' } as const
const INODE = { number: 'u64', generation: 'u32' } as const
const CHILD = { child: 'u64', childGeneration: 'u32', kind: 'u32' } as const
/** What an entry refers to, and its inode, with a directory's default access list, where that lies beside it. */
const ENTRY = { ...CHILD, inode: 'inode', defaultAcl: 'bytes' } as const
/** A stamp of the hybrid clock. */
const STAMP = { seconds: 'i64', nanoseconds: 'u32' } as const
/** A time to set: kind 0 leaves it, 1 takes the present, 2 the given one. */
const TIMES = {
  atimeKind: 'u32',
  atime: 'i64',
  atimeNs: 'u32',
  mtimeKind: 'u32',
  mtime: 'i64',
  mtimeNs: 'u32',
  ctimeKind: 'u32',
  ctime: 'i64',
  ctimeNs: 'u32',
} as const
/** What a new inode takes over from its directory. */
const INHERITED = {
  directoryMode: 'u32',
  directoryGid: 'u32',
  chunkBits: 'u32',
  layout: 'u32',
  defaultAcl: 'bytes',
} as const
/** An advisory lock; `end` is 2^53 − 1 where it reaches to the end of the file. `flock`: which kind. */
const LOCK = {
  flock: 'u32',
  type: 'u32',
  start: 'u64',
  end: 'u64',
  pid: 'u32',
  handle: 'u64',
  owner: 'bytes',
} as const

export const MetadataLookup = reads(1, 'MetadataLookup', { ...DIRECTORY, name: 'bytes' }, ENTRY)

/** Who makes an inode, and what. */
const MADE = { mode: 'u32', rdev: 'u32', uid: 'u32', gid: 'u32', umask: 'u32' } as const

/**
 * `existing` 1: an existing entry is the result, not EEXIST. `open`: an inode that lies beside the entry is opened too,
 * under this id; 0: it is not. The data is the target of a symbolic link.
 */
export const MetadataCreate = changes(
  2,
  'MetadataCreate',
  { ...DIRECTORY, ...INHERITED, existing: 'u32', open: 'u64', ...MADE, name: 'bytes' },
  ENTRY,
)

/**
 * The same for a file of which all is to lie with the asked member (the layout `local`): only its entry lies where its
 * name belongs.
 */
export const MetadataPlace = changes(
  69,
  'MetadataPlace',
  { ...DIRECTORY, ...INHERITED, open: 'u64', ...MADE, name: 'bytes' },
  ENTRY,
)

/** An open file without a name, at any position that the asked member has. */
export const MetadataTemporary = changes(
  60,
  'MetadataTemporary',
  { ...DIRECTORY, ...INHERITED, open: 'u64', ...MADE },
  { inode: 'inode' },
)

export const MetadataGet = reads(3, 'MetadataGet', INODE, { inode: 'inode', defaultAcl: 'bytes' })

/** setattr; `fields` says which are set: 1 mode, 2 uid, 4 gid, 8 size, 16 the set-id bits go. */
export const MetadataUpdate = changes(
  4,
  'MetadataUpdate',
  { ...INODE, fields: 'u32', mode: 'u32', uid: 'u32', gid: 'u32', size: 'u64', ...TIMES },
  { inode: 'inode' },
)

/** Takes an entry away, of a directory only where `directory` is 1. */
export const MetadataDelete = changes(5, 'MetadataDelete', { ...DIRECTORY, directory: 'u32', name: 'bytes' }, {})

/**
 * Bytes of a file, of the member that has these chunks. `guarded` 1: only as long as the inode's truncation epoch is
 * `epoch`; else EAGAIN. `absent` 1: this member has never held a chunk of it, and so cannot say what its epoch is.
 */
export const ReadChunk = reads(
  6,
  'ReadChunk',
  { ...INODE, offset: 'u64', bytes: 'u32', guarded: 'u32', epoch: 'u32' },
  { absent: 'u32' },
)

/**
 * write(2) of `bytes` at `offset`, asked of the member that has the inode. The data begins at `dataOffset` of the file;
 * what of the range lies with other members was written there before, under the truncation epoch `epoch` (else EAGAIN:
 * it may be cut off), and took `blocks` more of their blocks. `append` 1: at the end of the file, if all of it lies
 * here then (else EAGAIN). `turn`: ends the turn that AppendBegin gave (ECANCELED where it was taken back).
 */
export const WriteChunk = changes(
  7,
  'WriteChunk',
  {
    ...INODE,
    offset: 'u64',
    bytes: 'u64',
    dataOffset: 'u64',
    epoch: 'u32',
    blocks: 'i64',
    killPrivileges: 'u32',
    append: 'u32',
    turn: 'u64',
  },
  { size: 'u64', epoch: 'u32' },
)

/**
 * Waits until a write from `offset` to `end` may come, and says how long the file is then: after one was refused
 * (EAGAIN). What comes with data is never made to wait for other nodes.
 */
export const WriteReady = reads(
  50,
  'WriteReady',
  { ...INODE, offset: 'u64', end: 'u64' },
  { size: 'u64', epoch: 'u32' },
)

/** Waits until it is the asker's turn to append so many bytes to a file, and says how long the file is then. */
export const AppendBegin = {
  ...reads(46, 'AppendBegin', { ...INODE, bytes: 'u64' }, { turn: 'u64', size: 'u64', epoch: 'u32' }),
  isPatient: true,
}
/** Gives a turn back without having written. */
export const AppendEnd = reads(47, 'AppendEnd', { ...INODE, turn: 'u64' }, {})

/** A write has failed after some of its data was written: what lies beyond the end of the file may be anything. */
export const WriteFailed = reads(48, 'WriteFailed', INODE, {})

/** Some bytes of a file, for a member that holds chunks of it. EAGAIN where the truncation epoch is another one. */
export const PartWrite = changes(
  40,
  'PartWrite',
  { ...INODE, offset: 'u64', epoch: 'u32', chunkBits: 'u32' },
  { blocks: 'i64' },
)

/** The asker is going to hold chunks of the inode, and is told from now on when it is truncated or freed. */
export const PartRegister = ranked(2, reads(41, 'PartRegister', { ...INODE, epoch: 'u32' }, {}))

/** Cuts off all from `size` on, unless that was done: the truncation epoch is `epoch` then. `blocks`: what is left. */
export const PartCut = ranked(1, reads(42, 'PartCut', { ...INODE, size: 'u64', epoch: 'u32' }, { blocks: 'u64' }))

/** The inode was freed. */
export const PartFree = ranked(1, reads(43, 'PartFree', INODE, {}))

/** Makes the member's chunks safe against a power cut. */
export const PartSync = ranked(2, reads(49, 'PartSync', INODE, {}))

/** fallocate(2) of those chunks of a range that the member has. */
export const PartAllocate = ranked(
  1,
  changes(
    44,
    'PartAllocate',
    { ...INODE, mode: 'u32', offset: 'u64', bytes: 'u64', epoch: 'u32', chunkBits: 'u32' },
    { blocks: 'i64' },
  ),
)

/** lseek(2) in those chunks that the member has, below `end`. `found` 0: there is nothing before `offset`. */
export const PartSeek = ranked(
  2,
  reads(
    45,
    'PartSeek',
    { ...INODE, offset: 'u64', end: 'u64', whence: 'u32', chunkBits: 'u32' },
    { offset: 'u64', found: 'u32' },
  ),
)

/** A directory has so many subdirectories more, or fewer. The reply is what it hands down. */
export const ParentUpdate = ranked(2, changes(8, 'ParentUpdate', { ...INODE, links: 'i64', ...STAMP }, INHERITED))

/**
 * Something of the inode has changed elsewhere: `modified` 1 the entries of a directory, 0 a name of it. The reply is
 * what a directory hands down.
 */
export const InodeTouch = ranked(2, reads(61, 'InodeTouch', { ...INODE, modified: 'u32', ...STAMP }, INHERITED))

/**
 * Freezes a directory that has no entries here (1; else ENOTEMPTY), buries it (2), or lets it go on (0). `saga` names
 * the intent of the sender that will have the last word.
 */
export const DirectoryGrave = ranked(2, changes(24, 'DirectoryGrave', { ...INODE, state: 'u32', saga: 'u64' }, {}))

/** A name of the inode goes (`links` −1), and with it a directory; `parent`: where a directory is now. */
export const InodeLinks = ranked(
  2,
  changes(25, 'InodeLinks', { ...INODE, links: 'i64', parent: 'u64', parentGeneration: 'u32', ...STAMP }, {}),
)

/** The directory that a directory is in. */
export const DirectoryParent = ranked(
  2,
  reads(65, 'DirectoryParent', INODE, { parent: 'u64', parentGeneration: 'u32' }),
)

/** What asks for a name: an intent of the sender, as old as this stamp says; the older one may wait for a name. */
const CLAIM = { saga: 'u64', ...STAMP } as const

/**
 * Makes an entry for an inode that is there. `replace`: 0 EEXIST where there is one, 1 it is replaced, 2 there must be
 * one, which becomes an entry elsewhere (an exchange). `expected`: the child that is to be replaced, or 0: any.
 * `links`: subdirectories that the directory gains, apart from one that is replaced for good. The reply is what was
 * replaced, or zeros. EAGAIN: an older intent has the name, or another child than expected; nothing was done.
 */
export const DentryPut = patient(
  ranked(
    1,
    changes(
      26,
      'DentryPut',
      { ...DIRECTORY, replace: 'u32', ...CHILD, expected: 'u64', links: 'i64', ...CLAIM, name: 'bytes' },
      CHILD,
    ),
  ),
)

/** What an entry refers to, whoever holds its name. ENOENT. */
export const DentryPeek = ranked(2, reads(68, 'DentryPeek', { ...DIRECTORY, name: 'bytes' }, CHILD))

/** Holds a name, which others then wait for, until DentryTake of the same saga. ENOENT. */
export const DentryHold = patient(
  ranked(1, changes(62, 'DentryHold', { ...DIRECTORY, ...CLAIM, name: 'bytes' }, CHILD)),
)

/**
 * Ends the hold of a name. `take` 1: its entry goes, or becomes `child`'s where that is not 0. `links`: subdirectories
 * that the directory gains.
 */
export const DentryTake = ranked(
  1,
  changes(63, 'DentryTake', { ...DIRECTORY, take: 'u32', ...CHILD, links: 'i64', saga: 'u64', name: 'bytes' }, {}),
)

const MOVE = {
  ...DIRECTORY,
  toParent: 'u64',
  toParentGeneration: 'u32',
  flags: 'u32',
  name: 'bytes',
  toName: 'bytes',
} as const

/**
 * rename(2) of an entry that this member has; see Removal.rename for `flags`. EREMOTE: a directory may get another
 * parent, and that is for RenameAcross.
 */
export const Rename = changes(27, 'Rename', MOVE, {})

/** The same, asked of the member that has the root: there all directories that get other parents wait in line. */
export const RenameAcross = changes(64, 'RenameAcross', MOVE, {})

export const Link = changes(28, 'Link', { ...INODE, ...DIRECTORY, name: 'bytes' }, { inode: 'inode' })

export const Readlink = reads(9, 'Readlink', INODE, {})
export const ReadDirectory = reads(
  10,
  'ReadDirectory',
  { ...INODE, cookie: 'u64', bytes: 'u32', plus: 'u32' },
  {
    end: 'u32',
  },
)
export const GetXattr = reads(11, 'GetXattr', { ...INODE, size: 'u32', name: 'bytes' }, { length: 'u32' })
export const SetXattr = changes(12, 'SetXattr', { ...INODE, flags: 'u32', killSetgid: 'u32', name: 'bytes' }, {})
export const ListXattrs = reads(13, 'ListXattrs', { ...INODE, size: 'u32', privileged: 'u32' }, { length: 'u32' })
export const RemoveXattr = changes(14, 'RemoveXattr', { ...INODE, name: 'bytes' }, {})

/** Opens a file, under an id that names this opening among all of the asking node. */
export const InodeOpen = reads(15, 'InodeOpen', { ...INODE, id: 'u64' }, { inode: 'inode' })
/** The same with O_TRUNC. */
export const InodeOpenEmpty = changes(
  66,
  'InodeOpenEmpty',
  { ...INODE, id: 'u64', killPrivileges: 'u32' },
  { inode: 'inode' },
)
/** Ends the opening `id`, and the locks that were set through `handle` or by `owner` (of flock(2), if any). */
export const InodeRelease = reads(16, 'InodeRelease', { ...INODE, id: 'u64', handle: 'u64', owner: 'bytes' }, {})

/** An opening, and a lock, as Reclaim lists them one behind the other. */
export const ReclaimedOpen = new Struct({ ...INODE, id: 'u64' })
export const ReclaimedLock = new Struct({ ...INODE, ...LOCK })

/**
 * All that the asking node has open and has locked at the asked member, in as many messages as it takes: the first one
 * begins the list, and the `last` puts it in the place of what the member knew. `lost` 1: its locks were given up
 * since, and none of them holds any more.
 */
export const Reclaim = reads(
  67,
  'Reclaim',
  { first: 'u32', last: 'u32', opens: 'bytes', locks: 'bytes' },
  { lost: 'u32' },
)

export const Fallocate = changes(17, 'Fallocate', { ...INODE, mode: 'u32', offset: 'u64', bytes: 'u64' }, {})
export const Seek = reads(18, 'Seek', { ...INODE, offset: 'u64', whence: 'u32' }, { offset: 'u64' })
export const Sync = reads(19, 'Sync', { ...INODE, everything: 'u32' }, {})
export const Statfs = reads(
  20,
  'Statfs',
  {},
  {
    blocks: 'u64',
    blocksFree: 'u64',
    blocksAvailable: 'u64',
    blockBytes: 'u32',
    files: 'u64',
    filesFree: 'u64',
  },
)

/** The reply is the lock in the way; its type is F_UNLCK where there is none. */
export const LockTest = reads(21, 'LockTest', { ...INODE, ...LOCK }, LOCK)
/** `wait` 1: waits until it is free; LockInterrupt of the same `id` ends that. Setting a lock twice sets it once. */
export const LockSet = patient(reads(22, 'LockSet', { ...INODE, ...LOCK, wait: 'u32', id: 'bytes' }, {}))
export const LockInterrupt = reads(23, 'LockInterrupt', { id: 'bytes' }, {})
