/** Numbers of Linux's system calls that Node does not name. */
export const O_RDONLY = 0
export const O_WRONLY = 1
export const O_RDWR = 2
export const O_CREAT = 0o100
export const O_EXCL = 0o200
export const O_TRUNC = 0o1000
export const O_APPEND = 0o2000
export const O_SYNC = 0o4010000
export const O_DIRECTORY = 0o200000
export const O_NOFOLLOW = 0o400000
export const O_TMPFILE = 0o20200000

export const S_IFIFO = 0o010000
export const S_IFCHR = 0o020000
export const S_IFBLK = 0o060000
export const S_IFREG = 0o100000
export const S_IFSOCK = 0o140000

export const RENAME_NOREPLACE = 1
export const RENAME_EXCHANGE = 2
export const RENAME_WHITEOUT = 4

export const SEEK_SET = 0
export const SEEK_DATA = 3
export const SEEK_HOLE = 4

export const KEEP_SIZE = 1
export const PUNCH_HOLE = 2
export const COLLAPSE_RANGE = 8
export const ZERO_RANGE = 16
export const INSERT_RANGE = 32

export const XATTR_CREATE = 1
export const XATTR_REPLACE = 2
