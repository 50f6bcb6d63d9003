/** What has as many links as an inode may have gets no more, and nothing changes. */
import t from 'tap'
import { caught, EMLINK } from '../../lib/base/errno.js'
import { type ByteRange, ROOT_INODE } from '../../lib/base/ids.js'
import { LINKS_MAX } from '../../lib/base/limits.js'
import { S_IFDIR, S_IFREG } from '../../lib/base/mode.js'
import { Prng } from './prng.js'
import { World } from './world.js'

const CALLER = { uid: 0, gid: 0, pid: 1, umask: 0o22 }

function name(text: string): ByteRange {
  const bytes = new TextEncoder().encode(text)
  return { bytes, offset: 0, length: bytes.length }
}

const errnoOf = (step: () => unknown): number => caught(() => Number(step() === undefined))

t.test('EMLINK', async (t) => {
  const world = new World(new Prng(1), {})
  world.boot(false)
  const { create, remove, meta } = world.share
  const full = create.mknod(ROOT_INODE, name('full'), S_IFDIR | 0o755, 0, CALLER)
  const other = create.mknod(ROOT_INODE, name('other'), S_IFDIR | 0o755, 0, CALLER)
  const file = create.mknod(ROOT_INODE, name('file'), S_IFREG | 0o644, 0, CALLER)
  full.nlink = LINKS_MAX
  file.nlink = LINKS_MAX
  const refused: Record<string, () => unknown> = {
    mkdir: () => create.mknod(full.number, name('directory'), S_IFDIR | 0o755, 0, CALLER),
    link: () => create.link(file.number, ROOT_INODE, name('link')),
    rename: () => remove.rename(ROOT_INODE, name('other'), full.number, name('moved'), 0),
  }
  for (const [call, step] of Object.entries(refused)) t.equal(errnoOf(step), -EMLINK, call)
  t.strictSame([full.nlink, file.nlink, other.parent], [LINKS_MAX, LINKS_MAX, ROOT_INODE])
  t.ok(meta.dentries.isEmpty(full), 'no name has come')
  t.equal(world.share.lookup(ROOT_INODE, name('link')), undefined)
  t.ok(create.mknod(full.number, name('file'), S_IFREG | 0o644, 0, CALLER), 'what is no directory adds no link')
  file.nlink--
  t.equal(create.link(file.number, ROOT_INODE, name('link')).nlink, LINKS_MAX, 'the last one')
})
