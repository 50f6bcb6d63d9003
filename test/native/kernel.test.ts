import { stat } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { MOUNT_ENDED, NO_REQUEST } from '../../lib/ports.js'
import { CONTENT, run, TinyFilesystem, until } from './tiny-filesystem.js'

const { EACCES, ENOENT, ENOTCONN } = constants.errno
const FUSE_NOTIFY_INVAL_INODE = 2
const FUSE_NOTIFY_INVAL_ENTRY = 3

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

async function started(test: Test, count?: number): Promise<TinyFilesystem> {
  const filesystem = new TinyFilesystem(count)
  test.teardown(() => filesystem.end())
  await filesystem.start()
  return filesystem
}

t.test('a mounted file is read', async (t) => {
  const filesystem = await started(t)
  const outcome = await filesystem.cat('hello')
  t.match(outcome, { status: 0, stdout: CONTENT })
  const { requests, replies, replyErrors, wakes } = filesystem.kernel.counters()
  t.ok(requests >= 5 && replies >= 5 && wakes >= 1, 'requests are counted')
  t.equal(replyErrors, 0)
})

t.test('a name that is not there has its errno', async (t) => {
  const filesystem = await started(t)
  t.match(await filesystem.cat('nothing'), { status: 1, stderr: /No such file/ })
})

t.test('a request whose slot is released without a reply becomes EIO', async (t) => {
  const filesystem = await started(t)
  filesystem.onOddRead = (slot) => filesystem.kernel.release(slot)
  t.match(await filesystem.cat('odd-1'), { status: 1, stderr: /Input\/output error/ })
  t.match(await filesystem.cat('hello'), { status: 0 }, 'and the mount goes on')
})

t.test('a reply that the kernel refuses becomes EIO', async (t) => {
  const filesystem = await started(t)
  filesystem.onOddRead = (slot) => filesystem.kernel.reply(slot, -5000, 0, 0)
  t.match(await filesystem.cat('odd-1'), { status: 1, stderr: /Input\/output error/ })
  t.equal(filesystem.kernel.counters().replyErrors, 1)
})

t.test('a parked request gives its slot back and is answered later', async (t) => {
  const filesystem = await started(t)
  const tickets: number[] = []
  filesystem.onOddRead = (slot) => tickets.push(filesystem.kernel.park(slot))
  const caller = filesystem.cat('odd-1')
  await until(() => tickets.length === 1)
  t.match(await filesystem.cat('hello'), { status: 0 })
  filesystem.kernel.answer(tickets[0] as number, -EACCES)
  t.match(await caller, { status: 1, stderr: /Permission denied/ })
})

t.test('without a free slot reading stops, and goes on with the next release', async (t) => {
  const filesystem = await started(t, 8)
  const held: number[] = []
  filesystem.onOddRead = (slot) => held.push(slot)
  const callers = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((index) => filesystem.cat(`odd-${index}`))
  await until(() => held.length === 8)
  const { wakes } = filesystem.kernel.counters()
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.ok(filesystem.kernel.counters().wakes <= wakes + 1, 'the loop sleeps meanwhile')
  t.equal(filesystem.kernel.next(), NO_REQUEST)
  for (let index = 0; index < 9; index++) {
    await until(() => held.length > 0)
    filesystem.kernel.reply(held.shift() as number, -EACCES, 0, 0)
  }
  for (const caller of callers) t.match(await caller, { status: 1, stderr: /Permission denied/ })
})

t.test('closing answers held and parked requests with EIO', async (t) => {
  const filesystem = await started(t)
  const held: number[] = []
  const tickets: number[] = []
  filesystem.onOddRead = (slot) => {
    if (held.length === 0) held.push(slot)
    else tickets.push(filesystem.kernel.park(slot))
  }
  const callers = [filesystem.cat('odd-1'), filesystem.cat('odd-2')]
  await until(() => tickets.length === 1)
  filesystem.kernel.close()
  for (const caller of callers) t.match(await caller, { status: 1, stderr: /Input\/output error/ })
  t.equal(filesystem.kernel.next(), MOUNT_ENDED)
  filesystem.kernel.reply(held[0] as number, 0, 0, 0)
  filesystem.kernel.answer(tickets[0] as number, 0)
  t.equal(filesystem.pool.acquire(), held[0], 'a slot comes back only when its holder is done with it')
})

