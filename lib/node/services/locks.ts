import { EINTR } from '../../base/errno.js'
import { copyOf } from '../../base/ids.js'
import type { Asked } from '../../rpc/services.js'
import { F_UNLCK, type Locks } from '../../share/locks.js'
import { LockInterrupt, LockSet, LockTest, type RequestOf } from '../../wire/methods.js'
import { fieldsOf, keptLock, type LockFields, nameOf } from '../lock-fields.js'
import type { Leases } from '../leases.js'
import type { Serving } from './serving.js'

/** Interrupts that have overtaken their wait, or come too late for it: no more are remembered. */
const INTERRUPTS_MAX = 1024

/** The services for locks, which are kept with the inode, by the node and what that calls them. */
export class LockServices {
  readonly #serving: Serving
  readonly #leases: Leases
  readonly #interrupted = new Set<string>()

  constructor(serving: Serving, leases: Leases) {
    this.#serving = serving
    this.#leases = leases
    const { services } = serving
    services.on(LockTest, (request, asked) => {
      const own = { ...request, owner: copyOf(request.owner) }
      this.#whenKnown(asked, () => this.#test(own, asked))
    })
    services.on(LockSet, (request, asked) => {
      const own = { ...request, owner: copyOf(request.owner), id: copyOf(request.id) }
      if (request.type === F_UNLCK) this.#set(own, asked)
      else this.#whenKnown(asked, () => this.#set(own, asked))
    })
    services.on(LockInterrupt, ({ id }, asked) => {
      this.#interrupt(nameOf(asked.member, id))
      asked.answer(0, {})
    })
  }

  /** Goes on at once, or when it is known who has locks from before a restart. */
  #whenKnown(asked: { readonly member: number; answer(result: number, reply: null): void }, step: () => void): void {
    if (this.#leases.isKnown) step()
    else {
      const failed = (error: number): void => asked.answer(error, null)
      this.#leases.whenKnown(asked.member, () => this.#serving.guard(step, failed))
    }
  }

  #test(request: RequestOf<typeof LockTest>, asked: Asked<typeof LockTest>): void {
    this.#serving.inode(request.number, request.generation)
    const found = this.#locks(request).test(request.number, keptLock(asked.member, request))
    const none = { ...request, type: F_UNLCK }
    if (found === undefined) asked.answer(0, none)
    else {
      const { type, start, end, pid } = fieldsOf(false, found)
      asked.answer(0, { ...none, type, start, end, pid })
    }
  }

  #set(request: RequestOf<typeof LockSet>, asked: Asked<typeof LockSet>): void {
    const { number, generation, wait, id } = request
    this.#serving.inode(number, generation)
    const lock = keptLock(asked.member, request)
    const locks = this.#locks(request)
    const finish = (error: number): void => asked.answer(error, error < 0 ? null : {})
    const name = nameOf(asked.member, id)
    if (wait === 0) finish(locks.set(number, lock))
    else if (this.#interrupted.delete(name)) finish(-EINTR)
    else locks.wait(number, lock, name, finish)
  }

  #interrupt(name: string): void {
    const { recordLocks, fileLocks } = this.#serving.share
    if (recordLocks.interrupt(name) || fileLocks.interrupt(name)) return
    // It may have overtaken what it is about.
    this.#interrupted.add(name)
    if (this.#interrupted.size <= INTERRUPTS_MAX) return
    for (const oldest of this.#interrupted) {
      this.#interrupted.delete(oldest)
      break
    }
  }

  #locks({ flock }: LockFields): Locks {
    return flock !== 0 ? this.#serving.share.fileLocks : this.#serving.share.recordLocks
  }
}
