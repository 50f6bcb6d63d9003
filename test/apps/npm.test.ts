/** npm: packages packed, installed by `npm ci` and tested inside the mount; nothing comes from a registry. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { appTest } from './app.js'

const FILES_OF_LARGE = 300

function writePackage(directory: string, manifest: object, files: Readonly<Record<string, string>>): void {
  mkdirSync(directory)
  writeFileSync(`${directory}/package.json`, JSON.stringify({ version: '1.0.0', type: 'module', ...manifest }))
  for (const [name, text] of Object.entries(files)) writeFileSync(`${directory}/${name}`, text)
}

/** `tool` has a command, `large` has many files and needs `tool`, and `project` needs both. */
function writePackages(root: string): void {
  mkdirSync(root)
  writePackage(
    `${root}/tool`,
    { name: 'tool', bin: { double: 'double.js' }, exports: './index.js' },
    {
      'index.js': 'export const double = (x) => 2 * x\n',
      'double.js': "#!/usr/bin/env node\nimport { double } from 'tool'\nconsole.log(double(Number(process.argv[2])))\n",
    },
  )
  const parts = Array.from({ length: FILES_OF_LARGE }, (_, n): [string, string] => [
    `part${n}.js`,
    `import { double } from 'tool'\nexport default double(${n})\n`,
  ])
  const index = `const parts = Array.from({ length: ${FILES_OF_LARGE} }, (_, n) => import(\`./part\${n}.js\`))
export const total = (await Promise.all(parts)).reduce((sum, part) => sum + part.default, 0)\n`
  writePackage(
    `${root}/large`,
    { name: 'large', exports: './index.js', peerDependencies: { tool: '1.0.0' } },
    { ...Object.fromEntries(parts), 'index.js': index },
  )
  writePackage(
    `${root}/project`,
    {
      name: 'project',
      scripts: { test: 'test "$(double 21)" = 42 && node --test' },
      dependencies: { tool: 'file:../tool-1.0.0.tgz', large: 'file:../large-1.0.0.tgz' },
    },
    {
      'project.test.js': `import assert from 'node:assert'
import { test } from 'node:test'
import { total } from 'large'
test('total', () => assert.equal(total, ${FILES_OF_LARGE * (FILES_OF_LARGE - 1)}))\n`,
    },
  )
}

appTest('npm ci and npm test', async (t, app) => {
  const original = `${app.mount.beside}/packages`
  writePackages(original)
  await app.run(['cp', '-r', `${original}/.`, app.path()])
  const environment = {
    npm_config_cache: app.path('cache'),
    npm_config_offline: 'true',
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    npm_config_update_notifier: 'false',
  }
  const npm = (folder: string, ...args: string[]): Promise<string> =>
    app.run(['npm', '--loglevel=error', ...args], { in: folder, environment })
  for (const name of ['tool', 'large']) await npm(name, 'pack', '--pack-destination', '..')
  await npm('project', 'install')
  await app.shell('rm -r node_modules', { in: 'project' })
  await npm('project', 'ci')
  const files = await app.shell('find node_modules/large -name "part*.js" | wc -l', { in: 'project' })
  t.equal(Number(files), FILES_OF_LARGE, 'all files of a package are there')
  t.match(await npm('project', 'test'), /^# pass 1$/m, 'npm test passes')
  await app.shell('diff -r large/ project/node_modules/large/')

  await app.mount.remount()
  // Now with a node_modules that is there already and a cache that is filled.
  await npm('project', 'ci')
  t.match(await npm('project', 'test'), /^# pass 1$/m, 'and after a remount')
  await npm('project', 'cache', 'verify')
  await npm('project', 'ls', '--all')
})
