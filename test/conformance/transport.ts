import type { Test } from 'tap'
import { ECANCELED, ECONNRESET, EMSGSIZE } from '../../lib/base/errno.js'
import { MESSAGE_HEAD_BYTES_MAX } from '../../lib/base/limits.js'
import { OPERATION, type Station } from './station.js'

/** A station, perhaps of another process. */
export type StationHandle = Pick<
  Station,
  | 'address'
  | 'expect'
  | 'connect'
  | 'close'
  | 'end'
  | 'news'
  | 'free'
  | 'takeSlots'
  | 'giveSlots'
  | 'scribble'
  | 'answerHeld'
  | 'ask'
  | 'start'
  | 'cancel'
  | 'finish'
  | 'load'
>

/** Where the transports under test live. */
export interface TransportWorld {
  /** Sizes at which something changes, the payload of a slot among them. */
  readonly thresholds: readonly number[]
  readonly payloadBytes: number
  /** Requests of one channel come in the order in which they are sent. */
  readonly isOrdered: boolean
  /** Two stations that do not know each other, with at least 64 slots of their own and 8 for peers. */
  pair(): Promise<[StationHandle, StationHandle]>
  /** What the promise gives, while the time of this world goes on. */
  wait<T>(promise: Promise<T>): Promise<T>
  /** Lets time pass in which anything that is under way arrives. */
  pass(): Promise<void>
  /** The end of a station's process. */
  kill?(station: StationHandle): void
  /** Gives everything back. */
  end(): Promise<void>
}

export interface Link {
  a: StationHandle
  b: StationHandle
  /** The channel's number at each end. */
  atA: number
  atB: number
}

const SECRET_A = 17
const SECRET_B = 23

/** The suite that every implementation of the port Transport passes. */
export async function transportSuite(t: Test, makeWorld: () => Promise<TransportWorld>): Promise<void> {
  const tests: Promise<unknown>[] = []
  const test: Case = (name, body) => {
    const ended = t.test(name, async (t) => {
      const world = await makeWorld()
      t.teardown(() => world.end())
      await body(t, world)
    })
    tests.push(ended)
  }
  testMessages(test)
  testEnds(test)
  testStrangers(test)
  testSlots(test)
  await Promise.all(tests)
}

type Case = (name: string, body: (t: Test, world: TransportWorld) => Promise<void>) => void

async function link(t: Test, world: TransportWorld): Promise<Link> {
  const [a, b] = await world.pair()
  return connect(t, a, b)
}

export async function connect(t: Test, a: StationHandle, b: StationHandle): Promise<Link> {
  const [atA, atB] = [await a.expect(SECRET_A), await b.expect(SECRET_B)]
  t.ok(atA > 0 && atB > 0)
  t.equal(await a.connect(atA, await b.address(), atB, SECRET_B), 0)
  t.equal(await b.connect(atB, await a.address(), atA, SECRET_A), 0)
  return { a, b, atA, atB }
}

/** After everything has ended no slot is missing. */
async function isWhole(t: Test, world: TransportWorld, stations: StationHandle[], before: object[]): Promise<void> {
  await world.pass()
  for (const [index, station] of stations.entries())
    t.strictSame(await station.free(), before[index], `station ${index} has all its slots`)
}

function around(world: TransportWorld): number[] {
  const sizes = world.thresholds.flatMap((size) => [size - 1, size, size + 1])
  return [0, 1, ...sizes].filter((size) => size <= world.payloadBytes)
}

