import type { Log } from '../lib/ports.js'

const ignore = (): void => undefined

/** A log that nobody reads. */
export const quiet: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore }
