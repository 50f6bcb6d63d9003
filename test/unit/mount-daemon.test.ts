/** Going to the background, with children that say what a test wants them to say. */
import { type ChildProcess, spawn } from 'node:child_process'
import t from 'tap'
import { type Background, type ChildMessage, startInBackground } from '../../mount/daemon.js'
import { MountError } from '../../mount/exit.js'

const say = (message: ChildMessage) => `process.send(${JSON.stringify(message)});`
const stay = 'setTimeout(() => {}, 60_000);'
const mounted = say({ kind: 'mounted', mountpoint: '/m' })

/** Runs the script as the child. Tells what was noted and cleared, and whether the child lives. */
function start(script: string, more: Partial<Background> = {}) {
  const seen = { notes: [] as string[], cleared: 0, children: [] as ChildProcess[] }
  const started = startInBackground({
    spawnChild: () => {
      const child = spawn(process.execPath, ['-e', script], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
        env: { PATH: process.env['PATH'] },
      })
      seen.children.push(child)
      return child
    },
    note: (text) => seen.notes.push(text),
    waitUntilAnswers: async () => undefined,
    clear: async () => {
      seen.cleared++
    },
    interrupted: new Promise(() => undefined),
    ...more,
  })
  const isOver = () => seen.children.every(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null)
  return { started, seen, isOver }
}

// A child that stays is let go, and keeps the process alive no more.
const alive = setInterval(() => undefined, 1000)
t.teardown(() => clearInterval(alive))

t.test('the child stays once the mount answers', async (t) => {
  const listen = `process.on('message', (m) => process.exit(m === 'stay' ? 7 : 1));`
  const { started, seen } = start(say({ kind: 'note', text: 'wait' }) + mounted + listen)
  const code = new Promise((resolve) => seen.children[0]?.once('exit', resolve))
  await started
  t.equal(await code, 7)
  t.strictSame(seen.notes, ['wait'])
  t.equal(seen.cleared, 0)
})

const failed = say({ kind: 'failed', message: 'no store', exitCode: 32 })
const failures: [string, string, Partial<Background>, { message: string | RegExp; exitCode: number }][] = [
  ['says why it fails', `${failed} process.exitCode = 32`, {}, { message: 'no store', exitCode: 32 }],
  ['says why it fails and stays', failed + stay, {}, { message: 'no store', exitCode: 32 }],
  ['dies without a word', 'process.exit(3)', {}, { message: /ended with code 3 before/, exitCode: 4 }],
  ['is killed', `process.kill(process.pid, 'SIGKILL')`, {}, { message: /died of SIGKILL/, exitCode: 4 }],
  [
    'dies after it mounted',
    `${mounted} setTimeout(() => process.exit(3), 50)`,
    { waitUntilAnswers: () => new Promise(() => undefined) },
    { message: /ended with code 3/, exitCode: 4 },
  ],
  [
    'mounts what does not answer',
    mounted + stay,
    { waitUntilAnswers: () => Promise.reject(new MountError('silent', 32)) },
    { message: 'silent', exitCode: 32 },
  ],
  ['is still starting at a signal', stay, { interrupted: Promise.resolve() }, { message: 'interrupted', exitCode: 8 }],
  [
    'cannot be started',
    '',
    { spawnChild: () => spawn('/nonexistent', { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }) },
    { message: /no background process/, exitCode: 2 },
  ],
]
for (const [how, script, more, error] of failures) {
  t.test(`a child that ${how} is gone, and the place is cleared`, async (t) => {
    const { started, seen, isOver } = start(script, more)
    await t.rejects(started, error)
    t.ok(isOver())
    t.equal(seen.cleared, 1)
  })
}
