/**
 * Cases that are run twice, on a directory of tmpfs and on a mount, and must come out the same: every call with its
 * result or errno. A case says by {@link World.known} where the two differ and why.
 */
import type { Test } from 'tap'
import { type Calls, callsBy, CallError, type Driver, type User } from './driver.js'
import { type MountSettings, NOBODY, TestMount, twinOf } from './harness.js'

/** Calls whose results are each file system's own; a case compares them by {@link World.note}. */
const UNRECORDED = new Set(['inode', 'times', 'birth', 'statfs', 'blocks'])

export interface World {
  /** The calls of whom the case was begun for. One that fails does not reject: both sides go on. */
  readonly sys: Calls
  /** A process of its own, of another user where one is given (only root can do that). */
  as(user?: User): Calls
  readonly isMount: boolean
  /** What the mount may use of the kernel's protocol. */
  readonly protocolMinor: number
  /** Notes a value that must be the same on both sides. */
  note(what: string, value: unknown): void
  /** The next call comes out as `value` on the mount, whatever tmpfs says. */
  known(reason: string, value: unknown): void
}

export interface Case {
  readonly name: string
  /** May do what only root may. */
  readonly root?: boolean
  run(world: World): Promise<void>
}

class Recorder implements World {
  readonly sys: Calls
  readonly isMount: boolean
  readonly protocolMinor: number
  readonly transcript: string[] = []
  readonly #start: (user?: User) => Driver
  readonly #drivers: Driver[] = []
  #known: { reason: string; value: unknown } | undefined

  constructor(isMount: boolean, protocolMinor: number, start: (user?: User) => Driver) {
    this.isMount = isMount
    this.protocolMinor = protocolMinor
    this.#start = start
    this.sys = this.as()
  }

  readonly as = (user?: User): Calls => {
    const driver = this.#start(user)
    const prefix = this.#drivers.push(driver) === 1 ? '' : `${this.#drivers.length}: `
    return callsBy((name, args) => this.#call(driver, prefix, name, args))
  }

  readonly note = (what: string, value: unknown): void => {
    this.transcript.push(`${what}: ${JSON.stringify(value)}`)
  }

  readonly known = (reason: string, value: unknown): void => {
    this.#known = { reason, value }
  }

  end(): void {
    for (const driver of this.#drivers) driver.end()
  }

  async #call(driver: Driver, prefix: string, name: string, args: unknown[]): Promise<unknown> {
    const known = this.#known
    this.#known = undefined
    let outcome: unknown
    try {
      outcome = await driver.call(name, args)
    } catch (error) {
      if (!(error instanceof CallError)) throw error
      outcome = error.errno
    }
    if (UNRECORDED.has(name)) return outcome
    // On tmpfs a known difference is taken for what the mount has to say.
    const shown = known !== undefined && !this.isMount ? known.value : outcome
    const line = `${prefix}${name}(${JSON.stringify(args).slice(1, -1)}) = ${JSON.stringify(shown ?? null)}`
    this.transcript.push(line.length > 300 ? `${line.slice(0, 300)}… ${line.length}` : line)
    return outcome
  }
}

/** Runs each case in a directory of its own on both sides. */
export async function runTwins(test: Test, cases: readonly Case[], settings: MountSettings = {}): Promise<void> {
  await runTwinsOn(test, await TestMount.start(test, settings), cases, settings)
}

/** The same on a mount that is there already. */
export async function runTwinsOn(
  test: Test,
  mount: TestMount,
  cases: readonly Case[],
  settings: MountSettings = {},
): Promise<void> {
  const asUser = settings.asUser === true
  const minor = Number(settings.environment?.['CHFS_TEST_FUSE_MINOR'] ?? 99)
  const twin = twinOf(mount, asUser)
  const makers = [mount.driver(), mount.driver(asUser ? NOBODY : undefined, twin)] as const
  for (const [index, { name, root, run }] of cases.entries()) {
    if (root && asUser) continue
    await test.test(name, async (t) => {
      const directory = `case${index}`
      await Promise.all(makers.map((maker) => maker.sys.mkdir(directory, 0o755)))
      const recorders = [mount.mountpoint, twin].map(
        (place, side) => new Recorder(side === 0, minor, (user) => mount.driver(user, `${place}/${directory}`)),
      ) as [Recorder, Recorder]
      await Promise.all(recorders.map((recorder) => run(recorder)))
      for (const recorder of recorders) recorder.end()
      t.ok(recorders[0].transcript.length > 0, 'something was done')
      t.strictSame(recorders[0].transcript, recorders[1].transcript, 'as on tmpfs')
    })
  }
}
