/**
 * What every Control promises. `make` gives one that listens, with its address, and others that dial: with its key, and
 * with another one. `until` lets time pass until something holds, or throws.
 */
import type { Test } from 'tap'
import { CONTROL_BYTES_MAX } from '../../lib/base/limits.js'
import type { Control, ControlConnection, ControlEvents } from '../../lib/ports.js'

export interface ControlUnderTest {
  readonly server: Control
  readonly address: string
  /** Where nobody listens. */
  readonly deadAddress: string
  readonly client: Control
  readonly stranger: Control
  until(holds: () => boolean): Promise<void>
  /** Lets some time pass. */
  pause(): Promise<void>
}

/** One end, and what has happened to it. */
class End implements ControlEvents {
  connection: ControlConnection | undefined
  readonly received: Uint8Array[] = []
  readonly reasons: string[] = []
  onMessage: (bytes: Uint8Array) => void = () => undefined

  message(bytes: Uint8Array): void {
    if (this.reasons.length > 0) throw new Error('a message after the end')
    this.received.push(bytes)
    this.onMessage(bytes)
  }

  ended(reason: string): void {
    this.reasons.push(reason)
  }

  get isOpen(): boolean {
    return this.connection !== undefined
  }

  get hasEnded(): boolean {
    return this.reasons.length > 0
  }
}

class Bench {
  readonly under: ControlUnderTest
  readonly accepted: End[] = []

  constructor(under: ControlUnderTest) {
    this.under = under
    under.server.listen((connection) => {
      const end = new End()
      end.connection = connection
      this.accepted.push(end)
      return end
    })
  }

  dial(control: Control, address: string): End {
    const end = new End()
    let hasReturned = false
    control.dial(
      address,
      (connection) => {
        if (!hasReturned) throw new Error('called back inside')
        if (end.isOpen || end.hasEnded) throw new Error('opened twice, or after the end')
        end.connection = connection
      },
      end,
    )
    hasReturned = true
    if (end.hasEnded) throw new Error('called back inside')
    return end
  }

  /** The two ends of an open connection. */
  async pair(): Promise<[End, End]> {
    const before = this.accepted.length
    const end = this.dial(this.under.client, this.under.address)
    await this.under.until(() => end.isOpen && this.accepted.length > before)
    return [end, this.accepted[before] as End]
  }
}

function pattern(bytes: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, at) => (at * 7 + (at >> 8) + seed) & 255)
}

/** Sizes around whatever a stream is cut into. */
const SIZES = [0, 1, 3, 4, 5, 4095, 4096, 4097, 16383, 16384, 16385, 65536, CONTROL_BYTES_MAX - 1, CONTROL_BYTES_MAX]

