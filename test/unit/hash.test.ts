import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import t from 'tap'
import { h32 } from 'xxhashjs'
import { loadHash32 } from '../../lib/native/hash.js'
import { Positions } from '../../lib/ring/position.js'

const hash = await loadHash32()

t.test('XXH32 is what another implementation says', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(0xffffffff), (bytes, seed) => {
      return hash(bytes, seed) === h32(Uint8Array.from(bytes).buffer, seed).toNumber()
    }),
  )
})

t.test('the published values of XXH32', async (t) => {
  t.equal(hash(new Uint8Array(0), 0), 0x02cc5d05)
  t.equal(hash(Buffer.from('abc'), 0), 0x32d153ff)
})

t.test('a dentry lies where the hash of its parent and name says', async (t) => {
  const positions = new Positions(hash)
  const name = Buffer.from('xx名x')
  const parent = 2 ** 40 + 7
  const expected = Buffer.alloc(8 + name.length)
  expected.writeBigUInt64LE(BigInt(parent))
  name.copy(expected, 8)
  t.equal(positions.ofDentry(parent, { bytes: name, offset: 0, length: name.length }), hash(expected, 0))
  // Where every store of every version looks for its first name.
  const first = Buffer.from('file')
  t.equal(positions.ofDentry(1, { bytes: first, offset: 0, length: 4 }), hash(Buffer.from('\x01\0\0\0\0\0\0\0file'), 0))
})
