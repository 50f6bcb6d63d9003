#!/usr/bin/env node
/** mount.chfs: reads the command line, puts the parts together, and turns whatever happens into an exit code. */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { addon } from '../lib/native/addon.js'
import { parseCommandLine, separateValues, withoutNamespace } from './arguments.js'
import { type Config, makeConfig, surroundingsOfProcess } from './config.js'
import { type ParentLink, parentLink, spawnSelf, startInBackground } from './daemon.js'
import { describeFailure, exitCode, MountError } from './exit.js'
import { makeLogger } from './logger.js'
import { directMounter, type Mounter, userMounter } from './mounter.js'
import { isDeadMount, prepareMountpoint, resolveMountpoint, waitUntilAnswers } from './mountpoint.js'
import { runMount } from './run.js'
import { RunFile, runDirectory, startTimeOf } from './runfile.js'
import { openNode } from './serve.js'
import { interruption, type Signals, watchSignals } from './signals.js'
import { serveStatus } from './status-socket.js'

const script = fileURLToPath(import.meta.url)
const isRoot = process.geteuid?.() === 0
const uid = process.geteuid?.() ?? 0
const runFiles = runDirectory(uid, process.env['XDG_RUNTIME_DIR'])

async function main(argv: readonly string[], parent: ParentLink | null): Promise<number> {
  // First of all, so that whoever interrupts us while we start finds nothing mounted. In the background no terminal
  // is lost.
  const signals = watchSignals(parent === null)
  const commandLine = await parseCommandLine(argv, readVersion())
  if ('text' in commandLine) {
    process.stdout.write(`${commandLine.text}\n`)
    return exitCode.done
  }
  const args = commandLine.arguments
  if (args.namespace !== null) return await enterNamespace(args.namespace, separateValues(argv), signals)
  // What is wrong with the options is told before what is wrong with the mountpoint; its real path counts for both.
  const typed = makeConfig(args, surroundingsOfProcess()).mountpoint
  const mountpoint = await Promise.race([resolveMountpoint(typed), interruption(signals)])
  const config = makeConfig({ ...args, mountpoint }, surroundingsOfProcess())
  if (args.fake) {
    await prepareMountpoint(config.mountpoint, async (path) => {
      say(`${path} is a dead mount that would be taken away`)
      return false
    })
    return exitCode.done
  }
  const mounter = isRoot ? directMounter(addon) : userMounter(addon)
  if (args.foreground || parent !== null) return await serveHere(config, mounter, parent, signals)
  await serveInBackground(argv, config, mounter, signals)
  if (args.verbose) say(`${config.source} mounted on ${config.mountpoint}`)
  return exitCode.done
}

async function serveInBackground(
  argv: readonly string[],
  config: Config,
  mounter: Mounter,
  signals: Signals,
): Promise<void> {
  const runFile = new RunFile(runFiles, config.mountpoint)
  runFile.prepare(uid)
  const stderr = openSync(runFile.stderrPath, 'w', 0o600)
  try {
    await startInBackground({
      spawnChild: () => spawnSelf(script, argv, stderr),
      note: say,
      waitUntilAnswers,
      clear: async () => {
        if (await isDeadMount(config.mountpoint)) await mounter.unmount(config.mountpoint, true)
      },
      interrupted: signals.first,
    })
  } finally {
    closeSync(stderr)
  }
}

async function serveHere(config: Config, mounter: Mounter, parent: ParentLink | null, signals: Signals) {
  process.title = `mount.chfs ${config.source} ${config.mountpoint}`
  // Relative paths are resolved by now, and no directory may be kept busy.
  process.chdir('/')
  const log = makeLogger(config)
  const runFile = new RunFile(runFiles, config.mountpoint)
  if (parent === null) runFile.prepare(uid)
  process.on('uncaughtException', (error) => {
    log.error({ stack: error.stack }, 'fault')
    // The state is not to be trusted any more: whatever drains now could make it worse.
    if (process.connected) void fail(error, parent)
    else leave(exitCode.bug)
  })
  return await runMount({
    config,
    log,
    mounter,
    openNode,
    signals,
    runDirectory: runFiles,
    note: parent?.note ?? say,
    async mounted(mountpoint, node) {
      const { pid } = process
      const startTime = startTimeOf(pid) ?? ''
      serveStatus(runFile.socketPath, async () => ({ mountpoint, pid, ...(await node.status()) }), log)
      runFile.writeRunning({ pid, startTime, store: config.store, mountpoint })
      process.once('exit', (code) => runFile.writeFinished(pid, code))
      await parent?.mounted(mountpoint)
    },
  })
}

/** mount(8) -N: another process may see other mounts; nsenter(1) goes there and starts us again. */
function enterNamespace(namespace: string, argv: readonly string[], signals: Signals): Promise<number> {
  const path = /^\d+$/.test(namespace) ? `/proc/${namespace}/ns/mnt` : namespace
  const words = [`--mount=${path}`, '--', process.execPath, script, ...withoutNamespace(argv)]
  const child = spawn('nsenter', words, { stdio: 'inherit' })
  for (const signal of [signals.first, signals.second]) void signal.then((name) => child.kill(name))
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new MountError(`no nsenter(1): ${error.message}`, exitCode.system)))
    child.on('close', (code) => resolve(code ?? exitCode.system))
  })
}

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function say(text: string): void {
  process.stderr.write(`mount.chfs: ${text}\n`)
}

async function fail(error: unknown, parent: ParentLink | null): Promise<never> {
  const failure = describeFailure(error)
  if (failure.exitCode === exitCode.bug) console.error(error)
  if (parent === null) say(failure.message)
  else await parent.failed(failure.message, failure.exitCode)
  leave(failure.exitCode)
}

/** With what is registered for the exit, but without joining threads that may hang (exitNow). */
function leave(code: number): never {
  process.once('exit', addon.exitNow)
  process.exit(code)
}

const parent = parentLink()
main(process.argv.slice(2), parent).then(leave, (error: unknown) => fail(error, parent))
