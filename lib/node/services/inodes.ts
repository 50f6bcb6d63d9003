import { E2BIG, ENOTDIR, ERANGE, ESTALE, fail } from '../../base/errno.js'
import { bytesOf, copyOf } from '../../base/ids.js'
import { OUT_ENTRIES, OUT_NAME, OUT_SUBDIRECTORIES, OUT_UNLINK } from '../../meta/outbox.js'
import { PENDING } from '../../ports.js'
import type { Asked } from '../../rpc/services.js'
import {
  DirectoryParent,
  GetXattr,
  InodeLinks,
  InodeTouch,
  ListXattrs,
  MetadataGet,
  MetadataUpdate,
  ParentUpdate,
  Readlink,
  RemoveXattr,
  type RequestOf,
  SetXattr,
} from '../../wire/methods.js'
import { applyChange, type Legacy, legacyOf } from '../links.js'
import { textOf } from '../lock-fields.js'
import { changeOf, UPDATE_SIZE } from '../update.js'
import type { Serving } from './serving.js'

const XATTR_BYTES_MAX = 65536
const DEFAULT_ACL_NAME = 'system.posix_acl_default'
/** A default access list goes with every create below its directory, in the head of a message: 127 entries. */
const DEFAULT_ACL_BYTES_MAX = 1024

/** The services for inodes: they are asked of the member that has the inode's position. */
export class InodeServices {
  readonly #serving: Serving

