/** Lets in one at a time, in the order in which they came. */
export class Line {
  readonly #waiting: (() => void)[] = []
  #isBusy = false

  /** Calls `go` when it is its turn, at once if nobody is before it; {@link leave} ends the turn. */
  enter(go: () => void): void {
    if (this.#isBusy) {
      this.#waiting.push(go)
      return
    }
    this.#isBusy = true
    go()
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#isBusy = false
    else next()
  }
}
