/** Sizes as people write them. */

const unitBytes: Readonly<Record<string, number>> = {
  '': 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
}

/**
 * Bytes of `4096`, `64K`, `4MiB`, `1g`: units are powers of 1024, with or without `iB`, in either case. Null for
 * anything else, also for `MB`, which could mean either, and for what is no safe integer.
 */
export function parseSize(text: string): number | null {
  const match = /^(\d+)(?:([kmgt])(?:ib)?)?$/i.exec(text.trim())
  if (match === null) return null
  const bytes = Number(match[1]) * (unitBytes[(match[2] ?? '').toLowerCase()] ?? Number.NaN)
  return Number.isSafeInteger(bytes) ? bytes : null
}
