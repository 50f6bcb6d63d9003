/** Golden bytes of every reply to the kernel (include/uapi/linux/fuse.h), at an offset and with nothing beyond its end. */
import t, { type Test } from 'tap'
import type { InodeFields } from '../../lib/wire/records.js'
import * as wire from '../../lib/wire/kernel.js'

const AT = 4
const FILL = 0xee

const inode: wire.Attributes = {
  number: 0x0011223344556677,
  ...({
    flags: 0,
    generation: 0x05060708,
    mode: 0o100644,
    nlink: 3,
    uid: 0x0a0b0c0d,
    gid: 0x0e0f1011,
    rdev: 0xabcdef12,
    size: 0x001f1e1d1c1b1a19,
    atime: -1,
    mtime: 1_700_000_000,
    ctime: 2 ** 33 + 1,
    btime: 5,
    atimeNs: 999_999_999,
    mtimeNs: 1,
    ctimeNs: 0x20212223,
    btimeNs: 0x24252627,
    backing: 9,
    change: 9,
    parent: 9,
    blocksElsewhere: 1,
    parentGeneration: 9,
    truncationEpoch: 9,
    quotaId: 9,
    chunkBits: 22,
    layout: 1,
    blocks: 0x0000010203040505,
  } satisfies InodeFields),
}

const timeouts: wire.Timeouts = { entrySeconds: 0x0101, attributeSeconds: 0x0202 }

const ATTR = `
  7766554433221100  191a1b1c1d1e1f00  0605040302010000
  ffffffffffffffff  00f1536500000000  0100000002000000
  ffc99a3b 01000000 23222120 a4810000 03000000 0d0c0b0a 11100f0e 12efcdab 00100000 00000000`

/** The bytes that `put` writes, and that it says how many; around them nothing may change. */
function golden(t: Test, name: string, put: (words: Uint32Array, at: number) => number, expected: string): void {
  const wanted = expected.replace(/\s/g, '')
  const bytes = Buffer.alloc(512, FILL)
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, 128)
  const length = put(words, AT)
  t.equal(length, wanted.length / 2, `${name}: its length`)
  t.equal(bytes.subarray(AT * 4, AT * 4 + length).toString('hex'), wanted, name)
  const around = Buffer.concat([bytes.subarray(0, AT * 4), bytes.subarray(AT * 4 + length)])
  t.ok(
    around.every((byte) => byte === FILL),
    `${name}: nothing around it`,
  )
}

t.test('golden bytes', async (t) => {
  golden(
    t,
    'fuse_attr_out',
    (words, at) => wire.putAttrOut(words, at, inode, timeouts),
    `0202000000000000 00000000 00000000 ${ATTR}`,
  )
  golden(
    t,
    'fuse_entry_out',
    (words, at) => wire.putEntryOut(words, at, inode, timeouts),
    `7766554433221100 0807060500000000 0101000000000000 0202000000000000 00000000 00000000 ${ATTR}`,
  )
  golden(
    t,
    'fuse_entry_out of a name that is not there',
    (words, at) => wire.putNegativeEntryOut(words, at, timeouts),
    `0000000000000000 0000000000000000 0101000000000000 ${'00'.repeat(104)}`,
  )
  golden(t, 'fuse_open_out', (words, at) => wire.putOpenOut(words, at, 0x0a), '0000000000000000 0a000000 00000000')
  golden(
    t,
    'fuse_statx_out',
    (words, at) => wire.putStatxOut(words, at, inode, timeouts),
    `0202000000000000 00000000 00000000 ${'00'.repeat(16)}
     ff0f0000 00100000 0000000000000000 03000000 0d0c0b0a 11100f0e a4810000
     7766554433221100 191a1b1c1d1e1f00 0605040302010000 0000000000000000
     ffffffffffffffff ffc99a3b00000000  0500000000000000 2726252400000000
     0100000002000000 2322212000000000  00f1536500000000 0100000000000000
     ef0d0000 12bc0a00 00000000 00000000 ${'00'.repeat(112)}`,
  )
  const figures = { blocks: 1, blocksFree: 2, blocksAvailable: 2 ** 40, files: 4, filesFree: 5, blockBytes: 4096 }
  golden(
    t,
    'fuse_statfs_out',
    (words, at) => wire.putStatfsOut(words, at, { ...figures, nameBytesMax: 255 }),
    `0100000000000000 0200000000000000 0000000000010000 0400000000000000 0500000000000000
     00100000 ff000000 00100000 00000000 ${'00'.repeat(24)}`,
  )
})

t.test('an entry of a directory', async (t) => {
  const bytes = Buffer.alloc(64, FILL)
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, 16)
  t.equal(
    wire.putDirent(words, 1, 0x0011223344556677, 0x0018171615141312, 0o040000, 9),
    40,
    'padded to a multiple of 8',
  )
  t.equal(bytes.subarray(4, 28).toString('hex'), '7766554433221100' + '1213141516171800' + '09000000' + '04000000')
  for (const [name, expected] of [
    [0, 24],
    [1, 32],
    [8, 32],
    [9, 40],
    [255, 280],
  ] as const) {
    t.equal(wire.direntBytes(name), expected)
  }
})

t.test('the sizes that the kernel expects', async (t) => {
  t.match(wire, {
    ENTRY_OUT_BYTES: 128,
    ATTR_OUT_BYTES: 104,
    OPEN_OUT_BYTES: 16,
    STATFS_OUT_BYTES: 80,
    STATX_OUT_BYTES: 288,
    INIT_OUT_BYTES: 64,
    LK_OUT_BYTES: 24,
    OUT_HEADER_BYTES: 16,
    HEADER_WORDS: 10,
    DIRENT_HEAD_BYTES: 24,
  })
  t.equal(wire.REQUEST_OFFSET + wire.HEADER_WORDS * 4 + 40, wire.PAYLOAD_OFFSET, 'fuse_write_in ends at the payload')
})
