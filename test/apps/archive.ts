/** A tree with everything that an archiver has to keep, the archivers, and what tells two trees apart. */
import type { Test } from 'tap'
import { type App, REPOSITORY } from './app.js'

const TREE = `${REPOSITORY}/test/apps/tree.py`
export const TAR = ['tar', '--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner', '--sparse', '--format=posix']
export const RSYNC = ['rsync', '-aHAXS', '--numeric-ids']

/** One line of JSON for each file; compared by its differing lines, as the whole is long. */
export const list = (app: App, directory: string): Promise<string> =>
  app.run(['python3', '-B', TREE, 'list', directory])

export function same(t: Test, listed: string, expected: string, what: string): void {
  const lines = (text: string): string[] => text.trim().split('\n')
  const wanted = new Set(lines(expected))
  const got = new Set(lines(listed))
  t.ok(wanted.size > 100, 'the list is not empty')
  const missing = lines(expected).filter((line) => !got.has(line))
  const other = lines(listed).filter((line) => !wanted.has(line))
  t.strictSame({ missing, other }, { missing: [], other: [] }, what)
}

/** With `count` small files in one directory, beside all else. */
export async function makeTree(app: App, count: number): Promise<{ original: string; expected: string }> {
  const original = `${app.mount.beside}/original`
  await app.run(['python3', '-B', TREE, 'make', original, String(count)])
  return { original, expected: await list(app, original) }
}
