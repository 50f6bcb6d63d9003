/**
 * fsck: proves stores consistent, without changing a byte of them. The metadata is copied and the copy is opened, as a
 * mount would open it; each store is checked in a process of its own, so that metadata too damaged to be walked ends
 * that process and not the check. Where all stores of a cluster are given, and each of them is clean by itself, they
 * are then checked against each other.
 */
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checkStores } from '../lib/meta/check.js'
import type { CheckedStore, CheckTotals } from '../lib/meta/check-record.js'
import { SystemClock } from '../lib/native/clock.js'
import { loadHash32 } from '../lib/native/hash.js'
import { LmdbKv } from '../lib/native/kv.js'
import { type StoreView, viewStore } from '../lib/native/store.js'
import { copyMetadata, listBackingFiles, makeCopyDirectory } from '../lib/native/store-copy.js'
import { StoreError } from '../lib/native/store-error.js'
import type { Hash32, Log } from '../lib/ports.js'

/** As fsck(8) has them: of several stores, the codes are combined bit by bit. */
const exitCode = { clean: 0, faults: 4, unchecked: 8, usage: 16 } as const

const USAGE = `usage: fsck [--power-cut] STORE...

Checks stores of chfs that are not mounted: every record of the metadata, all of them against each other, and against
the backing files. Nothing is changed. Needs room for a copy of the metadata in /dev/shm or the directory for temporary
files. The stores of all members of a cluster are also checked against each other; with some of them only, what lies
between them is not.

  --power-cut  the power has gone since the store was last clean: a backing file of which nothing was ever synced may be
               missing, and reads as zeros; without this option it is a fault

One line per fault, and one per store at its end. The exit code is a sum of:
  0   every store is clean
  4   there are faults
  8   a store could not be checked: in use, not readable, no store, or of a newer version
  16  wrong arguments
`

/** How the parent starts itself: one of these words, and then stores, each followed by the directory for its copy. */
const ONE = '--one'
const TOGETHER = '--together'
const POWER_CUT = '--power-cut'

async function main(argv: readonly string[]): Promise<number> {
  const afterPowerCut = argv.includes(POWER_CUT)
  if (argv[0] === ONE || argv[0] === TOGETHER) {
    const copied = pairsOf(argv.slice(1).filter((word) => word !== POWER_CUT))
    const [one] = copied as [Copied]
    return argv[0] === ONE ? await checkOne(one, afterPowerCut) : await checkTogether(copied, afterPowerCut)
  }
  if (argv.includes('--help')) {
    process.stdout.write(USAGE)
    return exitCode.clean
  }
  const words = argv.filter((word) => word !== POWER_CUT)
  const option = words.find((word) => word.startsWith('-') && word !== '--')
  const stores = words.filter((word) => word !== '--')
  if (option !== undefined || stores.length === 0) {
    process.stderr.write(
      `fsck: ${option === undefined ? 'no store is given' : `unknown option ${option}`} (try --help)\n`,
    )
    return exitCode.usage
  }
  const paths = stores.map((store) => resolve(store))
  let code = 0
  for (const store of paths) code |= await checkApart(ONE, [store], afterPowerCut)
  if (code === exitCode.clean && paths.length > 1) code = await checkApart(TOGETHER, paths, afterPowerCut)
  return code
}

/** A store, and where a copy of its metadata goes. */
interface Copied {
  readonly store: string
  readonly copy: string
}

function pairsOf(words: readonly string[]): Copied[] {
  return words.flatMap((store, at) => (at % 2 === 0 ? [{ store, copy: words[at + 1] as string }] : []))
}

/** Checks stores in another process. */
async function checkApart(how: string, stores: readonly string[], afterPowerCut: boolean): Promise<number> {
  const copies: Copied[] = []
  const what = stores.length === 1 ? `store ${stores[0]}` : 'the stores against each other'
  try {
    for (const store of stores) copies.push({ store, copy: makeCopyDirectory(store) })
    const words = [how, ...copies.flatMap(({ store, copy }) => [store, copy]), ...(afterPowerCut ? [POWER_CUT] : [])]
    return await runApart(what, words)
  } catch (error) {
    return unchecked(`${what}: ${(error as Error).message}`)
  } finally {
    for (const { copy } of copies) rmSync(copy, { recursive: true, force: true })
  }
}

