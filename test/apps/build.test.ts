/** A C project of some fifty files is built with make and gcc, run, changed, and rebuilt as far as it must be. */
import { type App, appTest } from './app.js'
import { MODULES, ofCommon, printed, writeProject } from './project.js'

async function make(app: App, ...targets: string[]): Promise<string[]> {
  const output = await app.run(['make', '--no-print-directory', '-j2', ...targets], { in: 'project' })
  return output.trim().split('\n').sort()
}

const nothing = ["make: 'program' is up to date."]

appTest('make and gcc', async (t, app) => {
  const original = `${app.mount.beside}/project`
  writeProject(original)
  await app.run(['cp', '-r', original, app.path('project')])
  const run = (): Promise<string> => app.run(['./program'], { in: 'project' })

  t.equal((await make(app)).length, MODULES + 4, 'everything is built')
  t.equal(await run(), printed(1000), 'and runs')
  t.strictSame(await make(app), nothing, 'once')

  // Module 30 is no multiple of 5: its header belongs to itself and to module 31.
  await app.shell('touch module30.h', { in: 'project' })
  t.strictSame(await make(app), ['CC module30.c', 'CC module31.c', 'LD group.o', 'LINK program'], 'a header')
  await app.shell('sed -i s/1000/2000/ common.h', { in: 'project' })
  const users = Array.from({ length: ofCommon }, (_, index) => `CC module${index * 5}.c`)
  t.strictSame(await make(app), [...users, 'AR libparts.a', 'LD group.o', 'LINK program'].sort(), 'a common header')
  t.equal(await run(), printed(2000), 'the new program runs')

  await app.mount.remount()
  t.strictSame(await make(app), nothing, 'nothing is older or newer after a remount')
  t.equal(await run(), printed(2000))
  // A program that runs can be replaced, not written.
  await app.shell(
    'cp /bin/sleep busy && { ./busy 30 & } && sleep 0.2 && ! { true >busy; } 2>error && rm busy && kill %1',
    {
      in: 'project',
    },
  )
  t.match(await app.run(['cat', 'project/error']), /Text file busy/, 'a running program cannot be written')
  await make(app, 'clean')
  t.equal(await app.shell('ls | grep -cE "[.][oad]$|^program" || true', { in: 'project' }), '0\n', 'all is removed')
  t.equal((await make(app)).length, MODULES + 4, 'and built again')
  t.equal(await run(), printed(2000))
})
