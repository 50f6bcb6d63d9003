/**
 * The Unix socket on which the process of a mount tells how it is: whoever connects gets one line of JSON. It lies
 * beside the run file, and only the owner may use it.
 */
import { chmodSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import type { Log } from '../lib/ports.js'
import { exitCode, MountError } from './exit.js'
import type { MountStatus } from './status.js'

/** Those who ask at the same time. */
const CONNECTIONS_MAX = 16
/** How long a process may take to answer. */
const ANSWER_MS = 5000
const ANSWER_BYTES_MAX = 4 << 20

/** Answers until the process ends. That it cannot be set up is logged, and harms nothing else. */
export function serveStatus(path: string, status: () => Promise<MountStatus>, log: Log): Server {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.setTimeout(ANSWER_MS, () => socket.destroy())
    status().then(
      (answer) => socket.end(`${JSON.stringify(answer)}\n`),
      (error: Error) => {
        log.error({ cause: error.message }, 'the status could not be told')
        socket.destroy()
      },
    )
  })
  server.maxConnections = CONNECTIONS_MAX
  server.on('error', (error) => log.warn({ path, cause: error.message }, 'there is no socket for the status'))
  // What a process that was killed has left.
  rmSync(path, { force: true })
  server.listen(path, () => chmodSync(path, 0o600))
  server.unref()
  return server
}

/** Asks the process of a mount. @throws {MountError} where it does not answer. */
export function askStatus(path: string): Promise<MountStatus> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    let text = ''
    const fail = (reason: string): void => {
      socket.destroy()
      reject(new MountError(reason, exitCode.system))
    }
    socket.setTimeout(ANSWER_MS, () => fail('its process does not answer'))
    socket.setEncoding('utf8').on('data', (piece: string) => {
      text += piece
      if (text.length > ANSWER_BYTES_MAX) fail('its process answers without an end')
    })
    socket.on('error', ({ message }) => fail(`its process cannot be asked: ${message}`))
    socket.on('end', () => {
      try {
        resolve(JSON.parse(text) as MountStatus)
      } catch {
        fail('its process has not answered')
      }
    })
  })
}
