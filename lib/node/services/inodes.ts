import { EMLINK, EPERM, ERANGE, ESTALE, fail } from '../../base/errno.js'
import { LINKS_MAX } from '../../base/limits.js'
import { PENDING } from '../../ports.js'
import type { Asked } from '../../rpc/services.js'
import { formatAcl } from '../../share/acl.js'
import { defaultAclOf } from '../../share/acls.js'
import { setUnnamed, unlinked } from '../../share/context.js'
import {
  GetXattr,
  InodeLinks,
  InodeOpen,
  ListXattrs,
  MetadataGet,
  MetadataUpdate,
  ParentUpdate,
  Readlink,
  RemoveXattr,
  type RequestOf,
  SetXattr,
} from '../../wire/methods.js'
import { changeOf, UPDATE_SIZE, updateToEmpty } from '../update.js'
import { bytesOf } from './names.js'
import type { Serving } from './serving.js'

const EMPTY = { bytes: new Uint8Array(0), offset: 0, length: 0 }
const XATTR_BYTES_MAX = 65536

/** The services for inodes: they are asked of the member that has the inode's position. */
export class InodeServices {
  readonly #serving: Serving

  constructor(serving: Serving) {
    this.#serving = serving
    const { services } = serving
    services.on(MetadataGet, (request, asked) => this.#get(request, asked))
    services.on(MetadataUpdate, (request, asked) => this.#update(request, asked))
    services.on(ParentUpdate, (request, asked) => this.#updateParent(request, asked))
    services.on(InodeLinks, (request, asked) => this.#links(request, asked))
    services.on(InodeOpen, (request, asked) => this.#open(request, asked))
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
    const acl = inode.isDirectory ? defaultAclOf(this.#serving.share.context, inode) : null
    const bytes = acl === null ? null : formatAcl(acl)
    const defaultAcl = bytes === null ? EMPTY : { bytes, offset: 0, length: bytes.length }
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

  #updateParent(request: RequestOf<typeof ParentUpdate>, asked: Asked<typeof ParentUpdate>): void {
    const { number, generation, links } = request
    const directory = this.#serving.inode(number, generation)
    const { meta } = this.#serving.share
    meta.stamps.observe(request.seconds, request.nanoseconds)
    directory.nlink += links
    meta.stamp(directory, true)
    asked.answer(0, {})
  }

  #links(request: RequestOf<typeof InodeLinks>, asked: Asked<typeof InodeLinks>): void {
    const { number, generation, links, parent, parentGeneration } = request
    const { meta, context } = this.#serving.share
    const inode = this.#serving.inode(number, generation)
    if (links > 0) {
      if (inode.isDirectory) fail(EPERM)
      if (inode.nlink >= LINKS_MAX) fail(EMLINK)
      if (inode.nlink === 0) {
        meta.orphans.remove(number)
        setUnnamed(context, number, false)
      }
      inode.nlink++
    } else if (links < 0) inode.nlink = inode.isDirectory ? 0 : inode.nlink - 1
    if (parent !== 0 && inode.isDirectory) {
      inode.parent = parent
      inode.parentGeneration = parentGeneration
    }
    meta.stamp(inode, false)
    const reply = { inode: { ...inode, number: inode.number } }
    if (inode.nlink === 0) unlinked(context, inode)
    asked.answer(0, reply)
  }

  #open(request: RequestOf<typeof InodeOpen>, asked: Asked<typeof InodeOpen>): void {
    const { number, generation, truncate, killPrivileges } = request
    const { share, truncations } = this.#serving
    const opened = (result: number): void => {
      const present = share.meta.find(number)
      if (result < 0 || present === undefined) {
        asked.answer(result < 0 ? result : -ESTALE, null)
        return
      }
      share.hold(number)
      asked.answer(0, { inode: present })
    }
    const inode = this.#serving.inode(number, generation)
    if (truncate === 0 || !inode.isRegular) {
      opened(0)
      return
    }
    const update = updateToEmpty(number, generation, killPrivileges !== 0)
    const result = truncations.setSize(update, asked.origin, opened)
    if (result !== PENDING) opened(result)
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
    const own = { bytes: bytesOf(name).slice(), offset: 0, length: name.length }
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
