import { EINVAL, EIO, fail } from '../../base/errno.js'
import { type Done, PENDING } from '../../ports.js'
import type { Asked } from '../../rpc/services.js'
import type { StatfsFigures } from '../../wire/kernel.js'
import { Fallocate, ReadChunk, type RequestOf, Seek, Statfs, Sync, WriteChunk } from '../../wire/methods.js'
import type { Serving } from './serving.js'

/** The services for what files hold. */
export class DataServices {
  readonly #serving: Serving

  constructor(serving: Serving) {
    this.#serving = serving
    const { services, share } = serving
    services.on(ReadChunk, (request, asked) => this.#read(request, asked))
    services.on(WriteChunk, (request, asked) => this.#write(request, asked))
    services.on(Fallocate, ({ number, generation, mode, offset, bytes }, asked) => {
      serving.inode(number, generation)
      bare(asked, (done) => share.fallocate(number, mode, offset, bytes, done))
    })
    services.on(Seek, ({ number, generation, offset, whence }, asked) => {
      serving.inode(number, generation)
      const found = share.lseek(number, offset, whence)
      asked.answer(Math.min(found, 0), found < 0 ? null : { offset: found })
    })
    services.on(Sync, (request, asked) => this.#sync(request, asked))
    services.on(Statfs, (_, asked) => this.#statfs(asked))
  }

  #read({ number, generation, offset, bytes }: RequestOf<typeof ReadChunk>, asked: Asked<typeof ReadChunk>): void {
    const { share, pool } = this.#serving
    this.#serving.inode(number, generation)
    if (bytes > pool.payloadBytes) fail(EINVAL)
    const finish = (result: number): void => asked.answer(result, result < 0 ? null : {})
    asked.place(bytes, (at) => {
      this.#serving.guard(() => {
        const result = share.read(number, at, bytes, offset, finish)
        if (result !== PENDING) finish(result)
      }, finish)
    })
  }

  #write(request: RequestOf<typeof WriteChunk>, asked: Asked<typeof WriteChunk>): void {
    const { number, generation, offset, killPrivileges, append } = request
    const { share } = this.#serving
    const inode = this.#serving.inode(number, generation)
    const at = append === 0 ? offset : inode.size
    bare(asked, (done) => share.write(number, asked.at, asked.bytes, at, killPrivileges !== 0, done))
  }

  /** Makes one inode safe, or everything here. */
  #sync({ number, generation, everything }: RequestOf<typeof Sync>, asked: Asked<typeof Sync>): void {
    const { share } = this.#serving
    if (everything !== 0) {
      bare(asked, (done) => share.syncfs(done))
      return
    }
    this.#serving.inode(number, generation)
    bare(asked, (done) => share.fsync(number, done))
  }

  #statfs(asked: Asked<typeof Statfs>): void {
    const figures: StatfsFigures = {
      blocks: 0,
      blocksFree: 0,
      blocksAvailable: 0,
      files: 0,
      filesFree: 0,
      blockBytes: 0,
      nameBytesMax: 0,
    }
    this.#serving.share.statfs(figures)
    if (figures.blockBytes === 0) fail(EIO)
    asked.answer(0, figures)
  }
}

/** Runs an operation whose answer has neither fields nor data. */
function bare(
  asked: { answer(result: number, reply: Record<string, never> | null): void },
  run: (done: Done) => number,
) {
  const finish = (result: number): void => asked.answer(Math.min(result, 0), result < 0 ? null : {})
  const result = run(finish)
  if (result !== PENDING) finish(result)
}
