/** The small parts around a mount: exit codes, the mount table, run files, waiting for a store, signals, the log. */
import { EventEmitter } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import type { Config } from '../../mount/config.js'
import { describeFailure, exitCode, exitMeaning, MountError } from '../../mount/exit.js'
import { LogFile, makeLogger } from '../../mount/logger.js'
import { mountedAt, parseMountinfo } from '../../mount/mountinfo.js'
import { isDeadMount, prepareMountpoint, resolveMountpoint, waitUntilAnswers } from '../../mount/mountpoint.js'
import { findHolder, RunFile, runDirectory, startTimeOf } from '../../mount/runfile.js'
import type { Node } from '../../mount/seams.js'
import { watchSignals } from '../../mount/signals.js'
import { openWhenReleased } from '../../mount/store-wait.js'
import { quiet } from '../quiet.js'

const directory = mkdtempSync(join(tmpdir(), 'chfs-parts-'))
t.teardown(() => rmSync(directory, { recursive: true }))

t.test('failures', async (t) => {
  const system = Object.assign(new Error('EIO: i/o error, read'), { syscall: 'read', errno: -5 })
  const table: [unknown, string, number][] = [
    [new MountError('no', 32), 'no', 32],
    [Object.assign(new Error('store /s: in use'), { exitCode: 32 }), 'store /s: in use', 32],
    [new MountError('a\n  b\nc', 1), 'a; b; c', 1],
    [new MountError('', 2), 'no message', 2],
    [Object.assign(new Error('odd'), { exitCode: 77 }), 'internal error: odd', 4],
    [Object.assign(new Error('odd'), { exitCode: 0 }), 'internal error: odd', 4],
    [system, 'EIO: i/o error, read', 2],
    [new TypeError('x is undefined'), 'internal error: x is undefined', 4],
    ['text', 'internal error: text', 4],
    [undefined, 'internal error: undefined', 4],
  ]
  for (const [error, message, code] of table) t.strictSame(describeFailure(error), { message, exitCode: code })
  t.strictSame([...exitMeaning.keys()], Object.values(exitCode), 'each code has its meaning')
})

t.test('the mount table', async (t) => {
  const text = `22 28 0:21 / /proc rw,nosuid shared:12 - proc proc rw
30 28 0:40 / /a\\040b\\134c rw,relatime shared:1 master:2 - fuse.chfs my\\040data rw,user_id=0
31 28 0:41 / /a\\040b\\134c rw - fuse.chfs again rw,user_id=5
broken line
32 28 0:42 / /none rw - tmpfs
`
  const entries = parseMountinfo(text)
  t.strictSame(mountedAt('/a b\\c', entries), {
    mountpoint: '/a b\\c',
    device: '0:41',
    type: 'fuse.chfs',
    source: 'again',
    options: 'rw,user_id=5',
  })
  t.equal(entries[1]?.source, 'my data')
  t.equal(mountedAt('/a', entries), null)
  t.equal(entries.length, 3)
  t.ok(mountedAt('/proc'), 'that of this machine')
  fc.assert(fc.property(fc.string(), (any) => Array.isArray(parseMountinfo(any))))
})

t.test('mountpoints', async (t) => {
  const never = async (): Promise<boolean> => t.fail('there is nothing to clear')
  t.equal(await prepareMountpoint(directory, never), directory)
  writeFileSync(join(directory, 'file'), '')
  const cases: [string, RegExp][] = [
    ['none', /does not exist/],
    ['file', /is not a directory/],
    ['file/x', /is not a directory/],
  ]
  for (const [name, message] of cases) {
    await t.rejects(prepareMountpoint(join(directory, name), never), { message, exitCode: 32 })
  }
  t.equal(await resolveMountpoint(`${directory}/../${directory.split('/').at(-1)}`), directory)
  await t.rejects(waitUntilAnswers(directory), { message: `${directory} is not mounted`, exitCode: 32 })
  t.equal(await isDeadMount(directory), false)
})

