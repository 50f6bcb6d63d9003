/** make and gcc on two nodes in one tree at once; what they have built is linked and run on others. */
import { type App, clusterTest } from './app.js'
import { IN_LIBRARY, MODULES, ofCommon, printed, writeProject } from './project.js'

/** What make said, and never a word about clocks. */
async function make(app: App, target: string): Promise<string[]> {
  const { code, stdout, stderr } = await app.start(['make', '--no-print-directory', '-j2', target], { in: 'project' })
    .ended
  if (code !== 0 || stderr !== '') throw new Error(`make ${target} ended with ${code}: ${stdout}${stderr}`)
  return stdout.trim().split('\n').sort()
}

clusterTest('make and gcc on two nodes at once', async (t, [a, b, c]) => {
  const original = `${a.mount.beside}/project`
  writeProject(original)
  await a.run(['cp', '-r', original, a.path('project')])
  const builds = await Promise.all([make(a, 'libparts.a'), make(b, 'group.o')])
  t.strictSame(
    builds.map((lines) => lines.length),
    [IN_LIBRARY + 1, MODULES - IN_LIBRARY + 1],
  )
  t.strictSame(await make(c, 'program'), ['CC main.c', 'LINK program'], 'all else is there for the third')
  for (const app of [a, b, c]) {
    t.strictSame(await make(app, 'program'), ["make: 'program' is up to date."])
    t.equal(await app.run(['./program'], { in: 'project' }), printed(1000), 'runs')
  }
  await c.shell('sed -i s/1000/2000/ common.h', { in: 'project' })
  const rebuilt = await Promise.all([make(a, 'group.o'), make(b, 'libparts.a')])
  const users = Array.from({ length: ofCommon }, (_, index) => `CC module${index * 5}.c`)
  t.strictSame(rebuilt.flat().sort(), [...users, 'AR libparts.a', 'LD group.o'].sort(), 'what another node changed')
  t.strictSame(await make(b, 'program'), ['LINK program'])
  for (const app of [a, b, c]) t.equal(await app.run(['./program'], { in: 'project' }), printed(2000))
  await make(b, 'clean')
  t.equal(await a.shell('ls | grep -cE "[.][oad]$|^program" || true', { in: 'project' }), '0\n')
})
