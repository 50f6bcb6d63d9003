/** As test/long/cluster-soak.test.ts, for some seconds and with more trouble in them. */
import t from 'tap'
import { runSoak } from './soak-run.js'

const SECONDS = 20
const PAUSE_MS = 4000

t.test('a short soak', (t) => runSoak(t, SECONDS, Date.now() % 2 ** 31, PAUSE_MS))
