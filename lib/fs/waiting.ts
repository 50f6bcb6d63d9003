import { FsError } from '../base/errno.js'
import type { Done } from '../ports.js'

/** Runs a later step of an operation; what it throws as an FsError is the operation's result. */
export function step(finish: Done, run: () => void): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof FsError)) throw error
    finish(-error.errno)
  }
}
