/**
 * A process that was unmounted still drains its store for a while. Mounting again at once must not fail for that, but a
 * store that somebody keeps mounted is an error at once.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../lib/ports.js'
import type { Config } from './config.js'
import { exitCode, MountError } from './exit.js'
import { mountedAt, mountType } from './mountinfo.js'
import { findHolder } from './runfile.js'
import type { Node, OpenNode } from './seams.js'
import { interruption, type Signals } from './signals.js'

const drainTimeoutMs = 30_000
/** Between the kernel's unmount and the holder's note of it; also all that a holder gets whom we do not know. */
const graceMs = 1_000
const pollMs = 100

export interface StoreWait {
  readonly config: Config
  readonly log: Log
  readonly openNode: OpenNode
  readonly runDirectory: string
  readonly signals: Signals
  note(text: string): void
}

/** Opens the store, waiting for a holder that drains. */
export async function openWhenReleased(wait: StoreWait): Promise<Node> {
  const started = performance.now()
  const interrupted = interruption(wait.signals)
  // The signal that ends the mount later is not for whoever opens it.
  interrupted.catch(() => undefined)
  for (let said = false; ; ) {
    try {
      return await wait.openNode(wait.config, wait.log, interrupted)
    } catch (error) {
      if (!isInUse(error)) throw error
      const waited = performance.now() - started
      const draining = isDraining(wait.runDirectory, wait.config.store)
      if (waited > (draining ? drainTimeoutMs : graceMs)) throw error
      if (draining && !said) {
        said = true
        wait.note(`store ${wait.config.store} is still being drained by another process: waiting`)
      }
    }
    await sleep(pollMs)
    if (wait.signals.received) throw new MountError('interrupted', exitCode.interrupted)
  }
}

/** The store's own error says so in its field `inUse`. */
function isInUse(error: unknown): boolean {
  return error instanceof Error && (error as { inUse?: unknown }).inUse === true
}

/** Its holder is alive, is known, and has its mount no more. */
function isDraining(runDirectory: string, store: string): boolean {
  const holder = findHolder(runDirectory, store)
  return holder !== null && mountedAt(holder.mountpoint)?.type !== mountType
}
