/** Signals as promises: the first SIGTERM or SIGINT ends the mount, the second one its patience. */
import { exitCode, MountError } from './exit.js'

export interface Signals {
  /** Resolves with the name of the first signal that asks for the end. */
  readonly first: Promise<NodeJS.Signals>
  /** Resolves with the second: whoever sends it does not want to wait. */
  readonly second: Promise<NodeJS.Signals>
  /** Whether the first has come. */
  readonly received: boolean
}

/**
 * SIGHUP ends a process in the foreground, like any other that loses its terminal, and is ignored in the background.
 */
export function watchSignals(foreground: boolean, source: NodeJS.EventEmitter = process): Signals {
  const arrivals: ((signal: NodeJS.Signals) => void)[] = []
  const next = () => new Promise<NodeJS.Signals>((resolve) => arrivals.push(resolve))
  const signals = { first: next(), second: next(), received: false }
  const arrive = (signal: NodeJS.Signals) => {
    signals.received = true
    arrivals.shift()?.(signal)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) source.on(signal, arrive)
  source.on('SIGHUP', foreground ? arrive : () => {})
  return signals
}

/** For a race with whatever a start waits for. */
export function interruption({ first }: Signals): Promise<never> {
  return first.then(() => {
    throw new MountError('interrupted', exitCode.interrupted)
  })
}
