import { EAGAIN, ECANCELED, EFBIG } from '../base/errno.js'
import { FILE_BYTES_MAX } from '../base/limits.js'
import type { Done } from '../ports.js'
import { NO_TRANSFER } from '../rpc/call.js'
import type { Piece } from '../stripe/stripe.js'
import { AppendBegin, AppendEnd, PartWrite, WriteChunk, WriteFailed, WriteReady } from '../wire/methods.js'
import type { Extent } from './known.js'
import type { WriteFlags } from './operations.js'
import type { Spread, SpreadFile } from './spread.js'

interface Write {
  readonly file: SpreadFile
  readonly at: number
  readonly bytes: number
  /** Of an append, where it is to go as things stand. */
  readonly offset: number
  readonly killPrivileges: boolean
  /** The turn to append, or 0. */
  readonly turn: number
  /** How often it was refused, one time after the other, although the file has stayed as it was. */
  readonly refusals?: number
  readonly finish: Done
}

/** Refused that often it is slow to try again: a holder cannot reach the inode's member, which does not know it yet. */
const REFUSALS_MAX = 2
const AGAIN_MS = 10

/**
 * write(2) of files whose chunks lie with several members. What lies with the inode is one message. Otherwise the data
 * goes to its members first, side by side, and when it is there one message to the inode's member makes it part of the
 * file, together with that member's own part of the data. Whoever refuses because the file was truncated meanwhile is
 * asked again, with all of the data, as the file is then.
 */
export class SpreadWrites {
  readonly #spread: Spread

  constructor(spread: Spread) {
    this.#spread = spread
  }

  write(number: number, at: number, bytes: number, offset: number, how: WriteFlags, finish: Done): void {
    const file = this.#spread.file(number)
    const { killPrivileges } = how
    const extent = this.#spread.known.extent(number)
    if (bytes === 0) finish(0)
    else if (how.append) this.#append({ file, at, bytes, offset: extent.size, killPrivileges, turn: 0, finish })
    else if (offset + bytes > FILE_BYTES_MAX) finish(-EFBIG)
    else this.#attempt({ file, at, bytes, offset, killPrivileges, turn: 0, finish }, extent)
  }

