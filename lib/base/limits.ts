/** The limits of the file system, each in one place. */

/** Longest name of an entry, in bytes. */
export const NAME_BYTES_MAX = 255

/** Largest size of a file: the largest integer that a JavaScript number holds exactly. */
export const FILE_BYTES_MAX = Number.MAX_SAFE_INTEGER

/** Most links of an inode, subdirectories included. */
export const LINKS_MAX = 2 ** 31 - 1

/** Largest value of an extended attribute (Linux's XATTR_SIZE_MAX). */
export const XATTR_BYTES_MAX = 65536

/** Longest target of a symbolic link, in bytes (PATH_MAX without its NUL). */
export const TARGET_BYTES_MAX = 4095

/**
 * Files up to this size live inside the metadata store. With a record's header and LMDB's page header this still fits
 * one overflow page.
 */
export const INLINE_BYTES_MAX = 4000

/** Longest head of a message between nodes: two names, a default ACL, and the fixed fields. */
export const MESSAGE_HEAD_BYTES_MAX = 2048

/** Requests that may be under way at a time from one node to all others. */
export const REQUESTS_MAX = 1024

/** Longest message of a control connection. */
export const CONTROL_BYTES_MAX = 1 << 20
