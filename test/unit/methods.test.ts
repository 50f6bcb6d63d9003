/** Numbers of methods are a format: nodes of two versions may meet, and one store's kept results are read by a later one. */
import t from 'tap'
import { RANKS } from '../../lib/wire/methods.js'
import * as exported from '../../lib/wire/methods.js'

/** What was given once stays: a method that goes leaves its number behind, and a new one takes a new one. */
const NUMBERS: Readonly<Record<number, string>> = {
  ...{ 1: 'MetadataLookup', 2: 'MetadataCreate', 3: 'MetadataGet', 4: 'MetadataUpdate', 5: 'MetadataDelete' },
  ...{ 6: 'ReadChunk', 7: 'WriteChunk', 8: 'ParentUpdate', 9: 'Readlink', 10: 'ReadDirectory' },
  ...{ 11: 'GetXattr', 12: 'SetXattr', 13: 'ListXattrs', 14: 'RemoveXattr', 15: 'InodeOpen', 16: 'InodeRelease' },
  ...{ 17: 'Fallocate', 18: 'Seek', 19: 'Sync', 20: 'Statfs', 21: 'LockTest', 22: 'LockSet', 23: 'LockInterrupt' },
  ...{ 24: 'DirectoryGrave', 25: 'InodeLinks', 26: 'DentryPut', 27: 'Rename', 28: 'Link' },
  ...{ 40: 'PartWrite', 41: 'PartRegister', 42: 'PartCut', 43: 'PartFree', 44: 'PartAllocate', 45: 'PartSeek' },
  ...{ 46: 'AppendBegin', 47: 'AppendEnd', 48: 'WriteFailed', 49: 'PartSync', 50: 'WriteReady' },
  ...{ 60: 'MetadataTemporary', 61: 'InodeTouch', 62: 'DentryHold', 63: 'DentryTake', 64: 'RenameAcross' },
  ...{ 65: 'DirectoryParent', 66: 'InodeOpenEmpty', 67: 'Reclaim', 68: 'DentryPeek', 69: 'MetadataPlace' },
}

const methods = Object.values(exported).flatMap((one) => (typeof one === 'object' && 'reply' in one ? [one] : []))

t.test('the number of each method', async (t) => {
  for (const { number, name, rank } of methods) {
    t.equal(NUMBERS[number], name)
    t.ok(number > 0 && number < 256 && rank < RANKS)
  }
  t.equal(new Set(methods.map(({ number }) => number)).size, Object.keys(NUMBERS).length)
  t.equal(methods.length, Object.keys(NUMBERS).length)
})
