import type { AnyValues } from '../../rpc/call.js'
import type { AnyMethod, Asked } from '../../rpc/services.js'
import { unlinked } from '../../share/context.js'
import { LINK } from '../../wire/intents.js'
import { DentryPut, Link } from '../../wire/methods.js'
import { type Shape, Struct, type Values } from '../../wire/struct.js'
import { type Answer, END, type Plan, type Question, question, type Step } from '../plan.js'
import type { Router } from '../router.js'
import type { Serving } from '../services/serving.js'
import { KEEP } from './move.js'

export type LinkFields = Values<typeof LINK>

/**
 * Gives an inode of this node one more name. The link is counted before the name is there, and is taken back where the
 * name cannot be made: so no name is ever without its link.
 */
export class LinkPlan implements Plan<LinkFields> {
  readonly number = 3
  readonly fields = new Struct(LINK) as unknown as Struct<Shape>
  readonly steps: readonly Step<LinkFields>[]
  readonly again: (fields: LinkFields, asked: Asked<AnyMethod>) => void
  readonly #serving: Serving

  constructor(serving: Serving, again: (fields: LinkFields, asked: Asked<AnyMethod>) => void) {
    this.#serving = serving
    this.again = again
    this.steps = [
      {
        ask: (fields, saga) => [nameQuestion(serving.router, fields, saga)],
        conclude: (fields, [answer]) => this.#end(fields, answer as Answer),
      },
    ]
  }

  names(): [] {
    return []
  }

  method(): AnyMethod {
    return Link as unknown as AnyMethod
  }

  /** Null where the inode has lost this name already, and all others. */
  reply({ child, childGeneration }: LinkFields): AnyValues {
    const inode = this.#serving.share.meta.find(child)
    return { inode: inode?.generation === childGeneration ? { ...inode } : null }
  }

  #end(fields: LinkFields, { result, reply }: Answer): number {
    if (reply !== null) return END
    const { meta, context } = this.#serving.share
    const inode = meta.inode(fields.child)
    fields.error = -result
    inode.nlink--
    meta.stamp(inode, false)
    if (inode.nlink === 0) unlinked(context, inode)
    return END
  }
}

/** Asks for the inode's new name, which must not be there. */
export function nameQuestion(router: Router, fields: LinkFields, saga: number): Question {
  const { child, childGeneration, kind, parent, parentGeneration, name } = fields
  return question(router.ofDentry(parent, name), DentryPut, {
    ...{ parent, parentGeneration, name, replace: KEEP, expected: 0, links: 0, saga },
    ...{ child, childGeneration, kind },
    // It holds no name while it waits for one, so it may wait for everybody.
    ...{ seconds: 0, nanoseconds: 0 },
  })
}
