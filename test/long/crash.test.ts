/** As test/mount/crash.test.ts, fifty times. */
import t from 'tap'
import { runCrashes } from '../mount/crash-run.js'
import { long } from './length.js'

t.test('kill -9 of the server', (t) => runCrashes(t, long(50), {}))
