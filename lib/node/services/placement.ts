import { copyOf } from '../../base/ids.js'
import { S_IFMT } from '../../base/mode.js'
import type { AnyMethod, Asked } from '../../rpc/services.js'
import { MetadataPlace, type RequestOf } from '../../wire/methods.js'
import type { PlacementPlan } from '../plans/placement.js'
import { callerOf, directoryOf, heirOf, ownPosition, reopen } from './names.js'
import type { Serving } from './serving.js'

type Placement = RequestOf<typeof MetadataPlace>

/** Files of the layout `local`: made at the node that is going to write them. */
export class PlacementServices {
  readonly #serving: Serving
  readonly #plan: PlacementPlan

  constructor(serving: Serving, plan: PlacementPlan) {
    this.#serving = serving
    this.#plan = plan
    serving.services.on(
      MetadataPlace,
      (request, asked) => {
        const own = { ...request, name: copyOf(request.name), defaultAcl: copyOf(request.defaultAcl) }
        this.#place(own, asked)
      },
      ({ open }, { child }, member) => reopen(serving, open, child, member),
    )
  }

  #place(request: Placement, asked: Asked<typeof MetadataPlace>): void {
    const { router, share, sagas } = this.#serving
    const { parent, parentGeneration, name, mode, rdev, open } = request
    const members = [router.ofDentry(parent, name)]
    if (!router.areUp(members)) {
      const failed = (error: number): void => asked.answer(error, null)
      router.whenUp(members, (error) => {
        if (error < 0) failed(error)
        else this.#serving.guard(() => this.#place(request, asked), failed)
      })
      return
    }
    const heir = heirOf(this.#serving, directoryOf(request), request)
    const inode = share.create.inodeAt(ownPosition(this.#serving), heir, mode, rdev, callerOf(request))
    const { number, generation } = inode
    const by = asked as unknown as Asked<AnyMethod>
    if (open !== 0) {
      share.opened(number, asked.member, open)
      this.#plan.opened(number, by, open)
    }
    const { stamps } = share.meta
    const fields = {
      ...{ seconds: stamps.seconds, nanoseconds: stamps.nanoseconds, error: 0 },
      ...{ child: number, childGeneration: generation, kind: inode.mode & S_IFMT, parent, parentGeneration, name },
    }
    sagas.begin(this.#plan, fields, by)
  }
}