  #attempt(write: Write, extent: Extent): void {
    const { file, offset, bytes } = write
    const pieces = this.#spread.piecesOf(file, offset, bytes)
    const others = pieces.filter(({ member }) => member !== file.owner)
    let left = others.length
    let failure = 0
    let blocks = 0
    const ended = (): void => {
      if (failure < 0) this.#refused(write, failure, extent)
      else this.#commit(write, pieces, extent, blocks)
    }
    if (left === 0) {
      ended()
      return
    }
    // What is known of the file here may rest on what this node has still to commit.
    this.#spread.router.onceCommitted((error) => {
      if (error < 0) {
        this.#fail(write, error)
        return
      }
      for (const piece of others) {
        this.#writePiece(write, piece, extent, (result, more) => {
          if (result < 0 && (failure === 0 || failure === -EAGAIN)) failure = result
          blocks += more
          if (--left === 0) ended()
        })
      }
    })
  }

  #writePiece(
    { file, at, offset: start }: Write,
    { member, offset, bytes }: Piece,
    { epoch }: Extent,
    done: (result: number, blocks: number) => void,
  ): void {
    const { number, generation, chunkBits } = file
    const request = { number, generation, offset, epoch, chunkBits }
    const transfer = { at: at + offset - start, bytes, to: 0, room: 0 }
    this.#spread.router.ask(member, PartWrite, request, transfer, (result, reply) => done(result, reply?.blocks ?? 0))
  }

  /** All that lies elsewhere is written: the rest, and the size, go to the inode's member. */
  #commit(write: Write, pieces: readonly Piece[], extent: Extent, blocks: number): void {
    const { epoch } = extent
    const { file, at, bytes, offset, killPrivileges, turn } = write
    const { number, generation, owner } = file
    const own = pieces.filter(({ member }) => member === owner)
    const dataOffset = own[0]?.offset ?? offset
    const last = own.at(-1)
    const dataBytes = last === undefined ? 0 : last.offset + last.bytes - dataOffset
    const request = {
      ...{ number, generation, offset, bytes, dataOffset, epoch, blocks },
      ...{ killPrivileges: killPrivileges ? 1 : 0, append: 0, turn },
    }
    const transfer = { at: at + dataOffset - offset, bytes: dataBytes, to: 0, room: 0 }
    this.#spread.router.ask(owner, WriteChunk, request, transfer, (result, reply) => {
      if (reply === null) this.#refused(write, result, extent)
      else this.#written(write, reply)
    })
  }

  #written({ file, bytes, finish }: Write, { size, epoch }: Extent): void {
    this.#spread.known.noteExtent(file.number, size, epoch)
    finish(bytes)
  }

  /** Begins again where the file was truncated, or the turn was taken back; ends otherwise. */
  #refused(write: Write, error: number, extent: Extent): void {
    if (write.turn !== 0 && (error === -EAGAIN || error === -ECANCELED)) {
      // The place that came with a turn is this write's no longer: only another turn gives it another one.
      this.#endTurn(write)
      this.#takeTurn({ ...write, turn: 0 })
    } else if (error === -EAGAIN) this.#again(write, extent)
    else this.#fail(write, error)
  }

  #again(write: Write, { epoch }: Extent): void {
    const { number, generation, owner } = write.file
    const request = { number, generation, offset: write.offset, end: write.offset + write.bytes }
    this.#spread.router.ask(owner, WriteReady, request, NO_TRANSFER, (result, reply) => {
      if (reply === null) {
        this.#fail(write, result)
        return
      }
      this.#spread.known.noteExtent(number, reply.size, reply.epoch)
      const refusals = reply.epoch === epoch ? (write.refusals ?? 0) + 1 : 0
      const attempt = (): void => this.#attempt({ ...write, refusals }, reply)
      if (refusals < REFUSALS_MAX) attempt()
      else this.#spread.router.after(AGAIN_MS, attempt)
    })
  }

  /** What is written already may lie beyond the end of the file: the inode's member takes note of that. */
  #fail(write: Write, error: number): void {
    const { file, turn, offset, bytes, finish } = write
    const { number, generation, owner } = file
    if (turn !== 0) this.#endTurn(write)
    else if (this.#spread.piecesOf(file, offset, bytes).some(({ member }) => member !== owner)) {
      this.#spread.router.ask(owner, WriteFailed, { number, generation }, NO_TRANSFER, () => undefined)
    }
    finish(error)
  }

  #endTurn({ file, turn }: Write): void {
    const { number, generation, owner } = file
    this.#spread.router.ask(owner, AppendEnd, { number, generation, turn }, NO_TRANSFER, () => undefined)
  }

  /** O_APPEND. Where all of it is likely to lie with the inode, that member finds the place by itself. */
  #append(write: Write): void {
    const { file, at, bytes, offset, killPrivileges, finish } = write
    const pieces = this.#spread.piecesOf(file, offset, bytes)
    if (pieces.some(({ member }) => member !== file.owner)) {
      this.#takeTurn(write)
      return
    }
    const { number, generation, owner } = file
    const request = {
      ...{ number, generation, offset: 0, bytes, dataOffset: 0, epoch: 0, blocks: 0 },
      ...{ killPrivileges: killPrivileges ? 1 : 0, append: 1, turn: 0 },
    }
    this.#spread.router.ask(owner, WriteChunk, request, { at, bytes, to: 0, room: 0 }, (result, reply) => {
      if (reply !== null) this.#written(write, reply)
      else if (result === -EAGAIN) this.#takeTurn(write)
      else finish(result)
    })
  }

  #takeTurn(write: Write): void {
    const { file, bytes, finish } = write
    const { number, generation, owner } = file
    this.#spread.router.ask(owner, AppendBegin, { number, generation, bytes }, NO_TRANSFER, (result, reply) => {
      if (reply === null) finish(result)
      else {
        const mine = { ...write, turn: reply.turn, offset: reply.size }
        if (reply.size + bytes > FILE_BYTES_MAX) this.#fail(mine, -EFBIG)
        else this.#attempt(mine, reply)
      }
    })
  }
}
