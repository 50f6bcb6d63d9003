/** What the tests of the real Kv share. */
import { execFile } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { SystemClock } from '../../lib/native/clock.js'
import { type KvOptions, LmdbKv } from '../../lib/native/kv.js'
import { KvText } from '../conformance/kv.js'
import { quiet } from '../quiet.js'
import { CHILD_ENVIRONMENT } from './environment.js'

export const clock = new SystemClock()

/** Small enough that a short test fills the log and has it switch its files. */
export const SMALL: KvOptions = { segmentBytes: 256 * 1024, reserveBytes: 1 << 20, mapBytes: 1 << 30 }

/**
 * Copies the files of a store into a new directory, or only makes that where `from` is null. The root goes first: a
 * publication may end on another thread meanwhile, and the older root still has its pages and its log.
 */
export function copyStore(from: string | null, to: string): string {
  mkdirSync(to)
  if (from === null) return to
  for (const name of ['root', 'log.0', 'log.1', 'data.mdb']) {
    if (existsSync(join(from, name))) copyFileSync(join(from, name), join(to, name))
  }
  return to
}

export const ENV = CHILD_ENVIRONMENT

/** A directory that is gone when the test is. */
export function scratch(t: Test): string {
  const directory = mkdtempSync('/dev/shm/chfs-test-kv-')
  t.teardown(() => rmSync(directory, { recursive: true }))
  return directory
}

/** Runs a command; what it wrote, and the signal that ended it. */
export function run(
  command: string,
  words: string[],
): Promise<{ stdout: string; stderr: string; signal: string | null }> {
  return new Promise((resolve) => {
    execFile(command, words, { timeout: 120_000, env: ENV }, (error, stdout, stderr) => {
      resolve({ stdout, stderr, signal: error?.signal ?? null })
    })
  })
}

/** A small store of metadata, open. */
export const opened = (path: string): KvText => new KvText(LmdbKv.open(path, clock, quiet, SMALL))
