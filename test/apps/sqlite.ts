/**
 * sqlite3: two processes write one database at once, with a rollback journal and with a write-ahead log (which needs
 * shared memory maps); one of them is killed in the middle, and then the server itself.
 */
import type { Test } from 'tap'
import { until } from '../mount/harness.js'
import { type App, appTest, clusterTest, type Program } from './app.js'

/** After so many transactions something is killed. */
const KILL_AFTER = 400
/** A writer that shall not come to its end has as many times more to do than one that shall. */
const ENDLESS = 20
const WRITERS = [1, 2]

const SCHEMA = `
  CREATE TABLE entries (writer INTEGER, number INTEGER, data BLOB, PRIMARY KEY (writer, number)) WITHOUT ROWID;
  CREATE TABLE totals (writer INTEGER PRIMARY KEY, count INTEGER, bytes INTEGER);
  CREATE INDEX by_data ON entries (substr(data, 1, 8));
  INSERT INTO totals VALUES (1, 0, 0), (2, 0, 0);
`

/** One transaction for each number; what it says comes after its commit. */
function transactions(writer: number, first: number, count: number): string {
  const lines = ['.timeout 60000', '.bail on']
  for (let number = first; number < first + count; number++) {
    const size = number % 50 === 0 ? 20_000 : (number * 37) % 500
    lines.push(
      'BEGIN IMMEDIATE;',
      `INSERT INTO entries VALUES (${writer}, ${number}, randomblob(${size}));`,
      `UPDATE totals SET count = count + 1, bytes = bytes + ${size} WHERE writer = ${writer};`,
      'COMMIT;',
      `SELECT ${number};`,
    )
  }
  return lines.join('\n')
}

interface Writer {
  readonly program: Program
  /** The last transaction that was told to be committed. */
  told: number
  ended: boolean
}

function startWriter(app: App, number: number, count: number, first = 1): Writer {
  let writer: Writer | undefined
  const program = app.start(['stdbuf', '-oL', 'sqlite3', 'data.db'], {
    input: transactions(number, first, count),
    onLine: (line) => {
      if (writer !== undefined) writer.told = Number(line)
    },
  })
  writer = { program, told: 0, ended: false }
  const started = writer
  void program.ended.then(() => {
    started.ended = true
  })
  return started
}

const sql = (app: App, statement: string): Promise<string> =>
  app.run(['sqlite3', 'data.db'], { input: `.timeout 60000\n${statement}\n` })

async function create(app: App, journal: string): Promise<void> {
  // What is said of the mode is the mode that it really has.
  const mode = await sql(app, `PRAGMA journal_mode = ${journal};${SCHEMA}`)
  if (mode.trim() !== journal) throw new Error(`journal_mode is ${mode}`)
}

/** What each writer was told is there, without a gap, and no more than the one transaction in flight. */
async function verify(t: Test, app: App, told: readonly number[]): Promise<void> {
  t.equal(await sql(app, 'PRAGMA integrity_check;'), 'ok\n', 'integrity_check')
  for (const [index, writer] of WRITERS.entries()) {
    const query = `SELECT count(*), max(number), sum(length(data)) FROM entries WHERE writer = ${writer};`
    const [count, last, bytes] = (await sql(app, query)).trim().split('|').map(Number)
    t.equal(count, last, `writer ${writer} has no gap`)
    t.ok(last === told[index] || last === (told[index] ?? 0) + 1, `writer ${writer}: ${last}, was told ${told[index]}`)
    const totals = await sql(app, `SELECT count, bytes FROM totals WHERE writer = ${writer};`)
    t.equal(totals, `${count}|${bytes}\n`, 'its transactions are whole')
  }
}

