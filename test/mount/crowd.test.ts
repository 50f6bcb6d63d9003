/** Many processes and threads at once, and whether all agrees in the end. */
import t from 'tap'
import { TestMount } from './harness.js'

const PROCESSES = ['p', 'q', 'r', 's']
const SECONDS = 5

const passes: Record<string, Record<string, string>> = {
  "this kernel's protocol": {},
  'open files and locks kept by the node': { CHFS_TEST_KEEPER: 'node' },
}

for (const [pass, environment] of Object.entries(passes)) {
  t.test(pass, async (t) => {
    const mount = await TestMount.start(t, { environment })
    const { sys } = mount.driver()
    const everybody = (name: string, argsOf: (who: string) => unknown[]): Promise<unknown[]> =>
      Promise.all(PROCESSES.map((who) => mount.driver().call(name, argsOf(who), 120_000)))

    t.test('names in two directories', async (t) => {
      for (const path of ['names', 'names/a', 'names/b']) await sys.mkdir(path)
      const counts = (await everybody('churn', (who) => ['names', who, SECONDS])) as Record<string, number>[]
      for (const action of ['create', 'link', 'rename', 'unlink', 'mkdir', 'rmdir', 'list']) {
        t.ok(
          counts.some((count) => (count[action] ?? 0) > 0),
          `${action} went through`,
        )
      }
      t.equal(await mount.driver().call('agree', ['names']), null)
    })

    t.test('appending to one file', async (t) => {
      await everybody('append', (who) => ['log', who, 300])
      t.equal(await mount.driver().call('appended', ['log', PROCESSES, 300]), null)
      await mount.remount()
      t.equal(await mount.driver().call('appended', ['log', PROCESSES, 300]), null)
    })

    t.test('files of their own in one directory', async (t) => {
      await mount.driver().sys.mkdir('own')
      const written = (await everybody('own_files', (who) => ['own', who, who, SECONDS])) as number[]
      t.ok(
        written.every((count) => count > 0),
        `${written} files`,
      )
    })
  })
}
