/** The real Kv over files that were damaged: it refuses them, or has the right state. And the bytes of its log. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { LmdbKv } from '../../lib/native/kv.js'
import { type KvText, seeded } from '../conformance/kv.js'
import { copyStore, opened, run, scratch } from './kv-bench.js'
import { commit, Model, sequenceOf } from './kv-model.js'

const child = fileURLToPath(new URL('./kv.child.js', import.meta.url))
const random = seeded(Number(process.env['SEED'] ?? 1))

/** Commits 1 … `last`, of which those up to `synced` are known to be on the disk; then what a kill leaves. */
async function killedStore(t: Test): Promise<{ path: string; synced: number; last: number }> {
  const directory = scratch(t)
  const kv = opened(copyStore(null, join(directory, 'original')))
  for (let n = 1; n <= 300; n++) commit(kv, n)
  ;(kv.kv as LmdbKv).publishNow()
  for (let n = 301; n <= 340; n++) commit(kv, n)
  t.equal(await kv.sync(), 0)
  for (let n = 341; n <= 360; n++) commit(kv, n)
  const path = copyStore(join(directory, 'original'), join(directory, 'killed'))
  await kv.close()
  return { path, synced: 340, last: 360 }
}

t.test('a damaged log', async (t) => {
  const { path, synced, last } = await killedStore(t)
  const copy = join(path, '..', 'copy')
  const counts = { refused: 0, right: 0, earlier: 0 }
  for (const name of ['log.0', 'log.1']) {
    const good = readFileSync(join(path, name))
    const used = good.findLastIndex((byte) => byte !== 0) + 1
    const places = Array.from({ length: 64 }, (_, at) => at)
    for (let i = 0; i < 150 && used > 4096; i++) places.push(4096 + random(used - 4096))
    for (let i = 0; i < 20; i++) places.push(random(good.length))
    for (const at of places) {
      rmSync(copy, { recursive: true, force: true })
      copyStore(path, copy)
      const bytes = Buffer.from(good)
      bytes[at] = (bytes[at] as number) ^ (1 + random(255))
      writeFileSync(join(copy, name), bytes)
      let kv: KvText
      try {
        kv = opened(copy)
      } catch (error) {
        if (Number((error as { errno?: number }).errno) !== 74) t.fail(`${name} at ${at}: ${(error as Error).message}`)
        if (!bytes.equals(readFileSync(join(copy, name)))) t.fail(`${name} at ${at} was changed though it was refused`)
        counts.refused++
        continue
      }
      const sequence = sequenceOf(kv)
      if (sequence < synced || sequence > last) t.fail(`${name} at ${at}: commit ${sequence}`)
      const difference = new Model().advanceTo(sequence).difference(kv)
      if (difference !== null) t.fail(`${name} at ${at}: ${difference}`)
      if (sequence === last) counts.right++
      else counts.earlier++
      await kv.close()
    }
  }
  t.ok(counts.refused > 20 && counts.right > 20 && counts.earlier > 5, JSON.stringify(counts))
})

t.test('a log cut short', async (t) => {
  const { path } = await killedStore(t)
  const copy = join(path, '..', 'copy')
  for (const name of ['log.0', 'log.1']) {
    const good = readFileSync(join(path, name))
    for (const length of [0, 1, 63, 64, 4095, 4096, 4097, 4200, 9000, good.length - 1]) {
      rmSync(copy, { recursive: true, force: true })
      copyStore(path, copy)
      writeFileSync(join(copy, name), good.subarray(0, length))
      t.throws(() => opened(copy), { message: /damaged/ }, `${name} cut to ${length}`)
    }
  }
})