function testMessages(test: Case): void {
  test('every size around every threshold, both ways', async (t, world) => {
    const { a, b, atA, atB } = await link(t, world)
    const before = [await a.free(), await b.free()]
    for (const bytes of around(world)) {
      for (const [station, channel] of [[a, atA] as const, [b, atB] as const]) {
        const echo = station.ask({ channel, operation: OPERATION.ECHO, bytes })
        t.strictSame(await world.wait(echo), { result: bytes, isRight: true }, `echo of ${bytes}`)
        const sink = station.ask({ channel, operation: OPERATION.SINK, bytes })
        t.strictSame(await world.wait(sink), { result: 0, isRight: true }, `sink of ${bytes}`)
        const source = station.ask({ channel, operation: OPERATION.SOURCE, wanted: bytes })
        t.strictSame(await world.wait(source), { result: bytes, isRight: true }, `source of ${bytes}`)
      }
    }
    await isWhole(t, world, [a, b], before)
  })

  test('heads of every length up to the limit, with and without data', async (t, world) => {
    const { a, atA } = await link(t, world)
    const max = MESSAGE_HEAD_BYTES_MAX
    for (const headBytes of [0, 4, 8, 12, 16, 20, 60, 64, 68, 1024, max - 4, max]) {
      for (const bytes of [0, 1, ...world.thresholds]) {
        // A head that cannot say what is asked for is echoed.
        const answer = a.ask({ channel: atA, operation: OPERATION.ECHO, bytes, headBytes })
        t.strictSame(await world.wait(answer), { result: bytes, isRight: true }, `head ${headBytes}, data ${bytes}`)
      }
    }
  })

  test('1, 8, 64 and 1000 under way, in both directions at once', async (t, world) => {
    const { a, b, atA, atB } = await link(t, world)
    const before = [await a.free(), await b.free()]
    const last = world.thresholds.at(-1) as number
    for (const [inFlight, count, bytes] of [
      [1, 50, 100],
      [8, 200, 100],
      [64, 1000, 100],
      [1000, 3000, 100],
      [8, 32, last],
      [30, 60, last],
    ] as const) {
      for (const operation of [OPERATION.ECHO, OPERATION.SINK, OPERATION.SOURCE]) {
        const load = { operation, bytes: operation === OPERATION.SOURCE ? 0 : bytes, wanted: bytes, inFlight, count }
        const outcomes = Promise.all([a.load({ ...load, channel: atA }), b.load({ ...load, channel: atB })])
        const expected = { right: count, wrong: 0, errors: {} }
        t.strictSame(await world.wait(outcomes), [expected, expected], `${inFlight} of ${bytes} B, op ${operation}`)
      }
    }
    await isWhole(t, world, [a, b], before)
  })

  test('what is sent before the peer has connected arrives when it has', async (t, world) => {
    for (const isLate of [false, true]) {
      const [a, b] = await world.pair()
      // Whichever of the two begins.
      const [first, second] = isLate ? [b, a] : [a, b]
      const [atFirst, atSecond] = [await first.expect(SECRET_A), await second.expect(SECRET_B)]
      t.equal(await first.connect(atFirst, await second.address(), atSecond, SECRET_B), 0)
      const answers = [0, 100, world.payloadBytes].map((bytes) =>
        first.ask({ channel: atFirst, operation: OPERATION.ECHO, bytes }),
      )
      await world.pass()
      t.strictSame((await second.news()).requests, [], 'nothing came')
      t.equal(await second.connect(atSecond, await first.address(), atFirst, SECRET_A), 0)
      const results = (await world.wait(Promise.all(answers))).map(({ isRight }) => isRight)
      t.strictSame(results, [true, true, true])
    }
  })

  test('a second reply and replies to nothing are dropped', async (t, world) => {
    const { a, b, atA } = await link(t, world)
    const before = [await a.free(), await b.free()]
    for (const operation of [OPERATION.TWICE, OPERATION.ASTRAY]) {
      const load = { channel: atA, operation, inFlight: 4, count: 100 }
      t.strictSame(await world.wait(a.load(load)), { right: 100, wrong: 0, errors: {} })
    }
    await isWhole(t, world, [a, b], before)
    t.strictSame((await a.news()).failed, [])
  })

  test('a reply with more data than there is room for', async (t, world) => {
    const { a, b, atA } = await link(t, world)
    const before = [await a.free(), await b.free()]
    for (const wanted of [1, ...world.thresholds]) {
      const ask = { channel: atA, operation: OPERATION.SOURCE, wanted, room: wanted - 1 }
      t.strictSame(await world.wait(a.ask(ask)), { result: -EMSGSIZE, isRight: false }, `${wanted} bytes`)
    }
    const next = await world.wait(a.ask({ channel: atA, operation: OPERATION.ECHO, bytes: 10 }))
    t.equal(next.isRight, true, 'the channel goes on')
    await isWhole(t, world, [a, b], before)
  })
}

