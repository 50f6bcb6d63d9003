/** What becomes of calls whose store fails: they give EIO, and nothing of them is seen. */
import t from 'tap'
import { EIO } from '../../lib/base/errno.js'
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
