/** What UCX does to a Node process that loads it carelessly. Each case runs in processes of its own. */
import { execFile } from 'node:child_process'
import t from 'tap'
import { ECONNRESET } from '../../lib/base/errno.js'
import { OPERATION } from '../conformance/station.js'
import { connect } from '../conformance/transport.js'
import { killNow } from '../processes.js'
import { CHILD_ENVIRONMENT } from './environment.js'
import { INTERFACE, Network } from './ucx-network.js'
import { PAYLOAD_BYTES, type StationProcess, startStation } from './ucx-processes.js'

const at = (path: string): string => new URL(path, import.meta.url).href
const IMPORTS = `
  import { readFileSync } from 'node:fs'
  import { Worker, isMainThread } from 'node:worker_threads'
  import { MappedPool } from '${at('../../lib/native/pool.js')}'
  import { UcxTransport } from '${at('../../lib/native/ucx.js')}'
  const pool = new MappedPool({ count: 16, payloadBytes: 8192, forPeers: 4 })
  const maps = () => readFileSync('/proc/self/maps', 'latin1')
`

interface End {
  code: number | string
  signal: string | null
  stdout: string
  stderr: string
}

function inProcess(script: string, env: NodeJS.ProcessEnv = {}): Promise<End> {
  const options = { timeout: 20000, killSignal: 'SIGKILL', env: { ...CHILD_ENVIRONMENT, ...env } } as const
  return new Promise((resolve) => {
    execFile(process.execPath, ['--input-type=module', '-e', IMPORTS + script], options, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, signal: error?.signal ?? null, stdout, stderr })
    })
  })
}

const printed = (stdout: string): End => ({ code: 0, signal: null, stdout: `${stdout}\n`, stderr: '' })

t.test('a node without peers does not load UCX', async (t) => {
  const loaded = `console.log(maps().includes('libucp'), maps().includes('chfs_ucx'))`
  t.strictSame(await inProcess(loaded), printed('false false'))
  t.strictSame(await inProcess(`new UcxTransport(pool); ${loaded}`), printed('true true'))
})

// That what this is for happens no more, `close with requests under way` over TCP shows: one run in seven died of it.
t.test('UCX is told of reading and of writing one at a time', async (t) => {
  const script = `
    import { loadUcx } from '${at('../../lib/native/ucx-binary.js')}'
    console.log(loadUcx().isGuarded)`
  t.strictSame(await inProcess(script), printed('true'))
})

t.test('the environment is set before it is loaded, and the user wins', async (t) => {
  const script = `
    new UcxTransport(pool)
    console.log(process.env.UCX_MEM_EVENTS, [process.env.UCX_ERROR_SIGNALS], process.env.UCX_POSIX_FIFO_SIZE)`
  t.strictSame(await inProcess(script), printed("n [ '' ] 512"))
  const mine = { UCX_MEM_EVENTS: 'no', UCX_ERROR_SIGNALS: 'ILL', UCX_POSIX_FIFO_SIZE: '256' }
  t.strictSame(await inProcess(script, mine), printed("no [ 'ILL' ] 256"))
  for (const [env, lane] of [
    [{}, /lane\[0\].*tcp\/lo/],
    [{ UCX_TLS: 'posix,cma' }, /lane\[0\].*posix/],
  ] as const) {
    const { a, atA, end } = await pair(() => startStation({ transports: 'tcp', interfaces: 'lo' }, [], env))
    t.match(await a.handle.describe(atA), lane)
    await end()
  }
})

t.test('its tests of memory calls do not crash V8', async (t) => {
  // Up to one process in four died of them.
  const script = `
    new UcxTransport(pool).end(() => console.log('whole'))
    for (let round = 0; round < 20; round++) JSON.parse(JSON.stringify(Array.from({ length: 5000 }, (_, i) => ({ i }))))`
  for (let round = 0; round < 12; round++) {
    const both = await Promise.all([inProcess(script), inProcess(script)])
    t.strictSame(both, [printed('whole'), printed('whole')])
  }
})

t.test('WebAssembly that reads out of bounds throws, and does not end the process', async (t) => {
  const script = `
    new UcxTransport(pool).end(() => undefined)
    // (func (export "f") (param i32) (result i32) (i32.load (local.get 0))) with a memory of one page
    const code = [0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 5, 3, 1, 0, 1, 7, 5, 1, 1, 102, 0, 0,
      10, 9, 1, 7, 0, 32, 0, 40, 2, 0, 11]
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(code)))
    for (let round = 0; round < 100000; round++) exports.f(0)
    try { exports.f(1 << 30) } catch (error) { console.log(error.message) }`
  t.strictSame(await inProcess(script), printed('memory access out of bounds'))
})

