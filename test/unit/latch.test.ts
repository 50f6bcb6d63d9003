import fc from 'fast-check'
import t from 'tap'
import { EAGAIN, EIO, fail } from '../../lib/base/errno.js'
import { Latch } from '../../lib/node/latch.js'
import { type Done, PENDING } from '../../lib/ports.js'

const never: Done = () => {
  throw new Error('called back')
}

t.test('what is done at once does not wait', async (t) => {
  const latch = new Latch()
  t.equal(
    latch.shared(1, never, () => 5),
    5,
  )
  t.equal(
    latch.exclusive(1, never, () => fail(EIO)),
    -EIO,
  )
  t.equal(
    latch.exclusive(1, never, () => 6),
    6,
  )
})

t.test('a step that comes back to its own inode waits for itself', async (t) => {
  const latch = new Latch()
  const order: string[] = []
  const result = latch.exclusive(1, never, () => {
    const inner = latch.shared(
      1,
      (late) => order.push(`inner ${late}`),
      () => 2,
    )
    order.push(`asked ${inner === PENDING}`)
    return 1
  })
  t.equal(result, 1)
  t.strictSame(order, ['asked true', 'inner 2'])
})

interface Plan {
  readonly key: number
  readonly isExclusive: boolean
  readonly isPending: boolean
  readonly fails: boolean
}

/** Runs a plan; `chance` says which of the steps under way ends next. Throws where the latch breaks a promise. */
function run(plan: readonly Plan[], chance: () => number): void {
  const latch = new Latch()
  const running: { index: number; done: Done }[] = []
  const started: number[] = []
  const answers = new Map<number, number>()
  const answer = (index: number, result: number): void => {
    if (answers.has(index)) throw new Error('answered twice')
    answers.set(index, result)
  }
  const endOne = (): void => {
    const [one] = running.splice(chance() % running.length, 1)
    one?.done(7)
  }
  plan.forEach(({ key, isExclusive, isPending, fails }, index) => {
    const step = (done: Done): number => {
      const others = running.filter((other) => plan[other.index]?.key === key)
      const isAlone = others.every((other) => !isExclusive && plan[other.index]?.isExclusive === false)
      if (!isAlone) throw new Error('two that exclude each other')
      for (const earlier of started) if (earlier > index && plan[earlier]?.key === key) throw new Error('overtaken')
      started.push(index)
      if (fails) fail(EIO)
      if (!isPending) return 5
      running.push({ index, done })
      return PENDING
    }
    const done = (result: number): void => answer(index, result)
    const result = isExclusive ? latch.exclusive(key, done, step) : latch.shared(key, done, step)
    if (result !== PENDING) answer(index, result)
    if (running.length > 0 && chance() % 3 === 0) endOne()
  })
  while (running.length > 0) endOne()
  plan.forEach(({ isPending, fails }, index) => {
    const expected = fails ? -EIO : isPending ? 7 : 5
    if (answers.get(index) !== expected) throw new Error(`step ${index} was answered ${answers.get(index)}`)
  })
}

t.test('whatever comes: in order, side by side where it may, each answered once', async () => {
  const step = fc.record({ key: fc.nat(1), isExclusive: fc.boolean(), isPending: fc.boolean(), fails: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.infiniteStream(fc.nat(100)), (plan, stream) => {
      run(plan, () => stream.next().value as number)
    }),
    { numRuns: 1000 },
  )
})

t.test('those that share run side by side', async (t) => {
  const latch = new Latch()
  let running = 0
  for (let i = 0; i < 3; i++) {
    latch.shared(1, never, () => {
      running++
      return PENDING
    })
  }
  t.equal(running, 3)
})

t.test('what may not wait is refused, but by those only that it cannot share with', async (t) => {
  const latch = new Latch()
  const held: Done[] = []
  const hold = (done: Done): number => {
    held.push(done)
    return PENDING
  }
  const order: string[] = []
  const now = (): number => latch.sharedNow(1, never, () => 3)
  t.equal(now(), 3)
  t.equal(
    latch.shared(1, () => order.push('shared'), hold),
    PENDING,
  )
  t.equal(now(), 3)
  t.equal(
    latch.exclusive(1, () => order.push('exclusive'), hold),
    PENDING,
  )
  t.equal(now(), -EAGAIN, 'one waits that needs it for itself')
  held.shift()?.(0)
  t.equal(now(), -EAGAIN, 'it has it')
  for (const name of ['first', 'second']) {
    latch.shared(
      1,
      () => order.push(`${name} ${now()}`),
      () => 0,
    )
  }
  held.shift()?.(0)
  t.strictSame(order, ['shared', 'exclusive', 'first 3', 'second 3'])
})
