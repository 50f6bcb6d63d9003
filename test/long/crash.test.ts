/** As test/mount/crash.test.ts, a thousand times. */
import t from 'tap'
import { runCrashes } from '../mount/crash-run.js'

t.test('kill -9 of the server', (t) => runCrashes(t, 1000, {}))
