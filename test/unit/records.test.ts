/** Golden bytes of every record of the metadata store: who changes these changes the format. */
import fc from 'fast-check'
import t from 'tap'
import type { InodeNumber } from '../../lib/base/ids.js'
import { Batch } from '../../lib/meta/batch.js'
import { Counter } from '../../lib/meta/counter.js'
import { Dentries, Dentry } from '../../lib/meta/dentries.js'
import { InlineData } from '../../lib/meta/inline.js'
import { Inode } from '../../lib/meta/inode.js'
import { Queue } from '../../lib/meta/queue.js'
import { Xattrs } from '../../lib/meta/xattrs.js'
import { loadHash32 } from '../../lib/native/hash.js'
import type { Kv } from '../../lib/ports.js'
import { Positions } from '../../lib/ring/position.js'
import {
  dentryKeyPosition,
  dentryKeySerial,
  getInode,
  getSigned,
  getUint32BE,
  getUint64BE,
  getWords,
  INODE_RECORD_BYTES,
  KEY_CLIENT,
  KEY_FREE,
  KEY_INODE,
  KEY_ORPHAN,
  putDentryKey,
  putIdKey,
  putInode,
  putUint32BE,
  putUint64BE,
  putWords,
} from '../../lib/wire/records.js'

const hash = await loadHash32()
const value = new Uint8Array(4096)
const words = new Uint32Array(value.buffer)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const bytesOf = (text: string): Uint8Array => Buffer.from(text.replace(/\s/g, ''), 'hex')
const range = (text: string) => {
  const bytes = new TextEncoder().encode(text)
  return { bytes, offset: 0, length: bytes.length }
}

function example(): Inode {
  return Object.assign(new Inode(0x0011223344556677 as InodeNumber), {
    flags: 0x01020304,
    generation: 0x05060708,
    mode: 0o100644,
    nlink: 3,
    uid: 0x0a0b0c0d,
    gid: 0x0e0f1011,
    rdev: 0x12131415,
    size: 0x001f1e1d1c1b1a19,
    atime: -1,
    mtime: -2_000_000_000_000,
    ctime: 1_700_000_000,
    btime: 2 ** 33 + 1,
    atimeNs: 999_999_999,
    mtimeNs: 1,
    ctimeNs: 0x20212223,
    btimeNs: 0x24252627,
    backing: 0x0018171615141312,
    change: 0x0008070605040302,
    blocksElsewhere: 0x0001020304050607,
    parentGeneration: 0x30313233,
    truncationEpoch: 0x34353637,
    quotaId: 0x38393a3b,
    chunkBits: 22,
    layout: 1,
    blocks: 0x0000010203040506,
  })
}

const GOLDEN_INODE = bytesOf(`
  49 01 88 00  04 03 02 01  08 07 06 05  a4 81 00 00
  03 00 00 00  0d 0c 0b 0a  11 10 0f 0e  15 14 13 12
  19 1a 1b 1c 1d 1e 1f 00   ff ff ff ff ff ff ff ff
  00 e0 b5 56 2e fe ff ff   00 f1 53 65 00 00 00 00
  01 00 00 00 02 00 00 00   ff c9 9a 3b  01 00 00 00
  23 22 21 20  27 26 25 24  12 13 14 15 16 17 18 00
  02 03 04 05 06 07 08 00   07 06 05 04 03 02 01 00
  37 36 35 34  3b 3a 39 38  16 01 00 00  33 32 31 30
  06 05 04 03 02 01 00 00`)

t.test('an inode', async (t) => {
  t.equal(putInode(words, example()), INODE_RECORD_BYTES)
  t.equal(hex(value.subarray(0, INODE_RECORD_BYTES)), hex(GOLDEN_INODE))
  value.set(GOLDEN_INODE)
  const inode = new Inode(0x0011223344556677 as InodeNumber)
  t.equal(getInode(words, INODE_RECORD_BYTES, inode), null)
  t.strictSame({ ...inode }, { ...example() })
})

t.test('where a directory is stands where a regular file says what others hold of it', async (t) => {
  const directory = example()
  directory.mode = 0o040755
  directory.parent = 0x0011121314151617
  putInode(words, directory)
  t.equal(hex(value.subarray(104, 112)), '1716151413121100')
  const inode = new Inode(0x0011223344556677 as InodeNumber)
  t.equal(getInode(words, INODE_RECORD_BYTES, inode), null)
  t.equal(inode.parent, 0x0011121314151617)
  t.equal(inode.blocksElsewhere, 0)
})

