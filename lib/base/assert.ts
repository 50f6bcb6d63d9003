/** Stops the program when an invariant is broken. Never caught: going on would spread the damage. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/** A broken invariant, as opposed to an operating error (which is an FsError). */
export class AssertionError extends Error {
  override name = 'AssertionError'
}
