import { EIO } from '../../base/errno.js'
import { EMPTY_RANGE } from '../../base/ids.js'
import type { AnyValues } from '../../rpc/call.js'
import type { AnyMethod, Asked } from '../../rpc/services.js'
import { unlinked } from '../../share/context.js'
import { LINK } from '../../wire/intents.js'
import { MetadataPlace } from '../../wire/methods.js'
import { type Shape, Struct } from '../../wire/struct.js'
import { type Answer, END, type Plan, type Step } from '../plan.js'
import type { Serving } from '../services/serving.js'
import { nameQuestion, type LinkFields } from './link.js'

/** Makes a file whose inode lies here, wherever its name does: first the inode, and without the name it goes again. */
export class PlacementPlan implements Plan<LinkFields> {
  readonly number = 5
  readonly fields = new Struct(LINK) as unknown as Struct<Shape>
  readonly steps: readonly Step<LinkFields>[]
  readonly #serving: Serving
  /** Who has asked for what is being made and has it open already, and under which id. */
  readonly #opened = new Map<number, { asked: Asked<AnyMethod>; id: number }>()

  constructor(serving: Serving) {
    this.#serving = serving
    this.steps = [
      {
        ask: (fields, saga) => [nameQuestion(serving.router, fields, saga)],
        conclude: (fields, [answer]) => this.#end(fields, answer as Answer),
      },
    ]
  }

  /** Whoever has asked for the inode has it open from its beginning. */
  opened(number: number, asked: Asked<AnyMethod>, id: number): void {
    this.#opened.set(number, { asked, id })
  }

  names(): [] {
    return []
  }

  method(): AnyMethod {
    return MetadataPlace as unknown as AnyMethod
  }

  reply({ child, childGeneration, kind }: LinkFields): AnyValues {
    const inode = this.#serving.share.meta.find(child)
    const isThere = inode?.generation === childGeneration
    return { child, childGeneration, kind, inode: isThere ? { ...inode } : null, defaultAcl: EMPTY_RANGE }
  }

  /** No name that it waits for is held by anybody younger, so it never has to make way. */
  again(_: LinkFields, asked: Asked<AnyMethod>): void {
    asked.answer(-EIO, null)
  }

  /** Whoever has given the creation up meanwhile has nothing open. */
  ended({ child }: LinkFields): void {
    if (this.#opened.get(child)?.asked.isGivenUp === true) this.#close(child)
    this.#opened.delete(child)
  }

  #end(fields: LinkFields, { result, reply }: Answer): number {
    if (reply !== null) return END
    const { share } = this.#serving
    const inode = share.meta.inode(fields.child)
    fields.error = -result
    this.#close(fields.child)
    inode.nlink = 0
    share.meta.stamp(inode, false)
    unlinked(share.context, inode)
    return END
  }

  #close(number: number): void {
    const opened = this.#opened.get(number)
    if (opened !== undefined) this.#serving.share.closed(number, opened.asked.member, opened.id)
    this.#serving.turn.endSoon()
  }
}
