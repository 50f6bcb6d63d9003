/**
 * The exit codes of mount.chfs: those of mount(8), since mount(8) passes on what its helper returns.
 */
export const exitCode = {
  done: 0,
  /** Wrong arguments, or not the right to do it. */
  usage: 1,
  /** The system refused: no memory, no /dev/fuse, a full or failing disk. */
  system: 2,
  /** A fault of ours. */
  bug: 4,
  /** Interrupted by a signal before the mount was there. */
  interrupted: 8,
  /** The mount failed: its mountpoint, or its store. */
  mount: 32,
} as const

/** The meaning of each code, as help and documentation print it. */
export const exitMeaning: ReadonlyMap<number, string> = new Map([
  [exitCode.done, 'mounted; or, in the foreground, unmounted and drained'],
  [exitCode.usage, 'wrong arguments or configuration, or missing rights'],
  [exitCode.system, 'the system refused (no /dev/fuse, a full or failing disk)'],
  [exitCode.bug, 'a fault of chfs itself; the log has the details'],
  [exitCode.interrupted, 'interrupted by a signal before the mount was there'],
  [exitCode.mount, 'the mount failed (mountpoint missing or busy; store in use, foreign, damaged or too new)'],
])

/** An operating error that ends the command with one line and one of the codes above. */
export class MountError extends Error {
  readonly exitCode: number

  constructor(message: string, code: number) {
    super(message)
    this.name = 'MountError'
    this.exitCode = code
  }
}

/**
 * What to print and to return for anything that was thrown. Errors that carry an exit code of the table (a
 * MountError, a StoreError) speak for themselves, what a system call refused is told as it is; everything else is a
 * fault of ours.
 */
export function describeFailure(error: unknown): { message: string; exitCode: number } {
  if (!(error instanceof Error)) return fault(String(error))
  const { exitCode: code, syscall } = error as { exitCode?: unknown; syscall?: unknown }
  if (typeof code === 'number' && code !== exitCode.done && exitMeaning.has(code)) {
    return { message: oneLine(error.message), exitCode: code }
  }
  if (typeof syscall === 'string') return { message: oneLine(error.message), exitCode: exitCode.system }
  return fault(error.message)
}

function fault(message: string): { message: string; exitCode: number } {
  return { message: `internal error: ${oneLine(message)}`, exitCode: exitCode.bug }
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, '; ').trim() || 'no message'
}
