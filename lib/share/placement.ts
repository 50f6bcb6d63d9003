import { EINVAL, ENOTDIR, fail } from '../base/errno.js'
import type { Inode } from '../meta/inode.js'

/**
 * The attributes of a directory that say how new files below it are laid out: `user.chfs.chunk` (bytes of a chunk) and
 * `user.chfs.layout` (hash or local). They can be set and read, and are not listed, so that copying a tree with its
 * attributes does not copy them.
 */
const CHUNK = 'user.chfs.chunk'
const LAYOUT = 'user.chfs.layout'

/** Their names, by number. */
export const LAYOUTS: readonly string[] = ['hash', 'local']

const CHUNK_BITS_MIN = 16
const CHUNK_BITS_MAX = 30

export const isPlacementName = (name: string): boolean => name === CHUNK || name === LAYOUT

export function placementOf(directory: Inode, name: string): string {
  return name === CHUNK ? String(2 ** directory.chunkBits) : (LAYOUTS[directory.layout] as string)
}

/** ENOTDIR for anything else; EINVAL for a chunk that is no power of two from 64 KiB to 1 GiB, or an unknown layout. */
export function setPlacement(directory: Inode, name: string, value: string): void {
  if (!directory.isDirectory) fail(ENOTDIR)
  if (name === LAYOUT) {
    const layout = LAYOUTS.indexOf(value)
    if (layout < 0) fail(EINVAL)
    directory.layout = layout
    return
  }
  const bits = Math.log2(Number(value))
  if (!Number.isInteger(bits) || bits < CHUNK_BITS_MIN || bits > CHUNK_BITS_MAX) fail(EINVAL)
  directory.chunkBits = bits
}
