import { EISDIR, ENOENT, ENOTDIR, fail } from '../../base/errno.js'
import { copyOf } from '../../base/ids.js'
import { S_IFDIR } from '../../base/mode.js'
import { Dentry } from '../../meta/dentries.js'
import type { AnyMethod, Asked } from '../../rpc/services.js'
import { MetadataDelete, type RequestOf } from '../../wire/methods.js'
import type { RemovalPlan } from '../plans/removal.js'
import { unlessGone, Waits } from '../waits.js'
import { directoryOf } from './names.js'
import type { Serving } from './serving.js'

type Deletion = RequestOf<typeof MetadataDelete>

/** unlink(2) and rmdir(2), asked of the member that has the entry. */
export class RemovalServices {
  readonly #serving: Serving
  readonly #plan: RemovalPlan
  readonly #dentry = new Dentry()

  constructor(serving: Serving, plan: RemovalPlan) {
    this.#serving = serving
    this.#plan = plan
    serving.services.on(MetadataDelete, (request, asked) => {
      this.remove({ ...request, name: copyOf(request.name) }, asked)
    })
  }

  /** The request must outlive its message. */
  remove(request: Deletion, asked: Asked<typeof MetadataDelete>): void {
    const { names, share } = this.#serving
    const retry = (error: number): void => {
      if (error < 0) asked.answer(error, null)
      else
        this.#serving.guard(
          () => this.remove(request, asked),
          (failed) => asked.answer(failed, null),
        )
    }
    if (names.holder(request) !== undefined) {
      names.wait(request, retry)
      return
    }
    const entry = this.#dentry
    if (!share.meta.dentries.find(directoryOf(request), request.name, entry)) fail(ENOENT)
    const isDirectory = entry.kind === S_IFDIR
    if (isDirectory && request.directory === 0) fail(EISDIR)
    if (!isDirectory && request.directory !== 0) fail(ENOTDIR)
    if (isDirectory) this.#rmdir(request, asked, retry)
    else this.#unlink(request, asked)
  }

  #unlink({ parent, parentGeneration }: Deletion, asked: Asked<typeof MetadataDelete>): void {
    const { share, outgoing } = this.#serving
    const { child, childGeneration } = this.#dentry
    share.meta.dentries.remove(this.#dentry)
    asked.record({})
    const waits = new Waits()
    outgoing.unlinked(child, childGeneration, waits.add())
    outgoing.entries(parent, parentGeneration, waits.add(unlessGone))
    this.#serving.answerAfter(asked, waits, () => ({}))
  }

  /** Every member has a say, so it is not begun where one cannot be reached. */
  #rmdir(request: Deletion, asked: Asked<typeof MetadataDelete>, retry: (error: number) => void): void {
    const { router, sagas, share } = this.#serving
    const members = router.everybody()
    if (!router.areUp(members)) {
      router.whenUp(members, retry)
      return
    }
    const { child, childGeneration } = this.#dentry
    const { stamps } = share.meta
    stamps.advance()
    const { seconds, nanoseconds } = stamps
    const { parent, parentGeneration, name } = request
    const fields = {
      ...{ seconds, nanoseconds, error: 0, method: MetadataDelete.number },
      ...{ parent, parentGeneration, name, child: 0, childGeneration: 0, kind: 0 },
      ...{ other: child, otherGeneration: childGeneration, otherKind: S_IFDIR, links: -1 },
    }
    sagas.begin(this.#plan, fields, asked as unknown as Asked<AnyMethod>)
  }
}
