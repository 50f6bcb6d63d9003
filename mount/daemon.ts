/**
 * Going to the background. The command starts itself again, detached, and waits: the child says over its channel when
 * the kernel has been answered, the command looks for itself whether the mount answers, and only then lets the child
 * go and exits 0. A child that fails says why; one that dies without a word is a fault of ours. Either way nothing
 * stays mounted.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { exitCode, MountError } from './exit.js'

/** What the child sends. */
export type ChildMessage =
  | { readonly kind: 'note'; readonly text: string }
  | { readonly kind: 'mounted'; readonly mountpoint: string }
  | { readonly kind: 'failed'; readonly message: string; readonly exitCode: number }

/** What the command sends: the mount answers, the child may stay. */
type ParentMessage = 'stay'

export interface Background {
  /** Starts the child with a channel to this process. */
  readonly spawnChild: () => ChildProcess
  readonly note: (text: string) => void
  /** Rejects where the mount does not answer. */
  readonly waitUntilAnswers: (mountpoint: string) => Promise<void>
  /** Takes away what a dead child left mounted. */
  readonly clear: () => Promise<void>
  /** Resolves when this process is asked to stop. */
  readonly interrupted: Promise<unknown>
}

/** A child that is told to stop gets this long before it is killed. */
const stopTimeoutMs = 10_000

/** The environment variable that makes a process the child; its channel alone could be anybody's. */
const childMark = 'CHFS_BACKGROUND'

/** Resolves when the mount answers; rejects with a {@link MountError} when there is none. */
export async function startInBackground(background: Background): Promise<void> {
  const child = background.spawnChild()
  const gone = whenGone(child)
  try {
    await Promise.race([
      converse(child, background),
      gone.then((how) => {
        throw new MountError(`the background process ${how} before the mount was there`, exitCode.bug)
      }),
      background.interrupted.then(() => {
        throw new MountError('interrupted', exitCode.interrupted)
      }),
    ])
  } catch (error) {
    await stopChild(child, gone)
    await background.clear()
    throw error
  }
  child.disconnect()
  child.unref()
}

/** Starts `script` again as the child, its last words going to the descriptor `stderr`. */
export function spawnSelf(script: string, argv: readonly string[], stderr: number): ChildProcess {
  return spawn(process.execPath, [...process.execArgv, script, ...argv], {
    argv0: 'mount.chfs',
    detached: true,
    env: { ...process.env, [childMark]: '1' },
    stdio: ['ignore', 'ignore', stderr, 'ipc'],
  })
}

function converse(child: ChildProcess, { note, waitUntilAnswers }: Background): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new MountError(`no background process: ${error.message}`, exitCode.system)))
    child.on('message', (message: ChildMessage) => {
      switch (message.kind) {
        case 'note':
          note(message.text)
          break
        case 'failed':
          reject(new MountError(message.message, message.exitCode))
          break
        case 'mounted':
          waitUntilAnswers(message.mountpoint)
            .then(() => sendStay(child))
            .then(resolve, reject)
          break
      }
    })
  })
}

function sendStay(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.send('stay' satisfies ParentMessage, (error) => (error === null ? resolve() : reject(error)))
  })
}

/** Its messages have all arrived only when the channel is closed too. */
async function whenGone(child: ChildProcess): Promise<string> {
  const exited = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal === null ? `ended with code ${code}` : `died of ${signal}`))
  })
  const disconnected = new Promise<void>((resolve) => {
    child.once('disconnect', resolve)
  })
  const [how] = await Promise.all([exited, disconnected])
  return how
}

async function stopChild(child: ChildProcess, gone: Promise<string>): Promise<void> {
  if (child.pid === undefined) return
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
  await gone
  clearTimeout(timer)
}

/** The child's end of the channel; null in a process that was started by anybody else. */
export interface ParentLink {
  note(text: string): void
  /** Resolves when the parent says that the mount answers; rejects when the parent is gone. */
  mounted(mountpoint: string): Promise<void>
  failed(message: string, code: number): Promise<void>
}

export function parentLink(): ParentLink | null {
  if (process.env[childMark] !== '1' || process.send === undefined) return null
  delete process.env[childMark]
  const send = (message: ChildMessage) =>
    new Promise<void>((resolve) => {
      // A parent that is gone is noticed by its disconnection.
      if (process.send?.(message, undefined, undefined, () => resolve()) === undefined) resolve()
    })
  return {
    note(text) {
      void send({ kind: 'note', text })
    },
    async mounted(mountpoint) {
      const answer = new Promise<void>((resolve, reject) => {
        process.once('message', (message: ParentMessage) => {
          if (message === 'stay') resolve()
        })
        process.once('disconnect', () => reject(new MountError('interrupted', exitCode.interrupted)))
      })
      await send({ kind: 'mounted', mountpoint })
      await answer
      if (process.connected) process.disconnect()
    },
    async failed(message, code) {
      await send({ kind: 'failed', message, exitCode: code })
    },
  }
}
