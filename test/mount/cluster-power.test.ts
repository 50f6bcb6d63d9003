/**
 * Nodes on disks that lose in a power cut what was not synced, and that can be slow to sync. The test's own process
 * serves these disks, so it never touches a store.
 */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { CutFilesystem } from '../native/cut-filesystem.js'
import { TestCluster } from './cluster.js'
import { O_RDWR } from './constants.js'
import type { Calls, Driver } from './driver.js'
import { until, within } from './harness.js'

const CHUNK = 64 * 1024
const FILES = 9
const ROUNDS = 2
const UNSYNCED = 'x'.repeat(5 * CHUNK)
const LIMIT_MS = 20_000

async function start(t: Test, options: readonly string[]): Promise<[TestCluster, CutFilesystem[]]> {
  const disks = [1, 2, 3].map((seed) => new CutFilesystem(seed + Date.now()))
  t.teardown(async () => {
    for (const disk of disks) await disk.end()
  })
  for (const disk of disks) await disk.start()
  const storeOf = (index: number) => ({ store: join((disks[index] as CutFilesystem).mountpoint, 'store') })
  const cluster = await TestCluster.start(t, 3, { options: ['chunk=64KiB', ...options], storeOf, mayFail: true })
  return [cluster, disks]
}

t.test('CHFS: fsync flushes the buffer of the client, and no server’s', async (t) => {
  const [cluster, disks] = await start(t, ['timeo=60'])
  await cluster.node(0).driver().sys.mkdir('d')
  await cluster.node(0).driver().sys.fsyncPath('.')
  for (let round = 0; round < ROUNDS; round++) {
    const names = Array.from({ length: FILES }, (_, index) => `d/${round}-${index}`)
    await Promise.all(
      names.map(async (name, index) => {
        const { sys } = cluster.node(index % 3).driver()
        await sys.fill(name, (1 + index) * CHUNK + 5, index)
        await sys.fsyncPath(name)
        await sys.put(`${name}.unsynced`, UNSYNCED)
      }),
    )
    await cluster.node(1).driver().sys.fsyncPath('d')
    await cluster.all((node) => node.kill())
    await Promise.all(disks.map((disk) => disk.cut()))
    await cluster.all((node) => node.mount())
    for (const node of cluster.nodes) {
      const { sys } = node.driver()
      const listed = new Set(await sys.list('d'))
      for (const [index, name] of names.entries()) {
        t.ok(listed.has(name.slice(2)), name)
        t.equal((await sys.stat(name)).size, (1 + index) * CHUNK + 5)
        t.ok(await sys.same(name, 0, (1 + index) * CHUNK + 5, index))
      }
      let lost = 0
      for (const name of names) {
        const found = listed.has(`${name.slice(2)}.unsynced`) ? await sys.readAll(`${name}.unsynced`) : ''
        t.match(found, /^[x\0]*$/, 'what was not synced can be read')
        if (found !== UNSYNCED) lost++
      }
      t.ok(lost > 0, `${lost} others have lost something: the power was really off`)
    }
  }
  for (const { errors } of disks) t.strictSame(errors, [])
})

t.test('BenchFS: a slow disk stops the loop, and all that a node serves', async (t) => {
  const [cluster, disks] = await start(t, ['timeo=60'])
  const sys = cluster.node(0).driver().sys
  await sys.mkdir('d')
  const drivers = Array.from({ length: FILES }, (_, index) => cluster.node(index % 3).driver())
  const slow: [Driver, number][] = []
  for (const [index, driver] of drivers.entries()) {
    await driver.sys.fill(`d/slow${index}`, 12 * CHUNK, index)
    await driver.sys.fill(`d/file${index}`, 3 * CHUNK, index)
    slow.push([driver, await driver.sys.open(`d/slow${index}`, O_RDWR)])
  }
  for (const disk of disks) disk.isSlow = true
  const syncs = Promise.all(slow.map(([driver, fd]) => driver.sys.fsync(fd)))
  await until(() => disks.every(({ waits }) => waits > 0), 'each node waits for its disk')
  const goesOn = async (sys: Calls, who: number): Promise<void> => {
    for (let index = 0; index < FILES; index++) {
      t.ok(await sys.same(`d/file${index}`, 0, 3 * CHUNK, index))
      await sys.put(`d/new${who}-${index}`, 'small')
      t.equal(await sys.readAll(`d/new${who}-${index}`), 'small')
      await sys.unlink(`d/new${who}-${index}`)
    }
    t.equal((await sys.list('d')).filter((name) => name.startsWith('file')).length, FILES)
  }
  const others = Promise.all(cluster.nodes.map((node, who) => goesOn(node.driver().sys, who)))
  t.not(await within(LIMIT_MS, others), 'timeout', 'all else goes on')
  t.ok(
    disks.every(({ waits }) => waits > 0),
    'while they wait',
  )
  for (const disk of disks) disk.isSlow = false
  await syncs
})
