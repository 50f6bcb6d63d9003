/** PostgreSQL keeps its data in the mount: initdb, pgbench, a restart, and a crash recovery. */
import { readdirSync, readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { until } from '../mount/harness.js'
import { killNow } from '../processes.js'
import { type App, appTest, type Program, type RunSettings } from './app.js'

const AS_POSTGRES: RunSettings = { in: 'pg', user: 'postgres' }

/** Debian keeps each version's programs apart from PATH. */
function programs(): string {
  const root = '/usr/lib/postgresql'
  const newest = readdirSync(root).sort((a, b) => Number(b) - Number(a))[0]
  return `${root}/${newest}/bin`
}

function childrenOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    return (children.match(/\d+/g) ?? []).map(Number)
  } catch {
    return []
  }
}

class Postgres {
  readonly #app: App
  readonly #bin = programs()
  #server: Program | undefined

  constructor(app: App) {
    this.#app = app
  }

  /** Runs one of PostgreSQL's programs as its user, with the socket that lies in the mount. */
  run(program: string, ...args: string[]): Promise<string> {
    return this.#app.run([`${this.#bin}/${program}`, ...args], {
      ...AS_POSTGRES,
      environment: { PGHOST: this.#app.path('pg'), PGDATABASE: 'postgres' },
    })
  }

  async start(): Promise<void> {
    const settings = ['listen_addresses=', `unix_socket_directories=${this.#app.path('pg')}`, 'log_statement=none']
    // What this keeps in shared files goes into the mount too.
    settings.push('dynamic_shared_memory_type=mmap', 'checkpoint_timeout=30s', 'max_wal_size=64MB')
    const server = this.#app.start(
      [`${this.#bin}/postgres`, '-D', 'data', ...settings.flatMap((setting) => ['-c', setting])],
      { ...AS_POSTGRES, timeoutMs: 600_000 },
    )
    this.#server = server
    let ended = ''
    void server.ended.then(({ stderr }) => {
      ended = stderr
    })
    await until(async () => {
      if (ended !== '') throw new Error(`postgres ended: ${ended.slice(-4000)}`)
      return (await this.run('psql', '-Atc', 'SELECT 1').catch(() => '')) === '1\n'
    }, 'postgres answers')
  }

  /** Stops it in order; resolves with what it logged. */
  async stop(): Promise<string> {
    await this.run('pg_ctl', 'stop', '-D', 'data', '-m', 'fast', '-w')
    return (await this.#server?.ended)?.stderr ?? ''
  }

  /** kill -9 of every process of the server, each of which has a session of its own. */
  async kill(): Promise<void> {
    if (this.#server === undefined) return
    const { pid, ended } = this.#server
    for (const each of [pid, ...childrenOf(pid)]) killNow(each)
    await ended
  }

  bench(seconds: number): Promise<string> {
    return this.run('pgbench', '-n', '-c', '4', '-j', '2', '-T', String(seconds))
  }
}

/** Every transaction of pgbench adds one delta to three balances and to the history. */
async function verify(t: Test, postgres: Postgres, atLeast: number): Promise<number> {
  const sums = `SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
    (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history),
    (SELECT count(*) FROM pgbench_history)`
  const [accounts, tellers, branches, history, count] = (await postgres.run('psql', '-Atc', sums)).trim().split('|')
  t.strictSame([tellers, branches, history], [accounts, accounts, accounts], 'the sums of all balances are the same')
  t.ok(Number(count) >= atLeast, `${count} transactions are there of at least ${atLeast}`)
  await postgres.run('pg_amcheck', '--heapallindexed', '--install-missing')
  return Number(count)
}

const processed = (output: string): number =>
  Number(/number of transactions actually processed: (\d+)/.exec(output)?.[1] ?? Number.NaN)

async function throughItsOwnCrash(t: Test, app: App, seconds: number, scale: number): Promise<void> {
  await app.shell('mkdir -m 700 pg && chown postgres: pg')
  const postgres = new Postgres(app)
  await postgres.run('initdb', '-D', 'data', '--data-checksums', '--auth=trust')
  await postgres.start()
  await postgres.run('pgbench', '-i', '-q', '-s', String(scale))
  const done = processed(await postgres.bench(seconds))
  t.ok(done > 0, 'pgbench ran')
  t.equal(await verify(t, postgres, done), done, 'every transaction is there once')
  await postgres.stop()
  await postgres.run('pg_checksums', '--check', '-D', 'data')

  await app.mount.remount()
  await postgres.start()
  await verify(t, postgres, done)
  const more = postgres.bench(60).catch(() => 'killed')
  const counted = async (): Promise<number> =>
    Number(await postgres.run('psql', '-Atc', 'SELECT count(*) FROM pgbench_history'))
  let seen = done
  await until(async () => {
    seen = await counted()
    return seen > done + 500
  }, 'transactions before the crash')
  await postgres.kill()
  t.equal(await more, 'killed', 'pgbench lost its server')
  await postgres.start()
  await verify(t, postgres, seen)
  t.match(await postgres.stop(), /database system was not properly shut down; automatic recovery/, 'it recovered')
  await postgres.run('pg_checksums', '--check', '-D', 'data')
}

async function throughACrashBelow(t: Test, app: App): Promise<void> {
  await app.shell('mkdir -m 700 pg && chown postgres: pg')
  const postgres = new Postgres(app)
  await postgres.run('initdb', '-D', 'data', '--data-checksums', '--auth=trust')
  await postgres.start()
  await postgres.run('pgbench', '-i', '-q', '-s', '1')
  const more = postgres.bench(60).catch(() => 'killed')
  let seen = 0
  await until(async () => {
    seen = Number(await postgres.run('psql', '-Atc', 'SELECT count(*) FROM pgbench_history'))
    return seen > 300
  }, 'transactions before the crash')
  await app.mount.kill()
  await postgres.kill()
  await more
  await app.crash()
  await postgres.start()
  await verify(t, postgres, seen)
  await postgres.stop()
  await postgres.run('pg_checksums', '--check', '-D', 'data')
}

/** pgbench runs for so many seconds on so many times 100 000 accounts. */
export function postgresTest(seconds: number, scale: number): void {
  appTest('PostgreSQL', (t, app) => throughItsOwnCrash(t, app, seconds, scale))
  appTest('PostgreSQL when the file system under it is killed', throughACrashBelow)
}
