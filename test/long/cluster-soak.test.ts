/** Ten minutes of work on three nodes that are killed and stopped; CHFS_SOAK_SECONDS and CHFS_SOAK_SEED say otherwise. */
import t from 'tap'
import { runSoak } from '../mount/soak-run.js'
import { long } from './length.js'

const PAUSE_MS = 10_000
const seconds = Number(process.env['CHFS_SOAK_SECONDS'] ?? long(600))
const seed = Number(process.env['CHFS_SOAK_SEED'] ?? Date.now() % 2 ** 31)

t.test('a soak', (t) => runSoak(t, seconds, seed, PAUSE_MS))
