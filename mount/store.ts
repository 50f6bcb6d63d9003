/** A node's store, open: the ports that a file system stands on, over this machine. */

import { ROOT_INODE } from '../lib/base/ids.js'
import { Alone } from '../lib/fs/alone.js'
import type { Operations } from '../lib/fs/operations.js'
import { MetaStore } from '../lib/meta/store.js'
import { Turn } from '../lib/meta/turn.js'
import { SystemClock } from '../lib/native/clock.js'
import { FileDisk } from '../lib/native/disk.js'
import { loadHash32 } from '../lib/native/hash.js'
import { LmdbKv } from '../lib/native/kv.js'
import { MappedPool } from '../lib/native/pool.js'
import { StoreDirectory } from '../lib/native/store.js'
import { StoreError } from '../lib/native/store-error.js'
import { Ring } from '../lib/native/uring.js'
import type { Log } from '../lib/ports.js'
import { Share } from '../lib/share/share.js'
import type { Superblock } from '../lib/wire/superblock.js'

/** Requests that may be under way at once. The memory of a slot is taken only when it is first used. */
const SLOTS = 64

/** Largest READ or WRITE: FUSE's own limit with max_pages 256. */
const PAYLOAD_BYTES = 1 << 20

/** Permissions of a new store's root directory. */
const ROOT_MODE = 0o755

export interface OpenStore {
  readonly fs: Operations
  readonly turn: Turn
  readonly share: Share
  readonly pool: MappedPool
  readonly superblock: Superblock
  /** Finishes all work in the background, syncs and closes. */
  close(): Promise<void>
}

/**
 * Opens the store in `directory`, or makes one there, owned by this process's user, with chunks of `chunkBytes` for its
 * new files; recovers from a crash. Throws a {@link StoreError}; then everything is closed again.
 */
export async function openStore(directory: string, chunkBytes: number, log: Log): Promise<OpenStore> {
  const hash = await loadHash32()
  const store = StoreDirectory.open(directory, chunkBytes, hash)
  if (store.wasTorn) log.warn({ store: directory }, 'one of the two copies of the superblock was damaged')
  const undo: (() => void | Promise<void>)[] = [() => store.close()]
  const close = async (): Promise<void> => {
    let failure: unknown
    for (const step of undo.splice(0).reverse()) {
      try {
        await step()
      } catch (error) {
        failure ??= error
      }
    }
    if (failure !== undefined) throw failure
  }
  try {
    const pool = new MappedPool({ count: SLOTS, payloadBytes: PAYLOAD_BYTES })
    const ring = new Ring(pool)
    undo.push(() => new Promise<void>((done) => ring.close(done)))
    const clock = new SystemClock()
    const disk = new FileDisk(pool, ring, directory)
    undo.push(() => disk.end())
    const kv = LmdbKv.open(directory, clock, log)
    undo.push(() => closeKv(kv))
    const meta = new MetaStore(kv, clock, hash, log)
    await makeWhole(store, kv, meta)
    const share = new Share({ meta, kv, disk, pool, clock, log })
    undo.push(() => new Promise<void>((done) => share.stop(done)))
    await recover(share)
    return { fs: new Alone(share, pool.memory), turn: new Turn(meta), share, pool, superblock: store.superblock, close }
  } catch (error) {
    await close().catch((failure: Error) => log.error({ cause: failure.message }, 'the store was not closed in order'))
    throw StoreError.from(directory, error)
  }
}

/** Gives a store that is being made its root directory, and says so in its superblock. */
async function makeWhole(store: StoreDirectory, kv: LmdbKv, meta: MetaStore): Promise<void> {
  const { isWhole, chunkBytes } = store.superblock
  if (isWhole) {
    if (meta.find(ROOT_INODE) === undefined)
      throw new StoreError(store.path, 'damaged', 'its root directory is missing')
    return
  }
  meta.format(ROOT_MODE, process.getuid?.() ?? 0, process.getgid?.() ?? 0, Math.log2(chunkBytes))
  let error = meta.commit()
  if (error === 0) error = await new Promise<number>((done) => kv.sync(done))
  if (error < 0) throw Object.assign(new Error('its root directory could not be written'), { errno: error })
  store.finish()
}

async function recover(share: Share): Promise<void> {
  const error = await new Promise<number>((done) => share.recover(done))
  if (error < 0) throw Object.assign(new Error('it could not be recovered'), { errno: error })
}

async function closeKv(kv: LmdbKv): Promise<void> {
  const error = await new Promise<number>((done) => kv.close(done))
  if (error < 0) throw new Error(`the metadata store could not be synced: errno ${-error}`)
}
