/**
 * The byte layouts of the FUSE kernel protocol, 7.34 to 7.45 (include/uapi/linux/fuse.h). All integers are
 * little-endian; `words` is the pool's memory as 32-bit words and `at` an index into it.
 */
import { type InodeFields, putWords } from './records.js'

export const PROTOCOL_MAJOR = 7
export const PROTOCOL_MINOR = 45

/** Bytes of fuse_in_header, and where it stands in a slot: a WRITE's payload then begins at the slot's second page. */
export const REQUEST_OFFSET = 4016
export const PAYLOAD_OFFSET = 4096
export const OUT_HEADER_BYTES = 16

/** Words of fuse_in_header: len, opcode, unique ×2, nodeid ×2, uid, gid, pid, total_extlen and padding. */
export const HEADER_LENGTH = 0
export const HEADER_OPCODE = 1
export const HEADER_UNIQUE = 2
export const HEADER_NODE = 4
export const HEADER_UID = 6
export const HEADER_GID = 7
export const HEADER_PID = 8
export const HEADER_WORDS = 10

export const OP = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
  COPY_FILE_RANGE_64: 53,
} as const

/** Operations that came after the oldest protocol that is served, and the minor version that brought them. */
export const OP_SINCE: ReadonlyMap<number, number> = new Map([
  [OP.TMPFILE, 37],
  [OP.STATX, 39],
  [OP.COPY_FILE_RANGE_64, 45],
])

/** The minor version that brought INIT_EXT, the second word of flags. */
export const INIT_EXT_SINCE = 36

/** INIT flags: the low word. */
export const INIT = {
  ASYNC_READ: 1 << 0,
  POSIX_LOCKS: 1 << 1,
  ATOMIC_O_TRUNC: 1 << 3,
  EXPORT_SUPPORT: 1 << 4,
  BIG_WRITES: 1 << 5,
  DONT_MASK: 1 << 6,
  FLOCK_LOCKS: 1 << 10,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  WRITEBACK_CACHE: 1 << 16,
  PARALLEL_DIROPS: 1 << 18,
  POSIX_ACL: 1 << 20,
  ABORT_ERROR: 1 << 21,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  HANDLE_KILLPRIV_V2: 1 << 28,
  SETXATTR_EXT: 1 << 29,
  INIT_EXT: 1 << 30,
} as const

/** INIT flags: the high word, of kernels that know INIT_EXT. */
export const INIT_HIGH = {
  DIRECT_IO_ALLOW_MMAP: 1 << 4,
} as const

export const FATTR_MODE = 1 << 0
export const FATTR_UID = 1 << 1
export const FATTR_GID = 1 << 2
export const FATTR_SIZE = 1 << 3
export const FATTR_ATIME = 1 << 4
export const FATTR_MTIME = 1 << 5
export const FATTR_ATIME_NOW = 1 << 7
export const FATTR_MTIME_NOW = 1 << 8
export const FATTR_CTIME = 1 << 10
export const FATTR_KILL_SUIDGID = 1 << 11
export const FATTR_FH = 1 << 6
/** FATTR_FH and FATTR_LOCKOWNER: which open file it came through. */
export const FATTR_OF_FILE = FATTR_FH | (1 << 9)

export const FOPEN_DIRECT_IO = 1 << 0
export const FOPEN_KEEP_CACHE = 1 << 1
export const FOPEN_CACHE_DIR = 1 << 3
/** Writes with FOPEN_DIRECT_IO that do not make a file longer need not wait for each other (Linux 6.2 and newer). */
export const FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6

export const OPEN_KILL_SUIDGID = 1 << 0
export const WRITE_CACHE = 1 << 0
export const WRITE_KILL_SUIDGID = 1 << 2
export const SETXATTR_ACL_KILL_SGID = 1 << 0
export const LK_FLOCK = 1 << 0
export const RELEASE_FLOCK_UNLOCK = 1 << 1

/** A lock to the end of the file says so with this (the largest signed 64-bit integer). */
export const LOCK_END_HIGH = 0x7fffffff

const ATTR_WORDS = 22
export const ENTRY_OUT_BYTES = 128
export const ATTR_OUT_BYTES = 104
export const OPEN_OUT_BYTES = 16
export const STATFS_OUT_BYTES = 80
export const STATX_OUT_BYTES = 288
export const INIT_OUT_BYTES = 64
export const LK_OUT_BYTES = 24

/** What the kernel is told of an inode. */
export interface Attributes extends InodeFields {
  readonly number: number
}

/** How long the kernel may use what it was told, in seconds. */
export interface Timeouts {
  readonly entrySeconds: number
  readonly attributeSeconds: number
}

/** Preferred size of I/O that stat(2) reports, in bytes. */
const BLOCK_BYTES = 4096

/** struct fuse_attr, 88 bytes. */
function putAttributes(words: Uint32Array, at: number, inode: Attributes): void {
  putWords(words, at, inode.number)
  putWords(words, at + 2, inode.size)
  putWords(words, at + 4, inode.blocks + inode.blocksElsewhere)
  putWords(words, at + 6, inode.atime)
  putWords(words, at + 8, inode.mtime)
  putWords(words, at + 10, inode.ctime)
  words[at + 12] = inode.atimeNs
  words[at + 13] = inode.mtimeNs
  words[at + 14] = inode.ctimeNs
  words[at + 15] = inode.mode
  words[at + 16] = inode.nlink
  words[at + 17] = inode.uid
  words[at + 18] = inode.gid
  words[at + 19] = inode.rdev
  words[at + 20] = BLOCK_BYTES
  words[at + 21] = 0
}

