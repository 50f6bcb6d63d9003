/** All of test/long takes about an hour: `CHFS_LONG=8` makes what is repeated eight times as long. */
const factor = Number(process.env['CHFS_LONG'] ?? 1)

/** Rounds or seconds. */
export const long = (usual: number): number => Math.max(1, Math.round(usual * factor))