export function controlConformance(t: Test, make: () => Promise<ControlUnderTest>): void {
  const test = (name: string, body: (t: Test, bench: Bench) => Promise<void>): void => {
    t.test(name, async (t) => {
      const under = await make()
      const bench = new Bench(under)
      await body(t, bench)
      for (const control of [under.client, under.stranger, under.server]) {
        let isDone = false
        control.end(() => {
          isDone = true
        })
        await under.until(() => isDone)
      }
      await under.pause()
      t.ok(
        bench.accepted.every(({ reasons }) => reasons.length === 1),
        'every end was told once',
      )
    })
  }

  test('messages of every size arrive whole and in order, both ways', async (t, bench) => {
    const { under } = bench
    const ends = await bench.pair()
    for (const [from, to] of [ends, ends.toReversed()] as [End, End][]) {
      for (const [index, size] of SIZES.entries()) from.connection?.send(pattern(size, index))
      await under.until(() => to.received.length === SIZES.length)
      for (const [index, size] of SIZES.entries()) {
        if (!Buffer.from(to.received[index] as Uint8Array).equals(pattern(size, index))) t.fail(`${size} bytes`)
      }
    }
    t.strictSame(
      ends.map(({ hasEnded }) => hasEnded),
      [false, false],
    )
  })

  test('what was sent is the memory as it was, and what was received is kept', async (t, bench) => {
    const [a, b] = await bench.pair()
    const memory = new Uint8Array(3).fill(1)
    a.connection?.send(memory)
    memory.fill(2)
    a.connection?.send(memory)
    await bench.under.until(() => b.received.length === 2)
    t.strictSame(
      b.received.map((bytes) => [...bytes]),
      [
        [1, 1, 1],
        [2, 2, 2],
      ],
    )
  })

  test('who answers inside of a message', async (t, bench) => {
    const [a, b] = await bench.pair()
    b.onMessage = (bytes) => b.connection?.send(bytes)
    for (let index = 0; index < 100; index++) a.connection?.send(Uint8Array.of(index))
    await bench.under.until(() => a.received.length === 100)
    t.strictSame(
      a.received.map(([index]) => index),
      Array.from({ length: 100 }, (_, index) => index),
    )
  })

  test('close: what was sent arrives, then both ends are told once', async (t, bench) => {
    for (const closer of [0, 1]) {
      const ends = await bench.pair()
      const [from, to] = closer === 0 ? ends : (ends.toReversed() as [End, End])
      from.connection?.send(pattern(CONTROL_BYTES_MAX, 1))
      from.connection?.send(Uint8Array.of(9))
      from.connection?.close()
      t.notOk(from.hasEnded, 'not inside of close')
      from.connection?.close()
      from.connection?.send(Uint8Array.of(10))
      await bench.under.until(() => from.hasEnded && to.hasEnded)
      await bench.under.pause()
      t.strictSame(
        to.received.map(({ length }) => length),
        [CONTROL_BYTES_MAX, 1],
      )
      t.equal(from.reasons.length, 1)
      t.equal(to.reasons.length, 1)
      t.not(from.reasons[0], to.reasons[0], 'it is known who closed it')
      for (const end of ends) {
        end.connection?.send(Uint8Array.of(1))
        end.connection?.close()
      }
      await bench.under.pause()
      t.strictSame([from.received.length, from.reasons.length, to.reasons.length], [0, 1, 1], 'the end is the end')
    }
  })

  test('no message is received after close', async (t, bench) => {
    const [a, b] = await bench.pair()
    a.onMessage = () => a.connection?.close()
    for (let index = 0; index < 10; index++) b.connection?.send(Uint8Array.of(index))
    await bench.under.until(() => a.hasEnded && b.hasEnded)
    t.equal(a.received.length, 1)
  })

  test('close from inside of a message, by both', async (t, bench) => {
    const [a, b] = await bench.pair()
    for (const end of [a, b]) end.onMessage = () => end.connection?.close()
    a.connection?.send(Uint8Array.of(1))
    b.connection?.send(Uint8Array.of(2))
    await bench.under.until(() => a.hasEnded && b.hasEnded)
    t.strictSame([a.reasons.length, b.reasons.length], [1, 1])
  })

  test('where nobody listens', async (t, bench) => {
    const end = bench.dial(bench.under.client, bench.under.deadAddress)
    await bench.under.until(() => end.hasEnded)
    t.notOk(end.isOpen)
    t.match(end.reasons, [/./])
  })

  test('another key is refused, and nobody hears of it', async (t, bench) => {
    const end = bench.dial(bench.under.stranger, bench.under.address)
    await bench.under.until(() => end.hasEnded)
    t.strictSame(end.reasons, ['it has another key'])
    t.notOk(end.isOpen)
    const [a] = await bench.pair()
    t.ok(a.isOpen, 'and others come in')
    t.equal(bench.accepted.length, 1)
  })

  test('many at once', async (t, bench) => {
    const ends = Array.from({ length: 30 }, () => bench.dial(bench.under.client, bench.under.address))
    await bench.under.until(() => ends.every(({ isOpen }) => isOpen) && bench.accepted.length === 30)
    for (const [index, { connection }] of ends.entries()) connection?.send(Uint8Array.of(index))
    await bench.under.until(() => bench.accepted.every(({ received }) => received.length === 1))
    const numbers = bench.accepted.map(({ received }) => received[0]?.[0] as number)
    t.strictSame(
      numbers.sort((a, b) => a - b),
      ends.map((_, index) => index),
    )
  })

  test('the end closes what is open and what is being dialled, and accepts nobody', async (t, bench) => {
    const { client, server, address, until } = bench.under
    const [a, b] = await bench.pair()
    const dialled = bench.dial(client, address)
    let isDone = false
    client.end(() => {
      isDone = true
    })
    await until(() => isDone)
    await until(() => b.hasEnded)
    t.strictSame([a.reasons.length, dialled.reasons.length], [1, 1])
    const late = bench.dial(client, address)
    await until(() => late.hasEnded)
    server.end(() => undefined)
    const toNobody = bench.dial(bench.under.stranger, address)
    await until(() => toNobody.hasEnded)
    t.notOk(late.isOpen || toNobody.isOpen)
  })
}
