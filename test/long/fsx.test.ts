/** As test/mount/fsx.test.ts, for five minutes each. */
import t from 'tap'
import { runFsx } from '../mount/fsx-run.js'
import { long } from './length.js'

const SECONDS = long(300)

t.test("this kernel's protocol", (t) => runFsx(t, SECONDS, {}))
t.test('the kernel delays writes', (t) => runFsx(t, SECONDS, { options: ['writeback'] }))
