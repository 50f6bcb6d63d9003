/** Dials the address of its first argument, and prints whether it came in, or why not. */
import { SystemClock } from '../../lib/native/clock.js'
import { KEY_BYTES, TlsControl } from '../../lib/native/control.js'
import { quiet } from '../quiet.js'

const key = new Uint8Array(KEY_BYTES).fill(7)
const control = await TlsControl.open({ key, listen: null }, new SystemClock(), quiet)
const events = { message: () => undefined, ended: (reason: string) => process.stdout.write(`${reason}\n`) }
control.dial(
  process.argv[2] as string,
  (connection) => {
    process.stdout.write('opened\n')
    connection.close()
  },
  events,
)
