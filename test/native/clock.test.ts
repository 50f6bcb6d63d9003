import t from 'tap'
import { SystemClock } from '../../lib/native/clock.js'
import { SystemRandom } from '../../lib/native/random.js'

const clock = new SystemClock()

t.test('the wall clock stands still between readings', async (t) => {
  const { seconds, nanoseconds } = clock
  t.ok(Math.abs(seconds - Date.now() / 1000) < 5)
  await new Promise((resolve) => setTimeout(resolve, 5))
  t.strictSame([clock.seconds, clock.nanoseconds], [seconds, nanoseconds])
  clock.readRealtime()
  t.ok((clock.seconds - seconds) * 1e9 + clock.nanoseconds - nanoseconds >= 4e6)
})

t.test('the monotonic clock', async (t) => {
  const before = clock.monotonicMs()
  await new Promise((resolve) => setTimeout(resolve, 10))
  const passed = clock.monotonicMs() - before
  t.ok(passed > 8 && passed < 2000, `${passed} ms`)
})

t.test('a timer fires once, unless it is cancelled', async (t) => {
  const fired: string[] = []
  clock.after(1, () => fired.push('kept'))
  const cancel = clock.after(1, () => fired.push('cancelled'))
  cancel()
  await new Promise((resolve) => setTimeout(resolve, 30))
  cancel()
  t.strictSame(fired, ['kept'])
})

t.test('randomness', async (t) => {
  const random = new SystemRandom()
  const numbers = Array.from({ length: 5000 }, () => random.uint32())
  t.ok(numbers.every((number) => Number.isInteger(number) && number >= 0 && number < 2 ** 32))
  t.ok(new Set(numbers).size > 4990)
  t.ok(Math.abs(numbers.reduce((sum, number) => sum + number, 0) / 5000 / 2 ** 31 - 1) < 0.1)
})
