/** Many processes on all nodes at once, and whether all agrees in the end. */
import t from 'tap'
import { TestCluster } from './cluster.js'

const PROCESSES = ['p', 'q', 'r', 's', 't', 'u']
const SECONDS = 5

t.test('three nodes', async (t) => {
  const cluster = await TestCluster.start(t, 3, { options: ['chunk=64KiB'] })
  const { sys } = cluster.node(0).driver()
  const everybody = (name: string, argsOf: (who: string) => unknown[]): Promise<unknown[]> =>
    Promise.all(
      PROCESSES.map((who, index) =>
        cluster
          .node(index % 3)
          .driver()
          .call(name, argsOf(who), 120_000),
      ),
    )

  t.test('names in two directories', async (t) => {
    for (const path of ['names', 'names/a', 'names/b']) await sys.mkdir(path)
    const counts = (await everybody('churn', (who) => ['names', who, SECONDS, 3])) as Record<string, number>[]
    for (const action of ['create', 'link', 'rename', 'unlink', 'mkdir', 'rmdir', 'list']) {
      t.ok(
        counts.some((count) => (count[action] ?? 0) > 0),
        `${action} went through`,
      )
    }
    t.equal(await cluster.node(2).driver().call('agree', ['names']), null)
  })

  t.test('appending to one file', async (t) => {
    await everybody('append', (who) => ['log', who, 100])
    for (const node of cluster.nodes) t.equal(await node.driver().call('appended', ['log', PROCESSES, 100]), null)
  })

  t.test('files of their own in one directory', async (t) => {
    await sys.mkdir('own')
    const written = (await everybody('own_files', (who) => ['own', who, who, SECONDS])) as number[]
    t.ok(
      written.every((count) => count > 0),
      `${written} files`,
    )
  })
})
