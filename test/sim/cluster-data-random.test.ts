import t from 'tap'
import { DataDriver, type DataRunOptions } from './cluster-data-driver.js'

const seed = process.env['CHFS_SIM_SEED']
const mode = JSON.parse(process.env['CHFS_SIM_MODE'] ?? '{"concurrency":1,"trouble":"none"}') as DataRunOptions
if (seed !== undefined) {
  new DataDriver(Number(seed), { ...mode, trace: (line) => process.stderr.write(`${line}\n`) }).run()
  t.pass(`seed ${seed}`)
} else {
  let failed = 0
  const t0 = Date.now()
  let n = 0
  for (let s = 1; s <= Number(process.env['N'] ?? 100); s++) {
    n++
    try {
      new DataDriver(s, mode).run()
    } catch (error) {
      console.log(
        s,
        String((error as Error).stack)
          .split('\n')
          .slice(0, 4)
          .join('\n'),
      )
      if (++failed > 5) break
    }
  }
  console.log(n, 'seeds', Date.now() - t0, 'ms', failed, 'failed')
  t.pass()
}
