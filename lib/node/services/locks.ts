import type { Asked } from '../../rpc/services.js'
import { F_UNLCK, LOCK_END, type Lock, type Locks } from '../../share/locks.js'
import { InodeRelease, LockInterrupt, LockSet, LockTest, type RequestOf } from '../../wire/methods.js'
import { bytesOf } from './names.js'
import type { Serving } from './serving.js'

/** What stands for the end of a file, whatever its size. */
export const LOCK_TO_END = Number.MAX_SAFE_INTEGER

export type LockFields = Omit<RequestOf<typeof LockTest>, 'number' | 'generation'>

/** Handles of a node are below this; so each node has a range of its own. */
const HANDLE_SPAN = 2 ** 40

const decoder = new TextDecoder('latin1')

/** The services for locks and open files, which are kept with the inode, by the node and what that calls them. */
export class LockServices {
  readonly #serving: Serving

  constructor(serving: Serving) {
    this.#serving = serving
    const { services, share } = serving
    services.on(LockTest, (request, asked) => this.#test(request, asked))
    services.on(LockSet, (request, asked) => this.#set(request, asked))
    services.on(LockInterrupt, ({ id }, asked) => {
      const name = nameOf(asked.member, decoder.decode(bytesOf(id)))
      if (!share.recordLocks.interrupt(name)) share.fileLocks.interrupt(name)
      asked.answer(0, {})
    })
    services.on(InodeRelease, ({ number, handle, owner }, asked) => {
      if (owner.length > 0) share.fileLocks.releaseOwner(number, nameOf(asked.member, decoder.decode(bytesOf(owner))))
      share.recordLocks.releaseHandle(number, handleOf(asked.member, handle))
      share.forget(number, 1)
      asked.answer(0, {})
    })
  }

  #test(request: RequestOf<typeof LockTest>, asked: Asked<typeof LockTest>): void {
    this.#serving.inode(request.number, request.generation)
    const found = this.#locks(request).test(request.number, lockOf(asked.member, request))
    const end = Math.min(found?.end ?? 0, LOCK_TO_END)
    const none = { ...request, type: F_UNLCK }
    asked.answer(0, found === undefined ? none : { ...none, type: found.type, start: found.start, end, pid: found.pid })
  }

  #set(request: RequestOf<typeof LockSet>, asked: Asked<typeof LockSet>): void {
    const { number, generation, wait, id } = request
    this.#serving.inode(number, generation)
    const lock = lockOf(asked.member, request)
    const locks = this.#locks(request)
    const finish = (error: number): void => asked.answer(error, error < 0 ? null : {})
    if (wait === 0) finish(locks.set(number, lock))
    else locks.wait(number, lock, nameOf(asked.member, decoder.decode(bytesOf(id))), finish)
  }

  #locks({ flock }: LockFields): Locks {
    return flock !== 0 ? this.#serving.share.fileLocks : this.#serving.share.recordLocks
  }
}

const nameOf = (member: number, name: string): string => `${member} ${name}`

const handleOf = (member: number, handle: number): number => (member + 1) * HANDLE_SPAN + (handle % HANDLE_SPAN)

function lockOf(member: number, { type, start, end, pid, handle, owner }: LockFields): Lock {
  return {
    owner: nameOf(member, decoder.decode(bytesOf(owner))),
    handle: handleOf(member, handle),
    pid,
    type,
    start,
    end: end === LOCK_TO_END ? LOCK_END : end,
  }
}
