/** The life of a mount with everything around it made up: whatever fails when, nothing stays mounted or open. */
import { EventEmitter } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { clusterDefaults } from '../../mount/cluster-options.js'
import type { Config } from '../../mount/config.js'
import { MountError } from '../../mount/exit.js'
import { type Life, runMount } from '../../mount/run.js'
import { watchSignals } from '../../mount/signals.js'
import { quiet } from '../quiet.js'

const directory = mkdtempSync(join(tmpdir(), 'chfs-run-'))
t.teardown(() => rmSync(directory, { recursive: true }))

const config: Config = {
  ...clusterDefaults(),
  members: [],
  source: 'chfs',
  mountpoint: directory,
  store: '/store',
  chunkBytes: 4194304,
  logFile: null,
  logFileChosen: false,
  logLevel: 'info',
  writeback: false,
  allowOther: false,
  kernelFlags: [],
}

/** What happens at a step, in place of what should. */
type Step = 'open' | 'mount' | 'serve' | 'mounted' | 'unmount' | 'stop'
type Fault = (world: World) => unknown

class World {
  readonly process = new EventEmitter()
  readonly signals = watchSignals(true, this.process)
  /** What was done, in order. */
  readonly done: string[] = []
  isMounted = false
  isOpen = false
  busyTries = 0
  end = (): void => undefined
  readonly ended = new Promise<void>((resolve) => {
    this.end = resolve
  })
  readonly faults: Partial<Record<Step, Fault>>

  constructor(faults: Partial<Record<Step, Fault>>) {
    this.faults = faults
  }

  run(more: Partial<Life> = {}): Promise<number> {
    return runMount({
      config,
      log: quiet,
      mounter: {
        mount: async () => {
          await this.#step('mount')
          this.isMounted = true
          return 7
        },
        unmount: async (_, lazy) => {
          await this.#step('unmount')
          if (this.busyTries-- > 0 && !lazy) return false
          this.isMounted = false
          this.end()
          return true
        },
      },
      openNode: async () => {
        await this.#step('open')
        this.isOpen = true
        return {
          ended: this.ended,
          status: () => Promise.reject(new Error('nobody asks')),
          serve: () => this.#step('serve'),
          stop: async () => {
            t.ok(this.isOpen, 'stopped once, and only when open')
            this.isOpen = false
            await this.#step('stop')
          },
        }
      },
      signals: this.signals,
      runDirectory: join(directory, 'none'),
      note: () => undefined,
      mounted: () => this.#step('mounted'),
      ...more,
    })
  }

  async #step(step: Step): Promise<void> {
    this.done.push(step)
    await this.faults[step]?.(this)
  }
}

// What the life waits for keeps no process alive by itself.
const alive = setInterval(() => undefined, 1000)
t.teardown(() => clearInterval(alive))

/** Once the mount is there and the life only waits for its end. */
async function whenServing(world: World): Promise<void> {
  while (!world.done.includes('mounted')) await new Promise((resolve) => setTimeout(resolve, 5))
  await new Promise((resolve) => setTimeout(resolve, 20))
}

const fails: Fault = () => {
  throw new MountError('it failed', 32)
}
const breaks: Fault = () => {
  throw new TypeError('a bug')
}
const signal: Fault = ({ process }) => {
  process.emit('SIGTERM', 'SIGTERM')
}
const signalAndHang: Fault = (world) => {
  signal(world)
  return new Promise(() => undefined)
}
const vanish: Fault = (world) => {
  world.isMounted = false
  world.end()
  return new Promise(() => undefined)
}

const starts: [Step, string, Fault, { message: string | RegExp; exitCode?: number }][] = []
for (const step of ['open', 'mount', 'serve', 'mounted'] as const) {
  starts.push([step, 'fails', fails, { message: 'it failed', exitCode: 32 }])
  starts.push([step, 'breaks', breaks, { message: 'a bug' }])
  starts.push([step, 'gets a signal', signal, { message: 'interrupted', exitCode: 8 }])
  if (step === 'serve' || step === 'mounted') {
    starts.push([step, 'hangs and gets a signal', signalAndHang, { message: 'interrupted', exitCode: 8 }])
    starts.push([step, 'finds itself unmounted', vanish, { message: /was unmounted before/, exitCode: 32 }])
  }
}

for (const [step, how, fault, error] of starts) {
  // A signal that comes while the last step succeeds ends the mount in order instead.
  if (step === 'mounted' && fault === signal) continue
  t.test(`${step} ${how}: nothing stays mounted or open`, async (t) => {
    const world = new World({ [step]: fault })
    await t.rejects(world.run(), error)
    t.notOk(world.isMounted)
    t.notOk(world.isOpen)
  })
  t.test(`${step} ${how}, and cleaning up fails too: the first error is told, the store is closed`, async (t) => {
    const world = new World({ [step]: fault, unmount: fails, stop: breaks })
    await t.rejects(world.run(), error)
    t.notOk(world.isOpen)
  })
}

t.test('a mountpoint that is missing: nothing was done', async (t) => {
  const world = new World({})
  await t.rejects(world.run({ config: { ...config, mountpoint: join(directory, 'none') } }), {
    message: /does not exist/,
    exitCode: 32,
  })
  t.strictSame(world.done, [])
})

t.test('unmounted from outside: drained, exit code 0', async (t) => {
  const world = new World({})
  const running = world.run()
  await whenServing(world)
  vanish(world)
  t.equal(await running, 0)
  t.strictSame(world.done, ['open', 'mount', 'serve', 'mounted', 'stop'])
})

t.test('a signal unmounts, drains, exit code 0', async (t) => {
  const world = new World({ mounted: signal })
  const code = await world.run().catch((error: MountError) => error.exitCode)
  t.ok(code === 0 || code === 8)
  t.notOk(world.isMounted)
  t.notOk(world.isOpen)
  const later = new World({})
  const running = later.run()
  await whenServing(later)
  signal(later)
  t.equal(await running, 0)
  t.strictSame(later.done, ['open', 'mount', 'serve', 'mounted', 'unmount', 'stop'])
})

t.test('busy for a while, and busy until the second signal', async (t) => {
  const world = new World({})
  world.busyTries = 2
  const running = world.run()
  await whenServing(world)
  signal(world)
  t.equal(await running, 0)
  t.strictSame(world.done.slice(4), ['unmount', 'unmount', 'unmount', 'stop'])
  const impatient = new World({})
  impatient.busyTries = 1000
  const other = impatient.run()
  await whenServing(impatient)
  signal(impatient)
  while (!impatient.done.includes('unmount')) await new Promise((resolve) => setTimeout(resolve, 5))
  signal(impatient)
  t.equal(await other, 0)
  t.notOk(impatient.isMounted, 'lazily')
})

t.test('an end that fails has its exit code', async (t) => {
  for (const [fault, code] of [
    [fails, 32],
    [breaks, 4],
  ] as const) {
    const world = new World({ stop: fault })
    const running = world.run()
    await whenServing(world)
    vanish(world)
    t.equal(await running, code)
  }
  const stuck = new World({ unmount: breaks })
  const running = stuck.run()
  await whenServing(stuck)
  signal(stuck)
  t.equal(await running, 0, 'a mount that cannot be taken away keeps nobody from draining')
  t.notOk(stuck.isOpen)
})
