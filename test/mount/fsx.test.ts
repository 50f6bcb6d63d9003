/** Random operations on a file, compared with tmpfs; test/long runs the same for hours. */
import t from 'tap'
import { runFsx } from './fsx-run.js'

const SECONDS = 20

t.test("this kernel's protocol", (t) => runFsx(t, SECONDS, {}))
t.test('protocol 7.34, open files kept by the node', (t) =>
  runFsx(t, SECONDS, { environment: { CHFS_TEST_FUSE_MINOR: '34', CHFS_TEST_KEEPER: 'node' } }),
)
