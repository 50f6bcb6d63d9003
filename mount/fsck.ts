/**
 * fsck: proves stores consistent, without changing a byte of them. The metadata is copied and the copy is opened, as a
 * mount would open it; stores are checked in a process of their own, so that metadata too damaged to be walked ends
 * that process and not the check.
 */
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checkCluster, checkMember, checkStore, type MemberToCheck } from '../lib/meta/check.js'
import type { CheckTotals } from '../lib/meta/check-store.js'
import { SystemClock } from '../lib/native/clock.js'
import { loadHash32 } from '../lib/native/hash.js'
import { LmdbKv } from '../lib/native/kv.js'
import { viewStore } from '../lib/native/store.js'
import { copyMetadata, listBackingFiles, makeCopyDirectory } from '../lib/native/store-copy.js'
import { StoreError } from '../lib/native/store-error.js'
import type { Hash32, Log } from '../lib/ports.js'
import { Ring as HashRing } from '../lib/ring/ring.js'
import type { Superblock } from '../lib/wire/superblock.js'

/** As fsck(8) has them: of several stores, the codes are combined bit by bit. */
const exitCode = { clean: 0, faults: 4, unchecked: 8, usage: 16 } as const

const USAGE = `usage: fsck [--power-cut] STORE...

Checks stores of chfs that are not mounted: every record of the metadata, all of them against each other, and against
the backing files. Where the stores of all members of a cluster are given, they are also checked against each other; of
a single one it cannot be told what the others have to do with it. Nothing is changed. Needs room for a copy of the
metadata in /dev/shm or the directory for temporary files.

  --power-cut  the power has gone since the store was last clean: a backing file of which nothing was ever synced may be
               missing, and reads as zeros; without this option it is a fault

One line per fault, and one per store at its end. The exit code is a sum of:
  0   every store is clean
  4   there are faults
  8   a store could not be checked: in use, not readable, no store, or of a newer version
  16  wrong arguments
`

/** How the parent starts itself for stores of one check: this word, then each store and the place of its copy. */
const GROUP = '--group'
const POWER_CUT = '--power-cut'

async function main(argv: readonly string[]): Promise<number> {
  if (argv[0] === GROUP)
    return await checkGroup(
      argv.slice(1).filter((word) => word !== POWER_CUT),
      argv.includes(POWER_CUT),
    )
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
  for (const group of await groupsOf(stores.map((store) => resolve(store))))
    code |= await checkApart(group, afterPowerCut)
  return code
}

/** The stores of a cluster's members belong together, if all of them are given; any other one stands by itself. */
async function groupsOf(stores: readonly string[]): Promise<string[][]> {
  const hash = await loadHash32()
  const clusters = new Map<string, { readonly stores: string[]; readonly members: number }>()
  for (const store of stores) {
    const superblock = superblockOf(store, hash)
    const { clusterId, members } = superblock ?? { clusterId: store, members: [] }
    const cluster = clusters.get(clusterId) ?? { stores: [], members: members.length }
    clusters.set(clusterId, cluster)
    cluster.stores.push(store)
  }
  return [...clusters.values()].flatMap(({ stores: own, members }) => {
    return own.length === members ? [own] : own.map((store) => [store])
  })
}

/** Null where it cannot be read now: whoever checks it will say why. */
function superblockOf(store: string, hash: Hash32): Superblock | null {
  try {
    const view = viewStore(store, hash)
    view.close()
    return view.superblock.isWhole ? view.superblock : null
  } catch {
    return null
  }
}

/** Checks stores in another process. */
async function checkApart(stores: readonly string[], afterPowerCut: boolean): Promise<number> {
  const copies: string[] = []
  try {
    for (const store of stores) copies.push(makeCopyDirectory(store))
    return await runGroup(stores, copies, afterPowerCut)
  } catch (error) {
    return unchecked(`store ${stores[copies.length]}: ${(error as Error).message}`)
  } finally {
    for (const copy of copies) rmSync(copy, { recursive: true, force: true })
  }
}

async function runGroup(stores: readonly string[], copies: readonly string[], afterPowerCut: boolean): Promise<number> {
  const places = stores.flatMap((store, index) => [store, copies[index] as string])
  const words = [fileURLToPath(import.meta.url), GROUP, ...places, ...(afterPowerCut ? [POWER_CUT] : [])]
  const child = spawn(process.execPath, words, { stdio: 'inherit' })
  const stop = (): void => void child.kill('SIGKILL')
  process.on('SIGINT', stop).on('SIGTERM', stop)
  const [code, signal] = await new Promise<[number | null, string | null]>((done) => {
    child.once('error', () => done([exitCode.unchecked, null]))
    child.once('exit', (status, cause) => done([status, cause]))
  })
  process.off('SIGINT', stop).off('SIGTERM', stop)
  if (code !== null) return code
  const names = stores.join(', ')
  if (signal === 'SIGKILL' || signal === 'SIGINT' || signal === 'SIGTERM')
    return unchecked(`store ${names}: stopped by ${signal}`)
  process.stdout.write(`${names}: the metadata is so damaged that reading it ended in ${signal}\n`)
  return exitCode.faults
}