  constructor(serving: Serving) {
    this.#serving = serving
    const { services } = serving
    services.on(MetadataGet, (request, asked) => this.#get(request, asked))
    services.on(MetadataUpdate, (request, asked) => this.#update(request, asked))
    services.on(ParentUpdate, (request, asked) => this.#updateParent(request, asked))
    services.on(InodeTouch, (request, asked) => this.#touch(request, asked))
    services.on(InodeLinks, (request, asked) => this.#links(request, asked))
    services.on(DirectoryParent, ({ number, generation }, asked) => {
      const { parent, parentGeneration, isDirectory } = serving.inode(number, generation)
      if (!isDirectory) fail(ENOTDIR)
      asked.answer(0, { parent, parentGeneration })
    })
    services.on(Readlink, (request, asked) => this.#readlink(request, asked))
    services.on(GetXattr, (request, asked) => this.#getXattr(request, asked))
    services.on(SetXattr, (request, asked) => this.#setXattr(request, asked))
    services.on(ListXattrs, (request, asked) => this.#listXattrs(request, asked))
    services.on(RemoveXattr, (request, asked) => {
      serving.inode(request.number, request.generation)
      serving.share.xattrs.remove(request.number, request.name)
      asked.answer(0, {})
    })
  }

  #get({ number, generation }: RequestOf<typeof MetadataGet>, asked: Asked<typeof MetadataGet>): void {
    const { truncations } = this.#serving
    const answer = (error: number): void => {
      const run = (): void => (error < 0 ? asked.answer(error, null) : this.#answer({ number, generation }, asked))
      this.#serving.guard(run, (failure) => asked.answer(failure, null))
    }
    // Whoever was refused somewhere because of a truncation asks for what comes after it.
    const result = truncations.settled(this.#serving.inode(number, generation), answer)
    if (result !== PENDING) answer(result)
  }

  #answer({ number, generation }: RequestOf<typeof MetadataGet>, asked: Asked<typeof MetadataGet>): void {
    const inode = this.#serving.inode(number, generation)
    const { defaultAcl } = legacyOf(this.#serving.share.context, inode)
    asked.answer(0, { inode, defaultAcl })
  }

  #update(request: RequestOf<typeof MetadataUpdate>, asked: Asked<typeof MetadataUpdate>): void {
    const { number, generation, fields } = request
    const { share, truncations } = this.#serving
    const inode = this.#serving.inode(number, generation)
    const finish = (result: number): void => {
      const changed = share.meta.find(number)
      if (result < 0 || changed === undefined) asked.answer(result < 0 ? result : -ESTALE, null)
      else asked.answer(0, { inode: changed })
    }
    const result =
      (fields & UPDATE_SIZE) !== 0 && inode.isRegular
        ? truncations.setSize(request, asked.origin, finish)
        : share.setattr(number, changeOf(request), finish)
    if (result !== PENDING) finish(result)
  }

  #apply(kind: number, links: number, { number, generation, seconds, nanoseconds }: Stamped): void {
    const change = { kind, number, generation, links, seconds, nanoseconds }
    if (applyChange(this.#serving.share.context, change) < 0) fail(ESTALE)
  }

  #touch(request: RequestOf<typeof InodeTouch>, asked: Asked<typeof InodeTouch>): void {
    this.#apply(request.modified === 0 ? OUT_NAME : OUT_ENTRIES, 0, request)
    asked.answer(0, this.#legacy(request.number))
  }

  #updateParent(request: RequestOf<typeof ParentUpdate>, asked: Asked<typeof ParentUpdate>): void {
    this.#apply(OUT_SUBDIRECTORIES, request.links, request)
    asked.answer(0, this.#legacy(request.number))
  }

  #legacy(number: number): Legacy {
    const { meta, context } = this.#serving.share
    return legacyOf(context, meta.inode(number))
  }

  #links(request: RequestOf<typeof InodeLinks>, asked: Asked<typeof InodeLinks>): void {
    const { number, generation, links, parent, parentGeneration } = request
    if (links < 0) this.#apply(OUT_UNLINK, links, request)
    else {
      this.#apply(OUT_NAME, 0, request)
      const directory = this.#serving.inode(number, generation)
      directory.parent = parent
      directory.parentGeneration = parentGeneration
    }
    asked.answer(0, {})
  }

  #readlink({ number, generation }: RequestOf<typeof Readlink>, asked: Asked<typeof Readlink>): void {
    const { share, pool } = this.#serving
    this.#serving.inode(number, generation)
    const { length } = share.readlink(number)
    asked.place(length, (at) => {
      this.#serving.guard(
        () => {
          pool.memory.set(bytesOf(share.readlink(number)), at)
          asked.answer(length, {})
        },
        (error) => asked.answer(error, null),
      )
    })
  }

  #getXattr(request: RequestOf<typeof GetXattr>, asked: Asked<typeof GetXattr>): void {
    const { number, generation, size, name } = request
    const { share, pool } = this.#serving
    this.#serving.inode(number, generation)
    if (size === 0) {
      asked.answer(0, { length: share.xattrs.get(number, name, pool.memory, 0, 0) })
      return
    }
    const own = copyOf(name)
    asked.place(Math.min(size, XATTR_BYTES_MAX), (at) => {
      this.#serving.guard(
        () => {
          const length = share.xattrs.get(number, own, pool.memory, at, size)
          asked.answer(length, { length })
        },
        (error) => asked.answer(error, null),
      )
    })
  }

  #setXattr(request: RequestOf<typeof SetXattr>, asked: Asked<typeof SetXattr>): void {
    const { number, generation, name, flags, killSetgid } = request
    const { share, pool } = this.#serving
    this.#serving.inode(number, generation)
    if (asked.bytes > XATTR_BYTES_MAX) fail(ERANGE)
    if (textOf(name) === DEFAULT_ACL_NAME && asked.bytes > DEFAULT_ACL_BYTES_MAX) fail(E2BIG)
    const value = { bytes: pool.memory, offset: asked.at, length: asked.bytes }
    share.xattrs.set(number, name, value, flags, killSetgid !== 0)
    asked.answer(0, {})
  }

  #listXattrs(request: RequestOf<typeof ListXattrs>, asked: Asked<typeof ListXattrs>): void {
    const { number, generation, size } = request
    const { share, pool } = this.#serving
    const privileged = request.privileged !== 0
    this.#serving.inode(number, generation)
    if (size === 0) {
      asked.answer(0, { length: share.xattrs.list(number, pool.memory, 0, 0, privileged) })
      return
    }
    asked.place(Math.min(size, XATTR_BYTES_MAX), (at) => {
      this.#serving.guard(
        () => {
          const length = share.xattrs.list(number, pool.memory, at, Math.min(size, XATTR_BYTES_MAX), privileged)
          asked.answer(length, { length })
        },
        (error) => asked.answer(error, null),
      )
    })
  }
}

interface Stamped {
  readonly number: number
  readonly generation: number
  readonly seconds: number
  readonly nanoseconds: number
}
