#!/usr/bin/env node
/** chfsctl: asks the processes that serve mounts. */
import { parseArgs } from 'node:util'
import { mountedAt, mountType } from './mountinfo.js'
import { resolveMountpoint } from './mountpoint.js'
import { findRunning, RunFile, runDirectory } from './runfile.js'
import { formatStatus } from './status.js'
import { askStatus } from './status-socket.js'

const exitCode = { done: 0, failed: 1, usage: 2, noMount: 3 } as const

const USAGE = `usage: chfsctl status [-m MOUNT] [--json]

Shows the members of the cluster behind a mount of this user, as the process that serves the mount knows them, and the
capacity of all together. Without -m it is the only mount that there is.

  up         the member can be asked
  suspected  it was there, and is away: calls that need it wait for its return, until timeo=
  left       it has said goodbye: what lies there cannot be had until it comes back
  absent     it has not come since this node was started

  -m, --mount MOUNT  the mountpoint
  --json             one line of JSON
  --help             this text

Exit codes:
  0  done
  1  the process of the mount does not answer
  2  wrong arguments
  3  there is no such mount
`

class CommandError extends Error {
  readonly code: number

  constructor(message: string, code: number) {
    super(message)
    this.code = code
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parse(argv)
  if (values.help) {
    process.stdout.write(USAGE)
    return exitCode.done
  }
  const [command, ...rest] = positionals
  if (command === undefined) throw misuse('the command is missing')
  if (command !== 'status') throw misuse(`unknown command '${command}'`)
  if (rest.length > 0) throw misuse(`too many arguments: '${rest.join(' ')}'`)
  const runFile = await findMount(values.mount)
  const status = await askStatus(runFile.socketPath).catch((error: Error) => {
    throw new CommandError(`${runFile.mountpoint}: ${error.message}`, exitCode.failed)
  })
  process.stdout.write(`${values.json ? JSON.stringify(status) : formatStatus(status)}\n`)
  return exitCode.done
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        mount: { type: 'string', short: 'm' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    throw misuse((error as Error).message.split('\n')[0] as string)
  }
}

function misuse(message: string): CommandError {
  return new CommandError(`${message} (try --help)`, exitCode.usage)
}

/** The run file of a mount whose process lives. */
async function findMount(typed: string | undefined): Promise<RunFile> {
  const directory = runDirectory(process.geteuid?.() ?? 0, process.env['XDG_RUNTIME_DIR'])
  const running = findRunning(directory).map(({ mountpoint }) => mountpoint)
  const mounted = running.filter((mountpoint) => mountedAt(mountpoint)?.type === mountType)
  if (typed === undefined) {
    if (mounted.length === 1) return new RunFile(directory, mounted[0] as string)
    if (mounted.length === 0) throw new CommandError('no chfs of this user is mounted', exitCode.noMount)
    throw misuse(`more than one chfs is mounted (${mounted.join(', ')}): choose one with -m`)
  }
  const mountpoint = await resolveMountpoint(typed).catch((error: Error) => {
    throw new CommandError(error.message, exitCode.noMount)
  })
  if (running.includes(mountpoint)) return new RunFile(directory, mountpoint)
  throw new CommandError(`no chfs of this user is mounted on ${mountpoint}`, exitCode.noMount)
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    if (!(error instanceof CommandError)) throw error
    process.stderr.write(`chfsctl: ${error.message}\n`)
    process.exitCode = error.code
  },
)
