/**
 * Opens a store in a process of its own: `open PATH`, or `hold PATH` until it is killed. Says in one line of JSON how
 * it went.
 */
import { openStore } from '../../mount/store.js'
import { quiet } from '../quiet.js'

const [mode, path] = process.argv.slice(2) as [string, string]
try {
  const store = await openStore(path, 4 << 20, quiet)
  console.log('{"exitCode":0}')
  if (mode === 'hold') setInterval(() => undefined, 1000)
  else await store.close()
} catch (error) {
  const { name, message, exitCode, inUse } = error as Error & { exitCode?: number; inUse?: boolean }
  console.log(JSON.stringify({ name, message, exitCode, inUse }))
}
