/** fio writes by every way into the kernel, reads everything back and verifies each block's checksum. */
import { type App, appTest, clusterTest } from './app.js'

/** Each runs by itself, with two jobs at once, and has its files to itself. */
const RUNS = {
  'sequential, buffered': 'ioengine=psync rw=write bs=128k',
  'sequential, direct': 'ioengine=psync rw=write bs=1m direct=1',
  'random, buffered': 'ioengine=psync rw=randwrite bs=4k',
  'random, direct': 'ioengine=psync rw=randwrite bs=4k direct=1',
  'random of odd sizes': 'ioengine=psync rw=randwrite bsrange=512-64k bs_unaligned=1',
  'random reads and writes': 'ioengine=psync rw=randrw bs=8k verify_backlog=64',
  'vectors with fsync': 'ioengine=pvsync rw=randwrite bs=16k fsync=16',
  synchronous: 'ioengine=psync rw=randwrite bs=16k sync=1',
  'mmap, sequential': 'ioengine=mmap rw=write bs=64k',
  'mmap, random': 'ioengine=mmap rw=randwrite bs=4k',
  'libaio, direct': 'ioengine=libaio rw=randwrite bs=16k direct=1 iodepth=16',
  'io_uring, buffered': 'ioengine=io_uring rw=randwrite bs=16k iodepth=16',
  'io_uring, direct': 'ioengine=io_uring rw=randwrite bs=64k direct=1 iodepth=8',
  preallocated: 'ioengine=psync rw=randwrite bs=32k fallocate=posix',
}

/** What has been read is no more there to be verified again. */
const writesOnly = (settings: string): boolean => !settings.includes('randrw')

interface Job {
  readonly error: number
  readonly read: { readonly io_bytes: number }
  readonly write: { readonly io_bytes: number }
}

/** Writes and, unless `settings` say otherwise, verifies. */
async function fio(app: App, mebibytes: number, index: number, settings: string): Promise<Job[]> {
  const all = `verify=crc32c verify_fatal=1 numjobs=2 size=${mebibytes}m randseed=${index + 1} ${settings}`
  const options = all.split(' ').map((setting) => `--${setting}`)
  const args = ['fio', `--name=run${index}`, `--directory=${app.path()}`, '--output-format=json', ...options]
  return JSON.parse(await app.run(args, { timeoutMs: 1_800_000 })).jobs
}

/** Two jobs of each kind with a file of `mebibytes` each. */
export function fioTest(mebibytes: number): void {
  appTest('fio with verify', async (t, app) => {
    const bytes = mebibytes * 0.9 * 2 ** 20
    for (const [index, [name, settings]] of Object.entries(RUNS).entries()) {
      for (const job of await fio(app, mebibytes, index, settings)) {
        const enough = job.read.io_bytes >= bytes && (job.write.io_bytes >= bytes || !writesOnly(settings))
        t.ok(job.error === 0 && enough, `${name}: ${job.write.io_bytes} bytes written, ${job.read.io_bytes} read`)
      }
    }
    await app.mount.remount()
    for (const [index, [name, settings]] of Object.entries(RUNS).entries()) {
      if (!writesOnly(settings)) continue
      for (const job of await fio(app, mebibytes, index, `${settings} verify_only=1`)) {
        t.ok(job.error === 0 && job.read.io_bytes >= bytes, `${name}: again after a remount`)
      }
    }
  })
}

/** One node writes, each block is verified by others. */
export function fioClusterTest(mebibytes: number): void {
  clusterTest('fio writes on one node and verifies on others', async (t, [a, b, c]) => {
    const bytes = mebibytes * 0.9 * 2 ** 20
    for (const [index, [name, settings]] of Object.entries(RUNS).entries()) {
      if (!writesOnly(settings)) continue
      for (const { error, write } of await fio(a, mebibytes, index, `${settings} do_verify=0`)) {
        t.ok(error === 0 && write.io_bytes >= bytes, `${name}: ${write.io_bytes} bytes written`)
      }
      // It looks for its files by the place that they have there.
      for (const { error, read } of await fio(index % 2 === 0 ? b : c, mebibytes, index, `${settings} verify_only=1`)) {
        t.ok(error === 0 && read.io_bytes >= bytes, `${name}: ${read.io_bytes} bytes verified elsewhere`)
      }
    }
  })
}
