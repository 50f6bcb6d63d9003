/** A store with one of everything in it, for the tests that look at stores from outside. */
import { S_IFDIR, S_IFREG } from '../../lib/base/mode.js'
import { noChange } from '../../lib/share/attributes.js'
import { type Done, PENDING } from '../../lib/ports.js'
import type { OpenStore } from '../../mount/store.js'

export const caller = { uid: 1000, gid: 100, pid: 1, umask: 0o022 }

export const named = (text: string): { bytes: Uint8Array; offset: number; length: number } => {
  const bytes = new TextEncoder().encode(text)
  return { bytes, offset: 0, length: bytes.length }
}

export function wait(operation: (done: Done) => number): Promise<number> {
  return new Promise((resolve) => {
    const result = operation(resolve)
    if (result !== PENDING) resolve(result)
  })
}

export interface Population {
  directory: number
  below: number
  inline: number
  backed: number
  link: number
  orphan: number
}

/** Bytes that say where they stand. */
export function pattern(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, at) => (at * 31 + (at >> 8) * 7) & 255)
}

export async function write(store: OpenStore, inode: number, data: Uint8Array, offset = 0): Promise<void> {
  const slot = store.pool.acquire()
  const at = slot * store.pool.stride + 4096
  store.pool.memory.set(data, at)
  const writing = wait((done) => store.share.write(inode, at, data.length, offset, false, done))
  // What has to wait may wait for the turn's commit.
  commit(store)
  const written = await writing
  store.pool.release(slot)
  if (written !== data.length) throw new Error(`${written} of ${data.length} bytes written`)
  commit(store)
}

export async function read(store: OpenStore, inode: number, bytes: number, offset = 0): Promise<Buffer> {
  const slot = store.pool.acquire()
  const at = slot * store.pool.stride + 4096
  const reading = wait((done) => store.share.read(inode, at, bytes, offset, done))
  commit(store)
  const got = await reading
  const copy = Buffer.from(store.pool.memory.subarray(at, at + Math.max(0, got)))
  store.pool.release(slot)
  if (got < 0) throw new Error(`errno ${-got}`)
  return copy
}

export function commit({ share }: OpenStore): void {
  const error = share.meta.endTurn()
  if (error < 0) throw new Error(`the turn failed: errno ${-error}`)
}

export async function populate(store: OpenStore): Promise<Population> {
  const { share } = store
  const make = (parent: number, name: string, mode: number): number => {
    return share.create.mknod(parent, named(name), mode, 0, caller).number
  }
  const directory = make(1, 'directory', S_IFDIR | 0o755)
  const below = make(directory, 'below', S_IFDIR | 0o700)
  const inline = make(directory, 'inline', S_IFREG | 0o644)
  const backed = make(below, 'größer', S_IFREG | 0o600)
  make(1, 'fifo', 0o010644)
  make(1, 'empty', S_IFREG | 0o644)
  const link = share.create.symlink(1, named('link'), named('directory/inline'), caller).number
  share.create.link(inline, 1, named('second name'))
  share.xattrs.set(inline, named('user.color'), named('blue'), 0, false)
  share.xattrs.set(directory, named('trusted.a'), named(''), 0, false)
  commit(store)
  await write(store, inline, pattern(1000))
  await write(store, backed, pattern(100_000))
  await write(store, backed, pattern(5), 5_000_000)
  for (let i = 0; i < 300; i++) make(below, `file ${i}`, S_IFREG | 0o644)
  commit(store)
  const removed = make(1, 'removed', S_IFREG | 0o644)
  commit(store)
  await write(store, removed, pattern(9000))
  share.remove.unlink(1, named('removed'))
  const orphan = share.create.tmpfile(1, S_IFREG | 0o600, caller).number
  share.hold(orphan)
  const change = noChange()
  change.size = 70_000
  const setting = wait((done) => share.setattr(backed, change, done))
  commit(store)
  await setting
  commit(store)
  return { directory, below, inline, backed, link, orphan }
}