t.test('an inode record that cannot be one', async (t) => {
  const inode = new Inode(1 as InodeNumber)
  const reason = (bytes: number, change: (at: Uint8Array) => void = () => undefined): string | null => {
    value.set(GOLDEN_INODE)
    change(value)
    return getInode(words, bytes, inode)
  }
  for (let bytes = 0; bytes < INODE_RECORD_BYTES; bytes++) t.match(reason(bytes), /bytes/, `cut short to ${bytes}`)
  t.match(reason(INODE_RECORD_BYTES + 1), /says it has 136 bytes and has 137/)
  t.match(
    reason(INODE_RECORD_BYTES, (at) => at.fill(0x44, 0, 1)),
    /type 68/,
  )
  t.match(
    reason(INODE_RECORD_BYTES, (at) => at.fill(2, 1, 2)),
    /version 2/,
  )
  t.match(
    reason(INODE_RECORD_BYTES, (at) => at.fill(0x89, 2, 3)),
    /says it has 137 bytes/,
  )
})

t.test('keys', async (t) => {
  const key = new Uint8Array(512).fill(0xee)
  t.equal(putIdKey(key, KEY_INODE, 0x0011223344556677), 9)
  t.equal(hex(key.subarray(0, 10)), '490011223344556677ee')
  t.equal(getUint64BE(key, 1), 0x0011223344556677)
  t.equal(putDentryKey(key, 0x0011223344556677, 0x89abcdef, 0xfedcba98, 0x123456), 20)
  t.equal(hex(key.subarray(0, 21)), '44001122334455667789abcdeffedcba98123456ee')
  t.equal(dentryKeyPosition(key), 0xfedcba98)
  t.equal(dentryKeySerial(key), 0x123456)
  t.equal(getUint32BE(key, 9), 0x89abcdef)
})

t.test('the order of keys is that of their numbers', async () => {
  const number = fc.maxSafeNat()
  fc.assert(
    fc.property(number, number, (a, b) => {
      const [left, right] = [new Uint8Array(9), new Uint8Array(9)]
      putIdKey(left, KEY_INODE, a)
      putIdKey(right, KEY_INODE, b)
      return Math.sign(Buffer.compare(left, right)) === Math.sign(a - b)
    }),
  )
})

t.test('integers come back', async () => {
  const bytes = new Uint8Array(8)
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.maxSafeNat(), fc.nat(0xffffffff), (signed, unsigned, small) => {
      putWords(words, 0, signed)
      putWords(words, 2, unsigned)
      putUint64BE(bytes, 0, unsigned)
      const is64 = getUint64BE(bytes, 0) === unsigned
      putUint32BE(bytes, 0, small)
      return (
        is64 && getUint32BE(bytes, 0) === small && getSigned(words, 0) === signed && getWords(words, 2) === unsigned
      )
    }),
  )
})

/** A Kv that only notes what is put. */
class Notes {
  readonly key = new Uint8Array(512)
  readonly value = new Uint8Array(131072)
  readonly valueBytes = 0
  readonly records: [string, string][] = []
  readonly batch = new Batch(this as unknown as Kv)

  get(): number {
    return -2
  }
  seek(): number {
    return -2
  }
  canGrow(): boolean {
    return true
  }
  put(keyBytes: number, valueBytes: number): number {
    this.records.push([hex(this.key.subarray(0, keyBytes)), hex(this.value.subarray(0, valueBytes))])
    return 0
  }
}

t.test('a dentry', async (t) => {
  const notes = new Notes()
  const dentries = new Dentries(notes.batch, new Positions(hash))
  const directory = Object.assign(new Inode(1 as InodeNumber), { generation: 0 })
  const dentry = new Dentry()
  t.equal(dentries.find(directory, range('file'), dentry), false)
  dentries.put(dentry, range('file'), example())
  t.strictSame(notes.records, [
    ['44000000000000000100000000826b8faf000004', '44010804080706057766554433221100' + '66696c65'],
  ])
  t.equal(dentry.position, hash(bytesOf('0100000000000000 66696c65'), 0), 'the position is the hash of parent and name')
})

t.test('inline data, attributes, queues and the counter', async (t) => {
  const notes = new Notes()
  new InlineData(notes.batch).write(0x1122, 2, range('data'))
  new Xattrs(notes.batch).set(0x1122, range('user.a'), range('value'))
  new Queue(notes.batch, KEY_FREE).add(0x99)
  new Queue(notes.batch, KEY_ORPHAN).add(0x1122)
  new Queue(notes.batch, KEY_CLIENT).add(3)
  const counter = new Counter(notes.batch)
  t.equal(counter.next(), 1)
  t.strictSame(notes.records, [
    ['4e0000000000001122', '4e010000' + '0000' + '64617461'],
    ['580000000000001122' + '757365722e61', '58010000' + '76616c7565'],
    ['460000000000000099', ''],
    ['4f0000000000001122', ''],
    ['4d0000000000000003', ''],
    ['43', '43010000000000000100020000000000'],
  ])
})
