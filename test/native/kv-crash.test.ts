/** The real Kv when things go wrong: kills, and a full disk. */
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { seeded } from '../conformance/kv.js'
import { ENV, opened, run, scratch } from './kv-bench.js'
import { Model, sequenceOf } from './kv-model.js'

const child = fileURLToPath(new URL('./kv.child.js', import.meta.url))
const random = seeded(Number(process.env['SEED'] ?? 1))

t.test('killed again and again', async (t) => {
  const path = join(scratch(t), 'kv')
  mkdirSync(path)
  const model = new Model()
  for (let round = 0; round < 12; round++) {
    const worker = spawn(process.execPath, [child, 'commit', path], { stdio: ['ignore', 'pipe', 'inherit'], env: ENV })
    let said = ''
    const gone = new Promise((resolve) => worker.once('close', resolve))
    worker.stdout.setEncoding('latin1').on('data', (text: string) => {
      // Killed at a moment that nobody has chosen, some while after it has begun.
      if (said === '') setTimeout(() => worker.kill('SIGKILL'), random(150))
      said += text
    })
    await gone
    const acknowledged = Number(said.slice(0, said.lastIndexOf('\n')).split('\n').at(-1))
    const kv = opened(path)
    const sequence = sequenceOf(kv)
    t.ok(sequence === acknowledged || sequence === acknowledged + 1, `${acknowledged} acknowledged, ${sequence} there`)
    t.equal(model.advanceTo(sequence).difference(kv), null, 'nothing is torn')
    t.equal(await kv.close(), 0)
  }
})

t.test('a full disk', async (t) => {
  const path = scratch(t)
  for (const size of ['8m', '12m', '21m']) {
    const script = `mount -t tmpfs -o size=${size} none ${path} && mkdir ${path}/kv && exec "$@"`
    const words = ['--mount', 'sh', '-c', script, 'sh', process.execPath, child, 'full', join(path, 'kv')]
    const { stdout, stderr } = await run('unshare', words)
    t.equal(stderr, '')
    const end = JSON.parse(stdout)
    t.match(end, { isRefused: true, isWhole: true, isHalfRemoved: true, closed: 0, isHalfThere: true }, size)
    t.match(end, { isAllRemoved: true, isAgainThere: true, end: 0 }, 'deleting goes on to the end')
    t.ok(end.count > 1000, `${end.count} records fitted`)
    t.ok(end.again > end.count / 2, `and ${end.again} after all had been deleted`)
  }
})