t.test('a damaged root', async (t) => {
  const { path, last } = await killedStore(t)
  const copy = join(path, '..', 'copy')
  const good = readFileSync(join(path, 'root'))
  const places = [...Array.from({ length: 300 }, (_, at) => at), 4159, 4160, 8191]
  for (const at of places) {
    for (const slots of [[0], [8192], [0, 8192]]) {
      rmSync(copy, { recursive: true, force: true })
      copyStore(path, copy)
      const bytes = Buffer.from(good)
      for (const slot of slots) bytes[slot + at] = (bytes[slot + at] as number) ^ 0x10
      writeFileSync(join(copy, 'root'), bytes)
      try {
        const kv = opened(copy)
        if (slots.length === 2) t.fail(`byte ${at} of both slots: opened`)
        if (sequenceOf(kv) !== last) t.fail(`byte ${at}: commit ${sequenceOf(kv)}`)
        await kv.close()
      } catch (error) {
        if (slots.length === 1) t.fail(`byte ${at}: ${(error as Error).message}`)
      }
      if (at > 80 && slots.length === 1) break
    }
  }
  t.pass('one slot is enough, none is refused')
})

t.test('the bytes of the log', async (t) => {
  const path = copyStore(null, join(scratch(t), 'kv'))
  const kv = opened(path)
  kv.put('key', 'value')
  kv.delete('key')
  kv.put('k', '')
  t.equal(kv.kv.commit(), 0)
  kv.put('second', 'batch')
  t.equal(kv.kv.commit(), 0)
  const bytes = readFileSync(join(path, 'log.0'))
  /** Without the salt and the checksums, which it changes. */
  const golden = (at: number, fields: string, ...random: number[]): void => {
    const wanted = fields.replace(/\s/g, '')
    const found = bytes.subarray(at, at + wanted.length / 2)
    for (const field of random) {
      t.not(found.readBigUInt64LE(field), 0n)
      found.fill(0, field, field + 8)
    }
    t.equal(found.toString('hex'), wanted)
  }
  // Magic, version, number, first sequence; salt, synced, bytes of the file, checksum.
  golden(
    0,
    `434846534c4f4700 01000000 00000000 0100000000000000 0100000000000000
     0000000000000000 0000000000000000 0000040000000000 0000000000000000`,
    32,
    56,
  )
  // Bytes, operations, sequence, synced, checksum; put key value, delete key, put k; zeros up to a multiple of 8.
  golden(
    4096,
    `21000000 03000000 0100000000000000 0000000000000000 0000000000000000
     01 0300 05000000 6b6579 76616c7565  02 0300 00000000 6b6579  01 0100 00000000 6b  00000000000000`,
    24,
  )
  golden(
    4096 + 72,
    `12000000 01000000 0200000000000000 0000000000000000 0000000000000000
     01 0600 05000000 7365636f6e64 6261746368  000000000000`,
    24,
  )
  t.equal(await kv.close(), 0)
})

t.test('damaged pages', async (t) => {
  // LMDB has no checksum of its pages: damage to their structure may hide records, or end the process (scripts/fsck
  // finds either, and checks in a process of its own). A record that is found is the right one, whatever happens.
  const directory = scratch(t)
  const kv = opened(copyStore(null, join(directory, 'original')))
  for (let n = 1; n <= 360; n++) commit(kv, n)
  t.equal(await kv.close(), 0)
  const good = readFileSync(join(directory, 'original', 'data.mdb'))
  const counts: Record<string, number> = { right: 0 }
  for (let round = 0; round < 20; round++) {
    const path = copyStore(join(directory, 'original'), join(directory, String(round)))
    const bytes = Buffer.from(good)
    for (let flip = 0; flip < 12; flip++) {
      const at = 8192 + random(good.length - 8192)
      bytes[at] = (bytes[at] as number) ^ (1 + random(255))
    }
    writeFileSync(join(path, 'data.mdb'), bytes)
    const { stdout, signal } = await run(process.execPath, [child, 'read', path, '360'])
    const outcome = signal === null ? JSON.parse(stdout) : { wrong: [] }
    if ((outcome.wrong ?? []).length > 0) t.fail(`wrong values: ${outcome.wrong}`)
    const kind = signal ?? (outcome.refused ? 'refused' : outcome.right ? 'right' : 'missed')
    counts[kind] = (counts[kind] ?? 0) + 1
  }
  t.ok((counts['right'] as number) < 20, JSON.stringify(counts))
})
