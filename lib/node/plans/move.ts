import { EIO } from '../../base/errno.js'
import { Dentry } from '../../meta/dentries.js'
import type { AnyValues } from '../../rpc/call.js'
import type { AnyMethod, Asked } from '../../rpc/services.js'
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../share/remove.js'
import { MOVE } from '../../wire/intents.js'
import { DentryPut, Rename, type ReplyOf } from '../../wire/methods.js'
import { type Shape, Struct, type Values } from '../../wire/struct.js'
import type { Name } from '../held-names.js'
import { type Answer, END, type Plan, type Question, question, type Step } from '../plan.js'
import type { Serving } from '../services/serving.js'
import { unlessGone, type Waits } from '../waits.js'

export type MoveFields = Values<typeof MOVE>

/** How DentryPut treats what is there. */
export const KEEP = 0
export const REPLACE = 1
export const EXCHANGE = 2

/**
 * Gives an entry of this node another name, where no directory gets another parent by that. The new name comes before
 * the old one goes, and as long as both are there nobody is told of the old one: so whoever looks finds exactly one of
 * them, and a crash leaves either the old state or an intent that brings the new one about.
 */
export class MovePlan implements Plan<MoveFields> {
  readonly number = 2
  readonly fields = new Struct(MOVE) as unknown as Struct<Shape>
  readonly steps: readonly Step<MoveFields>[]
  readonly again: (fields: MoveFields, asked: Asked<AnyMethod>) => void
  readonly #serving: Serving
  readonly #dentry = new Dentry()

  constructor(serving: Serving, again: (fields: MoveFields, asked: Asked<AnyMethod>) => void) {
    this.#serving = serving
    this.again = again
    this.steps = [
      {
        ask: (fields, saga) => [putQuestion(serving, fields, saga, 0, 0)],
        conclude: (fields, [answer], waits) => this.#take(fields, answer as Answer, waits),
      },
    ]
  }

  names({ parent, name }: MoveFields): (Name & { readonly isLast: boolean })[] {
    return [{ parent, name, isLast: false }]
  }

  method(): AnyMethod {
    return Rename as unknown as AnyMethod
  }

  reply(): AnyValues {
    return {}
  }

  #take(fields: MoveFields, { result, reply }: Answer, waits: Waits): number {
    if (reply === null) {
      fields.error = -result
      return END
    }
    const { parent, parentGeneration, name, child, childGeneration, flags } = fields
    const other = reply as ReplyOf<typeof DentryPut>
    // Two names of one inode: POSIX says that nothing happens.
    if (other.child === child) return END
    const { share, outgoing } = this.#serving
    const { dentries } = share.meta
    const entry = this.#dentry
    // Nobody else may change the entry as long as its name is held.
    const isThere = dentries.find({ number: parent, generation: parentGeneration }, name, entry)
    if (!isThere || entry.child !== child) {
      fields.error = EIO
      return END
    }
    if (flags !== RENAME_EXCHANGE) dentries.remove(entry)
    else {
      dentries.putChild(entry, name, other.child, other.childGeneration, other.kind)
      outgoing.renamed(other.child, other.childGeneration, waits.add())
    }
    outgoing.renamed(child, childGeneration, waits.add())
    outgoing.entries(parent, parentGeneration, waits.add(unlessGone))
    return END
  }
}

/** What is asked of the member that has the new name. */
export function putQuestion(
  { router }: Serving,
  fields: MoveFields,
  saga: number,
  expected: number,
  links: number,
): Question {
  const { toParent, toParentGeneration, toName, flags, child, childGeneration, kind, seconds, nanoseconds } = fields
  return question(router.ofDentry(toParent, toName), DentryPut, {
    ...{ parent: toParent, parentGeneration: toParentGeneration, name: toName },
    replace: flags === RENAME_NOREPLACE ? KEEP : flags === RENAME_EXCHANGE ? EXCHANGE : REPLACE,
    ...{ child, childGeneration, kind, expected, links, saga, seconds, nanoseconds },
  })
}
