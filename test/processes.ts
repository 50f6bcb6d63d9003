/** Signals to the processes that a test has started. */

/**
 * kill -9 of the process `target` or, where it is negative, of that process group; one that has ended is no error.
 * A target that is no process is: 0 would be this process's own group, and end the tests and all that runs them.
 */
export function killNow(target: number): void {
  if (!Number.isSafeInteger(target) || target === 0 || target === -1) throw new RangeError(`no process: ${target}`)
  try {
    process.kill(target, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
