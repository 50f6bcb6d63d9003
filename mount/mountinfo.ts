/** The mount table as /proc/self/mountinfo tells it (proc(5)). */
import { readFileSync } from 'node:fs'

export interface MountEntry {
  readonly mountpoint: string
  /** Its device number, as MAJOR:MINOR. */
  readonly device: string
  readonly type: string
  readonly source: string
  /** The file system's own options; of FUSE user_id=, group_id= and the like. */
  readonly options: string
}

/** The type under which every mount of ours stands in the mount table. */
export const mountType = 'fuse.chfs'

/** Pure. Later entries lie on top of earlier ones. */
export function parseMountinfo(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ')
    const [, , device, , mountpoint] = before?.split(' ') ?? []
    const [type, source, options] = after?.split(' ') ?? []
    if (mountpoint === undefined || device === undefined || type === undefined || source === undefined) return []
    return [{ mountpoint: unescaped(mountpoint), device, type, source: unescaped(source), options: options ?? '' }]
  })
}

/** What is mounted exactly at this path, topmost; null where nothing is. */
export function mountedAt(mountpoint: string, entries: readonly MountEntry[] = readMounts()): MountEntry | null {
  return entries.findLast((entry) => entry.mountpoint === mountpoint) ?? null
}

function readMounts(): MountEntry[] {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
}

/** Space, tab, newline and backslash stand there as three octal digits, in UTF-8. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
