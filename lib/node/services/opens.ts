import { EPROTO, fail } from '../../base/errno.js'
import type { ByteRange } from '../../base/ids.js'
import { PENDING } from '../../ports.js'
import type { Asked } from '../../rpc/services.js'
import type { Lock } from '../../share/locks.js'
import {
  InodeOpen,
  InodeOpenEmpty,
  InodeRelease,
  Reclaim,
  ReclaimedLock,
  ReclaimedOpen,
  type RequestOf,
} from '../../wire/methods.js'
import { areaOf, type Shape, type Struct, type Values } from '../../wire/struct.js'
import type { Leases } from '../leases.js'
import { updateToEmpty } from '../update.js'
import { handleOf, isOf, keptLock, nameOf } from '../lock-fields.js'
import type { Serving } from './serving.js'

type Held = readonly [inode: number, lock: Lock]

/** What a member is saying that it has, in several messages. */
interface List {
  readonly opens: (readonly [inode: number, id: number])[]
  /** Openings of which it does not know yet whether they are, nor of what. */
  readonly asked: Set<number>
  readonly recordLocks: Held[]
  readonly fileLocks: Held[]
}

/** The services for open files: they are kept with the inode, by node. */
export class OpenServices {
  readonly #serving: Serving
  readonly #leases: Leases
  readonly #lists = new Map<number, List>()

  constructor(serving: Serving, leases: Leases) {
    this.#serving = serving
    this.#leases = leases
    const { services, share } = serving
    services.on(InodeOpen, ({ number, generation, id }, asked) => {
      const inode = serving.inode(number, generation)
      share.opened(number, asked.member, id)
      asked.answer(0, { inode })
    })
    services.on(
      InodeOpenEmpty,
      (request, asked) => this.#openEmpty(request, asked),
      ({ id }, { inode }, member) => {
        if (inode !== null && share.meta.find(inode.number) !== undefined) share.opened(inode.number, member, id)
      },
    )
    services.on(InodeRelease, (request, asked) => this.#release(request, asked))
    services.on(Reclaim, (request, asked) => this.#reclaim(request, asked))
  }

  /** All that a node has open or locked is gone: it has left, or has come back as another incarnation. */
  forget(member: number): void {
    const { share, leftovers, turn } = this.#serving
    const had = share.opens.of(member)
    this.#lists.delete(member)
    this.#leases.forget(member)
    share.reopened(member, [])
    // It may have died while it wrote.
    leftovers.add(had)
    turn.endSoon()
  }

  #openEmpty(request: RequestOf<typeof InodeOpenEmpty>, asked: Asked<typeof InodeOpenEmpty>): void {
    const { number, generation, id, killPrivileges } = request
    const { share, truncations } = this.#serving
    const inode = this.#serving.inode(number, generation)
    share.opened(number, asked.member, id)
    const opened = (result: number): void => {
      if (result < 0) share.closed(number, asked.member, id)
      asked.answer(result, result < 0 ? null : { inode: share.meta.find(number) ?? null })
    }
    if (!inode.isRegular) {
      opened(0)
      return
    }
    const update = updateToEmpty(number, generation, killPrivileges !== 0)
    const result = truncations.setSize(update, asked.origin, opened)
    if (result !== PENDING) opened(result)
  }

  #release(request: RequestOf<typeof InodeRelease>, asked: Asked<typeof InodeRelease>): void {
    const { number, id, handle, owner } = request
    const { share } = this.#serving
    if (owner.length > 0) share.fileLocks.releaseOwner(number, nameOf(asked.member, owner))
    share.recordLocks.releaseHandle(number, handleOf(asked.member, handle))
    share.closed(number, asked.member, id)
    asked.answer(0, {})
  }

  #reclaim({ first, last, opens, locks }: RequestOf<typeof Reclaim>, asked: Asked<typeof Reclaim>): void {
    const { member } = asked
    if (first !== 0) this.#lists.set(member, { opens: [], asked: new Set(), recordLocks: [], fileLocks: [] })
    const list = this.#lists.get(member) ?? fail(EPROTO)
    for (const { number, generation, id } of read(ReclaimedOpen, opens)) {
      if (number === 0) list.asked.add(id)
      else if (this.#isThere(number, generation)) list.opens.push([number, id])
    }
    for (const lock of read(ReclaimedLock, locks)) {
      if (!this.#isThere(lock.number, lock.generation)) continue
      const kind = lock.flock !== 0 ? list.fileLocks : list.recordLocks
      kind.push([lock.number, keptLock(member, lock)])
    }
    if (last === 0) asked.answer(0, { lost: 0 })
    else asked.answer(0, { lost: this.#settle(member, list) ? 0 : 1 })
  }

  /** The list is complete. False where its locks are worth nothing any more. */
  #settle(member: number, { opens, asked, recordLocks, fileLocks }: List): boolean {
    const { share } = this.#serving
    this.#lists.delete(member)
    // Locks first: whoever waits to know them gets his own only after that.
    const hasLease = this.#leases.hasLease(member)
    share.recordLocks.replace(isOf(member), hasLease ? recordLocks : [])
    share.fileLocks.replace(isOf(member), hasLease ? fileLocks : [])
    this.#leases.reclaimed(member)
    share.reopened(member, opens, asked)
    return hasLease
  }

  #isThere(number: number, generation: number): boolean {
    return this.#serving.isHere(number) && this.#serving.share.meta.find(number)?.generation === generation
  }
}

/** The structs that stand one behind the other. EPROTO. */
function read<S extends Shape>(struct: Struct<S>, { bytes, offset, length }: ByteRange): Values<S>[] {
  if (length % 4 !== 0) fail(EPROTO)
  const area = areaOf(new Uint32Array(bytes.slice(offset, offset + length).buffer))
  const found: Values<S>[] = []
  for (let at = 0; at < length / 4; at = struct.next) found.push(struct.getFirst(area, at, length / 4) ?? fail(EPROTO))
  return found
}
