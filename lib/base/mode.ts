/** The bits of st_mode that decisions depend on (inode(7)). */

export const S_IFMT = 0o170000
export const S_IFLNK = 0o120000
export const S_IFREG = 0o100000
export const S_IFDIR = 0o040000
export const S_ISUID = 0o4000
export const S_ISGID = 0o2000
export const S_IXGRP = 0o0010

export const isDirectory = (mode: number): boolean => (mode & S_IFMT) === S_IFDIR
export const isRegular = (mode: number): boolean => (mode & S_IFMT) === S_IFREG
export const isSymlink = (mode: number): boolean => (mode & S_IFMT) === S_IFLNK

/**
 * The mode after a write, a truncation or a change of owner: the set-user-id bit goes, the set-group-id bit too where
 * it means execution (without group execute it once marked mandatory locking, and Linux leaves it).
 */
export function withoutPrivileges(mode: number): number {
  const kept = mode & ~S_ISUID
  return (kept & S_IXGRP) !== 0 ? kept & ~S_ISGID : kept
}
