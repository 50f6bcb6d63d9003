import fc from 'fast-check'
import t from 'tap'
import type { InodeNumber } from '../../lib/base/ids.js'
import { SERIAL_SPAN } from '../../lib/base/ids.js'
import { Batch } from '../../lib/meta/batch.js'
import { Dentries, Dentry } from '../../lib/meta/dentries.js'
import { Inode } from '../../lib/meta/inode.js'
import { Positions } from '../../lib/ring/position.js'
import { SimClock } from '../sim/clock.js'
import { SimKv } from '../sim/kv.js'
import { Prng } from '../sim/prng.js'
import { weakHash } from '../sim/world.js'

const range = (text: string): { bytes: Uint8Array; offset: number; length: number } => {
  const bytes = new TextEncoder().encode(text)
  return { bytes, offset: 0, length: bytes.length }
}

function inodeOf(number: number, generation = 0): Inode {
  const inode = new Inode(number as InodeNumber)
  inode.generation = generation
  inode.mode = 0o100644
  return inode
}

/** Entries over a hash of few values, so that most names share a position. */
function entries(values: number): Dentries {
  return new Dentries(new Batch(new SimKv(new SimClock(), new Prng(1))), new Positions(weakHash(values)))
}

function* listing(dentries: Dentries, directory: Inode, cookie = 0): Generator<[string, number, number]> {
  const at = new Dentry()
  at.position = Math.floor(cookie / SERIAL_SPAN)
  at.serial = cookie % SERIAL_SPAN
  while (dentries.next(directory, at.position, at.serial, at)) {
    const { bytes, offset, length } = dentries.name
    yield [new TextDecoder().decode(bytes.subarray(offset, offset + length)), at.child, at.cookie]
  }
}

const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'ab', 'ba', 'x'.repeat(255))
const step = fc.record({ name, removes: fc.boolean() })

t.test('a directory is a map of names, whatever the hash says', async () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom(1, 2, 2 ** 32), (steps, values) => {
      const dentries = entries(values)
      const [directory, other] = [inodeOf(1), inodeOf(1, 1)]
      const model = new Map<string, number>()
      const place = new Dentry()
      for (const [index, { name: text, removes }] of steps.entries()) {
        const found = dentries.find(directory, range(text), place)
        if (found !== model.has(text) || (found && place.child !== model.get(text))) return false
        if (!removes) {
          dentries.put(place, range(text), inodeOf(100 + index))
          model.set(text, 100 + index)
        } else if (found) {
          dentries.remove(place)
          model.delete(text)
        }
      }
      const seen = [...listing(dentries, directory)]
      const ordered = seen.every(([, , cookie], index) => index === 0 || cookie > (seen[index - 1]?.[2] ?? 0))
      const same = seen.length === model.size && seen.every(([text, child]) => model.get(text) === child)
      return ordered && same && dentries.isEmpty(directory) === (model.size === 0) && dentries.isEmpty(other)
    }),
  )
})

t.test('what stays is listed exactly once while others come and go', async () => {
  const stays = ['stays 1', 'stays 2', 'stays 3', 'stays 4', 'stays 5']
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom(1, 2), (steps, values) => {
      const dentries = entries(values)
      const directory = inodeOf(1)
      const place = new Dentry()
      const change = (text: string, removes: boolean): void => {
        const found = dentries.find(directory, range(text), place)
        if (removes && found) dentries.remove(place)
        else if (!removes) dentries.put(place, range(text), inodeOf(7))
      }
      for (const text of ['a', 'b', ...stays, 'c', 'd']) change(text, false)
      const seen: string[] = []
      let rest = steps
      for (let cookie = 0; ; ) {
        const entry = listing(dentries, directory, cookie).next()
        if (entry.done === true) break
        seen.push(entry.value[0])
        cookie = entry.value[2]
        for (const { name: text, removes } of rest.slice(0, 4)) change(text, removes)
        rest = rest.slice(4)
      }
      return stays.every((text) => seen.filter((other) => other === text).length === 1)
    }),
  )
})

t.test('a cookie is never one of those of "." and ".."', async (t) => {
  const dentries = entries(1)
  const place = new Dentry()
  t.notOk(dentries.find(inodeOf(1), range('a'), place))
  t.ok(place.cookie > 2)
})
