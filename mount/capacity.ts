import { FsError } from '../lib/base/errno.js'
import type { Operations } from '../lib/fs/operations.js'
import { PENDING } from '../lib/ports.js'
import type { Capacity } from './status.js'

/** Of all members together; null where one of them cannot be asked. */
export function capacityOf(fs: Pick<Operations, 'statfs'>): Promise<Capacity | null> {
  const figures = {
    blocks: 0,
    blocksFree: 0,
    blocksAvailable: 0,
    files: 0,
    filesFree: 0,
    blockBytes: 0,
    nameBytesMax: 0,
  }
  return new Promise((resolve) => {
    const finish = (result: number): void => {
      const { blocks, blocksFree, blocksAvailable, blockBytes } = figures
      const capacity = {
        totalBytes: blocks * blockBytes,
        freeBytes: blocksFree * blockBytes,
        availableBytes: blocksAvailable * blockBytes,
      }
      resolve(result < 0 ? null : capacity)
    }
    try {
      const result = fs.statfs(figures, finish)
      if (result !== PENDING) finish(result)
    } catch (error) {
      if (error instanceof FsError) resolve(null)
      else throw error
    }
  })
}
