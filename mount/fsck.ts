/**
 * fsck: proves stores consistent, without changing a byte of them. The metadata is copied and the copy is opened, as a
 * mount would open it; each store is checked in a process of its own, so that metadata too damaged to be walked ends
 * that process and not the check.
 */
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checkMember, checkStore } from '../lib/meta/check.js'
import { SystemClock } from '../lib/native/clock.js'
import { loadHash32 } from '../lib/native/hash.js'
import { LmdbKv } from '../lib/native/kv.js'
import { viewStore } from '../lib/native/store.js'
import { copyMetadata, listBackingFiles, makeCopyDirectory } from '../lib/native/store-copy.js'
import { StoreError } from '../lib/native/store-error.js'
import type { Hash32, Log } from '../lib/ports.js'

/** As fsck(8) has them: of several stores, the codes are combined bit by bit. */
const exitCode = { clean: 0, faults: 4, unchecked: 8, usage: 16 } as const

const USAGE = `usage: fsck [--power-cut] STORE...

Checks stores of chfs that are not mounted: every record of the metadata, all of them against each other, and against
the backing files. Nothing is changed. Needs room for a copy of the metadata in /dev/shm or the directory for temporary
files.

  --power-cut  the power has gone since the store was last clean: a backing file of which nothing was ever synced may be
               missing, and reads as zeros; without this option it is a fault

One line per fault, and one per store at its end. The exit code is a sum of:
  0   every store is clean
  4   there are faults
  8   a store could not be checked: in use, not readable, no store, or of a newer version
  16  wrong arguments
`

/** How the parent starts itself for one store: this word, the store, and the directory for the copy. */
const ONE = '--one'
const POWER_CUT = '--power-cut'

async function main(argv: readonly string[]): Promise<number> {
  if (argv[0] === ONE) return await checkOne(argv[1] as string, argv[2] as string, argv.includes(POWER_CUT))
  if (argv.includes('--help')) {
    process.stdout.write(USAGE)
    return exitCode.clean
  }
  const afterPowerCut = argv.includes(POWER_CUT)
  const words = argv.filter((word) => word !== POWER_CUT)
  const option = words.find((word) => word.startsWith('-') && word !== '--')
  const stores = words.filter((word) => word !== '--')
  if (option !== undefined || stores.length === 0) {
    process.stderr.write(
      `fsck: ${option === undefined ? 'no store is given' : `unknown option ${option}`} (try --help)\n`,
    )
    return exitCode.usage
  }
  let code = 0
  for (const store of stores) code |= await checkApart(resolve(store), afterPowerCut)
  return code
}

/** Checks one store in another process. */
async function checkApart(store: string, afterPowerCut: boolean): Promise<number> {
  let copy: string
  try {
    copy = makeCopyDirectory(store)
  } catch (error) {
    return unchecked(`store ${store}: ${(error as Error).message}`)
  }
  const words = [fileURLToPath(import.meta.url), ONE, store, copy, ...(afterPowerCut ? [POWER_CUT] : [])]
  const child = spawn(process.execPath, words, { stdio: 'inherit' })
  const stop = (): void => void child.kill('SIGKILL')
  process.on('SIGINT', stop).on('SIGTERM', stop)
  const [code, signal] = await new Promise<[number | null, string | null]>((done) => {
    child.once('error', () => done([exitCode.unchecked, null]))
    child.once('exit', (status, cause) => done([status, cause]))
  })
  process.off('SIGINT', stop).off('SIGTERM', stop)
  rmSync(copy, { recursive: true, force: true })
  if (code !== null) return code
  if (signal === 'SIGKILL' || signal === 'SIGINT' || signal === 'SIGTERM')
    return unchecked(`store ${store}: stopped by ${signal}`)
  process.stdout.write(`${store}: the metadata is so damaged that reading it ended in ${signal}\n`)
  return exitCode.faults
}

async function checkOne(store: string, copy: string, afterPowerCut: boolean): Promise<number> {
  try {
    const hash = await loadHash32()
    const view = viewStore(store, hash)
    const { isWhole, members } = view.superblock
    // What other members have to do with it cannot be told from one store.
    const check = members.length > 1 ? checkMember : checkStore
    const { faults, summary } = isWhole ? checkWhole(store, copy, afterPowerCut, hash, check) : NOTHING_YET
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

interface Outcome {
  readonly faults: number
  readonly summary: string
}

/** A store whose making was interrupted was never served to anybody. */
const NOTHING_YET: Outcome = { faults: 0, summary: 'it is not finished, and holds nothing yet' }

function checkWhole(
  store: string,
  copy: string,
  afterPowerCut: boolean,
  hash: Hash32,
  check: typeof checkStore,
): Outcome {
  copyMetadata(store, copy)
  const clock = new SystemClock()
  const kv = LmdbKv.open(copy, clock, SILENT)
  // What is open stays readable, and is gone with this process, however that ends.
  rmSync(copy, { recursive: true })
  const { ids, strange } = listBackingFiles(store)
  for (const name of strange) process.stdout.write(`${store}: ${name} is no backing file\n`)
  const report = (fault: string): void => void process.stdout.write(`${store}: ${fault}\n`)
  const totals = check({ kv, hash, files: ids, afterPowerCut, report })
  const { inodes, directories, dentries, backingFiles, lost } = totals
  const files = lost > 0 ? `${backingFiles} backing files, ${lost} of them lost` : `${backingFiles} backing files`
  const summary = `${inodes} inodes (${directories} directories), ${dentries} names, ${files}`
  return { faults: totals.faults + strange.length, summary }
}

const ignore = (): void => undefined
/** What the metadata store has to say shows in its results. */
const SILENT: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore }

function unchecked(reason: string): number {
  process.stderr.write(`fsck: could not check ${reason}\n`)
  return exitCode.unchecked
}

process.exitCode = await main(process.argv.slice(2))
