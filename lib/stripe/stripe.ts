/**
 * The arithmetic of chunks: a file is cut into chunks of 2^bits bytes, each of which lies with one member. All pure, in
 * bytes from the start of the file.
 */

/** Says which member has a chunk. */
export type MemberOf = (chunk: number) => number

/** A run of a file's bytes that lies with one member; never empty. */
export interface Piece {
  readonly member: number
  readonly offset: number
  readonly bytes: number
}

/** Chunks that a piece spans at the most, so that finding one never takes long. */
export const PIECE_CHUNKS_MAX = 4096

export const chunkAt = (offset: number, bits: number): number => Math.floor(offset / 2 ** bits)

/** Everything in [offset, offset + bytes) lies in one chunk. */
export const isWithinChunk = (offset: number, bytes: number, bits: number): boolean =>
  chunkAt(offset, bits) === chunkAt(offset + Math.max(bytes, 1) - 1, bits)

/**
 * The piece that begins at `offset`: chunks that follow each other and lie with the same member are one, up to `end` or
 * {@link PIECE_CHUNKS_MAX} chunks.
 */
export function pieceAt(offset: number, end: number, bits: number, memberOf: MemberOf): Piece {
  const first = chunkAt(offset, bits)
  const beyond = Math.min(first + PIECE_CHUNKS_MAX, chunkAt(end - 1, bits) + 1)
  const member = memberOf(first)
  let chunk = first + 1
  while (chunk < beyond && memberOf(chunk) === member) chunk++
  return { member, offset, bytes: Math.min(end, chunk * 2 ** bits) - offset }
}

/** Cuts [offset, offset + bytes) into pieces, in the order of the file. */
export function piecesOf(offset: number, bytes: number, bits: number, memberOf: MemberOf): Piece[] {
  const end = offset + bytes
  const pieces: Piece[] = []
  for (let at = offset; at < end; ) {
    const piece = pieceAt(at, end, bits, memberOf)
    pieces.push(piece)
    at += piece.bytes
  }
  return pieces
}

/**
 * The first piece at or after `offset`, and below `end`, that lies with `member`; or undefined where there is none
 * within `chunksMax` chunks.
 */
export function pieceOf(
  member: number,
  offset: number,
  end: number,
  bits: number,
  memberOf: MemberOf,
  chunksMax: number,
): Piece | undefined {
  const first = chunkAt(offset, bits)
  const beyond = Math.min(first + chunksMax, chunkAt(end - 1, bits) + 1)
  for (let chunk = first; chunk < beyond; chunk++) {
    if (memberOf(chunk) === member) return pieceAt(Math.max(offset, chunk * 2 ** bits), end, bits, memberOf)
  }
  return undefined
}
