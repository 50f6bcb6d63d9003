/** A store on a disk that is full: ENOSPC to the caller, unlink works, nothing is damaged, and then there is room again. */
import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import { O_CREAT, O_RDWR, PUNCH_HOLE, KEEP_SIZE } from './constants.js'
import { type Calls, errnoOf } from './driver.js'
import { run, TestMount } from './harness.js'

const MEGABYTE = 1 << 20

/** Writes files of a megabyte until the disk is full; the names of those that are whole. */
async function fillUp(t: Test, sys: Calls, prefix: string): Promise<string[]> {
  const whole: string[] = []
  for (let index = 0; index < 200; index++) {
    const name = `${prefix}${index}`
    const outcome = await errnoOf(sys.fill(name, MEGABYTE, index))
    if (outcome === 'ok') whole.push(name)
    else {
      t.equal(outcome, 'ENOSPC', 'a full disk is ENOSPC')
      return whole
    }
  }
  t.fail('the disk is never full')
  return whole
}

async function allWhole(t: Test, sys: Calls, names: string[], prefix: string): Promise<void> {
  for (const name of names) {
    const seed = Number(name.slice(prefix.length))
    if (!(await sys.same(name, 0, MEGABYTE, seed))) t.fail(`${name} is damaged`)
  }
}

t.test('a full disk', async (t) => {
  const disk = mkdtempSync('/dev/shm/chfs-mount-disk-')
  t.teardown(async () => {
    await run('umount', [disk])
    rmdirSync(disk)
  })
  await run('mount', ['-t', 'tmpfs', '-o', 'size=128m', 'chfs-test', disk])
  mkdirSync(`${disk}/store`)
  const mount = await TestMount.start(t, { store: `${disk}/store`, mayFail: true })
  let { sys } = mount.driver()

  const files = await fillUp(t, sys, 'f')
  t.ok(files.length > 10, `${files.length} files fitted`)
  let small = 0
  while (small < 100_000 && (await errnoOf(sys.put(`s${small}`, 'x'.repeat(3000)))) === 'ok') small++
  t.equal(await errnoOf(sys.put('s-last', 'x'.repeat(3000))), 'ENOSPC', `after ${small} small files too`)
  for (const [what, call] of Object.entries({
    mkdir: () => sys.mkdir('d'),
    symlink: () => sys.symlink('x'.repeat(4000), 'link'),
    setxattr: () => sys.fillxattr('f0', 'user.a', 60_000),
  })) {
    t.match(await errnoOf(call()), /^(ok|ENOSPC)$/, what)
  }
  const fd = await sys.open('f0', O_RDWR)
  t.equal(await errnoOf(sys.fallocate(fd, 0, 0, 64 * MEGABYTE)), 'ENOSPC')
  t.equal((await sys.fstat(fd)).size, MEGABYTE)
  await allWhole(t, sys, files, 'f')

  t.comment('killed while full')
  await mount.crash()
  ;({ sys } = mount.driver())
  await allWhole(t, sys, files, 'f')
  t.equal(await errnoOf(sys.unlink('f0')), 'ok', 'unlink works')
  const last = await sys.open('f1', O_RDWR)
  t.equal(await errnoOf(sys.fallocate(last, PUNCH_HOLE | KEEP_SIZE, 0, MEGABYTE)), 'ok', 'so does a punched hole')
  for (const name of files.slice(1)) t.equal(await errnoOf(sys.unlink(name)), 'ok')
  await sys.close(last)
  for (let index = 0; index < small; index++) await sys.unlink(`s${index}`)

  t.comment('room again')
  const directory = await sys.open('.')
  let again = 'ENOSPC'
  for (let attempt = 0; attempt < 100 && again !== 'ok'; attempt++) {
    // What was removed is given back when its removal is safe against a power cut.
    await sys.syncfs(directory)
    again = await errnoOf(sys.fill('again', 10 * MEGABYTE, 7))
  }
  t.equal(again, 'ok')
  t.ok(await sys.same('again', 0, 10 * MEGABYTE, 7))
  const open = await sys.open('new', O_RDWR | O_CREAT)
  t.equal(await sys.write(open, 'written'), 7)
  await mount.remount()
  ;({ sys } = mount.driver())
  t.ok(await sys.same('again', 0, 10 * MEGABYTE, 7))
  t.equal(await sys.readAll('new'), 'written')
  // Before its disk is taken away.
  await mount.end()
})
