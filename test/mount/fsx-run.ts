import type { Test } from 'tap'
import { type MountSettings, TestMount, twinOf } from './harness.js'

/** Sizes of the file: inline and a bit more, some pages, more than one request. */
const LARGEST = [6000, 100_000, 2_500_000]
const OPERATIONS = [400, 300, 60]

/** Rounds of random operations, with an unmount or a kill -9 between them, until the time is over. */
export async function runFsx(t: Test, seconds: number, settings: MountSettings): Promise<void> {
  const mount = await TestMount.start(t, settings)
  const twin = twinOf(mount, false)
  const seed = Number(process.env['CHFS_TEST_SEED'] ?? Date.now() % 1e9)
  t.comment(`CHFS_TEST_SEED=${seed}`)
  const end = Date.now() + seconds * 1000
  let operations = 0
  for (let round = 0; round === 0 || Date.now() < end; round++) {
    const size = (seed + round) % LARGEST.length
    const name = `fsx${Math.floor(round / 4)}`
    const args = [twin, name, seed + round, LARGEST[size], OPERATIONS[size]]
    operations += (await mount.driver().call('fsx', args, 120_000)) as number
    if (round % 4 === 1) await mount.remount()
    if (round % 4 === 2) await mount.crash()
  }
  t.ok(operations > 0, `${operations} operations`)
}
