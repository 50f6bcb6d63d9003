/** What an ordinary user may do, on a mount of his own through fusermount3. */
import t from 'tap'
import { allCases } from './cases/all.js'
import { runTwins } from './twin.js'

t.test('as nobody', (t) => runTwins(t, allCases, { asUser: true }))
