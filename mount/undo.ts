/** What was begun, to be ended in the opposite order: where a later step has failed, or when all is over. */
export class Undo {
  readonly #steps: (() => void | Promise<void>)[] = []

  push(step: () => void | Promise<void>): void {
    this.#steps.push(step)
  }

  /** Runs all steps, whatever becomes of them; rejects with the first error. */
  async all(): Promise<void> {
    let failure: unknown
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step()
      } catch (error) {
        failure ??= error
      }
    }
    if (failure !== undefined) throw failure
  }
}
