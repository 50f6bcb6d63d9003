import fc from 'fast-check'
import t from 'tap'
import { Holds } from '../../lib/share/holds.js'

/** Few numbers that collide, of the kind that inode numbers are. */
const inode = fc.integer({ min: 1, max: 3000 }).map((index) => (index % 5) * 2 ** 40 + index * 1024)

t.test('counts as a map of counts does, while it grows and shrinks', async () => {
  const step = fc.record({ inode, count: fc.integer({ min: -3, max: 2 }) })
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 8000, size: 'max' }), (steps) => {
      const holds = new Holds()
      const model = new Map<number, number>()
      for (const { inode, count } of steps) {
        if (count >= 0) {
          holds.add(inode)
          model.set(inode, (model.get(inode) ?? 0) + 1)
        } else {
          const left = (model.get(inode) ?? 0) + count
          if (left > 0) model.set(inode, left)
          else model.delete(inode)
          if (holds.drop(inode, -count) !== left <= 0) return false
        }
        if (holds.size !== model.size || holds.has(inode) !== model.has(inode)) return false
      }
      return [...model.keys()].every((held) => holds.has(held))
    }),
    { numRuns: 60 },
  )
})

t.test('a million inodes, taken and given back in another order', async (t) => {
  const holds = new Holds()
  const count = 1_000_000
  for (let i = 1; i <= count; i++) holds.add(i * 2 ** 21 + 7)
  t.equal(holds.size, count)
  for (let i = count; i >= 1; i--) if (!holds.drop(i * 2 ** 21 + 7, 1)) t.fail('still held')
  t.equal(holds.size, 0)
  t.notOk(holds.has(2 ** 21 + 7))
})
