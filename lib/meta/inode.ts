import type { InodeNumber } from '../base/ids.js'
import { isDirectory, isRegular, isSymlink } from '../base/mode.js'
import type { InodeFields } from '../wire/records.js'

/**
 * An inode in memory. It is the only object of its number as long as a turn lasts: hold it no longer than that, and ask
 * the {@link MetaStore} again after a wait. Whoever changes a field calls {@link MetaStore.touch}.
 */
export class Inode implements InodeFields {
  readonly number: InodeNumber
  flags = 0
  generation = 0
  mode = 0
  nlink = 0
  uid = 0
  gid = 0
  rdev = 0
  size = 0
  atime = 0
  mtime = 0
  ctime = 0
  btime = 0
  atimeNs = 0
  mtimeNs = 0
  ctimeNs = 0
  btimeNs = 0
  backing = 0
  change = 0
  parent = 0
  blocksElsewhere = 0
  parentGeneration = 0
  truncationEpoch = 0
  quotaId = 0
  chunkBits = 0
  layout = 0
  blocks = 0

  constructor(number: InodeNumber) {
    this.number = number
  }

  get isDirectory(): boolean {
    return isDirectory(this.mode)
  }

  get isRegular(): boolean {
    return isRegular(this.mode)
  }

  get isSymlink(): boolean {
    return isSymlink(this.mode)
  }
}
