/** What chfsctl status shows, and the socket on which it asks. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { EIO, fail } from '../../lib/base/errno.js'
import { PENDING } from '../../lib/ports.js'
import { capacityOf } from '../../mount/capacity.js'
import { formatStatus, type MountStatus } from '../../mount/status.js'
import { askStatus, serveStatus } from '../../mount/status-socket.js'
import { quiet } from '../quiet.js'

const directory = mkdtempSync(join(tmpdir(), 'chfs-status-'))
t.teardown(() => rmSync(directory, { recursive: true }))

const status: MountStatus = {
  mountpoint: '/chfs',
  pid: 12,
  clusterId: 'ab'.repeat(16),
  epoch: 3,
  members: [
    { name: 'node1:7400', id: '1'.repeat(16), state: 'up', isSelf: true },
    { name: 'node10:7400', id: '2'.repeat(16), state: 'suspected', isSelf: false },
    { name: 'node11:7400', id: '3'.repeat(16), state: 'left', isSelf: false },
  ],
  clients: 2,
  capacity: { totalBytes: 3 * 2 ** 40, freeBytes: 2 ** 40, availableBytes: 1023 },
}

t.test('as text', async (t) => {
  t.equal(
    formatStatus(status),
    `/chfs  cluster ${'ab'.repeat(16)}, epoch 3
  node1:7400   up, this node
  node10:7400  suspected
  node11:7400  left
  2 clients
  capacity 3.0 TiB, used 2.0 TiB, available 1023 B`,
  )
  const alone = formatStatus({
    ...status,
    members: [{ name: '', id: '', state: 'up', isSelf: true }],
    clients: 0,
    capacity: null,
  })
  t.match(alone, /epoch 3\n {2}this node, alone {2}up\n {2}capacity unknown: not all members could be asked$/)
})

t.test('capacity', async (t) => {
  const expected = { totalBytes: 8192, freeBytes: 4096, availableBytes: 2048 }
  const fill = (out: object): number => {
    Object.assign(out, { blocks: 4, blocksFree: 2, blocksAvailable: 1, blockBytes: 2048 })
    return 0
  }
  t.strictSame(await capacityOf({ statfs: fill }), expected)
  const late = capacityOf({
    statfs: (out, done) => {
      setTimeout(() => done(fill(out)), 1)
      return PENDING
    },
  })
  t.strictSame(await late, expected)
  t.equal(await capacityOf({ statfs: () => -EIO }), null)
  t.equal(await capacityOf({ statfs: () => fail(EIO) }), null)
  await t.rejects(
    capacityOf({
      statfs: () => {
        throw new TypeError('a bug')
      },
    }),
    /a bug/,
  )
})

t.test('the socket', async (t) => {
  const path = join(directory, 'socket')
  await t.rejects(askStatus(path), { message: /cannot be asked: .*ENOENT/ })
  writeFileSync(path, 'left over')
  let answer = (): Promise<MountStatus> => Promise.resolve(status)
  const server = serveStatus(path, () => answer(), quiet)
  await new Promise((resolve) => server.once('listening', resolve))
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.strictSame(await askStatus(path), status)
  const large = { ...status, members: Array.from({ length: 1024 }, () => status.members[0]) } as MountStatus
  answer = () => Promise.resolve(large)
  t.strictSame(await askStatus(path), large)
  answer = () => Promise.reject(new Error('no'))
  await t.rejects(askStatus(path), { message: 'its process has not answered' })
  await new Promise((resolve) => server.close(resolve))
  t.doesNotThrow(() => serveStatus(join(directory, 'not/there'), () => answer(), quiet), 'a mount does not fail for it')
})

t.test('a process that says nothing', async (t) => {
  const path = join(directory, 'silent')
  const server = createServer(() => undefined)
  await new Promise<void>((done) => server.listen(path, done))
  await t.rejects(askStatus(path), { message: 'its process does not answer' })
  server.close()
})
