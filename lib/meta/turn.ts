/** What a turn ends with: the metadata store of this node, where it has one. */
export interface TurnStore {
  /** Something waits to be committed. */
  readonly isOpen: boolean
  /** Commits; 0, or a negative errno, and then none of the turn's changes has happened. */
  endTurn(): number
  /** Makes {@link endTurn} undo everything. */
  spoil(): void
}

/** Nothing to commit: for a node without a share. */
export const NO_STORE: TurnStore = { isOpen: false, endTurn: () => 0, spoil: () => undefined }

/**
 * The turns of the loop. Whatever changes this node's metadata in a turn, be it for its own kernel or for a peer, is
 * committed together at its end, and answered after that.
 */
export class Turn {
  readonly #store: TurnStore
  readonly #defer: (step: () => void) => void
  readonly #listeners: ((failure: number) => void)[] = []
  #isScheduled = false
  #isRunning = false

  /** `defer` runs a step once whoever runs now has returned. */
  constructor(store: TurnStore, defer: (step: () => void) => void = queueMicrotask) {
    this.#store = store
    this.#defer = defer
  }

  get isOpen(): boolean {
    return this.#store.isOpen
  }

  /** Calls `listener` at the end of every turn, with 0 or the errno for which its changes were undone. */
  onEnd(listener: (failure: number) => void): void {
    this.#listeners.push(listener)
  }

  /** Whoever calls this will call {@link end}: until then the turn goes on. */
  begin(): void {
    this.#isRunning = true
  }

  end(): void {
    this.#isRunning = false
    const failure = this.#store.endTurn()
    for (const listener of this.#listeners) listener(failure)
  }

  /** Ends the turn once whoever runs now has returned to the loop, unless somebody else will end it anyway. */
  endSoon(): void {
    if (this.#isRunning || this.#isScheduled) return
    this.#isScheduled = true
    this.#defer(() => {
      this.#isScheduled = false
      this.end()
    })
  }

  /** What an operation that stopped half way has changed cannot be told from the rest, so all of it goes. */
  spoil(): void {
    this.#store.spoil()
  }
}
