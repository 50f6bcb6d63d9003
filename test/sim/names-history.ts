/** Whether what concurrent calls have said, and what is there after them, can come from some order of them. */
import type { NamesModel } from './names-model.js'
import { treeOfModel } from './names-tree.js'

/** A call, and when it was under way, in events. */
export interface Call {
  readonly text: string
  /** Does it to a model, where it makes the inode `number`; the errors with which it may fail there, if any. */
  readonly apply: (model: NamesModel, number: number) => readonly number[]
  /** It makes an inode. */
  readonly makes: boolean
  readonly beganAt: number
  /** Infinity: it has never returned. */
  endedAt: number
  /** A number or 0, or a negative errno; undefined: nobody knows, and it may have happened or not. */
  result: number | undefined
  /** It has returned, and may be forgotten all the same: the power has gone. */
  mayBeLost: boolean
}

/**
 * Finds an order in which the calls, one at a time, have these results and end in this tree: the model is that state
 * then. Undefined where there is none. `unclaimed` are inodes that calls may have made of which nobody knows.
 */
export function explain(
  model: NamesModel,
  calls: readonly Call[],
  tree: string,
  unclaimed: readonly number[],
): NamesModel | undefined {
  if (calls.length === 0) return treeOfModel(model).join('\n') === tree ? model : undefined
  const firstEnd = Math.min(...calls.map(({ endedAt }) => endedAt))
  for (const call of calls) {
    const rest = calls.filter((other) => other !== call)
    // Another one had returned before this one began.
    if (call.beganAt > firstEnd) continue
    // Below zero: an inode that nobody has ever seen.
    for (const number of numbersOf(call, unclaimed, -calls.length)) {
      const next = model.copy()
      if (!fits(call, call.apply(next, number))) continue
      const left = unclaimed.filter((other) => other !== number)
      const found = explain(next, rest, tree, left)
      if (found !== undefined) return found
    }
  }
  for (const call of calls) {
    // It has never happened, or nothing is left of it.
    if (call.result !== undefined && !call.mayBeLost) continue
    const rest = calls.filter((other) => other !== call)
    const found = explain(model, rest, tree, unclaimed)
    if (found !== undefined) return found
  }
  return undefined
}

function numbersOf({ makes, result }: Call, unclaimed: readonly number[], unseen: number): readonly number[] {
  if (!makes) return [0]
  return result === undefined ? [...unclaimed, unseen] : [Math.max(result, 0)]
}

function fits({ result }: Call, errors: readonly number[]): boolean {
  if (result === undefined) return errors.length === 0
  return errors.length === 0 ? result >= 0 : errors.includes(-result)
}
