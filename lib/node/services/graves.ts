import { EAGAIN, ENOENT, ENOTEMPTY, fail } from '../../base/errno.js'
import { copyOf } from '../../base/ids.js'
import { Dentry, type DirectoryRef } from '../../meta/dentries.js'
import { BURIED, FROZEN, type Grave } from '../../meta/graves.js'
import type { Asked } from '../../rpc/services.js'
import { REQUEST_AGE_MS_MAX } from '../../rpc/server.js'
import { DirectoryGrave, type RequestOf } from '../../wire/methods.js'
import { Waits } from '../waits.js'
import type { Serving } from './serving.js'

/** No request that began before the burial is admitted any more when the grave goes, with time to spare. */
const GRAVE_MS = 2 * REQUEST_AGE_MS_MAX

/** Directories that are being removed, or were: what keeps new entries out of them. */
export class Graves {
  readonly #serving: Serving
  readonly #dentry = new Dentry()
  /** Graves by the time when they may go. */
  #old: { atMs: number; directory: DirectoryRef }[] = []
  #isWaiting = false

  constructor(serving: Serving) {
    this.#serving = serving
    serving.services.on(DirectoryGrave, (request, asked) => this.#set(request, asked))
    serving.outgoing.onGone = (number, generation) => this.#purge({ number, generation })
  }

  /** Graves of the last run go when they would if they had been dug now: how long it was away is not known. */
  recover(): void {
    for (const directory of this.#serving.share.meta.graves.list(BURIED)) this.#keep(directory)
  }

  /**
   * Whether an entry may be made in the directory: ENOENT where it was removed. False where that is not settled yet:
   * then `again` is called when it is, or with an errno.
   */
  admits(directory: DirectoryRef, again: (error: number) => void): boolean {
    const { number, generation } = directory
    const state = this.#serving.share.meta.graves.state(number, generation)
    if (state === BURIED) fail(ENOENT)
    if (state !== FROZEN) return true
    this.#serving.room.wait(keyOf(directory), again)
    return false
  }

  #set(
    { number, generation, state, saga }: RequestOf<typeof DirectoryGrave>,
    asked: Asked<typeof DirectoryGrave>,
  ): void {
    const { graves, dentries } = this.#serving.share.meta
    const owner = asked.origin?.client ?? fail(ENOENT)
    const directory = { number, generation }
    const present = graves.find(number, generation)
    const isOwn = present !== undefined && isOf(present, owner, saga)
    if (state === FROZEN && !isOwn) {
      if (present?.state === BURIED) fail(ENOENT)
      if (present !== undefined) fail(EAGAIN)
      if (!dentries.isEmpty(directory)) fail(ENOTEMPTY)
      graves.set(number, generation, FROZEN, owner, saga)
    } else if (state === BURIED) {
      graves.set(number, generation, BURIED, owner, saga)
      this.#keep(directory)
    } else if (state === 0 && isOwn && present.state === FROZEN) graves.remove(number, generation)
    asked.answer(0, {})
    if (state !== FROZEN) this.#serving.room.wake(keyOf(directory))
  }

  #keep(directory: DirectoryRef): void {
    this.#old.push({ atMs: this.#serving.clock.monotonicMs() + GRAVE_MS, directory })
    this.#clean()
  }

  #clean(): void {
    const [first] = this.#old
    if (this.#isWaiting || first === undefined) return
    const { clock, share, turn } = this.#serving
    this.#isWaiting = true
    clock.after(Math.max(0, first.atMs - clock.monotonicMs()), () => {
      this.#isWaiting = false
      const nowMs = clock.monotonicMs()
      const over = this.#old.findIndex(({ atMs }) => atMs > nowMs)
      for (const { directory } of this.#old.splice(0, over < 0 ? this.#old.length : over)) {
        share.meta.graves.remove(directory.number, directory.generation)
      }
      this.#clean()
      turn.endSoon()
    })
  }

  /**
   * The directory is not there any more, and still has entries here: they were made by somebody who had seen it long
   * before. Nobody can reach them. One whose name is held is taken back by whoever is making it.
   */
  #purge(directory: DirectoryRef): void {
    const { share, outgoing, names, turn } = this.#serving
    const { dentries } = share.meta
    const entry = this.#dentry
    entry.position = 0
    entry.serial = 0
    while (dentries.next(directory, entry.position, entry.serial, entry)) {
      const { child, childGeneration } = entry
      if (names.holder({ parent: directory.number, name: copyOf(dentries.name) }) !== undefined) continue
      dentries.remove(entry)
      outgoing.unlinked(child, childGeneration, new Waits().add())
    }
    turn.endSoon()
  }
}

const keyOf = ({ number, generation }: DirectoryRef): string => `grave ${number} ${generation}`

const isOf = (grave: Grave, owner: Uint8Array, saga: number): boolean =>
  grave.saga === saga && grave.owner.every((byte, at) => byte === owner[at])
