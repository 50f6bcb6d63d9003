/**
 * The end of an environment with devices still open: a worker that is terminated, and a process that ends. Each case
 * runs in a process of its own, since a mistake here is a crash or a hang.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { CHILD_ENVIRONMENT } from './environment.js'
import { run } from './tiny-filesystem.js'

const at = (path: string): string => new URL(path, import.meta.url).href
const IMPORTS = `
  import { mkdtempSync, openSync } from 'node:fs'
  import { Worker, isMainThread } from 'node:worker_threads'
  import { MappedPool } from '${at('../../lib/native/pool.js')}'
  import { Ring } from '${at('../../lib/native/uring.js')}'
  import { addon } from '${at('../../lib/native/addon.js')}'
  import { TinyFilesystem, until, run } from '${at('./tiny-filesystem.js')}'
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
`

interface End {
  code: number | string | null
  signal: string | null
  stdout: string
  stderr: string
}

/** The mount points of the processes below are made in here: those of processes that died are still mounted. */
const mounts = mkdtempSync(join(tmpdir(), 'chfs-test-'))
t.teardown(async () => {
  for (const mount of readdirSync(mounts)) await run('umount', ['-l', join(mounts, mount)])
  rmSync(mounts, { recursive: true })
})

function inProcess(script: string, ...launcher: string[]): Promise<End> {
  const command = [...launcher, process.execPath, '--input-type=module', '-e', IMPORTS + script]
  const options = { timeout: 15000, killSignal: 'SIGKILL', env: { ...CHILD_ENVIRONMENT, TMPDIR: mounts } } as const
  return new Promise((resolve) => {
    execFile(command[0] as string, command.slice(1), options, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, signal: error?.signal ?? null, stdout, stderr })
    })
  })
}

/** A script that runs in a worker, which is terminated when it has said that it is ready. */
function inTerminatedWorker(script: string): Promise<End> {
  const source = `${IMPORTS}
    import { parentPort } from 'node:worker_threads'
    ${script}
    parentPort.postMessage('ready')`
  return inProcess(`
    const source = ${JSON.stringify(source)}
    const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)))
    worker.on('error', (error) => { console.error(error); process.exit(3) })
    worker.on('message', async () => {
      await sleep(50)
      await worker.terminate()
      console.log('terminated')
    })`)
}

const GOOD: Partial<End> = { code: 0, signal: null, stdout: 'terminated\n', stderr: '' }

const directory = mkdtempSync('/dev/shm/chfs-test-')
t.teardown(() => rmSync(directory, { recursive: true }))
const RING = `
  const pool = new MappedPool({ count: 16, payloadBytes: 131072 })
  const ring = new Ring(pool, 16)
  const file = openSync('${join(directory, 'file')}', 'w+')
  const at = pool.acquire() * pool.stride + 4096
  const again = () => ring.write(file, at, 131072, 0, 16, again)
  for (let index = 0; index < 16; index++) again()
`

t.test('a worker with operations in flight is terminated', async (t) => {
  t.match(await inTerminatedWorker(RING), GOOD)
})

t.test('a process exits with operations in flight', async (t) => {
  t.match(await inProcess(`${RING} setTimeout(() => process.exit(0), 50)`), { code: 0, signal: null, stderr: '' })
})

t.test('a ring without operations does not keep a process alive', async (t) => {
  const script = `new Ring(new MappedPool({ count: 16, payloadBytes: 8192 }), 16); console.log('end')`
  t.match(await inProcess(script), { code: 0, signal: null, stdout: 'end\n', stderr: '' })
})

t.test('operations that were not yet submitted do keep it alive', async (t) => {
  const script = `
    const pool = new MappedPool({ count: 16, payloadBytes: 8192 })
    const ring = new Ring(pool, 16)
    ring.fsync(openSync('${directory}', 'r'), 0, (result) => console.log(result))`
  t.match(await inProcess(script), { code: 0, signal: null, stdout: '0\n', stderr: '' })
})

t.test('a worker that serves a mount is terminated', async (t) => {
  const end = await inTerminatedWorker(`
    const filesystem = new TinyFilesystem()
    filesystem.onOddRead = () => undefined
    await filesystem.start()
    run('cat', [filesystem.mountpoint + '/odd-1']).then((outcome) => undefined)
    await until(() => filesystem.opcodes.includes(15))
    filesystem.kernel.notify(2, new Uint8Array(24), () => undefined)
  `)
  t.match(end, GOOD)
})

t.test('a process that serves a mount exits', async (t) => {
  const end = await inProcess(`
    const filesystem = new TinyFilesystem()
    await filesystem.start()
    await filesystem.cat('hello')
    process.exit(0)`)
  t.match(end, { code: 0, signal: null, stderr: '' })
})

t.test('an exception in the handler is an uncaught exception of the process', async (t) => {
  const end = await inProcess(`
    const filesystem = new TinyFilesystem()
    process.on('uncaughtException', async (error) => {
      console.log(error.message)
      await filesystem.end()
      process.exit(0)
    })
    filesystem.onOddRead = () => { throw new Error('thrown by the handler') }
    await filesystem.start()
    await filesystem.cat('odd-1')`)
  t.match(end, { code: 0, signal: null, stdout: 'thrown by the handler\n', stderr: '' })
})

t.test('a reply to a request that is not there aborts', async (t) => {
  const end = await inProcess(`
    const filesystem = new TinyFilesystem()
    filesystem.onOddRead = async (slot) => {
      filesystem.kernel.reply(slot, -5, 0, 0)
      filesystem.kernel.reply(slot, -5, 0, 0)
    }
    await filesystem.start()
    await filesystem.cat('odd-1')`)
  t.match(end, { signal: 'SIGABRT', stderr: /broken invariant: a reply has a request that waits for it/ })
})

/** Runs what follows as nobody (without the hooks of tap, which write files), where /dev/fuse is open to all, as it is on most systems. */
const AS_USER = [
  'unshare',
  '--mount',
  'sh',
  '-c',
  `mknod -m 666 "$TMPDIR.fuse" c 10 229 && mount --bind "$TMPDIR.fuse" /dev/fuse && rm "$TMPDIR.fuse" &&
    chmod 777 "$TMPDIR" && exec env -u NODE_OPTIONS setpriv --reuid=65534 --regid=65534 --clear-groups "$@"`,
  'sh',
]

t.test('a user without privileges mounts through fusermount3', async (t) => {
  const script = `
    const filesystem = new TinyFilesystem()
    await filesystem.start()
    console.log(process.getuid())
    console.log((await filesystem.cat('hello')).stdout.trim())
    console.log(await filesystem.unmount(), await filesystem.unmount())
    await filesystem.end()`
  const end = await inProcess(script, ...AS_USER)
  t.strictSame(end, { code: 0, signal: null, stdout: '65534\nthe content of a file\ntrue true\n', stderr: '' })
})
