import type { ByteRange } from '../base/ids.js'
import { NAME_BYTES_MAX } from '../base/limits.js'
import { sooner } from '../chunk/then.js'
import type { Router } from '../node/router.js'
import { type BufferPool, type Done, PENDING } from '../ports.js'
import { NO_TRANSFER, type Transfer } from '../rpc/call.js'
import type { AnyMethod } from '../rpc/services.js'
import type { StatfsFigures } from '../wire/kernel.js'
import {
  Fallocate,
  GetXattr,
  ListXattrs,
  Readlink,
  RemoveXattr,
  type RequestOf,
  Seek,
  SetXattr,
  Statfs,
  Sync,
} from '../wire/methods.js'
import type { Known } from './known.js'
import type { PoolRange, WriteFlags } from './operations.js'
import { Spread } from './spread.js'
import { SpreadReads } from './spread-read.js'
import { SpreadWrites } from './spread-write.js'
import { step } from './waiting.js'

const to = (at: number, room: number): Transfer => ({ at: 0, bytes: 0, to: at, room })

/** What inodes hold, data and attributes, for {@link Cluster}. */
export class ClusterData {
  readonly #router: Router
  readonly #known: Known
  readonly #pool: BufferPool
  readonly #reads: SpreadReads
  readonly #writes: SpreadWrites

  constructor(router: Router, known: Known, pool: BufferPool) {
    this.#router = router
    this.#known = known
    this.#pool = pool
    const spread = new Spread(router, known, pool)
    this.#reads = new SpreadReads(spread)
    this.#writes = new SpreadWrites(spread)
  }

  readlink(number: number, at: number, done: Done): number {
    return this.#ask(number, Readlink, this.#known.ref(number), to(at, this.#pool.payloadBytes), done)
  }

  read(number: number, at: number, bytes: number, offset: number, done: Done): number {
    return sooner(done, (finish) => this.#reads.read(number, at, bytes, offset, finish))
  }

  write(number: number, at: number, bytes: number, offset: number, how: WriteFlags, done: Done): number {
    // All or nothing was written.
    return sooner(done, (finish) => this.#writes.write(number, at, bytes, offset, how, finish))
  }

  /** By reading and writing. The kernel, if that did it, would read from pages that it may have kept for too long. */
  copyFileRange(
    from: number,
    fromOffset: number,
    to: number,
    toOffset: number,
    bytes: number,
    via: PoolRange,
    done: Done,
  ): number {
    const write = (read: number, finish: Done): void => {
      if (read <= 0) finish(read)
      else
        step(finish, () => {
          const written = this.write(to, via.at, read, toOffset, { killPrivileges: false, append: false }, finish)
          if (written !== PENDING) finish(written)
        })
    }
    return sooner(done, (finish) => {
      const read = this.read(from, via.at, Math.min(bytes, via.bytes), fromOffset, (late) => write(late, finish))
      if (read !== PENDING) write(read, finish)
    })
  }

  fallocate(number: number, mode: number, offset: number, bytes: number, done: Done): number {
    return this.#ask(number, Fallocate, { ...this.#known.ref(number), mode, offset, bytes }, NO_TRANSFER, done)
  }

  lseek(number: number, offset: number, whence: number, done: Done): number {
    const request = { ...this.#known.ref(number), offset, whence }
    return sooner(done, (finish) =>
      this.#router.ask(this.#router.ofInode(number), Seek, request, NO_TRANSFER, (result, reply) => {
        finish(reply === null ? result : reply.offset)
      }),
    )
  }

  fsync(number: number, done: Done): number {
    return this.#ask(number, Sync, { ...this.#known.ref(number), everything: 0 }, NO_TRANSFER, done)
  }

  syncfs(done: Done): number {
    const request = { number: 0, generation: 0, everything: 1 }
    return sooner(done, (finish) =>
      this.#router.askAll(
        Sync,
        request,
        () => NO_TRANSFER,
        () => undefined,
        finish,
      ),
    )
  }

  /** The members' figures, summed in blocks of the first one. */
  statfs(out: StatfsFigures, done: Done): number {
    const sum = { bytes: 0, free: 0, available: 0, files: 0, filesFree: 0, blockBytes: 0 }
    return sooner(done, (finish) =>
      this.#router.askAll(
        Statfs,
        {},
        () => NO_TRANSFER,
        (_member, _bytes, { blocks, blocksFree, blocksAvailable, blockBytes, files, filesFree }) => {
          sum.bytes += blocks * blockBytes
          sum.free += blocksFree * blockBytes
          sum.available += blocksAvailable * blockBytes
          sum.files += files
          sum.filesFree += filesFree
          sum.blockBytes = Math.max(sum.blockBytes, blockBytes)
        },
        (error) => {
          const { blockBytes } = sum
          out.blockBytes = blockBytes
          out.blocks = Math.floor(sum.bytes / blockBytes)
          out.blocksFree = Math.floor(sum.free / blockBytes)
          out.blocksAvailable = Math.floor(sum.available / blockBytes)
          out.files = sum.files
          out.filesFree = sum.filesFree
          out.nameBytesMax = NAME_BYTES_MAX
          finish(error)
        },
      ),
    )
  }

  getxattr(number: number, name: ByteRange, at: number, size: number, done: Done): number {
    const request = { ...this.#known.ref(number), size, name }
    return this.#length(number, GetXattr, request, to(at, size), done)
  }

  setxattr(number: number, name: ByteRange, value: ByteRange, flags: number, killSetgid: boolean, done: Done): number {
    const request = { ...this.#known.ref(number), flags, killSetgid: killSetgid ? 1 : 0, name }
    const transfer = { at: value.offset, bytes: value.length, to: 0, room: 0 }
    return this.#ask(number, SetXattr, request, transfer, done)
  }

  listxattr(number: number, at: number, size: number, privileged: boolean, done: Done): number {
    const request = { ...this.#known.ref(number), size, privileged: privileged ? 1 : 0 }
    return this.#length(number, ListXattrs, request, to(at, size), done)
  }

  removexattr(number: number, name: ByteRange, done: Done): number {
    return this.#ask(number, RemoveXattr, { ...this.#known.ref(number), name }, NO_TRANSFER, done)
  }

  /** Asks the member that has the inode; the result is the bytes of the answer's data. */
  #ask<M extends AnyMethod>(number: number, method: M, request: RequestOf<M>, transfer: Transfer, done: Done): number {
    const member = this.#router.ofInode(number)
    return sooner(done, (finish) => this.#router.ask(member, method, request, transfer, (result) => finish(result)))
  }

  /** The same where the answer's field says the length. */
  #length<M extends typeof GetXattr | typeof ListXattrs>(
    number: number,
    method: M,
    request: RequestOf<M>,
    transfer: Transfer,
    done: Done,
  ): number {
    const member = this.#router.ofInode(number)
    return sooner(done, (finish) =>
      this.#router.ask(
        member,
        method as typeof GetXattr,
        request as RequestOf<typeof GetXattr>,
        transfer,
        (result, reply) => finish(reply === null ? result : reply.length),
      ),
    )
  }
}