/** A store while it is checked. */
interface Opened extends MemberToCheck {
  readonly path: string
  readonly superblock: Superblock
  readonly strange: number
  close(): void
}

/** `places`: each store, and where its metadata is copied to. */
async function checkGroup(places: readonly string[], afterPowerCut: boolean): Promise<number> {
  const hash = await loadHash32()
  const opened: Opened[] = []
  for (let at = 0; at < places.length; at += 2) {
    const store = places[at] as string
    try {
      const found = openCopy(store, places[at + 1] as string, afterPowerCut, hash)
      if (found !== null) opened.push(found)
      else process.stdout.write(`${store}: clean: it is not finished, and holds nothing yet\n`)
    } catch (cause) {
      const error = StoreError.from(store, cause)
      if (error.kind !== 'damaged') return unchecked(error.message)
      process.stdout.write(`${error.message}\n`)
      return exitCode.faults
    }
  }
  let code: number = exitCode.clean
  for (const [index, totals] of checkAll(opened, hash).entries()) {
    const { path, strange, close } = opened[index] as Opened
    close()
    const faults = totals.faults + strange
    process.stdout.write(`${path}: ${faults === 0 ? 'clean' : `${faults} faults`}: ${summaryOf(totals)}\n`)
    if (faults > 0) code = exitCode.faults
  }
  return code
}

/** What other members have to do with a store cannot be told from one alone. */
function checkAll(stores: readonly Opened[], hash: Hash32): CheckTotals[] {
  const [first] = stores
  if (first === undefined) return []
  const { members, ringEpoch, virtualNodes } = first.superblock
  if (members.length === 1) return [checkStore(first)]
  if (stores.length < members.length) return stores.map((store) => checkApartFrom(members.length - 1, store))
  const ids = members.map(({ id }) => idOf(id))
  const ring = new HashRing({ epoch: ringEpoch, members: ids, virtualNodes }, hash)
  const inOrder = members.map(({ id }) => stores.findIndex(({ superblock }) => superblock.memberId === id))
  const missing = members[inOrder.indexOf(-1)]
  // One was given twice.
  if (missing !== undefined) return stores.map((store) => checkApartFrom(members.length - 1, store))
  const totals = checkCluster(
    inOrder.map((index) => stores[index] as Opened),
    (position) => ring.owner(position),
  )
  return stores.map((_, index) => totals[inOrder.indexOf(index)] as CheckTotals)
}

function checkApartFrom(others: number, store: Opened): CheckTotals {
  process.stdout.write(
    `${store.path}: the stores of ${others} other members are not here, and not checked against it\n`,
  )
  return checkMember(store)
}

const idOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'))

/** A copy of a store's metadata, open; null for a store whose making was interrupted: nobody had it. */
function openCopy(store: string, copy: string, afterPowerCut: boolean, hash: Hash32): Opened | null {
  const view = viewStore(store, hash)
  const { superblock } = view
  if (!superblock.isWhole) {
    view.close()
    return null
  }
  copyMetadata(store, copy)
  const kv = LmdbKv.open(copy, new SystemClock(), SILENT)
  // What is open stays readable, and is gone with this process, however that ends.
  rmSync(copy, { recursive: true })
  const { ids, strange } = listBackingFiles(store)
  for (const name of strange) process.stdout.write(`${store}: ${name} is no backing file\n`)
  const report = (fault: string): void => void process.stdout.write(`${store}: ${fault}\n`)
  const own = { path: store, superblock, strange: strange.length, close: () => view.close() }
  return { ...own, id: idOf(superblock.memberId), kv, hash, files: ids, afterPowerCut, report }
}

function summaryOf({ inodes, directories, dentries, parts, backingFiles, lost, unsettled }: CheckTotals): string {
  const files = lost > 0 ? `${backingFiles} backing files, ${lost} of them lost` : `${backingFiles} backing files`
  const ofOthers = parts > 0 ? `, chunks of ${parts} others` : ''
  const open = unsettled > 0 ? `, ${unsettled} records of changes that are not finished` : ''
  return `${inodes} inodes (${directories} directories), ${dentries} names, ${files}${ofOthers}${open}`
}

const ignore = (): void => undefined
/** What the metadata store has to say shows in its results. */
const SILENT: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore }

function unchecked(reason: string): number {
  process.stderr.write(`fsck: could not check ${reason}\n`)
  return exitCode.unchecked
}

process.exitCode = await main(process.argv.slice(2))
