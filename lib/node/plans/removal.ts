import { EIO, ENOTEMPTY } from '../../base/errno.js'
import { S_IFDIR } from '../../base/mode.js'
import { Dentry } from '../../meta/dentries.js'
import { BURIED, FROZEN } from '../../meta/graves.js'
import type { AnyValues } from '../../rpc/call.js'
import type { AnyMethod, Asked } from '../../rpc/services.js'
import { REMOVAL } from '../../wire/intents.js'
import { DentryPut, DirectoryGrave, MetadataDelete } from '../../wire/methods.js'
import { type Shape, Struct, type Values } from '../../wire/struct.js'
import type { Name } from '../held-names.js'
import { type Answer, END, type Plan, type Question, question, type Step } from '../plan.js'
import type { Serving } from '../services/serving.js'
import { unlessGone, type Waits } from '../waits.js'

type Fields = Values<typeof REMOVAL>

const BURY = 1
const THAW = 2

/**
 * Removes the directory `other`: its entry, which this node has, goes or becomes `child`'s. First the directory is
 * frozen on every member, as each may have entries of it. Only when all say that they have none it goes, and is buried,
 * so that nobody makes an entry in it who has not heard. ENOTEMPTY.
 */
export class RemovalPlan implements Plan<Fields> {
  readonly number = 1
  readonly fields = new Struct(REMOVAL) as unknown as Struct<Shape>
  readonly steps: readonly Step<Fields>[]
  readonly again: (fields: Fields, asked: Asked<AnyMethod>) => void
  readonly #serving: Serving
  readonly #dentry = new Dentry()

  constructor(serving: Serving, again: (fields: Fields, asked: Asked<AnyMethod>) => void) {
    this.#serving = serving
    this.again = again
    const freeze: Step<Fields> = {
      ask: (fields, saga) => this.#everybody(fields, saga, FROZEN),
      conclude: (fields, answers, waits) => this.#decide(fields, answers, waits),
    }
    const bury: Step<Fields> = {
      ask: (fields, saga) => this.#everybody(fields, saga, BURIED),
      conclude: () => END,
      isCertain: true,
    }
    const thaw: Step<Fields> = { ...bury, ask: (fields, saga) => this.#everybody(fields, saga, 0) }
    this.steps = [freeze, bury, thaw]
  }

  names({ parent, name }: Fields): (Name & { readonly isLast: boolean })[] {
    return [{ parent, name, isLast: true }]
  }

  method({ method }: Fields): AnyMethod {
    return (method === DentryPut.number ? DentryPut : MetadataDelete) as unknown as AnyMethod
  }

  reply({ method, other, otherGeneration }: Fields): AnyValues {
    const replaced = { child: other, childGeneration: otherGeneration, kind: S_IFDIR }
    return method === DentryPut.number ? replaced : {}
  }

  #everybody({ other, otherGeneration }: Fields, saga: number, state: number): Question[] {
    const request = { number: other, generation: otherGeneration, state, saga }
    return this.#serving.router.everybody().map((member) => question(member, DirectoryGrave, request))
  }

  #decide(fields: Fields, answers: readonly Answer[], waits: Waits): number {
    const errors = answers.map(({ result }) => -result).filter((error) => error > 0)
    if (errors.length > 0) {
      fields.error = errors.includes(ENOTEMPTY) ? ENOTEMPTY : (errors[0] as number)
      return THAW
    }
    const { share, outgoing } = this.#serving
    const { parent, parentGeneration, name, child, childGeneration, kind, other, otherGeneration, links } = fields
    const { dentries } = share.meta
    const entry = this.#dentry
    // Nobody else may change the entry as long as its name is held.
    const isThere = dentries.find({ number: parent, generation: parentGeneration }, name, entry)
    if (!isThere || entry.child !== other) {
      fields.error = EIO
      return THAW
    }
    if (child === 0) dentries.remove(entry)
    else dentries.putChild(entry, name, child, childGeneration, kind)
    outgoing.subdirectories(parent, parentGeneration, links, waits.add(unlessGone))
    outgoing.unlinked(other, otherGeneration, waits.add())
    return BURY
  }
}
