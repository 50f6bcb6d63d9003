/** What nodes say on a control connection, byte by byte. */
import fc from 'fast-check'
import t from 'tap'
import { type ControlMessage, decodeControl, encodeControl, type Hello, PROTOCOL } from '../../lib/wire/control.js'

const HELLO: Hello = {
  kind: 'hello',
  protocolMin: 1,
  protocolMax: 1,
  isClient: false,
  isWhole: true,
  isUnmounted: true,
  id: '0123456789abcdef',
  incarnation: 0x100000002,
  attempt: 3,
  entry: 1,
  names: ['a:7400', 'b:7400'],
  chunkBytes: 4 << 20,
  virtualNodes: 150,
  layout: 0,
  seconds: 0x65000000,
  nanoseconds: 999_999_999,
  address: Uint8Array.of(1, 2, 3, 4, 5),
  cluster: {
    clusterId: '00112233445566778899aabbccddeeff',
    epoch: 7,
    ids: ['fedcba9876543210', '0123456789abcdef'],
  },
}

const CLUSTER = `
  10 00 00 00 00 11 22 33  44 55 66 77 88 99 aa bb  cc dd ee ff
  07 00 00 00 00 00 00 00
  10 00 00 00 fe dc ba 98  76 54 32 10 01 23 45 67  89 ab cd ef`

const GOLDEN: [ControlMessage, string][] = [
  [
    HELLO,
    `01 00 00 00 01 00 00 00  01 00 00 00 06 00 00 00
     08 00 00 00 01 23 45 67  89 ab cd ef
     02 00 00 00 01 00 00 00  03 00 00 00 01 00 00 00
     0d 00 00 00 61 3a 37 34  30 30 2c 62 3a 37 34 30  30 00 00 00
     00 00 40 00 96 00 00 00  00 00 00 00
     00 00 00 65 00 00 00 00  ff c9 9a 3b
     05 00 00 00 01 02 03 04  05 00 00 00 ${CLUSTER}`,
  ],
  [{ kind: 'refuse', reason: 'größe' }, '02 00 00 00 07 00 00 00 67 72 c3 b6 c3 9f 65 00'],
  [{ kind: 'formed', ...HELLO.cluster }, `03 00 00 00 ${CLUSTER}`],
  [
    { kind: 'channel', channel: 7, secret: new Uint8Array(16).fill(0xab) },
    `04 00 00 00 07 00 00 00  10 00 00 00 ${'ab '.repeat(16)}`,
  ],
  [{ kind: 'connected' }, '05 00 00 00'],
  [{ kind: 'alive' }, '06 00 00 00'],
  [{ kind: 'unmounted' }, '07 00 00 00'],
  [{ kind: 'goodbye' }, '08 00 00 00'],
]

const bytesOf = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex')

t.test('golden bytes', async (t) => {
  for (const [message, text] of GOLDEN) {
    t.equal(Buffer.from(encodeControl(message)).toString('hex'), bytesOf(text).toString('hex'), message.kind)
    t.strictSame(decodeControl(bytesOf(text)), message, message.kind)
  }
})

t.test('cut short, or with more behind it', async (t) => {
  for (const [message, text] of GOLDEN) {
    const bytes = bytesOf(text)
    for (let length = 0; length < bytes.length; length++) {
      if (decodeControl(bytes.subarray(0, length)) !== null) t.fail(`${message.kind}: ${length} bytes`)
    }
    for (const more of [1, 4]) t.equal(decodeControl(Buffer.concat([bytes, Buffer.alloc(more)])), null, message.kind)
  }
})

t.test('what cannot be', async (t) => {
  const change = (index: number, at: number, word: number): Buffer => {
    const bytes = Buffer.from(bytesOf((GOLDEN[index] as [unknown, string])[1]))
    bytes.writeUInt32LE(word, at)
    return bytes
  }
  const cases: [string, Uint8Array][] = [
    ['kind 0', Uint8Array.of(0, 0, 0, 0)],
    ['kind 9', Uint8Array.of(9, 0, 0, 0)],
    ['an unknown flag', change(0, 12, 8)],
    ['versions that run backwards', change(0, 4, 2)],
    ['an id of 4 bytes', change(0, 16, 4)],
    ['an incarnation beyond 2^53', change(0, 32, 0x200000)],
    ['a billion nanoseconds', change(0, 88, 1e9)],
    ['a cluster id of 12 bytes', change(2, 4, 12)],
    ['half a member id', change(2, 32, 12)],
    ['a secret of 12 bytes', change(3, 8, 12)],
    ['an address that is too long', encodeLongAddress()],
  ]
  for (const [name, bytes] of cases) t.equal(decodeControl(bytes), null, name)
  t.throws(() => encodeControl({ ...HELLO, address: new Uint8Array(4097) }), /not too long/)
  const reason = 'x'.repeat(100_000)
  t.ok(encodeControl({ kind: 'refuse', reason }).length < 20_000, 'a long reason is cut')
})

/** By hand, since nobody sends one. */
function encodeLongAddress(): Uint8Array {
  const bytes = encodeControl({ ...HELLO, address: new Uint8Array(4096) })
  const at = Buffer.from(bytes).indexOf(Buffer.from([0, 16, 0, 0]))
  const longer = Buffer.concat([bytes.subarray(0, at + 4), Buffer.alloc(4), bytes.subarray(at + 4)])
  longer.writeUInt32LE(4100, at)
  return longer
}

t.test('a hello of another version tells which', async (t) => {
  const bytes = bytesOf((GOLDEN[0] as [unknown, string])[1]).subarray(0, 40)
  bytes.writeUInt32LE(PROTOCOL.max + 1, 4)
  bytes.writeUInt32LE(PROTOCOL.max + 3, 8)
  t.match(decodeControl(bytes), { kind: 'hello', protocolMin: PROTOCOL.max + 1, protocolMax: PROTOCOL.max + 3 })
})

t.test('any bytes at all are a message or none', async () => {
  const words = fc.array(fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 0xffffffff })), { maxLength: 60 })
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 9 }), words, (kind, rest) => {
      const message = decodeControl(new Uint8Array(Uint32Array.of(kind, ...rest).buffer))
      return message === null || decodeControl(encodeControl(message)) !== null
    }),
    { numRuns: 3000 },
  )
  fc.assert(
    fc.property(fc.nat({ max: GOLDEN.length - 1 }), fc.nat(), fc.nat({ max: 255 }), (index, at, byte) => {
      const bytes = bytesOf((GOLDEN[index] as [unknown, string])[1])
      bytes[at % bytes.length] = byte
      decodeControl(bytes)
      return true
    }),
    { numRuns: 3000 },
  )
})
