/**
 * Channels that end while they open: closed by either end, or by the death of the peer, at any moment. UCX 1.13 aborts
 * a process whose peer dies, or closes its end, in the middle of its handshake (see addon/ucx/engine.cc).
 */
import t, { type Test } from 'tap'
import { OPERATION } from '../conformance/station.js'
import { killNow } from '../processes.js'
import { type StationProcess, startStation, type UcxStationHandle } from './ucx-processes.js'

const CLOSES = 150
const DEATHS = 30
const SECRETS = [17, 23] as const

const sleep = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs))

/** Both ends connect, with a while between them or not; the channels' numbers. */
async function open(a: UcxStationHandle, b: UcxStationHandle, delayMs: number): Promise<[number, number]> {
  const [atA, atB, addressA, addressB] = await Promise.all([
    a.expect(SECRETS[0]),
    b.expect(SECRETS[1]),
    a.address(),
    b.address(),
  ])
  const first = a.connect(atA, addressB, atB, SECRETS[1])
  if (delayMs > 2) await sleep(delayMs - 2)
  await Promise.all([first, b.connect(atB, addressA, atA, SECRETS[0])])
  return [atA, atB]
}

async function churn(t: Test, start: () => Promise<StationProcess>): Promise<void> {
  const a = await start()
  let b = await start()
  const before = await a.handle.free()
  const works = async (): Promise<void> => {
    const [atA, atB] = await open(a.handle, b.handle, 0)
    for (const bytes of [0, 1000, 1048576]) {
      const answers = await Promise.all([
        a.handle.ask({ channel: atA, operation: OPERATION.ECHO, bytes }),
        b.handle.ask({ channel: atB, operation: OPERATION.ECHO, bytes }),
      ])
      t.strictSame(answers, Array(2).fill({ result: bytes, isRight: true }))
    }
    await Promise.all([a.handle.close(atA), b.handle.close(atB)])
  }

  for (let round = 0; round < CLOSES; round++) {
    const [atA, atB] = await open(a.handle, b.handle, round % 5)
    const asked = [0, 100, 1048576].flatMap((bytes) => [
      a.handle.ask({ channel: atA, operation: OPERATION.ECHO, bytes }),
      b.handle.ask({ channel: atB, operation: OPERATION.ECHO, bytes }),
    ])
    if (round % 7 > 2) await sleep((round % 7) - 3)
    const closed = [a.handle.close(atA)]
    if (round % 3 === 0) await sleep(round % 4)
    closed.push(b.handle.close(atB))
    await Promise.all([...closed, ...asked])
  }
  await works()

  for (let round = 0; round < DEATHS; round++) {
    const [atA, atB] = await Promise.all([a.handle.expect(SECRETS[0]), b.handle.expect(SECRETS[1])])
    const addresses = await Promise.all([a.handle.address(), b.handle.address()])
    // It stands still for a while in whatever it does to greet, and dies in it.
    const stopping = b.handle.connectAndStop(round % 10, atB, addresses[0], atA, SECRETS[0])
    stopping.catch(() => undefined)
    await a.handle.connect(atA, addresses[1], atB, SECRETS[1])
    await sleep(20)
    killNow(b.pid)
    await b.exited
    b = await start()
  }
  await works()
  for (const [channel] of (await a.handle.news()).failed) await a.handle.close(channel)
  await sleep(100)
  t.strictSame(await a.handle.free(), before)
  await Promise.all([a.end(), b.end()])
  t.match(a.said(), /^(\[.* UCX .*\n)*$/, 'only UCX has something to say')
}

t.test('over shared memory', (t) => churn(t, () => startStation({})))
t.test('over TCP', (t) => churn(t, () => startStation({ transports: 'tcp', interfaces: 'lo' })))