t.test('what it has to say goes to standard error, also where that is a socket', async (t) => {
  // A device that is not there is worth a warning. Node's pipes to a child are sockets.
  const said = await inProcess(`new UcxTransport(pool, { interfaces: 'nowhere0' }).end(() => console.log('end'))`)
  t.match(said, { code: 0, stdout: 'end\n', stderr: /nowhere0/ })
  const nothing = await inProcess(
    `try { new UcxTransport(pool, { transports: 'tcp', interfaces: 'nowhere0' }) } catch (error) { console.log(error.message) }`,
  )
  t.match(nothing, { code: 0, stdout: /^UCX: ucp_init: .*\n$/, stderr: /nowhere0/ })
})

t.test('a worker thread cannot be the first to load it', async (t) => {
  const script = (first: string): string => `
    ${first}
    const source = ${JSON.stringify(`${IMPORTS} new UcxTransport(pool).end(() => undefined)`)}
    const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)))
    worker.on('error', ({ message }) => console.log(message))
    worker.on('exit', (code) => console.log(code))`
  t.match(await inProcess(script('')), { code: 0, stdout: 'UCX must be loaded by the main thread first\n1\n' })
  t.strictSame(await inProcess(script('new UcxTransport(pool).end(() => undefined)')), printed('0'))
})

/** Two connected stations. */
async function pair(
  start: (index: 0 | 1) => Promise<StationProcess>,
): Promise<{ a: StationProcess; b: StationProcess; atA: number; end(): Promise<void> }> {
  const [a, b] = await Promise.all([start(0), start(1)])
  const { atA } = await connect(t, a.handle, b.handle)
  const answer = await a.handle.ask({ channel: atA, operation: OPERATION.ECHO, bytes: 100 })
  t.equal(answer.isRight, true)
  return {
    ...{ a, b, atA },
    end: async () => {
      await Promise.all([a.end(), b.end()])
      t.equal(a.said() + b.said(), '')
    },
  }
}

t.test('shared memory and direct copies serve although the peer may die', async (t) => {
  const { a, atA, end } = await pair(() => startStation({}))
  const description = await a.handle.describe(atA)
  t.match(description, /posix.* am /)
  t.match(description, /cma.* rma_bw/)
  await end()
})

t.test('64 requests under way do not make both ends turn in circles', async (t) => {
  const { a, atA, end } = await pair(() => startStation({}))
  const before = await a.handle.turns()
  const count = 20000
  const load = { channel: atA, operation: OPERATION.ECHO, inFlight: 64, count }
  t.strictSame(await a.handle.load(load), { right: count, wrong: 0, errors: {} })
  const turns = (await a.handle.turns()) - before
  t.ok(turns < count, `${turns} turns of the loop`)
  await end()
})

t.test('a node that is killed comes back at once, also with a range of ports', async (t) => {
  for (const env of [{}, { UCX_TCP_PORT_RANGE: '23460-23480' }]) {
    const start = (): Promise<StationProcess> => startStation({ transports: 'tcp', interfaces: 'lo' }, [], env)
    const a = await start()
    for (let round = 0; round < 4; round++) {
      const b = await start()
      const { atA } = await connect(t, a.handle, b.handle)
      const ask = { channel: atA, operation: OPERATION.ECHO, bytes: PAYLOAD_BYTES }
      t.equal((await a.handle.ask(ask)).isRight, true)
      killNow(b.pid)
      await b.exited
      await a.handle.close(atA)
    }
    await a.end()
    t.equal(a.said(), '')
  }
})

t.test('connecting to a host that does not answer does not hold the loop', async (t) => {
  const network = await Network.make()
  t.teardown(() => network.end())
  const start = (index: 0 | 1): Promise<StationProcess> =>
    startStation({ transports: 'tcp', interfaces: INTERFACE }, network.enter(index))
  const stations = await Promise.all([start(0), start(1)])
  const addresses = await Promise.all(stations.map(({ handle }) => handle.address()))
  // Whoever has the lower id, which stands behind the first eight bytes, begins.
  const ids = addresses.map((address) => address.slice(16, 48)) as [string, string]
  const [first, second] = ids[0] < ids[1] ? ([0, 1] as const) : ([1, 0] as const)
  await network.run(second, 'ip', 'address', 'flush', 'dev', INTERFACE)
  const { handle } = stations[first]
  const channel = await handle.expect(1)
  const began = Date.now()
  t.equal(await handle.connect(channel, addresses[second] as string, 1, 2), 0)
  await handle.free()
  const tookMs = Date.now() - began
  t.ok(tookMs < 1000, `${tookMs} ms`)
  const asked = handle.ask({ channel, operation: OPERATION.ECHO })
  await handle.close(channel)
  t.equal((await asked).result, -ECONNRESET, 'whoever has waited long enough closes it')
  await Promise.all(stations.map((station) => station.end()))
  t.equal(stations.map((station) => station.said()).join(''), '')
})
