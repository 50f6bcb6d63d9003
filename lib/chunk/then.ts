import { caught } from '../base/errno.js'
import { type Done, PENDING } from '../ports.js'

/** A step that may have to wait: its result, or PENDING and later a call of `done`. */
export type Step = (done: Done) => number

/** Runs `second` after `first` has succeeded; the result of the last one that ran. What they throw becomes a result. */
export function then(first: Step, second: Step, done: Done): number {
  const result = caught(() =>
    first((late) => {
      const next = late < 0 ? late : caught(() => second(done))
      if (next !== PENDING) done(next)
    }),
  )
  return result === PENDING || result < 0 ? result : caught(() => second(done))
}

/** Runs `step`, and `end` with its result, at once or later; the result is what `end` makes of it. */
export function ending(step: Step, end: (result: number) => number, done: Done): number {
  const finish = (result: number): number => caught(() => end(result))
  const result = caught(() => step((late) => done(finish(late))))
  return result === PENDING ? PENDING : finish(result)
}

/** Runs what calls back at once or later; its result, or PENDING and `done` gets it later. */
export function sooner(done: Done, run: (finish: Done) => void): number {
  let result = PENDING
  let hasReturned = false
  run((late) => {
    if (hasReturned) done(late)
    else result = late
  })
  hasReturned = true
  return result
}
