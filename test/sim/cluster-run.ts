/** `npm run sim`: the simulation of a whole cluster. */
import { parseArgs } from 'node:util'
import { ClusterDriver, type ClusterRunOptions } from './cluster-driver.js'

const USAGE = `usage: npm run sim [-- SEED] [--seconds=120] [--nodes=3…7] [--rounds=8]

Runs the simulation of a whole cluster: one seed with its trace, or without one fresh seeds for some time. Exit code 0:
all is right; 1: it is not; 2: wrong arguments.`

const text = { type: 'string' } as const
const OPTIONS = { seconds: text, nodes: text, rounds: text, help: { type: 'boolean' } } as const

function main(): number {
  const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true })
  const numbers = [...positionals, values.seconds, values.nodes, values.rounds].filter((word) => word !== undefined)
  if (values.help === true || positionals.length > 1 || !numbers.every((word) => /^\d+$/.test(word))) {
    console.log(USAGE)
    return values.help === true ? 0 : 2
  }
  const options: ClusterRunOptions = {
    ...(values.nodes === undefined ? {} : { nodes: Number(values.nodes) }),
    ...(values.rounds === undefined ? {} : { rounds: Number(values.rounds) }),
  }
  const [seed] = positionals
  if (seed !== undefined) return runOne(Number(seed), options)
  return runFresh(Number(values.seconds ?? 120), options)
}

function runOne(seed: number, options: ClusterRunOptions): number {
  const driver = new ClusterDriver(seed, { ...options, trace: (line) => console.log(line) })
  try {
    driver.run()
  } catch (error) {
    console.log(`seed ${seed}: ${(error as Error).stack}`)
    return 1
  }
  console.log(`seed ${seed}: right; its trace is ${driver.hash.toString(16)}`)
  return 0
}

function runFresh(seconds: number, options: ClusterRunOptions): number {
  const end = performance.now() + seconds * 1000
  let [failures, seed] = [0, Date.now() % 1_000_000_000]
  for (; performance.now() < end; seed++) {
    const driver = new ClusterDriver(seed, options)
    try {
      driver.run()
      console.log(`seed ${seed}: right; all was well again after ${driver.slowestMs} ms at most`)
    } catch (error) {
      failures++
      const flags = process.argv.slice(2).filter((word) => /^--(nodes|rounds)/.test(word))
      console.log(`seed ${seed}: ${(error as Error).message}\n  again: npm run sim -- ${[seed, ...flags].join(' ')}`)
    }
  }
  return failures === 0 ? 0 : 1
}

try {
  process.exitCode = main()
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 2
}
