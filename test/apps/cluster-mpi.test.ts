/** MPI jobs whose ranks are on different nodes: files that they share, a library on top of these, and checkpoints. */
import { mkdirSync } from 'node:fs'
import type { Test } from 'tap'
import { type App, clusterTest, REPOSITORY } from './app.js'

const RANKS = 4
/** The two implementations of MPI-IO that OpenMPI has. */
const IMPLEMENTATIONS = ['romio321', 'ompio']

/** Builds the programs beside the mount. */
async function compile(app: App): Promise<void> {
  const { beside } = app.mount
  await app.run(['mpicc', '-O1', '-Wall', '-Werror', '-o', `${beside}/mpi`, `${REPOSITORY}/test/apps/mpi.c`])
  // h5pcc leaves its object in the directory that it is called in.
  await app.shell(`cd '${beside}' && h5pcc -O1 -Wall -Werror -o hdf5 '${REPOSITORY}/test/apps/hdf5.c'`)
}

/** Runs a job with a rank on each node and more; `turn` moves the ranks on by so many nodes. */
async function job(
  apps: readonly App[],
  program: string,
  args: readonly string[],
  io: string,
  turn = 0,
): Promise<string> {
  const [first] = apps as [App]
  const { beside } = first.mount
  const rank = [`${REPOSITORY}/test/apps/rank.sh`, `${beside}/place`, String(turn), ...apps.map((app) => app.path())]
  // Nothing outlives the namespace, whoever is killed; and nothing lies elsewhere than beside the mount.
  const alone = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']
  const how = ['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none', '-np', String(RANKS)]
  return await first.run([...alone, 'mpirun', ...how, ...rank, '--', `${beside}/${program}`, ...args], {
    environment: {
      TMPDIR: `${beside}/tmp`,
      OMPI_MCA_pml: 'ob1',
      OMPI_MCA_btl: 'vader,self',
      OMPI_MCA_btl_vader_backing_directory: `${beside}/tmp`,
      OMPI_MCA_plm: 'isolated',
      OMPI_MCA_mpi_yield_when_idle: '1',
      OMPI_MCA_io: io,
      // The shared pointer lies in a file beside the data, not in this machine's memory.
      OMPI_MCA_sharedfp: 'lockedfile',
    },
  })
}

async function prepare(apps: readonly App[]): Promise<string> {
  const [first] = apps as [App]
  for (const name of ['place', 'tmp']) mkdirSync(`${first.mount.beside}/${name}`)
  await compile(first)
  return `${first.mount.beside}/place`
}

async function sharedFiles(t: Test, apps: readonly App[], place: string): Promise<void> {
  for (const io of IMPLEMENTATIONS) {
    for (const work of ['shared', 'pointer']) {
      t.equal(
        await job(apps, 'mpi', [work, `${place}/${io}.${work}`], io),
        `${work}: ${RANKS} ranks\n`,
        `${io}: ${work}`,
      )
    }
  }
  // OMPIO has no atomic mode.
  t.equal(await job(apps, 'mpi', ['atomic', `${place}/atomic`], 'romio321'), `atomic: ${RANKS} ranks\n`)
}

clusterTest('MPI', async (t, apps) => {
  const place = await prepare(apps)
  const [a, b, c] = apps
  const { beside } = a.mount
  await t.test('one file', (t) => sharedFiles(t, apps, place))

  await t.test('parallel HDF5 of two nodes, read on the third', async (t) => {
    for (const io of IMPLEMENTATIONS) {
      await job([a, b], 'hdf5', [`${place}/${io}.h5`], io)
      await a.run([`${beside}/hdf5`, `${beside}/${io}.h5`], {
        environment: { OMPI_MCA_io: io, OMPI_ALLOW_RUN_AS_ROOT: '1' },
      })
      const compared = await c.run(['h5diff', '-v', `${beside}/${io}.h5`, `${io}.h5`])
      t.equal(compared.match(/^dataset.*\n0 differences found$/gm)?.length, 3, `${io}: as one process writes it`)
      t.match(await c.run(['h5dump', '-d', '/chunks', '-s', '239,499', '-c', '1,1', `${io}.h5`]), /\b119999$/m)
    }
  })

  await t.test('a checkpoint of one file a process', async (t) => {
    t.equal(await job(apps, 'mpi', ['save', `${place}/saved`], 'ompio'), `save: ${RANKS} ranks\n`)
    t.equal(await job(apps, 'mpi', ['restore', `${place}/saved`], 'ompio', 1), `restore: ${RANKS} ranks\n`, 'elsewhere')
    await b.mount.kill()
    await b.mount.mount()
    t.equal(
      await job(apps, 'mpi', ['restore', `${place}/saved`], 'ompio', 2),
      `restore: ${RANKS} ranks\n`,
      'after a crash',
    )
    t.equal(
      await c.shell('ls saved'),
      ['complete', ...Array.from({ length: RANKS }, (_, n) => `rank.${n}`), ''].join('\n'),
    )
  })
})
