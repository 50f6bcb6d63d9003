import { ALIASES } from '../lib/wire/kernel.js'

/** A name in what the kernel takes for a directory: an inode and which of its aliases. */
export interface Place {
  readonly parent: number
  readonly alias: number
  readonly name: Uint8Array
}

interface Known {
  /** Which alias it has in each of its places. */
  readonly aliases: Map<string, number>
  /** What the kernel was told last. */
  latest: number
  next: number
  /** References of the kernel. */
  count: number
  /** When this kernel has moved it last. */
  movedAt: number
}

const keyOf = ({ parent, alias, name }: Place): string => `${parent}.${alias}/${String.fromCharCode(...name)}`

/**
 * Where the kernel knows each directory that it holds, and as what. In its cache an inode that is a directory has one
 * place. When another node has moved one, whoever finds it in the new place makes the kernel move it there, for which
 * it needs locks that it may not get: a rename(2) that finds it so holds them itself, and says ESTALE for ever. So it
 * is then told of another inode, an *alias* of the same directory, as is what is below; and what it has in the old
 * place dies away. (To have it drop that by a notification is no way: the kernel may wait for a request of ours to do
 * so, and this process could not be killed then.)
 */
export class DirectoryPlaces {
  readonly #directories = new Map<number, Known>()
  readonly #at = new Map<string, number>()
  /** Names that the kernel is about to rename, and by how many requests. */
  readonly #underWay = new Map<string, number>()
  #time = 0

  /** To be given to {@link tell} by a look that begins now. */
  get now(): number {
    return this.#time
  }

  /**
   * The kernel is told of a directory in this place, and holds it from then on. Returns the alias to tell it. A look
   * that began before the kernel has renamed the directory, or while it does, says nothing of other nodes.
   */
  tell(number: number, place: Place, since: number): number {
    const key = keyOf(place)
    let known = this.#directories.get(number)
    if (known === undefined) {
      known = { aliases: new Map(), latest: 0, next: 0, count: 0, movedAt: 0 }
      this.#directories.set(number, known)
    }
    known.count++
    const isNew = !known.aliases.has(key)
    if (isNew && known.next > 0 && this.#isOurs(known, key, since)) return known.latest
    if (isNew) {
      if (known.aliases.size >= ALIASES) this.#leave(number, known)
      this.#put(number, known, key, known.next++ % ALIASES)
    }
    known.latest = known.aliases.get(key) as number
    return known.latest
  }

  /** The kernel is told of a directory where its place is not known, as by "..". */
  tellAgain(number: number): number {
    const known = this.#directories.get(number)
    if (known === undefined) return 0
    known.count++
    return known.latest
  }

  /** The kernel asks for a rename; the result calls for its outcome. It moves by itself what it has there. */
  rename(from: Place, to: Place, isExchange: boolean): (error: number) => void {
    const [old, place] = [keyOf(from), keyOf(to)]
    this.#count(old, 1)
    this.#count(place, 1)
    return (error) => {
      this.#count(old, -1)
      this.#count(place, -1)
      if (error < 0) return
      const [moved, other] = [this.#at.get(old), this.#at.get(place)]
      this.#time++
      const alias = this.#take(moved, old)
      const ofOther = this.#take(other, place)
      this.#bring(moved, place, alias)
      if (isExchange) this.#bring(other, old, ofOther)
    }
  }

  forget(number: number, count: number): void {
    const known = this.#directories.get(number)
    if (known === undefined) return
    known.count -= count
    if (known.count > 0) return
    this.#directories.delete(number)
    this.#leave(number, known)
  }

  #isOurs(known: Known, key: string, since: number): boolean {
    if (known.movedAt > since || this.#underWay.has(key)) return true
    if (this.#underWay.size === 0) return false
    for (const place of known.aliases.keys()) if (this.#underWay.has(place)) return true
    return false
  }

  #count(key: string, change: number): void {
    const count = (this.#underWay.get(key) ?? 0) + change
    if (count === 0) this.#underWay.delete(key)
    else this.#underWay.set(key, count)
  }

  #put(number: number, known: Known, key: string, alias: number): void {
    known.aliases.set(key, alias)
    this.#at.set(key, number)
  }

  #take(number: number | undefined, key: string): number | undefined {
    if (number === undefined) return undefined
    const known = this.#directories.get(number)
    const alias = known?.aliases.get(key)
    known?.aliases.delete(key)
    this.#at.delete(key)
    return alias
  }

  #bring(number: number | undefined, key: string, alias: number | undefined): void {
    const known = number === undefined ? undefined : this.#directories.get(number)
    if (number === undefined || known === undefined || alias === undefined) return
    this.#put(number, known, key, alias)
    known.movedAt = this.#time
  }

  /** Another directory may have come to a place since. */
  #leave(number: number, known: Known): void {
    for (const key of known.aliases.keys()) if (this.#at.get(key) === number) this.#at.delete(key)
    known.aliases.clear()
  }
}
