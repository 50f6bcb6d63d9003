/** The stressors of stress-ng's class "filesystem", each by itself and verifying what it does. */
import { appTest } from './app.js'

/** What says nothing of this file system, with the cause. */
const EXCLUDED: Readonly<Record<string, string>> = {
  'bind-mount': 'mounts the root directory elsewhere',
  binderfs: 'mounts a file system of its own',
  dup: 'works on /dev/zero',
  eventfd: 'has no file',
  fiemap: 'the kernel has no FIEMAP for FUSE',
  ioprio: 'has no file',
  procfs: 'reads /proc',
  verity: 'the kernel has no fs-verity for FUSE',
}

const INSTANCES = 2
/** What one stressor needs at most beside its time: some remove many files at their end. */
const GRACE_MS = 120_000

/** Each stressor for so many seconds. */
export function stressTest(seconds: number): void {
  appTest('stress-ng', async (t, app) => {
    const listed = await app.shell('stress-ng --class filesystem? 2>&1')
    const stressors = listed.replace(/^.*: /s, '').trim().split(/\s+/)
    t.ok(stressors.length > 40, 'the class has its stressors')
    for (const stressor of stressors) {
      if (stressor in EXCLUDED) continue
      const options = ['--timeout', `${seconds}s`, '--verify', '--temp-path', app.path()]
      const command = ['stress-ng', `--${stressor}`, String(INSTANCES), ...options]
      const { code, stdout, stderr } = await app.start(command, { timeoutMs: seconds * 2000 + GRACE_MS }).ended
      const lines = `${stdout}${stderr}`.split('\n')
      const complaints = lines.filter((line) => /fail:|error:|skipping|skipped: [1-9]/.test(line))
      t.strictSame([code, complaints], [0, []], stressor)
    }
    t.equal(await app.shell('find . -mindepth 1'), '', 'every stressor has removed its files')
  })
}
