import { ESTALE } from '../base/errno.js'
import { type ByteRange, bytesOf } from '../base/ids.js'
import type { Router } from '../node/router.js'
import type { Done } from '../ports.js'
import { MetadataGet } from '../wire/methods.js'
import type { NumberedInode } from '../wire/struct.js'
import type { Known } from './known.js'

/** The inode that an operation answers with, and how it is found. */
export class Finding {
  inode!: NumberedInode
  /** The default access list that has come with it, or null. */
  defaultAcl: Uint8Array | null = null
  readonly #router: Router
  readonly #known: Known

  constructor(router: Router, known: Known) {
    this.#router = router
    this.#known = known
  }

  /** The operation has found it. */
  set(inode: NumberedInode, defaultAcl: ByteRange | null): void {
    this.inode = inode
    this.defaultAcl = defaultAcl === null ? null : bytesOf(defaultAcl).slice()
    this.#known.note(inode, this.defaultAcl)
  }

  /** Takes an answer that is an inode. */
  taken(finish: Done): (result: number, reply: { inode: NumberedInode | null } | null) => void {
    return (result, reply) => {
      if (reply === null) finish(result)
      else if (reply.inode === null) finish(-ESTALE)
      else {
        this.set(reply.inode, null)
        finish(0)
      }
    }
  }

  /** Asks the member for it that has it. */
  get(ref: { number: number; generation: number }, finish: Done): void {
    this.#router.askBriefly(this.#router.ofInode(ref.number), MetadataGet, ref, (result, reply) => {
      if (reply === null) finish(result)
      else if (reply.inode === null) finish(-ESTALE)
      else {
        this.set(reply.inode, reply.defaultAcl)
        finish(0)
      }
    })
  }
}
