import type { Test } from 'tap'
import { type MountSettings, TestMount, within } from './harness.js'

const WORKERS = 3

/**
 * Kills the server again and again under a workload that notes what has returned: it must be there after each mount,
 * and fsck must find nothing (see {@link TestMount.crash}).
 */
export async function runCrashes(t: Test, rounds: number, settings: MountSettings): Promise<void> {
  const mount = await TestMount.start(t, settings)
  const seed = Number(process.env['CHFS_TEST_SEED'] ?? Date.now() % 1e9)
  t.comment(`CHFS_TEST_SEED=${seed}`)
  const workers = Array.from({ length: WORKERS }, (_, worker) => [`w${worker}`, `${mount.beside}/log${worker}`])
  let returned = 0
  for (let round = 0; round < rounds; round++) {
    const drivers = workers.map(() => mount.driver())
    await Promise.all(drivers.map((driver) => driver.pid))
    const works = workers.map((names, worker) =>
      drivers[worker]?.call('crash_work', [...names, (seed + round) * WORKERS + worker], 600_000).catch(() => 'ended'),
    )
    // From a moment in the first operations to some thousands of them.
    const early = await within(20 + ((seed + round * 7919) % 100) * (round % 5) * 4, Promise.race(works))
    if (early !== 'timeout') t.fail('a worker ended before the server was killed')
    await mount.crash()
    await Promise.all(works)
    const checker = mount.driver()
    const counts = await Promise.all(workers.map((names) => checker.call('crash_check', names)))
    returned = counts.reduce<number>((sum, count) => sum + (count as number), 0)
  }
  t.ok(returned > 0, `${returned} operations that had returned were all there`)
}
