/** git: a clone of this repository, all that one does in it, and commits through a crash of the server. */
import { until } from '../mount/harness.js'
import { appTest, REPOSITORY } from './app.js'
import { AUTHOR } from './git.js'

const COMMITS_BEFORE_CRASH = 25

appTest('a clone is worked in', async (t, app) => {
  const git = (...args: string[]): Promise<string> => app.run(['git', ...args], { in: 'clone', environment: AUTHOR })
  // Through the transport, since a local clone would only link or copy files.
  await app.run(['git', 'clone', '--quiet', '--no-local', REPOSITORY, app.path('clone')])
  const original = (await app.run(['git', '-C', REPOSITORY, 'rev-parse', 'HEAD'])).trim()
  t.equal((await git('rev-parse', 'HEAD')).trim(), original, 'the clone has the same commit')
  t.equal(await git('status', '--porcelain'), '', 'and is clean')

  await git('checkout', '--quiet', '-b', 'work')
  for (let round = 0; round < 10; round++) {
    await app.shell(
      `mkdir -p new/${round} && git ls-files >new/${round}/list && seq ${round}000 >new/${round}/numbers`,
      {
        in: 'clone',
      },
    )
    if (round > 0) await git('mv', `new/${round - 1}/list`, `new/${round}/older`)
    await git('add', '--all')
    await git('commit', '--quiet', '-m', `round ${round}`)
  }
  const work = (await git('rev-parse', 'HEAD^{tree}')).trim()
  await git('checkout', '--quiet', original)
  t.equal(await git('status', '--porcelain', '--ignored'), '', 'an old commit leaves nothing of the new ones')
  t.equal(await git('diff', 'HEAD'), '')
  await git('checkout', '--quiet', '-b', 'other')
  await app.shell('echo other >other && git rm --quiet -r README.md', { in: 'clone' })
  await git('add', 'other')
  await git('commit', '--quiet', '-m', 'other')
  await git('checkout', '--quiet', 'work')
  t.equal((await git('write-tree')).trim(), work, 'and back')
  await git('merge', '--quiet', '--no-edit', 'other')
  await git('gc', '--quiet', '--aggressive', '--prune=now')
  await git('fsck', '--full', '--strict')
  t.equal(await git('status', '--porcelain'), '', 'clean after gc')

  await app.mount.remount()
  await git('fsck', '--full')
  t.equal(await git('status', '--porcelain'), '', 'clean after a remount')
  // The index's cached attributes are still those of the files: nothing has to be read again.
  t.equal(await git('diff-files'), '', 'no attribute has changed')
  await git('clone', '--quiet', app.path('clone'), app.path('linked'))
  await app.run(['git', 'fsck', '--full'], { in: 'linked' })
})

appTest('what git had committed is there after a crash', async (t, app) => {
  await app.run(['git', 'init', '--quiet', app.path('work')])
  const committed: string[] = []
  const script = `for ((i = 0; ; i++)); do
    mkdir -p d$((i % 7)); echo $i >>d$((i % 7))/f$i; seq $i $((i + 900)) >large
    git add --all; git commit --quiet -m $i; ((i % 10)) || git repack --quiet -a -d; git rev-parse HEAD
  done`
  const writer = app.start(['bash', '--norc', '-euo', 'pipefail', '-c', script], {
    in: 'work',
    environment: AUTHOR,
    onLine: (line) => committed.push(line),
  })
  let ended = false
  void writer.ended.then(() => {
    ended = true
  })
  await until(() => ended || committed.length >= COMMITS_BEFORE_CRASH, 'the commits before the crash')
  t.notOk(ended, 'git works until the crash')
  await app.crash()
  await writer.ended

  const git = (...args: string[]): Promise<string> => app.run(['git', ...args], { in: 'work', environment: AUTHOR })
  await git('fsck', '--full', '--strict')
  const history = (await git('rev-list', 'HEAD')).trim().split('\n').reverse()
  t.strictSame(history.slice(0, committed.length), committed, 'every commit that was told')
  t.ok(history.length - committed.length <= 1, 'and at most the one in flight')
  // What git was in the middle of leaves its locks.
  await app.shell('rm -f .git/*.lock .git/refs/heads/*.lock && git reset --quiet --hard', { in: 'work' })
  await app.shell('echo more >more && git add --all && git commit --quiet -m more && git gc --quiet', {
    in: 'work',
    environment: AUTHOR,
  })
  await git('fsck', '--full')
  t.equal(await git('status', '--porcelain'), '')
})
