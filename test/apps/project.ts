/** A C project of some fifty files, to be built with make and gcc. */
import { mkdirSync, writeFileSync } from 'node:fs'

export const MODULES = 50
export const IN_LIBRARY = 25

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
export function writeProject(directory: string): void {
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

/** How many modules know the common header. */
export const ofCommon = MODULES / 5

/** What the program prints when the common header says `common`. */
export const printed = (common: number): string => `${7 + (MODULES * (MODULES - 1)) / 2 + ofCommon * common}\n`
