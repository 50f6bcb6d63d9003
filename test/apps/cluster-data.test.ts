/** What one node wrote with fio, tar and rsync is verified and compared on others. */
import { clusterTest } from './app.js'
import { list, makeTree, RSYNC, same, TAR } from './archive.js'
import { fioClusterTest } from './fio.js'

fioClusterTest(2)

clusterTest('tar and rsync on one node, compared on others', async (t, [a, b, c]) => {
  const { original, expected } = await makeTree(a, 200)
  const archive = `${a.mount.beside}/there.tar`
  await a.run([...TAR, '-cf', archive, '-C', original, '.'])
  await a.shell('mkdir tar')
  await Promise.all([
    a.run([...TAR, '-xpf', archive, '-C', a.path('tar')]),
    b.run([...RSYNC, `${original}/`, b.path('rsync/')]),
  ])
  await c.run([...TAR, '--compare', '-f', archive, '-C', c.path('tar')])
  same(t, await list(c, c.path('tar')), expected, "one node's archive")
  t.equal(await c.run([...RSYNC, '-i', '--checksum', `${original}/`, c.path('rsync/')]), '', "another's copy")
  same(t, await list(a, a.path('rsync')), expected, 'on the third')
  await Promise.all([b.shell('rm -r tar'), a.shell('rm -r rsync')])
  t.equal(await c.shell('ls -A'), '')
})
