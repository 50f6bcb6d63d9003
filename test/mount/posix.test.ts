/** Every case, as root: on what this kernel and we agree on, as on an older kernel, and with open files kept by us. */
import t from 'tap'
import { allCases } from './cases/all.js'
import { runTwins } from './twin.js'

const passes: Record<string, Record<string, string>> = {
  "this kernel's protocol": {},
  'protocol 7.34': { CHFS_TEST_FUSE_MINOR: '34' },
  'open files and locks kept by the node': { CHFS_TEST_KEEPER: 'node' },
}

for (const [name, environment] of Object.entries(passes)) {
  t.test(name, (t) => runTwins(t, allCases, { environment }))
}
