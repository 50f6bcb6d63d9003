/** tar and rsync bring a tree into the mount and back with everything that is to be known of it. */
import { appTest } from './app.js'
import { list, makeTree, RSYNC, same, TAR } from './archive.js'

appTest('tar', async (t, app) => {
  const { original, expected } = await makeTree(app, 1500)
  const archive = `${app.mount.beside}/there.tar`
  await app.run([...TAR, '-cf', archive, '-C', original, '.'])
  await app.shell('mkdir copy')
  await app.run([...TAR, '-xpf', archive, '-C', app.path('copy')])
  await app.run([...TAR, '--compare', '-f', archive, '-C', app.path('copy')])
  same(t, await list(app, app.path('copy')), expected, 'extracted in the mount')

  await app.mount.remount()
  same(t, await list(app, app.path('copy')), expected, 'after a remount')
  await app.run([...TAR, '-cf', app.path('back.tar'), '-C', app.path('copy'), '.'])
  const back = `${app.mount.beside}/back`
  await app.run(['mkdir', back])
  await app.run([...TAR, '-xpf', app.path('back.tar'), '-C', back])
  same(t, await list(app, back), expected, 'archived in the mount, extracted outside')
  await app.shell('rm -r copy back.tar && test -z "$(ls -A)"')
})

appTest('rsync', async (t, app) => {
  const { original, expected } = await makeTree(app, 1500)
  const copy = app.path('copy/')
  await app.run([...RSYNC, `${original}/`, copy])
  same(t, await list(app, copy), expected, 'copied into the mount')
  t.equal(await app.run([...RSYNC, '-i', '--checksum', `${original}/`, copy]), '', 'nothing is left to copy')

  // A delta is written in place and as a new file that takes the old one's name.
  const change = `printf changed | dd of=size-9000001 bs=1 seek=5000000 conv=notrunc status=none
    rm many/7 && mv many/8 many/new && chmod 600 many/9 && setfattr -n user.new -v 1 many/10 && ln many/11 many/linked
    touch -d '2001-02-03 04:05:06.789' many`
  await app.shell(`cd '${original}' && ${change}`)
  await app.run([...RSYNC, '--no-whole-file', '--delete', `${original}/`, copy])
  const changed = await list(app, original)
  same(t, await list(app, copy), changed, 'the changes alone')
  await app.shell(`cd '${original}' && printf again >>size-4194305`)
  await app.run([...RSYNC, '--no-whole-file', '--inplace', '--no-sparse', `${original}/`, copy])

  await app.mount.remount()
  const back = `${app.mount.beside}/back`
  await app.run([...RSYNC, copy, back])
  same(t, await list(app, back), await list(app, original), 'and back')
})
