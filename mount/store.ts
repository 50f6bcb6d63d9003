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
import { type Belonging, StoreDirectory } from '../lib/native/store.js'
import { StoreError } from '../lib/native/store-error.js'
import { Ring } from '../lib/native/uring.js'
import type { Clock, Hash32, Log } from '../lib/ports.js'
import { Share } from '../lib/share/share.js'
import type { Superblock } from '../lib/wire/superblock.js'
import { Undo } from './undo.js'

/** Requests that may be under way at once. The memory of a slot is taken only when it is first used. */
const SLOTS = 64

/** Largest READ or WRITE: FUSE's own limit with max_pages 256. */
export const PAYLOAD_BYTES = 1 << 20

/** Permissions of a new store's root directory. */
const ROOT_MODE = 0o755

/** A share of a file system, recovered. */
export interface OpenShare {
  readonly turn: Turn
  readonly share: Share
}

export interface ShareParts {
  readonly hash: Hash32
  readonly pool: MappedPool
  readonly clock: Clock
  /** The root directory lies here. */
  readonly hasRoot: boolean
  /** Members that may have open what lies here. */
  readonly peers: readonly number[]
  readonly log: Log
}

/** A store that is all of a file system. */
export interface OpenStore extends OpenShare {
  readonly fs: Operations
  readonly pool: MappedPool
  readonly clock: SystemClock
  readonly superblock: Superblock
  /** Finishes all work in the background, syncs and closes. */
  close(): Promise<void>
}

/**
 * Opens the store in `directory`, or makes one there, owned by this process's user, with chunks of `chunkBytes` for its
 * new files; recovers from a crash. Throws a {@link StoreError}; then everything is closed again.
 */
export async function openStore(
  directory: string,
  chunkBytes: number,
  log: Log,
  belonging?: Belonging,
): Promise<OpenStore> {
  const undo = new Undo()
  const hash = await loadHash32()
  const store = openDirectory(directory, chunkBytes, belonging, hash, log, undo)
  try {
    const pool = new MappedPool({ count: SLOTS, payloadBytes: PAYLOAD_BYTES })
    const clock = new SystemClock()
    const { turn, share } = await openShare(store, { hash, pool, clock, hasRoot: true, peers: [], log }, undo)
    const { superblock } = store
    return { fs: new Alone(share, pool.memory), turn, share, pool, clock, superblock, close: () => undo.all() }
  } catch (error) {
    await undo
      .all()
      .catch((failure: Error) => log.error({ cause: failure.message }, 'the store was not closed in order'))
    throw error
  }
}

/** The store's directory, locked. `belonging`: of a member; by default of a node that is alone. @throws {StoreError} */
export function openDirectory(
  directory: string,
  chunkBytes: number,
  belonging: Belonging | undefined,
  hash: Hash32,
  log: Log,
  undo: Undo,
): StoreDirectory {
  const store = StoreDirectory.open(directory, chunkBytes, hash, belonging)
  undo.push(() => store.close())
  if (store.wasTorn) log.warn({ store: directory }, 'one of the two copies of the superblock was damaged')
  return store
}

/** What lies in a store, recovered. @throws {StoreError} */
export async function openShare(store: StoreDirectory, parts: ShareParts, undo: Undo): Promise<OpenShare> {
  const { hash, pool, clock, hasRoot, peers, log } = parts
  try {
    const ring = new Ring(pool)
    undo.push(() => new Promise<void>((done) => ring.close(done)))
    const disk = new FileDisk(pool, ring, store.path)
    undo.push(() => disk.end())
    const kv = LmdbKv.open(store.path, clock, log)
    undo.push(() => closeKv(kv))
    const meta = new MetaStore(kv, clock, hash, log)
    await makeWhole(store, kv, meta, hasRoot)
    const share = new Share({ meta, kv, disk, pool, clock, log })
    undo.push(() => new Promise<void>((done) => share.stop(done)))
    await recover(share, peers)
    return { turn: new Turn(meta), share }
  } catch (error) {
    throw StoreError.from(store.path, error)
  }
}

/** Gives a store that is being made the root directory, if that lies here, and says so in its superblock. */
async function makeWhole(store: StoreDirectory, kv: LmdbKv, meta: MetaStore, hasRoot: boolean): Promise<void> {
  const { isWhole, chunkBytes, layout } = store.superblock
  if (isWhole) {
    if (hasRoot && meta.find(ROOT_INODE) === undefined)
      throw new StoreError(store.path, 'damaged', 'its root directory is missing')
    return
  }
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
  if (hasRoot) meta.format(ROOT_MODE, uid, gid, Math.log2(chunkBytes), layout)
  let error = meta.commit()
  if (error === 0) error = await new Promise<number>((done) => kv.sync(done))
  if (error < 0) throw Object.assign(new Error('its root directory could not be written'), { errno: error })
  store.finish()
}

async function recover(share: Share, peers: readonly number[]): Promise<void> {
  const error = await new Promise<number>((done) => share.recover(done, peers))
  if (error < 0) throw Object.assign(new Error('it could not be recovered'), { errno: error })
}

async function closeKv(kv: LmdbKv): Promise<void> {
  const error = await new Promise<number>((done) => kv.close(done))
  if (error < 0) throw new Error(`the metadata store could not be synced: errno ${-error}`)
}