function testEnds(test: Case): void {
  test('cancel', async (t, world) => {
    const { a, b, atA } = await link(t, world)
    const before = [await a.free(), await b.free()]
    for (const bytes of [0, 100, world.payloadBytes]) {
      const held = await a.start({ channel: atA, operation: OPERATION.HOLD, bytes })
      await world.pass()
      await a.cancel(held)
      t.equal((await world.wait(a.finish(held))).result, -ECANCELED, `${bytes} bytes, on its way`)
      // At once, before it can have gone anywhere.
      const fresh = await a.start({ channel: atA, operation: OPERATION.HOLD, bytes })
      await a.cancel(fresh)
      await a.cancel(fresh)
      t.equal((await world.wait(a.finish(fresh))).result, -ECANCELED, `${bytes} bytes, at once`)
      await world.pass()
      await b.answerHeld()
      await world.pass()
      const next = await world.wait(a.ask({ channel: atA, operation: OPERATION.ECHO, bytes }))
      t.equal(next.isRight, true, 'replies to what was given up are dropped')
    }
    const done = await a.start({ channel: atA, operation: OPERATION.ECHO })
    t.equal((await world.wait(a.finish(done))).isRight, true)
    await a.cancel(done)
    t.equal((await world.wait(a.ask({ channel: atA, operation: OPERATION.ECHO }))).isRight, true, 'too late')
    await isWhole(t, world, [a, b], before)
  })

  test('close with requests under way, and replies after that', async (t, world) => {
    const [a, b] = await world.pair()
    const before = [await a.free(), await b.free()]
    for (const bytes of [0, 100, world.payloadBytes]) {
      for (const isCalm of [true, false]) {
        const { atA, atB } = await connect(t, a, b)
        const started = []
        for (let index = 0; index < 6; index++)
          started.push(await a.start({ channel: atA, operation: OPERATION.HOLD, bytes }))
        const other = await b.start({ channel: atB, operation: OPERATION.IGNORE, bytes })
        if (isCalm) await world.pass()
        await a.close(atA)
        const answers = await world.wait(Promise.all(started.map((id) => a.finish(id))))
        t.ok(
          answers.every(({ result }) => result === -ECONNRESET),
          `${bytes} bytes, ${isCalm ? 'arrived' : 'just sent'}`,
        )
        const late = await world.wait(a.ask({ channel: atA, operation: OPERATION.ECHO }))
        t.equal(late.result, -ECONNRESET, 'a closed channel takes nothing')
        await b.answerHeld()
        await world.pass()
        await b.close(atB)
        t.equal((await world.wait(b.finish(other))).result, -ECONNRESET)
        await b.answerHeld()
        await isWhole(t, world, [a, b], before)
      }
    }
    const { atA } = await connect(t, a, b)
    t.equal((await world.wait(a.ask({ channel: atA, operation: OPERATION.ECHO, bytes: 100 }))).isRight, true)
  })

  test('a channel that only one side connected does not spoil the next ones', async (t, world) => {
    const [a, b] = await world.pair()
    for (let round = 0; round < 6; round++) {
      const [one, other] = round % 2 === 0 ? [a, b] : [b, a]
      const [atOne, atOther] = [await one.expect(SECRET_A), await other.expect(SECRET_B)]
      t.equal(await one.connect(atOne, await other.address(), atOther, SECRET_B), 0)
      if (round < 4) await world.pass()
      await one.close(atOne)
      await other.close(atOther)
    }
    const { atA, atB } = await connect(t, a, b)
    for (const bytes of [0, 100, world.payloadBytes]) {
      t.equal((await world.wait(a.ask({ channel: atA, operation: OPERATION.ECHO, bytes }))).isRight, true)
      t.equal((await world.wait(b.ask({ channel: atB, operation: OPERATION.ECHO, bytes }))).isRight, true)
    }
    await world.pass()
    t.strictSame([(await a.news()).failed, (await b.news()).failed], [[], []])
  })

  test('the end with requests under way', async (t, world) => {
    const { a, b, atA, atB } = await link(t, world)
    const bytes = world.payloadBytes
    const started = await a.start({ channel: atA, operation: OPERATION.HOLD, bytes })
    await b.start({ channel: atB, operation: OPERATION.HOLD, bytes: 100 })
    await world.pass()
    await world.wait(a.end())
    t.equal((await a.finish(started)).result, -ECONNRESET, 'it was told before')
    await world.wait(b.end())
  })

  test('the peer is killed', async (t, world) => {
    if (world.kill === undefined) return
    const { a, b, atA } = await link(t, world)
    const before = [await a.free()]
    const bytes = world.payloadBytes
    t.equal((await world.wait(a.ask({ channel: atA, operation: OPERATION.ECHO, bytes }))).isRight, true)
    const asked = [0, 100, bytes].map((size) => a.ask({ channel: atA, operation: OPERATION.HOLD, bytes: size }))
    await world.pass()
    world.kill(b)
    const answers = await world.wait(Promise.all(asked))
    t.ok(answers.every(({ result }) => result === -ECONNRESET))
    await world.pass()
    const { failed } = await a.news()
    t.equal(failed.length, 1)
    t.match(failed, [[atA, /^-/]])
    t.equal((await world.wait(a.ask({ channel: atA, operation: OPERATION.ECHO }))).result, -ECONNRESET)
    await a.close(atA)
    await isWhole(t, world, [a], before)
  })
}