t.test('answerAll answers what is open and the mount goes on', async (t) => {
  const filesystem = await started(t)
  const held: number[] = []
  filesystem.onOddRead = (slot) => held.push(slot)
  const caller = filesystem.cat('odd-1')
  await until(() => held.length === 1)
  filesystem.kernel.answerAll(-EACCES)
  t.match(await caller, { status: 1, stderr: /Permission denied/ })
  filesystem.kernel.release(held[0] as number)
  t.match(await filesystem.cat('hello'), { status: 0 })
})

t.test('an abandoned request is answered at once, and its slot is given back by the reply', async (t) => {
  const filesystem = await started(t)
  const held: number[] = []
  filesystem.onOddRead = (slot) => held.push(slot)
  const caller = filesystem.cat('odd-1')
  await until(() => held.length === 1)
  const [slot] = held as [number]
  filesystem.kernel.abandon(slot, -EACCES)
  filesystem.kernel.abandon(slot, -EACCES)
  t.match(await caller, { status: 1, stderr: /Permission denied/ })
  filesystem.kernel.reply(slot, 0, 0, 0)
  t.equal(filesystem.kernel.counters().replyErrors, 0)
  t.match(await filesystem.cat('hello'), { status: 0 })
})

t.test('notifications are written while the loop goes on', async (t) => {
  const filesystem = await started(t)
  await filesystem.cat('hello')
  const words = new BigUint64Array([2n, 0n, 0n])
  const bytes = new Uint8Array(words.buffer)
  const notify = (code: number, message: Uint8Array): Promise<number> =>
    new Promise((resolve) => filesystem.kernel.notify(code, message, resolve))
  const results = await Promise.all(Array.from({ length: 20 }, () => notify(FUSE_NOTIFY_INVAL_INODE, bytes)))
  t.strictSame(results, new Array(20).fill(0))
  const entry = Buffer.concat([new Uint8Array(new BigUint64Array([1n]).buffer), Buffer.from([5, 0, 0, 0, 0, 0, 0, 0])])
  const named = Buffer.concat([entry, Buffer.from('hello\0')])
  t.ok([0, -2].includes(await notify(FUSE_NOTIFY_INVAL_ENTRY, named)))
  t.equal(await notify(99, bytes), -22, 'an unknown code is refused')
})

/** An INVAL_ENTRY of `hello` in the root. */
function entryMessage(): Uint8Array {
  const header = new Uint8Array(16)
  header[0] = 1
  header[8] = 5
  return Buffer.concat([header, Buffer.from('hello\0')])
}

// While a CREATE is in flight the kernel holds its directory, and a notification about that directory waits. Written by
// the loop's thread it would wait for ever, beyond any signal.
t.test('a notification that waits for a request of ours', async (t) => {
  const filesystem = await started(t)
  const held: number[] = []
  filesystem.onCreate = (slot) => held.push(slot)
  await filesystem.cat('hello')
  const caller = run('touch', [`${filesystem.mountpoint}/new`])
  await until(() => held.length === 1)
  const results: number[] = []
  for (let index = 0; index < 6; index++) {
    filesystem.kernel.notify(FUSE_NOTIFY_INVAL_ENTRY, entryMessage(), (error) => results.push(error))
  }
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.strictSame(results, [], 'it waits')
  t.type(await stat(tmpdir()), 'object', 'and the thread pool still has threads')
  filesystem.kernel.reply(held[0] as number, -EACCES, 0, 0)
  t.match(await caller, { status: 1, stderr: /Permission denied/ })
  await until(() => results.length === 6)
  t.ok(results.every((error) => error === 0 || error === -ENOENT))
})

