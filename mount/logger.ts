/**
 * The log: JSON lines in a file, or readable ones on a terminal. A log that cannot be written never stops the mount.
 */
import { openSync, writeSync } from 'node:fs'
import { type Logger, pino, stdTimeFunctions } from 'pino'
import pretty from 'pino-pretty'
import type { Config } from './config.js'
import { exitCode, MountError } from './exit.js'

export type { Logger }

export function makeLogger(config: Pick<Config, 'logFile' | 'logFileChosen' | 'logLevel'>): Logger {
  const options = { level: config.logLevel, base: { pid: process.pid }, timestamp: stdTimeFunctions.isoTime }
  if (config.logFile === null) {
    // Written at once, so that the last line before an end is there.
    if (process.stderr.isTTY) return pino(options, pretty({ destination: 2, sync: true, ignore: 'pid' }))
    return pino(options, new LogFile(2))
  }
  const file = new LogFile(config.logFile)
  if (config.logFileChosen) file.open()
  return pino(options, file)
}

/**
 * A file that is opened by its first line: the default one lies in the store, which may not exist before it is opened.
 * Lines that cannot be written are dropped and counted, and the count is written when lines go through again.
 */
export class LogFile {
  readonly #path: string
  #fd: number
  #dropped = 0

  constructor(target: string | number) {
    this.#path = typeof target === 'string' ? target : ''
    this.#fd = typeof target === 'string' ? -1 : target
  }

  /** Throws a {@link MountError} where the file cannot be opened. */
  open(): void {
    try {
      this.#fd = openSync(this.#path, 'a', 0o600)
    } catch (error) {
      throw new MountError(`log ${this.#path}: ${(error as Error).message}`, exitCode.usage)
    }
  }

  write(line: string): void {
    try {
      if (this.#fd < 0) this.open()
      if (this.#dropped > 0) {
        writeSync(this.#fd, `{"level":40,"msg":"${this.#dropped} lines could not be written"}\n`)
        this.#dropped = 0
      }
      writeSync(this.#fd, line)
    } catch {
      this.#dropped++
    }
  }
}
