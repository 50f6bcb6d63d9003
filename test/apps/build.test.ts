/** A C project of some fifty files is built with make and gcc, run, changed, and rebuilt as far as it must be. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { type App, appTest } from './app.js'

const MODULES = 50
const IN_LIBRARY = 25

const MAKEFILE = `CFLAGS = -O1 -g -Wall -Werror -MMD -MP
modules := $(basename $(wildcard module*.c))
library := $(filter ${range(0, IN_LIBRARY, 'module%d')},$(modules))
others := $(filter-out $(library),$(modules))

program: main.o group.o libparts.a
	@echo LINK $@
	@gcc -o $@ main.o group.o -L. -lparts
libparts.a: $(library:=.o)
	@echo AR $@
	@rm -f $@ && ar rcs $@ $^
group.o: $(others:=.o)
	@echo LD $@
	@ld -r -o $@ $^
%.o: %.c
	@echo CC $<
	@gcc $(CFLAGS) -c -o $@ $<
clean:
	rm -f *.o *.d *.a program
-include $(wildcard *.d)
`

function range(from: number, to: number, pattern: string): string {
  return Array.from({ length: to - from }, (_, index) => pattern.replaceAll('%d', String(from + index))).join(' ')
}

/** Module n adds n to what module n − 1 says; every fifth knows the common header too. */
function writeProject(directory: string): void {
  mkdirSync(directory)
  const put = (name: string, text: string): void => writeFileSync(`${directory}/${name}`, text)
  put('Makefile', MAKEFILE)
  put('common.h', '#define COMMON 1000\n')
  for (let n = 0; n < MODULES; n++) {
    put(`module${n}.h`, `#pragma once\nlong module${n}(long x);\n`)
    const includes = [`module${n}.h`, ...(n > 0 ? [`module${n - 1}.h`] : []), ...(n % 5 === 0 ? ['common.h'] : [])]
    const common = n % 5 === 0 ? ' + COMMON' : ''
    const below = n > 0 ? `module${n - 1}(x)` : 'x'
    const body = `long module${n}(long x) { return ${below} + ${n}${common}; }\n`
    put(`module${n}.c`, `${includes.map((name) => `#include "${name}"\n`).join('')}${body}`)
  }
  const last = MODULES - 1
  put('main.c', `#include <stdio.h>\n#include "module${last}.h"\nint main() { printf("%ld\\n", module${last}(7)); }\n`)
}

const sum = 7 + (MODULES * (MODULES - 1)) / 2
const ofCommon = MODULES / 5

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
  t.equal(await run(), `${sum + ofCommon * 1000}\n`, 'and runs')
  t.strictSame(await make(app), nothing, 'once')

  // Module 30 is no multiple of 5: its header belongs to itself and to module 31.
  await app.shell('touch module30.h', { in: 'project' })
  t.strictSame(await make(app), ['CC module30.c', 'CC module31.c', 'LD group.o', 'LINK program'], 'a header')
  await app.shell('sed -i s/1000/2000/ common.h', { in: 'project' })
  const users = Array.from({ length: ofCommon }, (_, index) => `CC module${index * 5}.c`)
  t.strictSame(await make(app), [...users, 'AR libparts.a', 'LD group.o', 'LINK program'].sort(), 'a common header')
  t.equal(await run(), `${sum + ofCommon * 2000}\n`, 'the new program runs')

  await app.mount.remount()
  t.strictSame(await make(app), nothing, 'nothing is older or newer after a remount')
  t.equal(await run(), `${sum + ofCommon * 2000}\n`)
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
  t.equal(await run(), `${sum + ofCommon * 2000}\n`)
})
