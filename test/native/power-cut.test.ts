/** The real store on a file system that loses what was not synced. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { seeded } from '../conformance/kv.js'
import { killNow } from '../processes.js'
import { CutFilesystem } from './cut-filesystem.js'
import { ENV, run } from './kv-bench.js'

const fsck = fileURLToPath(new URL('../../../scripts/fsck', import.meta.url))
const storeChild = fileURLToPath(new URL('./store-work.child.js', import.meta.url))
const kvChild = fileURLToPath(new URL('./kv.child.js', import.meta.url))
const SEED = Number(process.env['SEED'] ?? 1)

async function mounted(t: Test): Promise<CutFilesystem> {
  const filesystem = new CutFilesystem(SEED)
  t.teardown(() => filesystem.end())
  await filesystem.start()
  return filesystem
}

/** Runs a worker until some time after its first line, then kills it; the lines it has written whole. */
async function until(delayMs: number, ...words: string[]): Promise<string[]> {
  const worker = spawn('timeout', ['-s', 'KILL', '60', process.execPath, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: ENV,
    detached: true,
  })
  let said = ''
  const gone = new Promise((resolve) => worker.once('close', resolve))
  worker.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (said === '') setTimeout(() => killNow(-(worker.pid as number)), delayMs)
    said += text
  })
  await gone
  return said.split('\n').slice(0, -1)
}

t.test('the metadata after power cuts', async (t) => {
  const random = seeded(SEED)
  const filesystem = await mounted(t)
  const path = join(filesystem.mountpoint, 'kv')
  await run('timeout', ['10', 'mkdir', path])
  for (let round = 0; round < 6; round++) {
    const lines = await until(random(400), kvChild, 'durable', path)
    const synced = Number(lines.at(-1) ?? 0)
    await filesystem.cut()
    const { stdout, stderr } = await run('timeout', ['60', process.execPath, kvChild, 'verify', path])
    t.equal(stderr, '')
    const { sequence, difference } = JSON.parse(stdout)
    t.ok(sequence >= synced, `synced up to ${synced}, ${sequence} there`)
    t.equal(difference, null, 'the state of that commit')
  }
  t.strictSame(filesystem.errors, [])
})

t.test('a whole store after power cuts', async (t) => {
  const random = seeded(SEED + 1000)
  const filesystem = await mounted(t)
  const path = join(filesystem.mountpoint, 'store')
  const safe: string[] = []
  for (let round = 0; round < 5; round++) {
    safe.push(...(await until(random(500), storeChild, 'work', path, String(round * 10_000))))
    await filesystem.cut()
    const before = await run('timeout', ['60', fsck, '--power-cut', path])
    t.match(before, { stdout: /: clean: /, stderr: '', signal: null }, 'clean as the cut has left it')
    const { stdout, stderr } = await run('timeout', ['60', process.execPath, storeChild, 'check', path, ...safe])
    t.equal(stderr, '')
    t.strictSame(JSON.parse(stdout), [], `${safe.length} files that were synced are there`)
    t.match(
      await run('timeout', ['60', fsck, '--power-cut', path]),
      { stdout: /: clean: / },
      'clean after its recovery',
    )
  }
  t.ok(safe.length > 5)
  t.strictSame(filesystem.errors, [])
})