async function throughADeathOfAWriter(t: Test, app: App, journal: string, count: number): Promise<void> {
  await create(app, journal)
  const first = startWriter(app, 1, ENDLESS * count)
  const second = startWriter(app, 2, count)
  await until(() => first.ended || first.told >= KILL_AFTER, 'the first transactions')
  t.notOk(first.ended, 'it writes until it is killed')
  first.program.kill()
  await first.program.ended
  const { code, stderr } = await second.program.ended
  t.strictSame([code, stderr], [0, ''], 'the other goes on to its end')
  t.equal(second.told, count)
  await verify(t, app, [first.told, second.told])
  await app.mount.remount()
  await verify(t, app, [first.told, second.told])
  await sql(app, 'DELETE FROM entries WHERE number % 3 = 0; VACUUM;')
  t.equal(await sql(app, 'PRAGMA integrity_check;'), 'ok\n', 'after VACUUM')
}

async function throughADeathOfTheServer(t: Test, app: App, journal: string, count: number): Promise<void> {
  await create(app, journal)
  const writers = WRITERS.map((number) => startWriter(app, number, ENDLESS * count))
  // SQLite's way of waiting is not fair.
  const enough = (): boolean =>
    writers.every(({ told }) => told > 0) && writers.reduce((sum, { told }) => sum + told, 0) >= 2 * KILL_AFTER
  await until(() => enough() || writers.some(({ ended }) => ended), 'the first transactions')
  t.notOk(
    writers.some(({ ended }) => ended),
    'both write until the crash',
  )
  await app.crash()
  await Promise.all(writers.map(({ program }) => program.ended))
  const told = writers.map((writer) => writer.told)
  await verify(t, app, told)
  await sql(app, 'DELETE FROM entries; VACUUM;')
  t.equal(await sql(app, 'PRAGMA integrity_check;'), 'ok\n')
}

/** So many transactions of each writer. */
export function sqliteTest(count: number): void {
  for (const journal of ['delete', 'wal']) {
    appTest(`journal ${journal}: a writer is killed`, (t, app) => throughADeathOfAWriter(t, app, journal, count))
    appTest(`journal ${journal}: the server is killed`, (t, app) => throughADeathOfTheServer(t, app, journal, count))
  }
}

/** Runs a writer to its end, or until it has been told of `killAfter` transactions; the last one that it was told of. */
async function write(app: App, number: number, first: number, count: number, killAfter = count + 1): Promise<number> {
  const writer = startWriter(app, number, count, first)
  await until(() => writer.ended || writer.told >= first + killAfter - 1, `${killAfter} transactions`)
  if (!writer.ended) writer.program.kill()
  const { code, stderr } = await writer.program.ended
  if (code !== (killAfter > count ? 0 : 'SIGKILL')) throw new Error(`the writer ended with ${code}: ${stderr}`)
  return writer.told
}

/** Writers on two nodes, and a look from the third; so many transactions of each. */
export function sqliteClusterTest(count: number): void {
  clusterTest('a rollback journal, from two nodes at once', async (t, [a, b, c]) => {
    await create(a, 'delete')
    const told = await Promise.all([write(a, 1, 1, count), write(b, 2, 1, count)])
    t.strictSame(told, [count, count], 'all transactions went through')
    await verify(t, c, told)
    // The one that is killed leaves a journal, which another node has to roll back.
    const [first, second] = await Promise.all([
      write(a, 1, count + 1, ENDLESS * count, count / 2),
      write(b, 2, count + 1, count),
    ])
    await verify(t, c, [first, second])
    await sql(c, 'DELETE FROM entries WHERE number % 3 = 0; VACUUM;')
    t.equal(await sql(a, 'PRAGMA integrity_check;'), 'ok\n', 'after VACUUM')
  })

  clusterTest('a write-ahead log, by turns', async (t, [a, b, c]) => {
    await create(a, 'wal')
    const told = [await write(a, 1, 1, count), await write(b, 2, 1, count)]
    await verify(t, c, told)
    // The one that is killed leaves its log, which the next node has to take over.
    told[0] = await write(a, 1, count + 1, ENDLESS * count, count / 2)
    told[1] = await write(b, 2, count + 1, count)
    await verify(t, c, told)
    await sql(b, 'DELETE FROM entries; VACUUM;')
    t.equal(await sql(a, 'PRAGMA integrity_check;'), 'ok\n')
  })
}
