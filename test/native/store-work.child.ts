/**
 * Works on a whole store until it is killed, or looks at what is left:
 * - `work DIRECTORY FROM`: makes files numbered from FROM, changes and removes some; says the number of each that is
 *   safe on the disk.
 * - `check DIRECTORY NUMBER…`: opens the store, and says which of these files are not as they were made.
 */
import { writeSync } from 'node:fs'
import { S_IFREG } from '../../lib/base/mode.js'
import { noChange } from '../../lib/share/attributes.js'
import { type OpenStore, openStore } from '../../mount/store.js'
import { quiet } from '../quiet.js'
import { caller, commit, named, pattern, read, wait, write } from './populate.js'

const [mode, directory, ...words] = process.argv.slice(2) as [string, string, ...string[]]

const SIZES = [100, 3000, 4000, 4001, 20_000, 150_000]
const contentOf = (n: number): Uint8Array => pattern((SIZES[n % SIZES.length] as number) + (n % 97))

async function truncate({ share }: OpenStore, inode: number, size: number): Promise<void> {
  const change = noChange()
  change.size = size
  const setting = wait((done) => share.setattr(inode, change, done))
  share.meta.endTurn()
  await setting
  share.meta.endTurn()
}

/** What may be lost: a file that grows, shrinks, moves and goes. */
async function disturb(store: OpenStore, n: number): Promise<void> {
  const { share } = store
  const inode = share.create.mknod(1, named(`loose ${n}`), S_IFREG | 0o644, 0, caller).number
  commit(store)
  await write(store, inode, contentOf(n))
  await write(store, inode, contentOf(n + 1), 70_000 * (n % 3))
  if (n % 4 === 0) await truncate(store, inode, n % 5000)
  if (n % 4 === 1) share.remove.rename(1, named(`loose ${n}`), 1, named(`moved ${n % 8}`), 0)
  if (n % 4 === 2) share.remove.unlink(1, named(`loose ${n}`))
  commit(store)
}

async function work(from: number): Promise<void> {
  const store = await openStore(directory, 4 << 20, quiet)
  const { share } = store
  for (let n = from; ; n++) {
    const inode = share.create.mknod(1, named(`safe ${n}`), S_IFREG | 0o644, 0, caller).number
    commit(store)
    const content = contentOf(n)
    await write(store, inode, content.subarray(0, content.length >> 1))
    await disturb(store, n)
    await write(store, inode, content.subarray(content.length >> 1), content.length >> 1)
    const syncing = wait((done) => share.fsync(inode, done))
    commit(store)
    if ((await syncing) !== 0) throw new Error('it could not be synced')
    writeSync(1, `${n}\n`)
    await disturb(store, n + 500_000)
  }
}

async function check(): Promise<string[]> {
  const store = await openStore(directory, 4 << 20, quiet)
  const wrong: string[] = []
  for (const n of words.map(Number)) {
    const inode = store.share.lookup(1, named(`safe ${n}`))
    const found = inode === undefined ? null : await read(store, inode.number, 1 << 20)
    if (!found?.equals(contentOf(n))) wrong.push(`${n}: ${found === null ? 'absent' : `${found.length} bytes`}`)
  }
  await store.close()
  return wrong
}

if (mode === 'work') await work(Number(words[0]))
else console.log(JSON.stringify(await check()))
