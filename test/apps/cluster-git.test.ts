/** git on several nodes: a clone of one is looked through by others, and all push into one repository at once. */
import { type App, clusterTest, REPOSITORY } from './app.js'
import { AUTHOR } from './git.js'

const COMMITS = 3

clusterTest('a clone on one node, fsck and status on others', async (t, [a, b, c]) => {
  const git = (app: App, ...args: string[]): Promise<string> =>
    app.run(['git', ...args], { in: 'clone', environment: AUTHOR })
  await a.run(['git', 'clone', '--quiet', '--no-local', REPOSITORY, a.path('clone')])
  const original = (await a.run(['git', '-C', REPOSITORY, 'rev-parse', 'HEAD'])).trim()
  await git(b, 'fsck', '--full', '--strict')
  for (const app of [b, c]) {
    t.equal((await git(app, 'rev-parse', 'HEAD')).trim(), original)
    t.equal(await git(app, 'status', '--porcelain', '--ignored'), '', 'clean')
    t.equal(await git(app, 'diff-files'), '', 'attributes are those that the index has')
  }
  await b.shell('git rm --quiet -r test && mkdir new && seq 9000 >new/numbers', { in: 'clone' })
  await git(b, 'add', '--all')
  await git(b, 'commit', '--quiet', '-m', 'work')
  t.equal(await git(a, 'status', '--porcelain'), '', "another node's commit")
  t.equal(await git(c, 'log', '-1', '--format=%s'), 'work\n')
  await git(c, 'gc', '--quiet', '--prune=now')
  await git(a, 'fsck', '--full', '--strict')
  await git(a, 'checkout', '--quiet', original)
  for (const app of [b, c]) t.equal(await git(app, 'status', '--porcelain', '--ignored'), '')
  t.equal(await git(b, 'diff', 'HEAD'), '')
})

clusterTest('all nodes push into one repository', async (t, apps) => {
  const [first] = apps
  await first.run(['git', 'init', '--quiet', '--bare', '--initial-branch=main', first.path('central')])
  await first.shell(
    `git clone --quiet central start && cd start && git checkout --quiet -b main && echo 0 >start &&
      git add start && git commit --quiet -m start && git push --quiet origin main`,
    { environment: AUTHOR },
  )
  // Who is refused since another was first takes over what that one has pushed, and tries again.
  const work = (app: App, who: number): Promise<string> =>
    app.shell(
      `git clone --quiet central own${who} && cd own${who} && said=.git/said
      for ((i = 0; i < ${COMMITS}; i++)); do
        seq $i $((i + 500)) >file.${who}.$i && git add --all && git commit --quiet -m "${who} $i"
        for ((try = 0; ; try++)); do
          git push --quiet origin main 2>"$said" && break
          grep -qE 'rejected|failed to push|cannot lock ref' "$said" && ((try < 100)) || { cat "$said" >&2; exit 1; }
          git pull --quiet --rebase origin main
        done
      done`,
      { environment: AUTHOR },
    )
  await Promise.all(apps.map(work))
  const git = (app: App, ...args: string[]): Promise<string> => app.run(['git', ...args], { in: 'central' })
  for (const app of apps) {
    t.equal((await git(app, 'rev-list', '--count', 'main')).trim(), String(1 + 3 * COMMITS), 'every commit once')
    t.equal((await git(app, 'ls-tree', '--name-only', 'main')).trim().split('\n').length, 1 + 3 * COMMITS)
  }
  await git(first, 'fsck', '--full', '--strict')
})