function testStrangers(test: Case): void {
  test('messages with a wrong secret or channel are dropped', async (t, world) => {
    const [a, b] = await world.pair()
    const before = [await a.free(), await b.free()]
    for (const isSecret of [true, false]) {
      for (const [asking, asked] of [[a, b] as const, [b, a] as const]) {
        const [atAsking, atAsked] = [await asking.expect(SECRET_A), await asked.expect(SECRET_B)]
        const [channel, secret] = isSecret ? [atAsked, SECRET_B + 1] : [atAsked + 100, SECRET_B]
        t.equal(await asking.connect(atAsking, await asked.address(), channel, secret), 0)
        t.equal(await asked.connect(atAsked, await asking.address(), atAsking, SECRET_A), 0)
        const answers = [0, 100, world.payloadBytes].map((bytes) =>
          asking.ask({ channel: atAsking, operation: OPERATION.ECHO, bytes }),
        )
        await world.pass()
        t.strictSame((await asked.news()).requests, [], 'no request came')
        await asking.close(atAsking)
        await asked.close(atAsked)
        const results = (await world.wait(Promise.all(answers))).map(({ result }) => result)
        t.strictSame(results, [-ECONNRESET, -ECONNRESET, -ECONNRESET])
      }
    }
    await isWhole(t, world, [a, b], before)
  })

  test('an address that is none, and channels that are none', async (t, world) => {
    const { a, b, atA } = await link(t, world)
    const channel = await a.expect(SECRET_A)
    t.ok(channel > atA, 'numbers are not given again')
    const address = await b.address()
    for (const bad of ['', 'ff', 'ff'.repeat(300), address.slice(2), `${address}00`, address.slice(0, -2)])
      t.ok((await a.connect(channel, bad, 1, SECRET_B)) < 0, `an address of ${bad.length / 2} bytes`)
    t.ok((await a.connect(channel + 1, address, 1, SECRET_B)) < 0, 'an unknown channel')
    t.ok((await a.connect(atA, address, 1, SECRET_B)) < 0, 'a connected channel')
    t.equal((await world.wait(a.ask({ channel, operation: OPERATION.ECHO }))).result, -ECONNRESET, 'not connected')
    t.equal((await world.wait(a.ask({ channel: 999, operation: OPERATION.ECHO }))).result, -ECONNRESET, 'unknown')
    await a.close(999)
    t.equal((await world.wait(a.ask({ channel: atA, operation: OPERATION.ECHO }))).isRight, true)
  })
}

function testSlots(test: Case): void {
  test('requests with data wait for slots, others do not', async (t, world) => {
    const { a, b, atA } = await link(t, world)
    const before = [await a.free(), await b.free()]
    const taken = await b.takeSlots()
    t.ok(taken >= 8)
    const sizes = Array.from({ length: 24 }, (_, index) => [1, 100, world.payloadBytes][index % 3] as number)
    const waiting = []
    for (const bytes of sizes) waiting.push(await a.start({ channel: atA, operation: OPERATION.SINK, bytes }))
    const free = await world.wait(a.load({ channel: atA, operation: OPERATION.ECHO, inFlight: 4, count: 20 }))
    t.strictSame(free, { right: 20, wrong: 0, errors: {} })
    t.equal((await b.news()).requests.length, 20, 'only those without data came')
    await b.giveSlots(1)
    const answers = await world.wait(Promise.all(waiting.map((id) => a.finish(id))))
    t.ok(answers.every(({ isRight }) => isRight))
    const order = (await b.news()).requests.slice(20)
    if (world.isOrdered) t.strictSame(order, order.toSorted(ascending), 'in order')
    await b.giveSlots(taken)
    await isWhole(t, world, [a, b], before)
  })

  test('requests that wait for slots are cancelled, or lose their channel', async (t, world) => {
    const { a, b, atA, atB } = await link(t, world)
    const before = [await a.free(), await b.free()]
    const taken = await b.takeSlots()
    const started: number[] = []
    for (const bytes of [100, world.payloadBytes, 100, world.payloadBytes, 200, world.payloadBytes])
      started.push(await a.start({ channel: atA, operation: OPERATION.SINK, bytes }))
    await world.pass()
    for (const id of started.slice(0, 2)) await a.cancel(id)
    const cancelled = await world.wait(Promise.all(started.slice(0, 2).map((id) => a.finish(id))))
    t.ok(cancelled.every(({ result }) => result === -ECANCELED))
    await b.close(atB)
    await a.close(atA)
    const lost = await world.wait(Promise.all(started.slice(2).map((id) => a.finish(id))))
    t.ok(lost.every(({ result }) => result === -ECONNRESET))
    t.strictSame((await b.news()).requests, [])
    await b.giveSlots(taken)
    await isWhole(t, world, [a, b], before)
  })

  test('both ends full of requests of each other go on', async (t, world) => {
    const { a, b, atA, atB } = await link(t, world)
    const before = [await a.free(), await b.free()]
    const load = { operation: OPERATION.ECHO, bytes: world.payloadBytes, inFlight: 30, count: 90 }
    const outcomes = Promise.all([a.load({ ...load, channel: atA }), b.load({ ...load, channel: atB })])
    const expected = { right: 90, wrong: 0, errors: {} }
    t.strictSame(await world.wait(outcomes), [expected, expected])
    await isWhole(t, world, [a, b], before)
  })
}

function ascending(one: number, other: number): number {
  return one - other
}