t.test('run files', async (t) => {
  t.equal(runDirectory(0, '/run/user/0'), '/run/chfs')
  t.equal(runDirectory(5, '/run/user/5'), '/run/user/5/chfs')
  t.equal(runDirectory(5, undefined), '/tmp/.chfs-5')
  t.equal(runDirectory(5, 'relative'), '/tmp/.chfs-5')
  const runs = join(directory, 'runs')
  const uid = process.getuid?.() ?? 0
  const file = new RunFile(runs, '/m')
  t.match(file.pidPath, /\/runs\/[0-9a-f]{16}\.pid$/)
  file.prepare(uid)
  t.equal(statSync(runs).mode & 0o777, 0o700)
  t.throws(() => file.prepare(uid + 1), { message: /belongs to somebody else/, exitCode: 1 })
  const record = { pid: process.pid, startTime: startTimeOf(process.pid) ?? '', store: '/s', mountpoint: '/m' }
  file.writeRunning(record)
  t.strictSame(findHolder(runs, '/s'), record)
  t.equal(findHolder(runs, '/other'), null)
  t.equal(findHolder(join(directory, 'none'), '/s'), null)
  new RunFile(runs, '/m2').writeRunning({ ...record, store: '/s2', startTime: '1' })
  t.equal(findHolder(runs, '/s2'), null, 'a later process with the same id')
  writeFileSync(join(runs, 'broken.pid'), 'x')
  t.strictSame(findHolder(runs, '/s'), record)
  writeFileSync(file.stderrPath, 'last words')
  file.writeFinished(process.pid, 2)
  t.equal(readFileSync(file.statusPath, 'utf8'), `${process.pid} 2\n`)
  t.ok(readdirSync(runs).includes(file.stderrPath.split('/').at(-1) ?? ''), 'kept after a failure')
  t.equal(findHolder(runs, '/s'), null)
  file.writeFinished(process.pid, 0)
  file.prepare(uid)
  t.strictSame(
    readdirSync(runs).filter((name) => file.pidPath.includes(name.split('.')[0] ?? '')),
    [],
  )
  t.equal(startTimeOf(2 ** 30), null)
})

const config = { store: '/s' } as Config
const inUse = Object.assign(new Error('in use'), { exitCode: 32, inUse: true })

/** Opens a store that answers with each of these in turn. */
function waitFor(answers: (Error | Node)[], runs: string, notes: string[] = []) {
  const signals = watchSignals(true, new EventEmitter())
  const openNode = async (): Promise<Node> => {
    const answer = answers.length > 1 ? answers.shift() : answers[0]
    if (answer instanceof Error) throw answer
    return answer as Node
  }
  return {
    signals,
    wait: { config, log: quiet, openNode, runDirectory: runs, signals, note: (text: string) => notes.push(text) },
  }
}

t.test('waiting for a store', async (t) => {
  const node = {} as Node
  const runs = join(directory, 'holders')
  mkdirSync(runs)
  const record = { pid: process.pid, startTime: startTimeOf(process.pid) ?? '', store: '/s', mountpoint: '/nowhere' }
  t.equal(await openWhenReleased(waitFor([node], runs).wait), node)
  t.equal(await openWhenReleased(waitFor([inUse, inUse, node], runs).wait), node, 'a holder whom nobody knows')
  await t.rejects(openWhenReleased(waitFor([inUse], runs).wait), inUse, 'but not for long')
  await t.rejects(openWhenReleased(waitFor([new MountError('foreign', 32), node], runs).wait), { message: 'foreign' })
  new RunFile(runs, '/nowhere').writeRunning(record)
  const notes: string[] = []
  const many = [...Array.from({ length: 15 }, () => inUse), node]
  t.equal(await openWhenReleased(waitFor(many, runs, notes).wait), node, 'one that drains is waited for longer')
  t.strictSame(notes, ['store /s is still being drained by another process: waiting'])
  const { wait, signals } = waitFor([inUse], runs)
  setTimeout(() => Object.assign(signals, { received: true }), 50)
  await t.rejects(openWhenReleased(wait), { message: 'interrupted', exitCode: 8 })
})

t.test('signals', async (t) => {
  const source = new EventEmitter()
  const signals = watchSignals(false, source)
  source.emit('SIGHUP', 'SIGHUP')
  t.equal(signals.received, false, 'the background loses no terminal')
  source.emit('SIGINT', 'SIGINT')
  t.equal(await signals.first, 'SIGINT')
  source.emit('SIGTERM', 'SIGTERM')
  t.equal(await signals.second, 'SIGTERM')
  source.emit('SIGTERM', 'SIGTERM')
  const front = watchSignals(true, source)
  source.emit('SIGHUP', 'SIGHUP')
  t.equal(await front.first, 'SIGHUP')
})

t.test('the log', async (t) => {
  const path = join(directory, 'log/file')
  const chosen = { logFile: path, logFileChosen: true, logLevel: 'info' } as const
  t.throws(() => makeLogger(chosen), { message: /^log .*ENOENT/, exitCode: 1 })
  const log = makeLogger({ ...chosen, logFileChosen: false })
  log.info('lost')
  log.info('lost too')
  mkdirSync(join(directory, 'log'))
  log.info({ a: 1 }, 'kept')
  log.debug('not at this level')
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
  t.match(
    lines.map((line) => JSON.parse(line)),
    [
      { level: 40, msg: '2 lines could not be written' },
      { level: 30, a: 1, msg: 'kept', pid: process.pid },
    ],
  )
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(lines.length, 2)
  t.doesNotThrow(() => new LogFile(2 ** 30).write('nowhere'))
})
