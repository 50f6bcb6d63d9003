/** As test/mount/fsx.test.ts, for an hour each. */
import t from 'tap'
import { runFsx } from '../mount/fsx-run.js'

const SECONDS = 3600

t.test("this kernel's protocol", (t) => runFsx(t, SECONDS, {}))
t.test('the kernel delays writes', (t) => runFsx(t, SECONDS, { options: ['writeback'] }))
