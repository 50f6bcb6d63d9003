import { EAGAIN } from '../base/errno.js'
import type { Done } from '../ports.js'
import type { Piece } from '../stripe/stripe.js'
import { ReadChunk } from '../wire/methods.js'
import type { Extent } from './known.js'
import type { Spread, SpreadFile } from './spread.js'

interface Read {
  readonly file: SpreadFile
  readonly at: number
  readonly bytes: number
  readonly offset: number
  readonly finish: Done
}

/**
 * read(2) of files whose chunks lie with several members. Up to the size that is known here no more than the members of
 * the chunks are asked, since within a truncation epoch a file only grows, and they say whether it is still the same.
 * Beyond that the inode's member is asked first.
 */
export class SpreadReads {
  readonly #spread: Spread

  constructor(spread: Spread) {
    this.#spread = spread
  }

  read(number: number, at: number, bytes: number, offset: number, finish: Done): void {
    const file = this.#spread.file(number)
    const pieces = this.#spread.piecesOf(file, offset, bytes)
    if (pieces.every(({ member }) => member === file.owner)) {
      const request = { number, generation: file.generation, offset, bytes, guarded: 0, epoch: 0 }
      const transfer = { at: 0, bytes: 0, to: at, room: bytes }
      this.#spread.router.ask(file.owner, ReadChunk, request, transfer, (result) => finish(result))
      return
    }
    const read = { file, at, bytes, offset, finish }
    const extent = this.#spread.known.extent(number)
    if (offset + bytes <= extent.size) this.#readWithin(read, extent)
    else this.#again(read)
  }

  /** Each time it is begun again, somebody else has made the file shorter meanwhile. */
  #again(read: Read): void {
    this.#spread.refresh(read.file, read.finish, (extent) => this.#readWithin(read, extent))
  }

  #readWithin(read: Read, extent: Extent): void {
    const { file, at, offset, finish } = read
    const length = Math.min(read.bytes, extent.size - offset)
    if (length <= 0) {
      finish(0)
      return
    }
    const pieces = this.#spread.piecesOf(file, offset, length)
    let left = pieces.length
    let failure = 0
    let isAbsent = false
    const ended = (): void => {
      if (--left > 0) return
      if (failure === -EAGAIN) this.#again(read)
      else if (failure < 0) finish(failure)
      else if (isAbsent) this.#confirm(read, extent, length)
      else finish(length)
    }
    for (const piece of pieces) {
      this.#readPiece(file, piece, at + piece.offset - offset, extent.epoch, (result, absent) => {
        // An error that will not go away counts more than a truncation.
        if (result < 0 && (failure === 0 || failure === -EAGAIN)) failure = result
        if (absent) isAbsent = true
        ended()
      })
    }
  }

  /** Reads a piece within the size of the file: what its member has nothing of is zeros. */
  #readPiece(
    file: SpreadFile,
    piece: Piece,
    to: number,
    epoch: number,
    done: (result: number, absent: boolean) => void,
  ) {
    const { member, offset, bytes } = piece
    const { router, pool } = this.#spread
    const request = { number: file.number, generation: file.generation, offset, bytes, guarded: 1, epoch }
    router.ask(member, ReadChunk, request, { at: 0, bytes: 0, to, room: bytes }, (result, reply) => {
      if (result >= 0) pool.memory.fill(0, to + result, to + bytes)
      done(result, reply !== null && reply.absent !== 0)
    })
  }

  /** A member that has nothing of the file cannot say what its epoch is: the inode's member can. */
  #confirm(read: Read, { epoch }: Extent, length: number): void {
    this.#spread.refresh(read.file, read.finish, (extent) => {
      if (extent.epoch === epoch) read.finish(length)
      else this.#readWithin(read, extent)
    })
  }
}
