import { ESTALE } from '../base/errno.js'
import { EMPTY_RANGE } from '../base/ids.js'
import { isRegular } from '../base/mode.js'
import type { Belongings } from '../node/belongings.js'
import { rangeOf } from '../node/lock-fields.js'
import type { Router } from '../node/router.js'
import { updateToEmpty } from '../node/update.js'
import type { Done } from '../ports.js'
import { InodeOpen, InodeOpenEmpty, InodeRelease, MetadataUpdate, type RequestOf } from '../wire/methods.js'
import type { NumberedInode } from '../wire/struct.js'
import type { Finding } from './finding.js'
import type { Known } from './known.js'
import type { OpenFlags } from './operations.js'

/** Open files of this node's processes, kept at the members that have the inodes; for {@link Cluster}. */
export class ClusterOpens {
  readonly #router: Router
  readonly #known: Known
  readonly #finding: Finding
  readonly #belongings: Belongings

  constructor(router: Router, known: Known, finding: Finding, belongings: Belongings) {
    this.#router = router
    this.#known = known
    this.#finding = finding
    this.#belongings = belongings
  }

  open(ref: { number: number; generation: number }, flags: OpenFlags, finish: Done): void {
    const { number, generation } = ref
    const id = this.#belongings.newId()
    // Before it is asked for: what was opened by a message whose answer is lost is said again with the rest.
    this.#belongings.open(number, generation, id)
    const opened = this.#finding.taken((result) => {
      if (result < 0) this.#giveBack(ref, id, result)
      finish(result)
    })
    const member = this.#router.ofInode(number)
    if (!flags.truncate) this.#router.askBriefly(member, InodeOpen, { number, generation, id }, opened)
    else {
      const request = { number, generation, id, killPrivileges: flags.killPrivileges ? 1 : 0 }
      this.#router.askBriefly(member, InodeOpenEmpty, request, opened)
    }
  }

  /** An error may be that of what came with the opening, as where its member could not commit that. */
  #giveBack({ number, generation }: { number: number; generation: number }, id: number, error: number): void {
    this.#belongings.close(number, id)
    if (error !== -ESTALE) this.#release({ number, generation, id, handle: 0, owner: EMPTY_RANGE })
  }

  /** Empties a file that was opened by the message that has found it; where that fails it is closed again. */
  empty({ number, generation, mode }: NumberedInode, { killPrivileges }: OpenFlags, finish: Done): void {
    if (!isRegular(mode)) {
      finish(0)
      return
    }
    const request = updateToEmpty(number, generation, killPrivileges)
    const emptied = this.#finding.taken((result) => {
      if (result < 0) this.#close(number, generation, 0, undefined)
      finish(result)
    })
    this.#router.askBriefly(this.#router.ofInode(number), MetadataUpdate, request, emptied)
  }

  /** Nobody waits for it. */
  release(number: number, handle: number, flockOwner: string | undefined): void {
    this.#belongings.released(number, handle, flockOwner)
    if (this.#known.has(number)) this.#close(number, this.#known.ref(number).generation, handle, flockOwner)
  }

  #close(number: number, generation: number, handle: number, flockOwner: string | undefined): void {
    const id = this.#belongings.close(number)
    const owner = flockOwner === undefined ? EMPTY_RANGE : rangeOf(flockOwner)
    this.#release({ number, generation, id, handle, owner })
  }

  #release(request: RequestOf<typeof InodeRelease>): void {
    this.#router.askBriefly(this.#router.ofInode(request.number), InodeRelease, request, () => undefined)
  }
}
