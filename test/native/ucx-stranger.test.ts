/**
 * Nonsense: of processes that know a worker's address and no secret, and of a channel's own peer. None of it ends the
 * process, costs a slot, or disturbs a channel of others.
 */
import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { OPERATION, secretOf } from '../conformance/station.js'
import { connect } from '../conformance/transport.js'
import { CHILD_ENVIRONMENT } from './environment.js'
import { PAYLOAD_BYTES, type StationProcess, startStation } from './ucx-processes.js'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../../', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'chfs-test-'))
t.teardown(() => rmSync(directory, { recursive: true }))

const binary = join(directory, 'ucx-stranger')
const sources = ['test/native/ucx-stranger.cc', 'addon/ucx/address.cc'].map((path) => join(root, path))
await run('g++', ['-std=c++20', '-O1', `-I${root}addon`, ...sources, '-o', binary, '-lucp', '-lucs'])

/** The ends must be of one mind about these sizes. */
const STRANGER_ENVIRONMENT = {
  UCX_WARN_UNUSED_ENV_VARS: 'n',
  UCX_POSIX_ERROR_HANDLING: 'y',
  UCX_CMA_MEMORY_INVALIDATE: 'y',
  UCX_POSIX_FIFO_SIZE: '512',
  UCX_TCP_TX_SEG_SIZE: '64k',
  UCX_TCP_RX_SEG_SIZE: '128k',
}

const SEED = Date.now() % 1_000_000
const STRANGERS = 12
const PARTNERS = 25
const MESSAGES = 300
const SECRET = 41
const OWN_SECRET = 43

/** Starts a stranger, which waits for `go`; the promise of its end. */
async function startStranger(
  args: string[],
  env: NodeJS.ProcessEnv,
): Promise<{ address: string; go(): void; exited: Promise<unknown> }> {
  const stranger = spawn(binary, args, {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...CHILD_ENVIRONMENT, ...env, ...STRANGER_ENVIRONMENT },
  })
  const exited = new Promise((resolve) => stranger.once('exit', (code, signal) => resolve(signal ?? code)))
  const [address] = (await Promise.race([
    new Promise((resolve) => createInterface(stranger.stdout).once('line', (line) => resolve([line]))),
    exited.then((code) => Promise.reject(new Error(`the stranger has ended: ${code}`))),
  ])) as [string]
  return { address, go: () => stranger.stdin.end('\n'), exited }
}

async function fuzz(t: Test, env: NodeJS.ProcessEnv): Promise<void> {
  const stations = await Promise.all([startStation({}, [], env), startStation({}, [], env)])
  t.teardown(() => Promise.all(stations.map((station) => station.end())))
  const [a, b] = stations.map(({ handle }) => handle) as [StationProcess['handle'], StationProcess['handle']]
  const before = await a.free()
  const { atA, atB } = await connect(t, a, b)
  const works = async (): Promise<void> => {
    const load = { operation: OPERATION.ECHO, bytes: 1000, inFlight: 4, count: 200 }
    const big = { operation: OPERATION.ECHO, bytes: PAYLOAD_BYTES, inFlight: 2, count: 10 }
    for (const { count, ...rest } of [load, big]) {
      const outcomes = await Promise.all([
        a.load({ ...rest, count, channel: atA }),
        b.load({ ...rest, count, channel: atB }),
      ])
      t.strictSame(outcomes, Array(2).fill({ right: count, wrong: 0, errors: {} }))
    }
  }

  await t.test('without a secret', async () => {
    for (let index = 0; index < STRANGERS; index++) {
      const stranger = await startStranger([await a.address(), String(SEED + index), String(MESSAGES)], env)
      stranger.go()
      await works()
      t.equal(await stranger.exited, 0, `seed ${SEED + index}`)
    }
    await works()
    t.strictSame([(await a.news()).failed, await a.free()], [[], before])
  })

  await t.test('with a channel and its secret', async () => {
    for (let index = 0; index < PARTNERS; index++) {
      // One partner's nonsense must not be another's.
      const channel = await a.expect(SECRET + 8 * index)
      const secret = Buffer.from(secretOf(SECRET + 8 * index)).toString('hex')
      const args = [await a.address(), String(SEED + index), String(MESSAGES), String(channel), secret]
      const stranger = await startStranger(args, env)
      t.equal(await a.connect(channel, stranger.address, 1, OWN_SECRET), 0)
      const asked = [0, 100, PAYLOAD_BYTES, PAYLOAD_BYTES].map((bytes) =>
        a.ask({ channel, operation: OPERATION.ECHO, bytes, room: bytes }),
      )
      stranger.go()
      await works()
      t.equal(await stranger.exited, 0, `seed ${SEED + index}`)
      await a.close(channel)
      await Promise.all(asked)
    }
    await works()
    await new Promise((resolve) => setTimeout(resolve, 100))
    t.strictSame(await a.free(), before)
    const { failed } = await a.news()
    t.ok(failed.length > PARTNERS / 2, 'most broke the protocol')
    t.ok(failed.every(([channel]) => channel !== atA))
  })
  t.comment(
    stations
      .map((station) => station.said())
      .join('')
      .slice(0, 2000),
  )
}

t.comment(`seeds from ${SEED} on`)
t.test('over shared memory', (t) => fuzz(t, { UCX_TLS: 'posix,cma,self' }))
t.test('over TCP', (t) => fuzz(t, { UCX_TLS: 'tcp', UCX_NET_DEVICES: 'lo' }))
