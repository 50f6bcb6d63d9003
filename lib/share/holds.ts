/** Slots of an empty table; always a power of two. */
const SLOTS_MIN = 1024

/**
 * How often the kernel holds each inode: its lookups, which it gives back with FORGET. A held inode that loses its last
 * name lives on until nobody holds it.
 *
 * The kernel may hold millions of inodes, so this is a table of plain numbers (open addressing, at most half full)
 * rather than a Map: 24 to 48 bytes an inode instead of 62, and nothing for the garbage collector to visit. 0 is no
 * inode number and marks a free slot.
 */
export class Holds {
  #inodes = new Float64Array(SLOTS_MIN)
  #counts = new Float64Array(SLOTS_MIN)
  #size = 0

  add(inode: number): void {
    const slot = this.#slotOf(inode)
    if (this.#inodes[slot] === inode) {
      this.#counts[slot] = (this.#counts[slot] as number) + 1
      return
    }
    this.#inodes[slot] = inode
    this.#counts[slot] = 1
    this.#size++
    if (this.#size * 2 > this.#inodes.length) this.#resize(this.#inodes.length * 2)
  }

  /** Gives `count` holds back; true when none is left. */
  drop(inode: number, count: number): boolean {
    const slot = this.#slotOf(inode)
    if (this.#inodes[slot] !== inode) return true
    const left = (this.#counts[slot] as number) - count
    if (left > 0) {
      this.#counts[slot] = left
      return false
    }
    this.#remove(slot)
    this.#size--
    if (this.#size * 8 < this.#inodes.length && this.#inodes.length > SLOTS_MIN) this.#resize(this.#inodes.length / 2)
    return true
  }

  has(inode: number): boolean {
    return this.#inodes[this.#slotOf(inode)] === inode
  }

  get size(): number {
    return this.#size
  }

  /** Where the inode stands, or the free slot where it would. */
  #slotOf(inode: number): number {
    const inodes = this.#inodes
    let slot = homeOf(inode, inodes.length)
    while (inodes[slot] !== inode && inodes[slot] !== 0) slot = (slot + 1) & (inodes.length - 1)
    return slot
  }

  /** Empties a slot and moves up what was pushed behind it, so that every search still ends at a free slot. */
  #remove(slot: number): void {
    const inodes = this.#inodes
    const mask = inodes.length - 1
    let free = slot
    for (let at = (slot + 1) & mask; inodes[at] !== 0; at = (at + 1) & mask) {
      const home = homeOf(inodes[at] as number, inodes.length)
      // It may move only to a slot between its home and where it is.
      if (((at - home) & mask) < ((at - free) & mask)) continue
      inodes[free] = inodes[at] as number
      this.#counts[free] = this.#counts[at] as number
      free = at
    }
    inodes[free] = 0
  }

  #resize(slots: number): void {
    const [inodes, counts] = [this.#inodes, this.#counts]
    this.#inodes = new Float64Array(slots)
    this.#counts = new Float64Array(slots)
    for (let i = 0; i < inodes.length; i++) {
      if (inodes[i] === 0) continue
      const slot = this.#slotOf(inodes[i] as number)
      this.#inodes[slot] = inodes[i] as number
      this.#counts[slot] = counts[i] as number
    }
  }
}

/** Both halves of the number take part: the upper one is a hash already, the lower one counts. */
function homeOf(inode: number, slots: number): number {
  const low = inode % 2 ** 32
  const high = (inode - low) / 2 ** 32
  const mixed = Math.imul(low ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1)
  return (mixed ^ (mixed >>> 15)) & (slots - 1)
}
