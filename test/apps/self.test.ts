/** A clone of this repository, inside the mount, is built and tested there by its own scripts. */
import { appTest, REPOSITORY } from './app.js'

const TIMEOUT_MS = 800_000

/** All that this process was given but the hooks of tap; npm's settings are part of it, and its filled cache. */
function environment(): Record<string, string> {
  const given = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined)
  const foreign = /^(_?TAP|NODE_OPTIONS$|npm_(?!config_)|npm_config_local_prefix$)/
  return { ...Object.fromEntries(given.filter(([name]) => !foreign.test(name))), npm_config_prefer_offline: 'true' }
}

appTest('a clone builds and tests itself in the mount', async (t, app) => {
  await app.run(['git', 'clone', '--quiet', '--no-local', REPOSITORY, app.path('chfs')])
  const settings = { in: 'chfs', timeoutMs: TIMEOUT_MS, environment: environment() }
  await app.run(['scripts/build'], settings)
  const output = await app.run(['scripts/test', '--unit'], settings)
  t.match(output, /^[1-9]\d* passed, 0 failed/m, output.trim().slice(-100))
  t.equal(await app.run(['git', 'status', '--porcelain'], { in: 'chfs' }), '', 'and leaves nothing behind')
})
