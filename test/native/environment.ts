/** What a process that a test starts needs of our environment: a path, and the sanitizers where we run under them. */
const KEPT = ['PATH', 'LD_PRELOAD', 'ASAN_OPTIONS', 'UBSAN_OPTIONS']

export const CHILD_ENVIRONMENT: NodeJS.ProcessEnv = Object.fromEntries(
  KEPT.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
)
