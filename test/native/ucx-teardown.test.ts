/**
 * The end of an environment with transports that have work under way: a worker that is terminated, and a process that
 * exits. Each case runs in a process of its own, since a mistake here is a crash or a hang.
 */
import { execFile } from 'node:child_process'
import t from 'tap'
import { CHILD_ENVIRONMENT } from './environment.js'

const at = (path: string): string => new URL(path, import.meta.url).href
const IMPORTS = `
  import { Worker } from 'node:worker_threads'
  import { MappedPool } from '${at('../../lib/native/pool.js')}'
  import { UcxTransport } from '${at('../../lib/native/ucx.js')}'
  import { Station, OPERATION } from '${at('../conformance/station.js')}'
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
  const make = () => {
    const pool = new MappedPool({ count: 40, payloadBytes: 1048576, forPeers: 8 })
    return new Station(new UcxTransport(pool, SETTINGS), pool)
  }
  /** Two transports that know each other, and a channel of the first. */
  const pair = async () => {
    const [a, b] = [make(), make()]
    const [atA, atB] = [await a.expect(1), await b.expect(2)]
    await a.connect(atA, await b.address(), atB, 2)
    await b.connect(atB, await a.address(), atA, 1)
    return { a, b, channel: atA }
  }
`
/** Sends and receives of every kind that are never all done. */
const BUSY = `
  const { a, channel } = await pair()
  for (const [operation, bytes] of [['ECHO', 1048576], ['ECHO', 100], ['HOLD', 1048576], ['HOLD', 100], ['SINK', 1048576]])
    a.load({ channel, operation: OPERATION[operation], bytes, inFlight: 4, count: 1e9 })
  a.load({ channel, operation: OPERATION.SOURCE, wanted: 1048576, inFlight: 4, count: 1e9 })
`

const WORLDS = { 'shared memory': '{}', TCP: `{ transports: 'tcp', interfaces: 'lo' }` }

interface End {
  code: number | string
  signal: string | null
  stdout: string
  stderr: string
}

function inProcess(settings: string, script: string): Promise<End> {
  const source = `const SETTINGS = ${settings}\n${IMPORTS}\n${script}`
  const options = { timeout: 20000, killSignal: 'SIGKILL', env: CHILD_ENVIRONMENT } as const
  return new Promise((resolve) => {
    execFile(process.execPath, ['--input-type=module', '-e', source], options, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, signal: error?.signal ?? null, stdout, stderr })
    })
  })
}

/** The script runs in a worker, which is terminated when it has said that it is ready. */
function inTerminatedWorker(settings: string, script: string): Promise<End> {
  const source = `import { parentPort } from 'node:worker_threads'
    const SETTINGS = ${settings}
    ${IMPORTS}
    ${script}
    await sleep(50)
    parentPort.postMessage('ready')`
  // The main thread loads UCX, as it must, and works on while the worker ends.
  return inProcess(
    settings,
    `const main = await pair()
    const source = ${JSON.stringify(source)}
    for (let round = 0; round < 3; round++) {
      const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)))
      worker.on('error', (error) => { console.error(error); process.exit(3) })
      await new Promise((resolve) => worker.on('message', resolve))
      await worker.terminate()
    }
    console.log((await main.a.ask({ channel: main.channel, operation: OPERATION.ECHO, bytes: 1048576 })).isRight)
    await Promise.all([main.a.end(), main.b.end()])`,
  )
}

const said = (stdout: string): End => ({ code: 0, signal: null, stdout, stderr: '' })

for (const [name, settings] of Object.entries(WORLDS)) {
  t.test(`over ${name}`, async (t) => {
    await t.test('a worker with everything under way is terminated', async (t) => {
      t.strictSame(await inTerminatedWorker(settings, BUSY), said('true\n'))
    })

    await t.test('a worker whose transports nobody has ended is terminated', async (t) => {
      t.strictSame(await inTerminatedWorker(settings, 'await pair()'), said('true\n'))
    })

    await t.test('a process exits with everything under way', async (t) => {
      for (let round = 0; round < 3; round++) {
        const end = await inProcess(settings, `${BUSY} setTimeout(() => process.exit(0), ${20 + 30 * round})`)
        t.strictSame(end, said(''))
      }
    })

    await t.test('transports without work do not keep a process alive', async (t) => {
      const end = await inProcess(settings, `await pair(); console.log('end')`)
      // One of them ends while the other greets it, of which UCX may have something to say.
      t.match(end, { code: 0, signal: null, stdout: 'end\n', stderr: /^(\[.* UCX .*\n)*$/ })
    })

    await t.test('requests do', async (t) => {
      const script = `
        const { a, channel } = await pair()
        a.ask({ channel, operation: OPERATION.ECHO, bytes: 100000 }).then(({ isRight }) => console.log(isRight))`
      t.strictSame(await inProcess(settings, script), said('true\n'))
    })

    await t.test('after the end everything is given back', async (t) => {
      const script = `
        ${BUSY}
        await sleep(30)
        await a.end()
        console.log('ended')`
      t.strictSame(await inProcess(settings, script), said('ended\n'))
    })

    await t.test('an exception of a callback is an uncaught exception of the process', async (t) => {
      const script = `
        const pool = new MappedPool({ count: 8, payloadBytes: 8192 })
        const transport = new UcxTransport(pool, SETTINGS)
        process.on('uncaughtException', ({ message }) => {
          console.log(message)
          transport.end(() => console.log('ended'))
        })
        transport.prepare()
        transport.request(1, 0, 0, 0, 0, 0, () => { throw new Error('thrown by a callback') })`
      t.strictSame(await inProcess(settings, script), said('thrown by a callback\nended\n'))
    })
  })
}
