/** The kernel's own mount options: their names, their bits in mount(2), and what takes them back. */

export type KernelFlag =
  | 'ro'
  | 'nosuid'
  | 'nodev'
  | 'noexec'
  | 'sync'
  | 'dirsync'
  | 'noatime'
  | 'nodiratime'
  | 'relatime'

interface KernelFlagFacts {
  /** MS_… of mount(2). */
  readonly bit: number
  readonly opposite: string
  /** Flags that cannot stand beside this one: the later option wins. */
  readonly excludes: readonly KernelFlag[]
}

export const kernelFlags: ReadonlyMap<KernelFlag, KernelFlagFacts> = new Map([
  ['ro', { bit: 1, opposite: 'rw', excludes: [] }],
  ['nosuid', { bit: 2, opposite: 'suid', excludes: [] }],
  ['nodev', { bit: 4, opposite: 'dev', excludes: [] }],
  ['noexec', { bit: 8, opposite: 'exec', excludes: [] }],
  ['sync', { bit: 16, opposite: 'async', excludes: [] }],
  ['dirsync', { bit: 128, opposite: 'nodirsync', excludes: [] }],
  ['noatime', { bit: 1024, opposite: 'atime', excludes: ['relatime'] }],
  ['nodiratime', { bit: 2048, opposite: 'diratime', excludes: [] }],
  ['relatime', { bit: 2 ** 21, opposite: 'atime', excludes: ['noatime'] }],
])

/** The flags argument of mount(2). */
export function kernelFlagBits(flags: readonly KernelFlag[]): number {
  let bits = 0
  for (const flag of flags) bits |= kernelFlags.get(flag)?.bit ?? 0
  return bits
}
