/**
 * Works on a store of metadata until it is killed, or as far as it gets:
 * - `commit DIRECTORY`: commits on and on; says the number of each, when it has returned.
 * - `durable DIRECTORY`: the same, with syncs; says the number of the last commit that each covers.
 * - `verify DIRECTORY`: opens a store that was cut off, and says which commit's state it has.
 * - `full DIRECTORY`: on a small file system of its own: fills it, deletes, opens again, says how it went.
 * - `read DIRECTORY LAST`: opens a store that may be damaged and says what it holds.
 */
import { writeSync } from 'node:fs'
import { LmdbKv } from '../../lib/native/kv.js'
import { KvText } from '../conformance/kv.js'
import { quiet } from '../quiet.js'
import { clock, SMALL } from './kv-bench.js'
import { commit, Model, sequenceOf } from './kv-model.js'

const [mode, directory, last] = process.argv.slice(2) as [string, string, string]

function commitOn(): void {
  const kv = new KvText(LmdbKv.open(directory, clock, quiet, SMALL))
  let n = sequenceOf(kv)
  const turn = (): void => {
    for (let i = 0; i < 20; i++) {
      n++
      const error = commit(kv, n)
      if (error !== 0) throw new Error(`commit ${n}: ${error}`)
      writeSync(1, `${n}\n`)
    }
    if (n % 100 === 0) kv.kv.sync(() => undefined)
    setImmediate(turn)
  }
  turn()
}

async function commitAndSync(): Promise<void> {
  const kv = new KvText(LmdbKv.open(directory, clock, quiet, SMALL))
  for (let n = sequenceOf(kv) + 1; ; n++) {
    const error = commit(kv, n)
    if (error !== 0) throw new Error(`commit ${n}: ${error}`)
    if (n % 7 > 0) continue
    const synced = await kv.sync()
    if (synced !== 0) throw new Error(`sync ${n}: ${synced}`)
    writeSync(1, `${n}\n`)
    for (let turn = n % 5; turn > 0; turn--) await new Promise((resolve) => setImmediate(resolve))
  }
}

function verify(): object {
  const kv = new KvText(LmdbKv.open(directory, clock, quiet, SMALL))
  const sequence = sequenceOf(kv)
  return { sequence, difference: new Model().advanceTo(sequence).difference(kv) }
}

/** Puts records of 1000 bytes, ten a commit, until there is no room. The number of them. */
function fill(kv: KvText, from: number): number {
  for (let n = from; ; n += 10) {
    for (let i = n; i < n + 10; i++) {
      if (kv.kv.canGrow() && kv.put(`k${i}`, `${i} `.repeat(200)) === 0) continue
      kv.kv.abort()
      return n
    }
    const error = kv.kv.commit()
    if (error !== 0) return n
  }
}

function holds(kv: KvText, first: number, end: number): boolean {
  for (let i = first; i < end; i++) if (kv.get(`k${i}`) !== `${i} `.repeat(200)) return false
  return kv.all().length === end - first
}

function remove(kv: KvText, first: number, end: number): boolean {
  for (let i = first; i < end; i++) {
    if (kv.delete(`k${i}`) !== 0) return false
    if (i % 10 === 9 && kv.kv.commit() !== 0) return false
  }
  return kv.kv.commit() === 0
}

async function fillUp(): Promise<object> {
  let kv = new KvText(LmdbKv.open(directory, clock, quiet, SMALL))
  const count = fill(kv, 0)
  const full = { isRefused: !kv.kv.canGrow(), isWhole: holds(kv, 0, count) }
  const half = count / 2 - ((count / 2) % 10)
  const isHalfRemoved = remove(kv, 0, half)
  const closed = await kv.close()
  kv = new KvText(LmdbKv.open(directory, clock, quiet, SMALL))
  const isHalfThere = holds(kv, half, count)
  const isAllRemoved = remove(kv, half, count)
  await kv.sync()
  ;(kv.kv as LmdbKv).publishNow()
  const again = fill(kv, 0)
  const isAgainThere = holds(kv, 0, again)
  return {
    count,
    ...full,
    isHalfRemoved,
    closed,
    isHalfThere,
    isAllRemoved,
    again,
    isAgainThere,
    end: await kv.close(),
  }
}

/** `right`, or what else there was to be had. */
function readAll(): object {
  let kv: KvText
  try {
    kv = new KvText(LmdbKv.open(directory, clock, quiet, SMALL))
  } catch (error) {
    return { refused: (error as Error).message }
  }
  const model = new Model().advanceTo(Number(last))
  const wrong: string[] = []
  let missing = 0
  for (const [key, value] of model.records) {
    const found = kv.get(key)
    if (typeof found === 'number') missing++
    else if (found !== value) wrong.push(key)
  }
  let key = '\x01'
  let scanned = 0
  let failed = false
  for (;;) {
    const found = kv.seek(key)
    if (typeof found === 'number') {
      failed = found === -5
      break
    }
    if (model.records.get(found[0]) !== found[1]) wrong.push(found[0])
    if (!(`${found[0]}\0` > key)) failed = true
    if (failed) break
    scanned++
    key = `${found[0]}\0`
  }
  const right = missing === 0 && wrong.length === 0 && !failed && scanned === model.records.size
  return { right, wrong, missing, failed, scanned, records: model.records.size }
}

if (mode === 'commit') commitOn()
else if (mode === 'durable') await commitAndSync()
else {
  console.log(JSON.stringify(mode === 'full' ? await fillUp() : mode === 'verify' ? verify() : readAll()))
  process.exit(0)
}