async function runApart(what: string, words: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...words], { stdio: 'inherit' })
  const stop = (): void => void child.kill('SIGKILL')
  process.on('SIGINT', stop).on('SIGTERM', stop)
  const [code, signal] = await new Promise<[number | null, string | null]>((done) => {
    child.once('error', () => done([exitCode.unchecked, null]))
    child.once('exit', (status, cause) => done([status, cause]))
  })
  process.off('SIGINT', stop).off('SIGTERM', stop)
  if (code !== null) return code
  if (signal === 'SIGKILL' || signal === 'SIGINT' || signal === 'SIGTERM')
    return unchecked(`${what}: stopped by ${signal}`)
  process.stdout.write(`${what}: the metadata is so damaged that reading it ended in ${signal}\n`)
  return exitCode.faults
}

async function checkOne({ store, copy }: Copied, afterPowerCut: boolean): Promise<number> {
  try {
    const hash = await loadHash32()
    const view = viewStore(store, hash)
    const { faults, summary } = view.superblock.isWhole
      ? checkWhole({ store, copy }, view, afterPowerCut, hash)
      : NOTHING_YET
    view.close()
    process.stdout.write(`${store}: ${faults === 0 ? 'clean' : `${faults} faults`}: ${summary}\n`)
    return faults === 0 ? exitCode.clean : exitCode.faults
  } catch (cause) {
    const error = StoreError.from(store, cause)
    if (error.kind !== 'damaged') return unchecked(error.message)
    process.stdout.write(`${error.message}\n`)
    return exitCode.faults
  }
}

/** Stores that were clean by themselves, in groups of one cluster each. */
async function checkTogether(stores: readonly Copied[], afterPowerCut: boolean): Promise<number> {
  const hash = await loadHash32()
  const views = stores.map((copied) => ({ ...copied, view: viewStore(copied.store, hash) }))
  let code: number = exitCode.clean
  for (const cluster of new Set(views.map(({ view }) => view.superblock.clusterId))) {
    const group = views.filter(({ view }) => view.superblock.clusterId === cluster)
    const { members } = (group[0] as (typeof views)[number]).view.superblock
    const missing = members.length - new Set(group.map(({ view }) => view.superblock.memberId)).size
    if (members.length === 1) continue
    const label = `cluster ${cluster}`
    if (missing > 0) {
      process.stdout.write(`${label}: ${missing} stores are not here, so that what lies between them was not checked\n`)
      continue
    }
    const opened = group.map((one) => open(one, one.view, one.store))
    const report = (fault: string): void => void process.stdout.write(`${label}: ${fault}\n`)
    const totals = checkStores(opened, hash, { afterPowerCut, isWhole: true }, report)
    process.stdout.write(
      `${label}: ${totals.faults === 0 ? 'clean' : `${totals.faults} faults`}: ${summaryOf(totals)}\n`,
    )
    if (totals.faults > 0) code = exitCode.faults
  }
  for (const { view } of views) view.close()
  return code
}

interface Outcome {
  readonly faults: number
  readonly summary: string
}

/** A store whose making was interrupted was never served to anybody. */
const NOTHING_YET: Outcome = { faults: 0, summary: 'it is not finished, and holds nothing yet' }

function checkWhole({ store, copy }: Copied, view: StoreView, afterPowerCut: boolean, hash: Hash32): Outcome {
  const { strange } = listBackingFiles(store)
  for (const name of strange) process.stdout.write(`${store}: ${name} is no backing file\n`)
  const report = (fault: string): void => void process.stdout.write(`${store}: ${fault}\n`)
  const isWhole = view.superblock.members.length === 1
  const totals = checkStores([open({ store, copy }, view, '')], hash, { afterPowerCut, isWhole }, report)
  return { faults: totals.faults + strange.length, summary: summaryOf(totals) }
}

function open({ store, copy }: Copied, view: StoreView, label: string): CheckedStore {
  copyMetadata(store, copy)
  const kv = LmdbKv.open(copy, new SystemClock(), SILENT)
  // What is open stays readable, and is gone with this process, however that ends.
  rmSync(copy, { recursive: true })
  return { label, kv, files: listBackingFiles(store).ids, memberId: view.superblock.memberId }
}

function summaryOf({ inodes, directories, dentries, parts, backingFiles, lost }: CheckTotals): string {
  const files = lost > 0 ? `${backingFiles} backing files, ${lost} of them lost` : `${backingFiles} backing files`
  const others = parts > 0 ? `, chunks of ${parts} others` : ''
  return `${inodes} inodes (${directories} directories)${others}, ${dentries} names, ${files}`
}

const ignore = (): void => undefined
/** What the metadata store has to say shows in its results. */
const SILENT: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore }

function unchecked(reason: string): number {
  process.stderr.write(`fsck: could not check ${reason}\n`)
  return exitCode.unchecked
}

process.exitCode = await main(process.argv.slice(2))
