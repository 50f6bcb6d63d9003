import fc from 'fast-check'
import t from 'tap'
import {
  chunkAt,
  isWithinChunk,
  type MemberOf,
  PIECE_CHUNKS_MAX,
  pieceAt,
  pieceOf,
  piecesOf,
} from '../../lib/stripe/stripe.js'

/** The member of every byte of [offset, offset + bytes), one by one. */
function membersOf(offset: number, bytes: number, bits: number, memberOf: MemberOf): number[] {
  return Array.from({ length: bytes }, (_, index) => memberOf(Math.floor((offset + index) / 2 ** bits)))
}

t.test('all ranges of a small file, by all ways to spread it over three members', async (t) => {
  const bits = 1
  const chunks = 5
  let ranges = 0
  for (let way = 0; way < 3 ** chunks; way++) {
    const memberOf: MemberOf = (chunk) => Math.floor(way / 3 ** chunk) % 3
    for (let offset = 0; offset < chunks * 2; offset++) {
      for (let bytes = 1; offset + bytes <= chunks * 2; bytes++) {
        const pieces = piecesOf(offset, bytes, bits, memberOf)
        const flat = pieces.flatMap((piece) => new Array<number>(piece.bytes).fill(piece.member))
        const expected = membersOf(offset, bytes, bits, memberOf)
        if (flat.join() !== expected.join()) t.fail(`${offset}+${bytes} by ${way}: ${flat}, not ${expected}`)
        let at = offset
        for (const [index, piece] of pieces.entries()) {
          if (piece.offset !== at || piece.bytes <= 0) t.fail(`${offset}+${bytes} by ${way}: a gap at ${at}`)
          if (index > 0 && pieces[index - 1]?.member === piece.member) t.fail('two neighbours are one piece')
          at += piece.bytes
        }
        for (let member = 0; member < 3; member++) {
          const found = pieceOf(member, offset, offset + bytes, bits, memberOf, chunks)
          const first = pieces.find((piece) => piece.member === member)
          if (JSON.stringify(found) !== JSON.stringify(first)) t.fail(`piece of ${member} in ${offset}+${bytes}`)
        }
        const inOne = Math.floor(offset / 2) === Math.floor((offset + bytes - 1) / 2)
        if (isWithinChunk(offset, bytes, bits) !== inOne) t.fail(`${offset}+${bytes} within a chunk`)
        ranges++
      }
    }
  }
  t.equal(ranges, 3 ** chunks * 55)
})

t.test('nothing has no pieces, and lies within a chunk', async (t) => {
  t.strictSame(
    piecesOf(5, 0, 16, () => 0),
    [],
  )
  t.ok(isWithinChunk(65536, 0, 16))
})

const range = fc.record({
  offset: fc.maxSafeNat(),
  bytes: fc.integer({ min: 1, max: 2 ** 23 }),
  bits: fc.integer({ min: 16, max: 30 }),
  members: fc.integer({ min: 1, max: 5 }),
})

t.test('large ranges: the pieces cover them, each within its member', async () => {
  fc.assert(
    fc.property(range, ({ offset: start, bytes, bits, members }) => {
      const offset = Math.min(start, Number.MAX_SAFE_INTEGER - bytes)
      const memberOf: MemberOf = (chunk) => (chunk * 7) % members
      const pieces = piecesOf(offset, bytes, bits, memberOf)
      let at = offset
      for (const piece of pieces) {
        const [first, last] = [chunkAt(at, bits), chunkAt(at + piece.bytes - 1, bits)]
        for (let chunk = first; chunk <= last; chunk++) if (memberOf(chunk) !== piece.member) return false
        if (piece.offset !== at || piece.bytes <= 0) return false
        at += piece.bytes
      }
      return at === offset + bytes
    }),
  )
})

t.test('a piece of a large range ends after so many chunks', async (t) => {
  const piece = pieceAt(100, 2 ** 45, 16, () => 3)
  t.strictSame(piece, { member: 3, offset: 100, bytes: PIECE_CHUNKS_MAX * 65536 - 100 })
  t.equal(
    pieceOf(1, 0, 2 ** 45, 16, () => 0, 1000),
    undefined,
  )
  t.strictSame(
    pieceOf(1, 5, 2 ** 45, 16, (chunk) => (chunk === 999 ? 1 : 0), 1000),
    { member: 1, offset: 999 * 65536, bytes: 65536 },
  )
})
