import fc from 'fast-check'
import t from 'tap'
import { EIO, fail } from '../../lib/base/errno.js'
import { Gate } from '../../lib/chunk/gate.js'
import { type Done, PENDING } from '../../lib/ports.js'

t.test('an operation that is done at once does not wait', async (t) => {
  const gate = new Gate()
  const late = (): void => void t.fail('called back')
  t.equal(
    gate.run(1, late, () => 5),
    5,
  )
})

t.test('operations on one inode run in order, one at a time, and each is answered once', async () => {
  const step = fc.record({ key: fc.nat(2), isPending: fc.boolean(), fails: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.infiniteStream(fc.nat(100)), (steps, chance) => {
      const gate = new Gate()
      const running = new Map<number, Done>()
      const started: number[][] = [[], [], []]
      const answers = new Map<number, number>()
      const answer = (index: number, result: number): void => {
        if (answers.has(index)) throw new Error('answered twice')
        answers.set(index, result)
      }
      const end = (): void => {
        const keys = [...running.keys()]
        const key = keys[(chance.next().value as number) % keys.length] as number
        const done = running.get(key) as Done
        running.delete(key)
        done(7)
      }
      steps.forEach(({ key, isPending, fails }, index) => {
        const immediate = gate.run(
          key,
          (result) => answer(index, result),
          (done) => {
            if (running.has(key)) throw new Error('two at a time')
            started[key]?.push(index)
            if (fails) fail(EIO)
            if (!isPending) return 5
            running.set(key, done)
            return PENDING
          },
        )
        if (immediate !== PENDING) answer(index, immediate)
        if (running.size > 0 && (chance.next().value as number) % 2 === 0) end()
      })
      while (running.size > 0) end()
      let isIdle = false
      gate.whenIdle(() => {
        isIdle = true
      })
      const inOrder = started.every((indices) =>
        indices.every((index, at) => at === 0 || index > (indices[at - 1] ?? 0)),
      )
      const right = steps.every(
        ({ isPending, fails }, index) => answers.get(index) === (fails ? -EIO : isPending ? 7 : 5),
      )
      return isIdle && inOrder && right
    }),
  )
})
