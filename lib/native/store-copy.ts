/** What fsck reads of a store: a copy of its metadata, since opening that recovers it, and the names of its files. */
import { copyFileSync, mkdtempSync, readdirSync, statfsSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FILES_PER_DIRECTORY } from './disk.js'

/** Recovery may write as much again, and its log. */
const GROWTH = 2
const SPARE_BYTES = 64 << 20

/**
 * A new directory of our own for a copy of the store's metadata: in memory where that takes a quarter of it at most,
 * else in the directory for temporary files.
 */
export function makeCopyDirectory(store: string): string {
  let wanted = SPARE_BYTES
  for (const name of ['data.mdb', 'log.0', 'log.1']) {
    wanted += GROWTH * (statSync(join(store, name), { throwIfNoEntry: false })?.size ?? 0)
  }
  const memory = statfsSync('/dev/shm')
  const fits = wanted * 4 < memory.bavail * memory.bsize
  return mkdtempSync(join(fits ? '/dev/shm' : tmpdir(), 'chfs-fsck-'))
}

/** Copies root, log and data of a store that nobody writes to. */
export function copyMetadata(store: string, to: string): void {
  for (const name of ['root', 'log.0', 'log.1', 'data.mdb']) copyFileSync(join(store, name), join(to, name))
}

/** The ids of the backing files that are there, and the names that are none. */
export function listBackingFiles(store: string): { ids: Set<number>; strange: string[] } {
  const ids = new Set<number>()
  const strange: string[] = []
  const data = join(store, 'data')
  for (const directory of readdirSync(data, { withFileTypes: true })) {
    if (!directory.isDirectory() || !/^(0|[1-9a-f][0-9a-f]*)$/.test(directory.name)) {
      strange.push(`data/${directory.name}`)
      continue
    }
    const base = Number.parseInt(directory.name, 16) * FILES_PER_DIRECTORY
    for (const file of readdirSync(join(data, directory.name), { withFileTypes: true })) {
      if (file.isFile() && /^[0-9a-f]{3}$/.test(file.name)) ids.add(base + Number.parseInt(file.name, 16))
      else strange.push(`data/${directory.name}/${file.name}`)
    }
  }
  return { ids, strange }
}
