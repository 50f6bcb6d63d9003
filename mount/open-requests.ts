/** The requests that wait for others, so that a signal for one of them finds it: by the kernel's name and by slot. */
export class OpenRequests {
  readonly #slots = new Map<string, number>()
  readonly #names: (string | undefined)[] = []

  add(slot: number, unique: string): void {
    this.#slots.set(unique, slot)
    this.#names[slot] = unique
  }

  /** The request in `slot`, if it was added, is answered. */
  remove(slot: number): void {
    const unique = this.#names[slot]
    if (unique === undefined) return
    this.#names[slot] = undefined
    this.#slots.delete(unique)
  }

  slotOf(unique: string): number | undefined {
    return this.#slots.get(unique)
  }
}
