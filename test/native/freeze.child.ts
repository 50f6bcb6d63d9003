/**
 * Makes test/frozen/store-N.tar.gz, once for each version N of the format, when that is finished:
 * `node dist/test/native/freeze.child.js FILE`. It is a store as a kill leaves it, so that its log has to be replayed.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { openStore } from '../../mount/store.js'
import { quiet } from '../quiet.js'
import { copyStore } from './kv-bench.js'
import { populate } from './populate.js'

const directory = mkdtempSync('/dev/shm/chfs-test-freeze-')
const live = join(directory, 'live')
const store = await openStore(live, 1 << 20, quiet)
await populate(store)
const killed = copyStore(live, join(directory, 'store'))
for (const name of ['superblock', 'lock', 'data']) cpSync(join(live, name), join(killed, name), { recursive: true })
await store.close()
const file = resolve(process.argv[2] as string)
execFileSync('tar', ['--sparse', '--owner=0', '--group=0', '-C', directory, '-I', 'gzip -9n', '-cf', file, 'store'])
rmSync(directory, { recursive: true })