t.test('closing while a notification waits', async (t) => {
  const filesystem = await started(t)
  const held: number[] = []
  filesystem.onCreate = (slot) => held.push(slot)
  await filesystem.cat('hello')
  const callers = [run('touch', [`${filesystem.mountpoint}/new`])]
  await until(() => held.length === 1)
  callers.push(run('touch', [`${filesystem.mountpoint}/other`]))
  const results: number[] = []
  for (let index = 0; index < 3; index++) {
    filesystem.kernel.notify(FUSE_NOTIFY_INVAL_ENTRY, entryMessage(), (error) => results.push(error))
  }
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.strictSame(results, [])
  filesystem.kernel.close()
  t.match(await callers[0], { status: 1, stderr: /Input\/output error/ })
  t.match(await callers[1], { status: 1 })
  await until(() => results.length === 3)
  t.match(results, [/^(0|-2)$/, -ENOTCONN, -ENOTCONN])
  filesystem.kernel.release(held[0] as number)
})

t.test('nothing is collected while requests are in flight', async (t) => {
  const filesystem = await started(t)
  const held: number[] = []
  filesystem.onOddRead = (slot) => held.push(slot)
  const callers = [1, 2, 3, 4].map((index) => filesystem.cat(`odd-${index}`))
  await until(() => held.length === 4)
  for (let round = 0; round < 5; round++) {
    collectGarbage()
    t.match(await filesystem.cat('hello'), { status: 0, stdout: CONTENT })
  }
  for (const slot of held) filesystem.kernel.reply(slot, -EACCES, 0, 0)
  for (const caller of callers) t.match(await caller, { status: 1, stderr: /Permission denied/ })
})

t.test('unmounting is refused while a file is open', async (t) => {
  const filesystem = await started(t)
  const held: number[] = []
  filesystem.onOddRead = (slot) => held.push(slot)
  const caller = filesystem.cat('odd-1')
  await until(() => held.length === 1)
  t.equal(await filesystem.unmount(), false)
  filesystem.kernel.reply(held[0] as number, -EACCES, 0, 0)
  t.match(await caller, { stderr: /Permission denied/ })
  t.equal(await filesystem.unmount(), true)
  t.equal(await filesystem.unmount(), true, 'twice is once')
  t.match(await filesystem.cat('hello'), { status: 1, stderr: /No such file/ })
})

t.test('an unmount ends the session', async (t) => {
  const filesystem = await started(t)
  await filesystem.cat('hello')
  t.equal(await filesystem.unmount(), true)
  await until(() => filesystem.ended)
  t.equal(filesystem.kernel.next(), MOUNT_ENDED)
})

t.test('every method before the start', async (t) => {
  const filesystem = new TinyFilesystem()
  t.teardown(() => filesystem.end())
  const { kernel } = filesystem
  t.equal(kernel.next(), NO_REQUEST)
  for (const method of [
    () => kernel.reply(0, 0, 0, 0),
    () => kernel.release(0),
    () => kernel.park(0),
    () => kernel.answer(0, 0),
  ]) {
    t.throws(method, /has not started/)
  }
  kernel.answerAll(-5)
  t.equal(await new Promise((resolve) => kernel.notify(2, new Uint8Array(24), resolve)), -ENOTCONN)
  t.strictSame(kernel.counters(), { requests: 0, replies: 0, replyErrors: 0, wakes: 0 })
  kernel.close()
  t.equal(kernel.next(), MOUNT_ENDED)
})

t.test('every method after the end', async (t) => {
  const filesystem = await started(t)
  await filesystem.cat('hello')
  const { kernel } = filesystem
  kernel.close()
  kernel.close()
  t.equal(kernel.next(), MOUNT_ENDED)
  kernel.reply(0, 0, 0, 0)
  kernel.release(0)
  kernel.park(0)
  kernel.answer(0, 0)
  kernel.answerAll(-5)
  t.equal(await new Promise((resolve) => kernel.notify(2, new Uint8Array(24), resolve)), -ENOTCONN)
  t.ok(kernel.counters().requests > 0)
})
