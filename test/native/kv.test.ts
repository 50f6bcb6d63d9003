import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { LmdbKv } from '../../lib/native/kv.js'
import { KvText, type KvUnderTest, kvConformance } from '../conformance/kv.js'
import { quiet } from '../quiet.js'
import { clock, copyStore, SMALL } from './kv-bench.js'

/** A crash is a copy of the files as they are, opened anew: what a killed process leaves is just that. */
function make(parent: string): () => Promise<KvUnderTest> {
  return async () => {
    const directory = mkdtempSync(join(parent, 'chfs-test-kv-'))
    let count = 0
    let kv = LmdbKv.open(copyStore(null, join(directory, '0')), clock, quiet, SMALL)
    const first = kv
    const reopen = async (): Promise<LmdbKv> => {
      count++
      const copy = copyStore(join(directory, String(count - 1)), join(directory, String(count)))
      if (!kv.isDead) await new KvText(kv).close()
      rmSync(join(directory, String(count - 1)), { recursive: true })
      kv = LmdbKv.open(copy, clock, quiet, SMALL)
      return kv
    }
    const end = async (): Promise<void> => {
      await new KvText(kv).close()
      rmSync(directory, { recursive: true })
    }
    return { kv: first, reopen, end }
  }
}

t.test('in memory', async (t) => kvConformance(t, make('/dev/shm')))
t.test('on a device', async (t) => kvConformance(t, make(tmpdir())))
