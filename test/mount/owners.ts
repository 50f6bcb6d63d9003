/** Which node has an inode, and how much of the data. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { SERIAL_SPAN } from '../../lib/base/ids.js'
import { loadHash32 } from '../../lib/native/hash.js'
import { Ring } from '../../lib/ring/ring.js'
import { decodeSuperblock, type Superblock } from '../../lib/wire/superblock.js'
import type { Calls } from './driver.js'

/** The place among the stores of a cluster of the one that has the inode, as the ring that they name says. */
export async function ownerOf(stores: readonly string[], inode: number): Promise<number> {
  const superblocks = stores.map((store) => decodeSuperblock(readFileSync(`${store}/superblock`)))
  const { members, ringEpoch, virtualNodes } = superblocks[0] as Superblock
  const ids = members.map(({ id }) => new Uint8Array(Buffer.from(id, 'hex')))
  const ring = new Ring({ epoch: ringEpoch, members: ids, virtualNodes }, await loadHash32())
  const { id } = members[ring.owner(Math.floor(inode / SERIAL_SPAN))] as { id: string }
  return superblocks.findIndex(({ memberId }) => memberId === id)
}

let files = 0

/** Makes files in a directory until one has its inode there where `isThere` says; that one's path. */
export async function fileWhere(
  sys: Calls,
  isThere: (inode: number) => Promise<boolean>,
  directory = '.',
): Promise<string> {
  for (;;) {
    const path = `${directory}/on${files++}`
    await sys.put(path, '')
    if (await isThere(await sys.inode(path))) return path
    await sys.unlink(path)
  }
}

/** What the files below a store's data directory take. */
export function dataBytes(store: string): number {
  let bytes = 0
  for (const entry of readdirSync(`${store}/data`, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).blocks * 512
  }
  return bytes
}
