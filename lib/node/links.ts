/** What the node that has an inode does to it when its names or its entries have changed, here or elsewhere. */
import { ESTALE } from '../base/errno.js'
import { EMPTY_RANGE } from '../base/ids.js'
import type { Inode } from '../meta/inode.js'
import { OUT_ENTRIES, OUT_NAME, OUT_SUBDIRECTORIES, type OutgoingChange } from '../meta/outbox.js'
import { type Acl, formatAcl, parseAcl } from '../share/acl.js'
import { defaultAclOf } from '../share/acls.js'
import { type Context, unlinked } from '../share/context.js'
import type { Inherited } from '../share/create.js'
import type { InodeTouch, ReplyOf } from '../wire/methods.js'

/** What a directory hands down, as it goes from node to node. */
export type Legacy = ReplyOf<typeof InodeTouch>

/** Carries a change out in the open batch: 0, or −ESTALE where the inode is gone. */
export function applyChange(context: Context, change: OutgoingChange): number {
  const { meta } = context
  const { kind, number, generation, links } = change
  const inode = meta.find(number)
  if (inode === undefined || inode.generation !== generation) return -ESTALE
  meta.stamps.observe(change.seconds, change.nanoseconds)
  if (kind === OUT_ENTRIES || kind === OUT_NAME) meta.stamp(inode, kind === OUT_ENTRIES)
  else if (kind === OUT_SUBDIRECTORIES) {
    inode.nlink += links
    meta.stamp(inode, true)
  } else dropName(context, inode)
  return 0
}

/** A name of the inode is gone: with the last one the inode goes, and with its only one a directory. */
function dropName(context: Context, inode: Inode): void {
  inode.nlink = inode.isDirectory ? 0 : inode.nlink - 1
  context.meta.stamp(inode, false)
  if (inode.nlink === 0) unlinked(context, inode)
}

export function legacyOf(context: Context, inode: Inode): Legacy {
  return {
    directoryMode: inode.mode,
    directoryGid: inode.gid,
    chunkBits: inode.chunkBits,
    layout: inode.layout,
    defaultAcl: aclRange(inode.isDirectory ? defaultAclOf(context, inode) : null),
  }
}

export function aclRange(acl: Acl | null): Legacy['defaultAcl'] {
  if (acl === null) return EMPTY_RANGE
  const bytes = formatAcl(acl)
  return { bytes, offset: 0, length: bytes.length }
}

/** What a new inode takes over from the directory of these numbers. */
export function inheritedFrom(number: number, generation: number, legacy: Legacy): Inherited {
  const { bytes, offset, length } = legacy.defaultAcl
  return {
    number,
    generation,
    mode: legacy.directoryMode,
    gid: legacy.directoryGid,
    chunkBits: legacy.chunkBits,
    layout: legacy.layout,
    defaultAcl: length === 0 ? null : parseAcl(bytes.subarray(offset, offset + length)),
  }
}
