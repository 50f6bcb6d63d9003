interface Place {
  readonly parent: number
  readonly name: Uint8Array
}

interface Known {
  place: Place
  /** References of the kernel. */
  count: number
}

const keyOf = ({ parent, name }: Place): string => `${parent}/${String.fromCharCode(...name)}`

/**
 * Where the kernel knows each directory that it holds. In its cache a directory has one place. When another node has
 * moved one, whoever finds it in the new place makes the kernel move it there, for which it needs locks that it may not
 * get: a rename(2) that finds it so holds them itself, and says ESTALE for ever. So the old place is to be taken from
 * the kernel before it is told of the new one.
 */
export class DirectoryPlaces {
  readonly #directories = new Map<number, Known>()
  readonly #at = new Map<string, number>()

  /**
   * The kernel is told of a directory in this place, and holds it from then on. Returns the other place where it
   * knew it until now.
   */
  tell(number: number, parent: number, name: Uint8Array): Place | undefined {
    const place = { parent, name }
    const known = this.#directories.get(number)
    if (known === undefined) {
      this.#directories.set(number, { place, count: 1 })
      this.#at.set(keyOf(place), number)
      return undefined
    }
    known.count++
    const old = known.place
    if (keyOf(old) === keyOf(place)) return undefined
    this.#move(number, known, place)
    return old
  }

  /** A rename that the kernel has asked for is done: it moves by itself what it has there. */
  rename(from: Place, to: Place, isExchange: boolean): void {
    const [moved, other] = [this.#at.get(keyOf(from)), this.#at.get(keyOf(to))]
    this.#moveTo(moved, to)
    if (isExchange) this.#moveTo(other, from)
  }

  forget(number: number, count: number): void {
    const known = this.#directories.get(number)
    if (known === undefined) return
    known.count -= count
    if (known.count > 0) return
    this.#directories.delete(number)
    this.#leave(number, known.place)
  }

  #moveTo(number: number | undefined, place: Place): void {
    const known = number === undefined ? undefined : this.#directories.get(number)
    if (number !== undefined && known !== undefined) this.#move(number, known, place)
  }

  #move(number: number, known: Known, place: Place): void {
    this.#leave(number, known.place)
    known.place = place
    this.#at.set(keyOf(place), number)
  }

  /** Another one may have come to the place since. */
  #leave(number: number, place: Place): void {
    const key = keyOf(place)
    if (this.#at.get(key) === number) this.#at.delete(key)
  }
}
