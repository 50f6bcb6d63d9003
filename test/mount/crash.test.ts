/** kill -9 at any moment loses nothing that had returned; test/long does it for longer. */
import t from 'tap'
import { runCrashes } from './crash-run.js'

t.test("this kernel's protocol", (t) => runCrashes(t, 8, {}))
t.test('open files and locks kept by the node', (t) => runCrashes(t, 5, { environment: { CHFS_TEST_KEEPER: 'node' } }))
