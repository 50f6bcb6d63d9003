/**
 * Which nodes have which inodes of this share open, each opening by an id that the node gives it: so adding or taking
 * away one twice does it once. An open inode that loses its last name lives on until nobody has it open.
 *
 * After a start of this node what others have open is only known when they have all said so; until then everything
 * counts as open.
 */
export class Opens {
  readonly #inodes = new Map<number, Map<number, Set<number>>>()
  /** Members that have not said yet what they have open. */
  readonly #awaited = new Set<number>()
  /** Called when all of them have. */
  onKnown: () => void = () => undefined

  /** These members may have something open from before. */
  await(members: Iterable<number>): void {
    for (const member of members) this.#awaited.add(member)
  }

  /** False as long as it is not known what members have open. */
  get isKnown(): boolean {
    return this.#awaited.size === 0
  }

  has(inode: number): boolean {
    return !this.isKnown || this.#inodes.has(inode)
  }

  /** The inodes that the member has open. */
  of(member: number): number[] {
    return [...this.#inodes].flatMap(([inode, members]) => (members.has(member) ? [inode] : []))
  }

  add(inode: number, member: number, id: number): void {
    const members = this.#inodes.get(inode) ?? new Map<number, Set<number>>()
    this.#inodes.set(inode, members)
    const ids = members.get(member)
    if (ids === undefined) members.set(member, new Set([id]))
    else ids.add(id)
  }

  /** True where that was the last opening of the inode. */
  remove(inode: number, member: number, id: number): boolean {
    const members = this.#inodes.get(inode)
    const ids = members?.get(member)
    if (members === undefined || ids === undefined || !ids.delete(id)) return false
    if (ids.size === 0) members.delete(member)
    if (members.size > 0) return false
    this.#inodes.delete(inode)
    return true
  }

  /**
   * What the member has open now, and nothing else but those of `kept` that it had; returns the inodes that nobody has
   * open any more.
   */
  replace(member: number, opens: Iterable<readonly [inode: number, id: number]>, kept: ReadonlySet<number>): number[] {
    const before: number[] = []
    for (const [inode, members] of this.#inodes) {
      const ids = members.get(member)
      if (ids === undefined) continue
      for (const id of ids) if (!kept.has(id)) ids.delete(id)
      if (ids.size > 0) continue
      members.delete(member)
      before.push(inode)
      if (members.size === 0) this.#inodes.delete(inode)
    }
    for (const [inode, id] of opens) this.add(inode, member, id)
    if (this.#awaited.delete(member) && this.isKnown) this.onKnown()
    return before.filter((inode) => !this.#inodes.has(inode))
  }
}
