import t from 'tap'
import { loadHash32 } from '../../lib/native/hash.js'
import {
  changeSuperblock,
  decodeSuperblock,
  encodeSuperblock,
  invalidSuperblock,
  type Superblock,
  superblockBytes,
} from '../../lib/wire/superblock.js'

const hash = await loadHash32()

const EXAMPLE: Superblock = {
  compatible: 0,
  readOnlyCompatible: 0,
  incompatible: 0,
  isWhole: true,
  clusterId: '00112233445566778899aabbccddeeff',
  memberId: '0123456789abcdef',
  incarnation: 1,
  ringEpoch: 1,
  virtualNodes: 150,
  chunkBytes: 4 << 20,
  layout: 0,
  members: [{ id: '0123456789abcdef', name: 'n1', address: '10.0.0.1:7400' }],
}

/** The worked example of lib/wire/superblock.ts. */
const GOLDEN = `
  43 48 46 53 53 55 50 52  01 00 00 00 a0 00 00 00
  2d 15 d7 43 01 00 00 00  00 00 00 00 00 00 00 00
  00 00 00 00 01 00 00 00  00 11 22 33 44 55 66 77
  88 99 aa bb cc dd ee ff  01 23 45 67 89 ab cd ef
  01 00 00 00 00 00 00 00  01 00 00 00 00 00 00 00
  96 00 00 00 00 00 40 00  01 00 00 00 00 00 00 00
  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00
  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00
  01 23 45 67 89 ab cd ef  02 00 0d 00 00 00 00 00
  6e 31 31 30 2e 30 2e 30  2e 31 3a 37 34 30 30 00`

const golden = Buffer.from(GOLDEN.replace(/\s/g, ''), 'hex')

/** Sets a 32-bit field and makes the checksum right again. */
function withWord(at: number, word: number, record = golden): Uint8Array {
  const bytes = Buffer.from(record)
  bytes.writeUInt32LE(bytes.length, 12)
  bytes.writeUInt32LE(word, at)
  bytes.writeUInt32LE(0, 16)
  bytes.writeUInt32LE(hash(bytes, 0), 16)
  return bytes
}

t.test('golden bytes', async (t) => {
  t.equal(Buffer.from(encodeSuperblock(EXAMPLE, hash)).toString('hex'), golden.toString('hex'))
  t.equal(invalidSuperblock(golden, hash), null)
  t.strictSame(decodeSuperblock(golden), EXAMPLE)
  t.equal(superblockBytes(golden), golden.length)
})

t.test('every field comes back', async (t) => {
  const superblock: Superblock = {
    ...EXAMPLE,
    compatible: 0xffffffff,
    isWhole: false,
    incarnation: Number.MAX_SAFE_INTEGER,
    ringEpoch: 2 ** 40 + 5,
    virtualNodes: 1,
    chunkBytes: 1 << 30,
    layout: 1,
    members: [
      { id: 'ffffffffffffffff', name: '', address: '' },
      { id: '0123456789abcdef', name: 'größer', address: '[fe80::1%eth0]:7400' },
      { id: '0000000000000001', name: 'x'.repeat(255), address: 'y'.repeat(65535) },
    ],
  }
  const bytes = encodeSuperblock(superblock, hash)
  t.equal(invalidSuperblock(bytes, hash), null)
  t.strictSame(decodeSuperblock(bytes), superblock)
  const inFile = new Uint8Array(131072)
  inFile.set(bytes)
  t.equal(invalidSuperblock(inFile, hash), null, 'with zeros behind it')
  t.strictSame(decodeSuperblock(inFile), superblock)
})

t.test('a change keeps what a later version has added', async (t) => {
  const extended = Buffer.concat([golden, Buffer.from('added by a later one....')])
  extended.writeUInt32LE(extended.length, 12)
  extended.writeUInt32LE(0x80, 24)
  extended.write('reserved', 100)
  const changed = changeSuperblock(extended, 7, false, hash)
  t.equal(invalidSuperblock(changed, hash), null)
  t.match(decodeSuperblock(changed), { ...EXAMPLE, compatible: 0x80, incarnation: 7, isWhole: false })
  t.equal(Buffer.from(changed.subarray(160)).toString(), 'added by a later one....')
  t.equal(Buffer.from(changed.subarray(100, 108)).toString(), 'reserved')
})

t.test('cut short at every byte', async (t) => {
  for (let length = 0; length < golden.length; length++) {
    const fault = invalidSuperblock(golden.subarray(0, length), hash)
    t.equal(fault?.kind, length < 8 ? 'foreign' : 'damaged', `${length} bytes`)
  }
})

t.test('every bit flipped', async (t) => {
  for (let bit = 0; bit < golden.length * 8; bit++) {
    const bytes = Buffer.from(golden)
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
    const kind = invalidSuperblock(bytes, hash)?.kind
    if (kind !== (bit < 64 ? 'foreign' : 'damaged')) t.fail(`bit ${bit} of byte ${bit >> 3}: ${kind}`)
  }
})

t.test('what another version has written', async (t) => {
  t.match(invalidSuperblock(withWord(8, 2), hash), { kind: 'newer', reason: /version 2/ })
  t.match(invalidSuperblock(withWord(8, 0), hash), { kind: 'newer' })
  t.match(invalidSuperblock(withWord(20, 2), hash), { kind: 'newer', reason: /hash version 2/ })
  t.match(invalidSuperblock(withWord(32, 0x80000001), hash), { kind: 'newer', reason: /0x80000001/ })
  t.match(invalidSuperblock(withWord(28, 4), hash), { kind: 'locked', reason: /0x4/ })
  t.equal(invalidSuperblock(withWord(24, 0xffffffff), hash), null, 'a compatible feature')
})

t.test('fields that cannot be, under a right checksum', async (t) => {
  const cases: [string, Uint8Array][] = [
    ['a state', withWord(36, 2)],
    ['no virtual nodes', withWord(80, 0)],
    ['a chunk of no bytes', withWord(84, 0)],
    ['a chunk that is no power of two', withWord(84, 3 << 20)],
    ['a layout', withWord(92, 2)],
    ['more members than there are', withWord(88, 2)],
    ['not in the list', withWord(88, 0)],
    ['a member twice', withWord(88, 2, Buffer.concat([golden, golden.subarray(128)]))],
    ['another member only', withWord(128, 1)],
    ['a name beyond the end', withWord(136, 0xffff)],
    ['an incarnation beyond 2^53', withWord(76, 0x200000)],
    ['a length that is not a multiple of 8', withWord(12, 156)],
  ]
  for (const [name, bytes] of cases) t.equal(invalidSuperblock(bytes, hash)?.kind, 'damaged', name)
})
