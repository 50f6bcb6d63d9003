/** The file system of several nodes, over simulated ports: what one node has done, every other one sees. */
import t from 'tap'
import { EEXIST, EIO, ENOENT, ENOTEMPTY } from '../../lib/base/errno.js'
import { S_IFDIR, S_IFREG } from '../../lib/base/mode.js'
import { ROOT, SimCluster, type SimNode } from './cluster.js'
import { Prng } from './prng.js'

const caller = { uid: 1, gid: 2, pid: 3, umask: 0 }
const encoder = new TextEncoder()
const named = (text: string) => {
  const bytes = encoder.encode(text)
  return { bytes, offset: 0, length: bytes.length }
}

function make(cluster: SimCluster, node: SimNode, parent: number, name: string, mode: number): number {
  const result = cluster.wait((done) => node.fs.mknod(parent, named(name), mode, 0, caller, done))
  if (result < 0) return result
  node.fs.hold(node.fs.found)
  return node.fs.found.number
}

function find(cluster: SimCluster, node: SimNode, parent: number, name: string): number {
  const result = cluster.wait((done) => node.fs.lookup(parent, named(name), done))
  if (result < 0) return result
  node.fs.hold(node.fs.found)
  return node.fs.found.number
}

function list(cluster: SimCluster, { fs, pool }: SimNode, directory: number): string[] {
  const names: string[] = []
  const slot = pool.acquire()
  const listing = { plus: true, wanted: 4096, at: pool.payloadOf(slot), bytes: pool.payloadBytes }
  for (let cookie = 0, seen = -1; seen !== names.length; ) {
    seen = names.length
    const error = cluster.wait((done) =>
      fs.readdir(
        directory,
        cookie,
        (_child, _kind, next, name) => {
          cookie = next
          names.push(Buffer.from(name.bytes.subarray(name.offset, name.offset + name.length)).toString())
          return true
        },
        listing,
        done,
      ),
    )
    if (error < 0) throw new Error(`readdir: ${error}`)
  }
  pool.release(slot)
  return names.filter((name) => name !== '.' && name !== '..').sort()
}

t.test('three nodes', async (t) => {
  const cluster = new SimCluster(3, new Prng(1))
  const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode]
  const file = make(cluster, a, ROOT, 'file', S_IFREG | 0o644)
  t.ok(file > 0)
  t.equal(find(cluster, b, ROOT, 'file'), file)
  t.equal(find(cluster, c, ROOT, 'none'), -ENOENT)
  t.equal(make(cluster, c, ROOT, 'file', S_IFREG | 0o644), -EEXIST)
  const directory = make(cluster, b, ROOT, 'd', S_IFDIR | 0o755)
  t.equal(find(cluster, a, ROOT, 'd'), directory)
  t.equal(find(cluster, c, ROOT, 'd'), directory)
  const names = Array.from({ length: 100 }, (_, index) => `f${index}`)
  for (const [index, name] of names.entries()) {
    t.ok(make(cluster, cluster.nodes[index % 3] as SimNode, directory, name, S_IFREG | 0o600) > 0)
  }
  for (const node of cluster.nodes) t.strictSame(list(cluster, node, directory), names.toSorted())
  t.equal(
    cluster.wait((done) => a.fs.rmdir(ROOT, named('d'), done)),
    -ENOTEMPTY,
  )
  t.equal(
    cluster.wait((done) => c.fs.getattr(ROOT, done)),
    0,
  )
  t.equal(c.fs.found.nlink, 3)
  for (const [index, name] of names.entries()) {
    const node = cluster.nodes[(index + 1) % 3] as SimNode
    t.equal(
      cluster.wait((done) => node.fs.unlink(directory, named(name), done)),
      0,
    )
  }
  t.equal(
    cluster.wait((done) => a.fs.rmdir(ROOT, named('d'), done)),
    0,
  )
  t.equal(make(cluster, b, directory, 'late', S_IFREG | 0o600), -ENOENT)
  t.equal(
    cluster.wait((done) => c.fs.getattr(ROOT, done)),
    0,
  )
  t.equal(c.fs.found.nlink, 2)
  t.strictSame(cluster.faults, [])
})

for (const [name, timeoutMs] of Object.entries({ soft: 5000, hard: Number.POSITIVE_INFINITY })) {
  t.test(`what lies with a member that has left answers EIO at once, ${name}`, async (t) => {
    const cluster = new SimCluster(2, new Prng(1), timeoutMs)
    const [a, b] = cluster.nodes as [SimNode, SimNode]
    const there = Array.from({ length: 50 }, (_, index) => make(cluster, a, ROOT, `f${index}`, S_IFREG | 0o600)).find(
      (file) => a.node.router.ofInode(file) === b.index,
    ) as number
    a.node.peerLeft(b.index)
    const before = cluster.clock.monotonicMs()
    t.equal(
      cluster.wait((done) => a.fs.getattr(there, done)),
      -EIO,
    )
    t.ok(cluster.clock.monotonicMs() - before < 100)
    t.equal(
      cluster.wait((done) => a.fs.getattr(ROOT, done)),
      0,
    )
  })
}
