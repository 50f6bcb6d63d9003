/**
 * The life of one mount in the process that serves it: open the store, mount, serve, and at the end drain and close. In
 * whatever step it fails, nothing is left mounted and the store is closed.
 */
import type { Log } from '../lib/ports.js'
import type { Config } from './config.js'
import { describeFailure, exitCode, MountError } from './exit.js'
import type { Mounter } from './mounter.js'
import { prepareMountpoint } from './mountpoint.js'
import { widenReadahead } from './readahead.js'
import type { Node, OpenNode } from './seams.js'
import { interruption, type Signals } from './signals.js'
import { openWhenReleased } from './store-wait.js'

/** How often and how long a busy mount is asked again before it is only taken out of sight. */
const unmountTries = 10
const unmountRetryMs = 200
/** After a lazy unmount those who still hold files open may keep the mount alive; this long they may finish. */
const lingerMs = 5_000

export interface Life {
  readonly config: Config
  readonly log: Log
  readonly mounter: Mounter
  readonly openNode: OpenNode
  readonly signals: Signals
  /** Where run files are, to find out who holds a store. */
  readonly runDirectory: string
  /** A line for whoever waits for the mount. */
  note(text: string): void
  /** The mount is there, at this real path; resolves when it may stay, rejects when it must go again. */
  mounted(mountpoint: string, node: Node): Promise<void>
}

/** Resolves with the exit code once the mount has ended; rejects where it never was. */
export async function runMount(life: Life): Promise<number> {
  const { config, log, mounter } = life
  const prepared = prepareMountpoint(config.mountpoint, async (path) => {
    life.note(`${path} is a dead mount of chfs: taking it away`)
    return await mounter.unmount(path, true)
  })
  const mountpoint = await Promise.race([prepared, interruption(life.signals)])
  stopIfSignalled(life)
  const node = await openWhenReleased(life)
  try {
    stopIfSignalled(life)
    await mountAndServe(life, node, mountpoint)
  } catch (error) {
    await drain(node, log)
    throw error
  }
  log.info({ mountpoint, store: config.store }, 'mounted')
  await untilEnd(life, node, mountpoint)
  return await drain(node, log)
}

async function mountAndServe(life: Life, node: Node, mountpoint: string): Promise<void> {
  const fd = await life.mounter.mount(life.config, mountpoint, life.log)
  try {
    const disturbed = Promise.race([interruption(life.signals), unmountedMeanwhile(node, mountpoint)])
    await Promise.race([node.serve(fd), disturbed])
    widenReadahead(mountpoint, life.log)
    await Promise.race([life.mounted(mountpoint, node), disturbed])
  } catch (error) {
    // The first error is the one to tell.
    await life.mounter.unmount(mountpoint, true).catch((second: unknown) => {
      life.log.error({ cause: describeFailure(second).message }, 'the mount could not be taken away')
    })
    throw error
  }
}

async function unmountedMeanwhile(node: Node, mountpoint: string): Promise<never> {
  await node.ended
  throw new MountError(`${mountpoint} was unmounted before it was there`, exitCode.mount)
}

function stopIfSignalled({ signals }: Life): void {
  if (signals.received) throw new MountError('interrupted', exitCode.interrupted)
}

/** Until the kernel ends the mount, or a signal makes us end it. */
async function untilEnd(life: Life, node: Node, mountpoint: string): Promise<void> {
  const { log, signals } = life
  const cause = await Promise.race([node.ended.then(() => 'unmounted' as const), signals.first])
  log.info({ cause }, 'ending')
  if (cause === 'unmounted') return
  const patience = Promise.race([signals.second, node.ended])
  try {
    if (!(await unmountPatiently(life, mountpoint, patience))) {
      log.warn({ mountpoint }, 'busy: unmounted lazily')
      await life.mounter.unmount(mountpoint, true)
      await Promise.race([patience, sleep(lingerMs)])
      return
    }
  } catch (error) {
    // The store is drained all the same, and the mount is dead when this process is.
    log.error({ cause: describeFailure(error).message }, 'the mount could not be taken away')
    return
  }
  await Promise.race([patience, sleep(lingerMs)])
}

/** False where it stays busy. */
async function unmountPatiently(life: Life, mountpoint: string, patience: Promise<unknown>): Promise<boolean> {
  for (let tried = 0; tried < unmountTries; tried++) {
    if (await life.mounter.unmount(mountpoint, false)) return true
    const outcome = await Promise.race([patience.then(() => 'enough'), sleep(unmountRetryMs)])
    if (outcome === 'enough') return false
  }
  return false
}

async function drain(node: Node, log: Log): Promise<number> {
  try {
    await node.stop()
    log.info({}, 'drained')
    return exitCode.done
  } catch (error) {
    const failure = describeFailure(error)
    log.error({ cause: failure.message }, 'the store could not be closed in order')
    return failure.exitCode
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds).unref())
}
