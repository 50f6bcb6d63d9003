/** What becomes of calls whose store fails: they give EIO, and nothing of them is seen. */
import t from 'tap'
import { EIO, ENOSPC } from '../../lib/base/errno.js'
import { Scene } from './cluster-data-scene.js'

// The node of the inode went on reading up to the size that its own answer had told it, which was undone.
t.test('a write whose size cannot be committed is not read, also on the node of the inode', async (t) => {
  const scene = new Scene(1)
  const { owner, others } = scene
  const [other] = others as [Scene['owner']]
  const at = scene.at(other)
  t.equal(scene.write(other, 0, 'begin'), 5)
  t.equal(scene.write(other, at, 'x'), 1)
  t.equal(scene.write(owner, at, 'yz'), 2)
  owner.kv.faults.failCommit = true
  t.equal(scene.write(owner, at + 2, 'lost'), -EIO)
  t.notOk(owner.kv.faults.failCommit)
  t.equal(scene.size(other), at + 2)
  t.equal(scene.read(owner, at, 6), 'yz')
  t.equal(scene.read(other, at, 6), 'yz')
})

// It looked for its part, to tell how much that had grown, and said ESTALE of a file that its caller had open.
t.test('a write of which a part cannot be committed says why', async (t) => {
  for (const error of [-EIO, -ENOSPC]) {
    for (let seed = 1; seed < 20; seed++) {
      const scene = new Scene(seed)
      const { owner, others } = scene
      const [other, writer] = others as [Scene['owner'], Scene['owner']]
      const at = scene.at(other)
      const { kv } = other
      const commit = kv.commit.bind(kv)
      let failures = 0
      kv.commit = () => {
        if (!kv.isOpen || failures > 0 || other.share.meta.find(scene.number) === undefined) return commit()
        failures++
        kv.abort()
        return error
      }
      const both = [scene.startWrite(writer, at, 'ab'), scene.startWrite(writer, at + 1, 'yz')]
      const results = both.map((running) => scene.end(running).result)
      t.equal(failures, 1)
      t.ok(results.every((result) => result === error || result === 2) && results.includes(error), `${results}`)
      t.equal(scene.write(writer, at, 'xyz'), 3)
      t.equal(scene.read(owner, at, 5), 'xyz')
    }
  }
})