/** struct fuse_attr_out, 104 bytes. */
export function putAttrOut(words: Uint32Array, at: number, inode: Attributes, timeouts: Timeouts): number {
  words[at] = timeouts.attributeSeconds
  words[at + 1] = 0
  words[at + 2] = 0
  words[at + 3] = 0
  putAttributes(words, at + 4, inode)
  return ATTR_OUT_BYTES
}

/** How many inodes the kernel may take one of ours for: which of them stands above the 53 bits of its number. */
export const ALIASES = 1 << 11
const ALIAS_SHIFT = 21

/** The inode number of a nodeid. */
export function getNode(words: Uint32Array, at: number): number {
  return ((words[at + 1] as number) & ((1 << ALIAS_SHIFT) - 1)) * 2 ** 32 + (words[at] as number)
}

export function getAlias(words: Uint32Array, at: number): number {
  return (words[at + 1] as number) >>> ALIAS_SHIFT
}

/** Of the entry that {@link putEntryOut} has put there. */
export function putAlias(words: Uint32Array, at: number, alias: number): void {
  words[at + 1] = ((words[at + 1] as number) | (alias << ALIAS_SHIFT)) >>> 0
}

/** struct fuse_entry_out, 128 bytes. */
export function putEntryOut(words: Uint32Array, at: number, inode: Attributes, timeouts: Timeouts): number {
  putWords(words, at, inode.number)
  words[at + 2] = inode.generation
  words[at + 3] = 0
  words[at + 4] = timeouts.entrySeconds
  words[at + 5] = 0
  words[at + 6] = timeouts.attributeSeconds
  words[at + 7] = 0
  words[at + 8] = 0
  words[at + 9] = 0
  putAttributes(words, at + 10, inode)
  return ENTRY_OUT_BYTES
}

/** struct fuse_entry_out that says: there is no such name, and you may remember that. */
export function putNegativeEntryOut(words: Uint32Array, at: number, timeouts: Timeouts): number {
  words.fill(0, at, at + 10 + ATTR_WORDS)
  words[at + 4] = timeouts.entrySeconds
  return ENTRY_OUT_BYTES
}

/** struct fuse_open_out, 16 bytes. */
export function putOpenOut(words: Uint32Array, at: number, flags: number, handle = 0): number {
  putWords(words, at, handle)
  words[at + 2] = flags
  words[at + 3] = 0
  return OPEN_OUT_BYTES
}

/** Mask of struct fuse_statx: all basic fields and the time of birth (STATX_BASIC_STATS | STATX_BTIME). */
const STATX_MASK = 0xfff

/** struct fuse_statx_out, 288 bytes. */
export function putStatxOut(words: Uint32Array, at: number, inode: Attributes, timeouts: Timeouts): number {
  words.fill(0, at, at + STATX_OUT_BYTES / 4)
  words[at] = timeouts.attributeSeconds
  const stat = at + 8
  words[stat] = STATX_MASK
  words[stat + 1] = BLOCK_BYTES
  words[stat + 4] = inode.nlink
  words[stat + 5] = inode.uid
  words[stat + 6] = inode.gid
  words[stat + 7] = inode.mode & 0xffff
  putWords(words, stat + 8, inode.number)
  putWords(words, stat + 10, inode.size)
  putWords(words, stat + 12, inode.blocks + inode.blocksElsewhere)
  putTime(words, stat + 16, inode.atime, inode.atimeNs)
  putTime(words, stat + 20, inode.btime, inode.btimeNs)
  putTime(words, stat + 24, inode.ctime, inode.ctimeNs)
  putTime(words, stat + 28, inode.mtime, inode.mtimeNs)
  words[stat + 32] = deviceMajor(inode.rdev)
  words[stat + 33] = deviceMinor(inode.rdev)
  return STATX_OUT_BYTES
}

/** struct fuse_sx_time, 16 bytes. */
function putTime(words: Uint32Array, at: number, seconds: number, nanoseconds: number): void {
  putWords(words, at, seconds)
  words[at + 2] = nanoseconds
}

/** The kernel's 32-bit encoding of a device number: minor's low 8 bits, major's 12, minor's high 12. */
const deviceMajor = (rdev: number): number => (rdev >>> 8) & 0xfff
const deviceMinor = (rdev: number): number => (rdev & 0xff) | ((rdev >>> 12) & 0xfff00)

/** Figures of struct fuse_kstatfs. */
export interface StatfsFigures {
  blocks: number
  blocksFree: number
  blocksAvailable: number
  files: number
  filesFree: number
  blockBytes: number
  nameBytesMax: number
}

/** struct fuse_statfs_out, 80 bytes. */
export function putStatfsOut(words: Uint32Array, at: number, figures: StatfsFigures): number {
  words.fill(0, at, at + STATFS_OUT_BYTES / 4)
  putWords(words, at, figures.blocks)
  putWords(words, at + 2, figures.blocksFree)
  putWords(words, at + 4, figures.blocksAvailable)
  putWords(words, at + 6, figures.files)
  putWords(words, at + 8, figures.filesFree)
  words[at + 10] = figures.blockBytes
  words[at + 11] = figures.nameBytesMax
  words[at + 12] = figures.blockBytes
  return STATFS_OUT_BYTES
}

/** struct fuse_dirent before the name: inode u64, offset u64, name length u32, type u32. */
export const DIRENT_HEAD_BYTES = 24

/** Writes struct fuse_dirent's head; returns the padded length of the whole entry. */
export function putDirent(
  words: Uint32Array,
  at: number,
  inode: number,
  cookie: number,
  kind: number,
  nameBytes: number,
): number {
  putWords(words, at, inode)
  putWords(words, at + 2, cookie)
  words[at + 4] = nameBytes
  words[at + 5] = kind >>> 12
  return direntBytes(nameBytes)
}

export const direntBytes = (nameBytes: number): number => (DIRENT_HEAD_BYTES + nameBytes + 7) & ~7
