/** Names over several nodes: what one node has done, every other one sees. */
import t from 'tap'
import { ENOENT } from '../../lib/base/errno.js'
import { S_IFDIR, S_IFREG } from '../../lib/base/mode.js'
import { NamesClient } from './names-client.js'
import { NamesDriver } from './names-driver.js'
import { NamesWorld, ROOT } from './names-world.js'
import { Prng } from './prng.js'

t.test('a first look', async (t) => {
  const world = new NamesWorld(new Prng(1), { members: 3 })
  const [a, b, c] = world.nodes.map((node) => new NamesClient(world, node)) as [NamesClient, NamesClient, NamesClient]
  const d = a.mknod(ROOT, 'd', S_IFDIR | 0o755)
  t.ok(d > 0)
  const f = b.mknod(ROOT, 'f', S_IFREG | 0o644)
  t.ok(f > 0)
  t.equal(b.lookup(ROOT, 'd'), d)
  t.equal(c.lookup(ROOT, 'd'), d)
  t.equal(b.rename(ROOT, 'f', d, 'g'), 0)
  t.equal(c.lookup(d, 'g'), f)
  t.equal(a.lookup(ROOT, 'f'), -ENOENT)
  t.equal(a.lookup(d, 'g'), f)
  t.equal(a.link(f, ROOT, 'h'), f)
  t.equal(c.mknod(d, 'e', S_IFDIR | 0o755) > 0, true)
  t.equal(c.rename(d, 'e', ROOT, 'e2'), 0)
  t.equal(a.unlink(d, 'g'), 0)
  t.equal(a.rmdir(ROOT, 'd'), 0)
  t.strictSame([...(c.list(ROOT) as Map<string, number>).keys()].sort(), ['e2', 'h'])
  world.settle()
  t.strictSame(world.faults, [])
  t.strictSame(world.audit(), [])
})

t.test('random operations of all nodes, one at a time, are those of the model', async (t) => {
  for (let seed = 1; seed <= 15; seed++) {
    const positions = seed % 2 === 0 ? 16 : 2 ** 32
    const lines: string[] = []
    try {
      const driver = new NamesDriver(seed, { members: 3 + (seed % 3), positions }, (line) => lines.push(line))
      driver.run(400)
      driver.end()
      t.pass(`seed ${seed}`)
    } catch (error) {
      t.fail(`seed ${seed}: ${(error as Error).stack}`, { lines: lines.slice(-30) })
      return
    }
  }
})
