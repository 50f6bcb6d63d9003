import fc from 'fast-check'
import t from 'tap'
import { EAGAIN, EDEADLK, EINTR } from '../../lib/base/errno.js'
import { F_RDLCK, F_UNLCK, F_WRLCK, LOCK_END, type Lock, Locks } from '../../lib/share/locks.js'

const BYTES = 12
const INODE = 1

const lockOf = (owner: string, type: number, start = 0, end = LOCK_END): Lock => ({
  owner,
  handle: 0,
  pid: 1,
  type,
  start,
  end,
})

const anyLock = fc
  .record({
    owner: fc.constantFrom('a', 'b', 'c'),
    type: fc.constantFrom(F_RDLCK, F_WRLCK, F_UNLCK),
    start: fc.nat(BYTES - 1),
    length: fc.integer({ min: 1, max: BYTES }),
  })
  .map(({ owner, type, start, length }) => lockOf(owner, type, start, Math.min(start + length, BYTES) - 1))

t.test('locks are what a table of bytes says', async () => {
  fc.assert(
    fc.property(fc.array(anyLock, { maxLength: 30 }), (wanted) => {
      const locks = new Locks(true)
      const table = new Map(['a', 'b', 'c'].map((owner) => [owner, new Array<number>(BYTES).fill(F_UNLCK)]))
      const conflicts = (lock: Lock): boolean =>
        [...table].some(
          ([owner, bytes]) =>
            owner !== lock.owner &&
            bytes
              .slice(lock.start, lock.end + 1)
              .some((type) => type === F_WRLCK || (type === F_RDLCK && lock.type === F_WRLCK)),
        )
      for (const lock of wanted) {
        const refused = lock.type !== F_UNLCK && conflicts(lock)
        if (locks.set(INODE, lock) !== (refused ? -EAGAIN : 0)) return false
        if (!refused) table.get(lock.owner)?.fill(lock.type, lock.start, lock.end + 1)
        for (let at = 0; at < BYTES; at++) {
          for (const type of [F_RDLCK, F_WRLCK]) {
            const probe = lockOf('d', type, at, at)
            if ((locks.test(INODE, probe) !== undefined) !== conflicts(probe)) return false
          }
        }
      }
      for (const owner of table.keys()) locks.releaseOwner(INODE, owner)
      return !locks.has(INODE)
    }),
  )
})

t.test('neighbours of one kind become one lock, and a hole makes two', async (t) => {
  const locks = new Locks(true)
  locks.set(INODE, lockOf('a', F_WRLCK, 0, 3))
  locks.set(INODE, lockOf('a', F_WRLCK, 8, 9))
  locks.set(INODE, lockOf('a', F_WRLCK, 4, 7))
  t.match(locks.test(INODE, lockOf('b', F_RDLCK)), { start: 0, end: 9 })
  locks.set(INODE, lockOf('a', F_UNLCK, 4, 5))
  t.match(locks.test(INODE, lockOf('b', F_RDLCK, 5)), { start: 6, end: 9 })
  t.match(locks.test(INODE, lockOf('b', F_RDLCK)), { start: 0, end: 3 })
})

t.test('who waits is served in order, or interrupted', async (t) => {
  const locks = new Locks(true)
  const served: string[] = []
  const wait = (owner: string, type: number): void =>
    locks.wait(INODE, lockOf(owner, type), owner, (error) => served.push(`${owner} ${error}`))
  locks.set(INODE, lockOf('a', F_WRLCK))
  for (const owner of ['b', 'c', 'd']) wait(owner, F_WRLCK)
  wait('e', F_RDLCK)
  t.ok(locks.interrupt('c'))
  t.notOk(locks.interrupt('c'))
  locks.releaseOwner(INODE, 'a')
  t.strictSame(served, [`c ${-EINTR}`, 'b 0'])
  locks.releaseOwner(INODE, 'b')
  locks.releaseOwner(INODE, 'd')
  t.strictSame(served.slice(2), ['d 0', 'e 0'])
})

t.test('a circle of waiting is an error at once', async (t) => {
  const locks = new Locks(true)
  const results: string[] = []
  const wait = (owner: string, byte: number): void =>
    locks.wait(INODE, lockOf(owner, F_WRLCK, byte, byte), owner, (error) => results.push(`${owner} ${error}`))
  for (const [byte, owner] of ['a', 'b', 'c'].entries()) locks.set(INODE, lockOf(owner, F_WRLCK, byte, byte))
  wait('a', 1)
  wait('b', 2)
  t.strictSame(results, [])
  wait('c', 0)
  t.strictSame(results, [`c ${-EDEADLK}`])
})

t.test('a circle that closes when a lock changes hands is found too', async (t) => {
  const locks = new Locks(true)
  const results: string[] = []
  const wait = (owner: string, start: number, end: number): void =>
    locks.wait(INODE, lockOf(owner, F_WRLCK, start, end), owner, (error) => results.push(`${owner} ${error}`))
  // b waits for a, which holds byte 0, but also for c, which holds byte 1; and c waits for what b holds.
  locks.set(INODE, lockOf('a', F_WRLCK, 0, 0))
  locks.set(INODE, lockOf('c', F_WRLCK, 1, 1))
  locks.set(INODE, lockOf('b', F_WRLCK, 5, 5))
  wait('b', 0, 1)
  wait('c', 5, 5)
  t.strictSame(results, [])
  locks.releaseOwner(INODE, 'a')
  t.strictSame(results, [`b ${-EDEADLK}`], 'b would wait for c, which waits for b')
  locks.releaseOwner(INODE, 'b')
  t.strictSame(results.slice(1), ['c 0'])
})

t.test('flock does not look for circles', async (t) => {
  const locks = new Locks(false)
  const results: number[] = []
  locks.set(1, lockOf('a', F_WRLCK))
  locks.set(2, lockOf('b', F_WRLCK))
  locks.wait(2, lockOf('a', F_WRLCK), 'a', (error) => results.push(error))
  locks.wait(1, lockOf('b', F_WRLCK), 'b', (error) => results.push(error))
  t.strictSame(results, [])
})
