/**
 * A process that is stopped (SIGSTOP) while its peer gives the channel up. Between processes of one machine UCX lets
 * the receiver read rendezvous data out of the sender's memory, and a receiver that goes on later read what the sender
 * used that memory for meanwhile: a write of another file's bytes, acknowledged. See addon/ucx/witness.hh. As root.
 */
import { readFile } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { ECONNRESET } from '../../lib/base/errno.js'
import { OPERATION } from '../conformance/station.js'
import { connect } from '../conformance/transport.js'
import { INTERFACE, Network } from './ucx-network.js'
import { PAYLOAD_BYTES, type StationProcess, startStation } from './ucx-processes.js'

const COUNT = 6

type Start = (index: 0 | 1) => Promise<StationProcess>

const sleep = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs))

function stop(station: StationProcess): void {
  process.kill(station.pid, 'SIGSTOP')
}

function go(station: StationProcess): void {
  process.kill(station.pid, 'SIGCONT')
}

/** How long the process has used a processor, in ticks of 10 ms. */
async function ticks(station: StationProcess): Promise<number> {
  const fields = (await readFile(`/proc/${station.pid}/stat`, 'latin1')).split(' ')
  return Number(fields[13]) + Number(fields[14])
}

async function stations(t: Test, start: Start): Promise<[StationProcess, StationProcess]> {
  const pair = await Promise.all([start(0), start(1)])
  t.teardown(async () => {
    for (const station of pair) {
      go(station)
      await station.end()
    }
    const said = pair.map((station) => station.said()).join('')
    if (said !== '') throw new Error(`a station said: ${said}`)
  })
  return pair
}

async function requestsToAStoppedPeer(t: Test, start: Start): Promise<void> {
  const [one, other] = await stations(t, start)
  const [a, b] = [one.handle, other.handle]
  const before = await a.free()
  const { atA, atB } = await connect(t, a, b)
  t.equal((await a.ask({ channel: atA, operation: OPERATION.ECHO, bytes: PAYLOAD_BYTES })).isRight, true)
  stop(other)
  const asked = Array.from({ length: COUNT }, () =>
    a.ask({ channel: atA, operation: OPERATION.ECHO, bytes: PAYLOAD_BYTES }),
  )
  await sleep(50)
  await a.close(atA)
  const results = (await Promise.all(asked)).map(({ result }) => result)
  t.strictSame(results, Array(COUNT).fill(-ECONNRESET), 'it ends while the peer stands still')
  t.strictSame(await a.free(), before)
  await a.scribble()
  const used = await ticks(one)
  await sleep(300)
  t.ok((await ticks(one)) - used < 10, 'and nobody waits for the peer by turning in circles')
  go(other)
  await sleep(100)
  t.strictSame((await b.news()).requests.length, 1, 'no request of the closed channel is delivered')
  await b.close(atB)
  const next = await connect(t, a, b)
  t.equal((await a.ask({ channel: next.atA, operation: OPERATION.ECHO, bytes: PAYLOAD_BYTES })).isRight, true)
}

/** More than fits the queue of the peer, so that some of it waits on this side. */
async function fullQueueOfAStoppedPeer(t: Test, start: Start): Promise<void> {
  const [one, other] = await stations(t, start)
  const [a, b] = [one.handle, other.handle]
  const { atA } = await connect(t, a, b)
  t.equal((await a.ask({ channel: atA, operation: OPERATION.ECHO, bytes: 1000 })).isRight, true)
  stop(other)
  const bytes = 100_000
  const count = 60
  const load = a.load({ channel: atA, operation: OPERATION.SINK, bytes, inFlight: count, count: 2 * count })
  await sleep(200)
  const used = await ticks(one)
  await sleep(500)
  t.ok((await ticks(one)) - used < 15, 'nobody waits for the peer by turning in circles')
  go(other)
  t.strictSame(await load, { right: 2 * count, wrong: 0, errors: {} }, 'and it goes on when the peer does')
}

async function repliesToAStoppedPeer(t: Test, start: Start): Promise<void> {
  const [one, other] = await stations(t, start)
  const [a, b] = [one.handle, other.handle]
  const before = await b.free()
  const { atA, atB } = await connect(t, a, b)
  const asked = Array.from({ length: COUNT }, () =>
    a.ask({ channel: atA, operation: OPERATION.HOLD, bytes: PAYLOAD_BYTES }),
  )
  while ((await b.news()).requests.length < COUNT) await sleep(10)
  stop(one)
  await b.answerHeld()
  await sleep(50)
  await b.close(atB)
  await sleep(50)
  t.strictSame(await b.free(), before)
  await b.scribble()
  go(one)
  await sleep(50)
  await a.close(atA)
  const results = (await Promise.all(asked)).map(({ result }) => result)
  t.strictSame(results, Array(COUNT).fill(-ECONNRESET), 'no reply of the closed channel is delivered')
}

t.test('over shared memory', async (t) => {
  const start = (): Promise<StationProcess> => startStation({})
  await t.test('requests to a stopped peer', (t) => requestsToAStoppedPeer(t, start))
  await t.test('replies to a stopped peer', (t) => repliesToAStoppedPeer(t, start))
  await t.test('a full queue', (t) => fullQueueOfAStoppedPeer(t, start))
})

t.test('over TCP', async (t) => {
  const network = await Network.make()
  t.teardown(() => network.end())
  const start = (index: 0 | 1): Promise<StationProcess> =>
    startStation({ transports: 'tcp', interfaces: INTERFACE }, network.enter(index))
  await t.test('requests to a stopped peer', (t) => requestsToAStoppedPeer(t, start))
  await t.test('replies to a stopped peer', (t) => repliesToAStoppedPeer(t, start))
  await t.test('a full queue', (t) => fullQueueOfAStoppedPeer(t, start))
})
