import { EEXIST, EINVAL, EISDIR, ENODATA, ENOENT, ENOTDIR, ENOTEMPTY, EPERM } from '../../lib/base/errno.js'
import { ROOT_INODE } from '../../lib/base/ids.js'
import {
  isDirectory,
  isRegular,
  isSymlink,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  S_ISGID,
  withoutPrivileges,
} from '../../lib/base/mode.js'
import type { Inode } from '../../lib/meta/inode.js'
import { noChange } from '../../lib/share/attributes.js'
import type { Caller } from '../../lib/share/context.js'
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../lib/share/remove.js'
import { XATTR_CREATE, XATTR_REPLACE } from '../../lib/share/xattr.js'
import type { Bench } from './bench.js'
import { isDirectoryNode, type Node } from './model.js'

const NAMES = ['a', 'b', 'c', 'd', 'e', 'ab', 'x'.repeat(255)]
const ATTRIBUTES = ['user.a', 'user.b', 'user.long']

/** A directory that is being listed, a few entries at a time, while others change it. */
interface Listing {
  readonly directory: number
  cookie: number
  readonly seen: string[]
  /** Entries that have been there since the listing began. */
  readonly staying: Map<string, number>
  /** Names that have come or gone meanwhile. */
  readonly touched: Set<string>
}

/** Operations on names and attributes. They return at once. */
export class NameOperations {
  readonly #bench: Bench
  #listings: Listing[] = []
  readonly #operations: (() => void)[]

  constructor(bench: Bench) {
    this.#bench = bench
    const often = [() => this.#create(), () => this.#lookup(), () => this.#unlink(), () => this.#rename()]
    this.#operations = [
      ...often,
      ...often,
      () => this.#rename(),
      () => this.#symlink(),
      () => this.#tmpfile(),
      () => this.#link(),
      () => this.#rmdir(),
      () => this.#forget(),
      () => this.#forget(),
      () => this.#chmod(),
      () => this.#times(),
      () => this.#setxattr(),
      () => this.#removexattr(),
      () => this.#readdir(),
      () => this.#readdir(),
    ]
  }

  run(): void {
    this.#bench.prng.pick(this.#operations)()
  }

  /** Forgets what a crash has ended. */
  reset(): void {
    this.#listings = []
  }

  #directory(): Node {
    return this.#bench.held(isDirectoryNode) as Node
  }

  #name(): string {
    return this.#bench.prng.pick(NAMES)
  }

  #caller(): Caller {
    const { prng } = this.#bench
    return { uid: prng.below(3), gid: prng.below(3), pid: 1, umask: prng.pick([0, 0o22]) }
  }

  #child(directory: Node, name: string): Node | undefined {
    const number = directory.entries.get(name)
    return number === undefined ? undefined : this.#bench.model.node(number)
  }

  #setEntry(directory: number, name: string, child: number | undefined): void {
    this.#bench.model.setEntry(directory, name, child)
    for (const listing of this.#listings) {
      if (listing.directory !== directory) continue
      listing.staying.delete(name)
      listing.touched.add(name)
    }
  }

  /** Takes a new inode into the model. */
  #adopt(inode: Inode, directory: Node, caller: Caller, mode: number): Node {
    const { model } = this.#bench
    const node = model.add(inode.number, inode.generation, mode)
    const setgid = (directory.mode & S_ISGID) !== 0
    node.uid = caller.uid
    node.gid = setgid ? directory.gid : caller.gid
    if (setgid && isDirectory(mode)) node.mode |= S_ISGID
    if (!isSymlink(mode)) node.mode &= ~caller.umask
    return node
  }

  #takeTimes(node: Node): void {
    const { atime, atimeNs, mtime, mtimeNs, ctime, ctimeNs } = this.#bench.inode(node.number)
    node.times = [atime, atimeNs, mtime, mtimeNs, ctime, ctimeNs]
    this.#bench.verify(node.number, '-')
  }

  #linked(directory: Node, name: string, node: Node): void {
    const bench: Bench = this.#bench
    this.#setEntry(directory.number, name, node.number)
    bench.verify(directory.number, 'm')
  }

  #create(): void {
    const { prng, model, world } = this.#bench
    const [directory, name, caller] = [this.#directory(), this.#name(), this.#caller()]
    const mode = prng.oneIn(3) ? S_IFDIR | prng.pick([0o755, 0o2777]) : S_IFREG | prng.pick([0o644, 0o6755])
    const expected = directory.nlink === 0 ? -ENOENT : directory.entries.has(name) ? -EEXIST : 0
    let made: Inode | undefined
    const result = this.#bench.attempt(() => {
      made = world.share.create.mknod(directory.number, this.#bench.name(name), mode, 0, caller)
      return 0
    })
    const what = `mknod ${directory.number}/${name.slice(0, 9)} ${mode.toString(8)} = ${made?.number}`
    if (!this.#bench.expect(what, result, expected, true)) return
    const node = this.#adopt(made as Inode, directory, caller, mode)
    node.nlink = 1
    if (isDirectory(mode)) {
      node.nlink = 2
      node.parent = directory.number
      model.change(directory.number).nlink++
    }
    this.#linked(directory, name, node)
    this.#takeTimes(node)
    this.#bench.hold(node.number)
  }

  #symlink(): void {
    const { prng, world } = this.#bench
    const [directory, name, caller] = [this.#directory(), this.#name(), this.#caller()]
    const target = 'target'.repeat(prng.pick([1, 600]))
    const expected = directory.nlink === 0 ? -ENOENT : directory.entries.has(name) ? -EEXIST : 0
    let made: Inode | undefined
    const [range, to] = [this.#bench.name(name), this.#bench.name(target)]
    const result = this.#bench.attempt(() => {
      made = world.share.create.symlink(directory.number, range, to, caller)
      return 0
    })
    if (!this.#bench.expect(`symlink ${directory.number}/${name.slice(0, 9)}`, result, expected, true)) return
    const node = this.#adopt(made as Inode, directory, caller, 0o120777)
    node.nlink = 1
    node.size = target.length
    node.target = target
    this.#linked(directory, name, node)
    this.#takeTimes(node)
    this.#bench.hold(node.number)
  }

  #tmpfile(): void {
    const { world } = this.#bench
    const [directory, caller] = [this.#directory(), this.#caller()]
    if (directory.nlink === 0) return
    let made: Inode | undefined
    const result = this.#bench.attempt(() => {
      made = world.share.create.tmpfile(directory.number, S_IFREG | 0o600, caller)
      return 0
    })
    if (!this.#bench.expect(`tmpfile ${made?.number}`, result, 0, true)) return
    this.#takeTimes(this.#adopt(made as Inode, directory, caller, S_IFREG | 0o600))
    this.#bench.hold((made as Inode).number)
  }

  #lookup(): void {
    const { world } = this.#bench
    const [directory, name] = [this.#directory(), this.#name()]
    const found = world.share.lookup(directory.number, this.#bench.name(name))
    const expected = directory.entries.get(name)
    this.#bench.expect(`lookup ${directory.number}/${name.slice(0, 9)}`, found?.number ?? 0, expected ?? 0, false)
    if (found !== undefined) this.#bench.hold(found.number)
  }

  #link(): void {
    const { model, world } = this.#bench
    const node = this.#bench.held(() => true) as Node
    const [directory, name] = [this.#directory(), this.#name()]
    const gone = directory.nlink === 0
    const expected = isDirectoryNode(node) ? -EPERM : gone ? -ENOENT : directory.entries.has(name) ? -EEXIST : 0
    const result = this.#bench.attempt(() => {
      world.share.create.link(node.number, directory.number, this.#bench.name(name))
      return 0
    })
    const what = `link ${node.number} ${directory.number}/${name.slice(0, 9)}`
    if (!this.#bench.expect(what, result, expected, true)) return
    model.change(node.number).nlink++
    this.#linked(directory, name, node)
    this.#bench.verify(node.number, 'c')
    this.#bench.hold(node.number)
  }

  /** A node has lost a link, or (a directory) its only one. */
  #unlinked(number: number): void {
    const { model, holds } = this.#bench
    const node = model.change(number)
    node.nlink = isDirectoryNode(node) ? 0 : node.nlink - 1
    if (node.nlink > 0 || holds.has(number)) this.#bench.verify(number, 'c')
    else model.drop(number)
  }

  #unlink(): void {
    const { world } = this.#bench
    const [directory, name] = [this.#directory(), this.#name()]
    const child = this.#child(directory, name)
    const missing = directory.nlink === 0 || child === undefined
    const expected = missing ? -ENOENT : isDirectoryNode(child) ? -EISDIR : 0
    const result = this.#bench.attempt(() => {
      world.share.remove.unlink(directory.number, this.#bench.name(name))
      return 0
    })
    const what = `unlink ${directory.number}/${name.slice(0, 9)} = ${child?.number}`
    if (!this.#bench.expect(what, result, expected, false)) return
    this.#setEntry(directory.number, name, undefined)
    this.#bench.verify(directory.number, 'm')
    this.#unlinked((child as Node).number)
  }

  #rmdir(): void {
    const { model, world } = this.#bench
    const [directory, name] = [this.#directory(), this.#name()]
    const child = this.#child(directory, name)
    let expected = 0
    if (directory.nlink === 0 || child === undefined) expected = -ENOENT
    else if (!isDirectoryNode(child)) expected = -ENOTDIR
    else if (child.entries.size > 0) expected = -ENOTEMPTY
    const result = this.#bench.attempt(() => {
      world.share.remove.rmdir(directory.number, this.#bench.name(name))
      return 0
    })
    const what = `rmdir ${directory.number}/${name.slice(0, 9)} = ${child?.number}`
    if (!this.#bench.expect(what, result, expected, false)) return
    this.#setEntry(directory.number, name, undefined)
    model.change(directory.number).nlink--
    this.#bench.verify(directory.number, 'm')
    this.#unlinked((child as Node).number)
  }

  #renameError(from: Node, node: Node | undefined, to: Node, target: Node | undefined, flags: number): number {
    const { model } = this.#bench
    if (from.nlink === 0 || to.nlink === 0 || node === undefined) return -ENOENT
    if (flags === RENAME_EXCHANGE && target === undefined) return -ENOENT
    if (flags === RENAME_NOREPLACE && target !== undefined) return -EEXIST
    if (node === target) return 0
    if (isDirectoryNode(node) && model.isBelow(to.number, node.number)) return -EINVAL
    if (flags === RENAME_EXCHANGE) {
      return isDirectoryNode(target as Node) && model.isBelow(from.number, (target as Node).number) ? -EINVAL : 0
    }
    if (target === undefined) return 0
    if (!isDirectoryNode(node)) return isDirectoryNode(target) ? -EISDIR : 0
    if (!isDirectoryNode(target)) return -ENOTDIR
    return target.entries.size > 0 ? -ENOTEMPTY : 0
  }

  #rename(): void {
    const { prng, world } = this.#bench
    const [from, fromName, to, toName] = [this.#directory(), this.#name(), this.#directory(), this.#name()]
    const flags = prng.pick([0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE])
    const [node, target] = [this.#child(from, fromName), this.#child(to, toName)]
    const expected = this.#renameError(from, node, to, target, flags)
    const result = this.#bench.attempt(() => {
      const { name } = this.#bench
      world.share.remove.rename(from.number, name(fromName), to.number, name(toName), flags)
      return 0
    })
    const what = `rename ${from.number}/${fromName.slice(0, 9)} ${to.number}/${toName.slice(0, 9)} ${flags}`
    if (!this.#bench.expect(what, result, expected, target === undefined)) return
    if (node === undefined || node === target) return
    this.#reparent(node.number, from.number, to.number)
    if (flags === RENAME_EXCHANGE) this.#reparent((target as Node).number, to.number, from.number)
    this.#setEntry(from.number, fromName, flags === RENAME_EXCHANGE ? target?.number : undefined)
    this.#setEntry(to.number, toName, node.number)
    if (target !== undefined && flags !== RENAME_EXCHANGE && isDirectoryNode(target)) {
      this.#bench.model.change(to.number).nlink--
    }
    this.#bench.verify(from.number, 'm')
    if (to.number !== from.number) this.#bench.verify(to.number, 'm')
    this.#bench.verify(node.number, 'c')
    if (target !== undefined && flags === RENAME_EXCHANGE) this.#bench.verify(target.number, 'c')
    else if (target !== undefined) this.#unlinked(target.number)
  }

  #reparent(number: number, from: number, to: number): void {
    const { model } = this.#bench
    if (from === to || !isDirectoryNode(model.node(number))) return
    model.change(number).parent = to
    model.change(from).nlink--
    model.change(to).nlink++
  }

  #forget(): void {
    const bench: Bench = this.#bench
    if (bench.turnFails) return
    const held = [...bench.holds.keys()].filter((number) => bench.model.node(number).contents.isIdle)
    if (held.length > 0) bench.forget(bench.prng.pick(held))
  }

  /** chmod(2) and chown(2). */
  #chmod(): void {
    const { prng, model, world } = this.#bench
    const { number } = this.#bench.held(() => true) as Node
    const change = noChange()
    const node = model.change(number)
    if (prng.oneIn(2)) change.mode = prng.pick([0o600, 0o4755, 0o2775])
    if (prng.oneIn(2)) change.uid = prng.below(3)
    const result = this.#bench.attempt(() => world.share.setattr(number, change, () => {}))
    this.#bench.expect(`chmod ${number} ${change.mode?.toString(8)} ${change.uid}`, result, 0, false)
    if (change.mode !== undefined) node.mode = (node.mode & S_IFMT) | change.mode
    else if (change.uid !== undefined && !isDirectoryNode(node)) node.mode = withoutPrivileges(node.mode)
    node.uid = change.uid ?? node.uid
    this.#bench.verify(number, 'c')
  }

  #times(): void {
    const { prng, world } = this.#bench
    const { number } = this.#bench.held(() => true) as Node
    const change = noChange()
    Object.assign(change.atime, { kind: 'set', seconds: -5 + prng.below(10), nanoseconds: prng.below(1e9) })
    const modified = prng.oneIn(2)
    if (modified) change.mtime.kind = 'now'
    const result = this.#bench.attempt(() => world.share.setattr(number, change, () => {}))
    this.#bench.expect(`utimens ${number}`, result, 0, false)
    this.#bench.verify(number, modified ? 'm' : 'c')
    const { atime, atimeNs } = this.#bench.inode(number)
    this.#bench.check(atime === change.atime.seconds && atimeNs === change.atime.nanoseconds, 'atime is not as set')
  }

  #setxattr(): void {
    const { prng, model, world } = this.#bench
    const node = this.#bench.held((held) => isRegular(held.mode) || isDirectoryNode(held)) as Node
    const [name, value] = [prng.pick(ATTRIBUTES), 'v'.repeat(prng.pick([0, 1, 100, 5000])) + prng.below(100)]
    const flags = prng.pick([0, 0, XATTR_CREATE, XATTR_REPLACE])
    const exists = node.xattrs.has(name)
    let expected = 0
    if (exists && flags === XATTR_CREATE) expected = -EEXIST
    if (!exists && flags === XATTR_REPLACE) expected = -ENODATA
    const result = this.#bench.attempt(() => {
      world.share.xattrs.set(node.number, this.#bench.name(name), this.#bench.name(value), flags, false)
      return 0
    })
    if (!this.#bench.expect(`setxattr ${node.number} ${name} ${flags}`, result, expected, true)) return
    model.change(node.number).xattrs = new Map([...node.xattrs, [name, value]])
    this.#bench.verify(node.number, 'c')
  }

  #removexattr(): void {
    const { prng, model, world } = this.#bench
    const node = this.#bench.held(() => true) as Node
    const name = prng.pick(ATTRIBUTES)
    const result = this.#bench.attempt(() => {
      world.share.xattrs.remove(node.number, this.#bench.name(name))
      return 0
    })
    const expected = node.xattrs.has(name) ? 0 : -ENODATA
    if (!this.#bench.expect(`removexattr ${node.number} ${name}`, result, expected, false)) return
    const xattrs = new Map(node.xattrs)
    xattrs.delete(name)
    model.change(node.number).xattrs = xattrs
    this.#bench.verify(node.number, 'c')
  }

  /** Goes on with a listing, or begins one. */
  #readdir(): void {
    const { prng, world } = this.#bench
    let listing = prng.oneIn(3) ? undefined : this.#listings[0]
    if (listing === undefined) {
      const { number: directory, entries } = this.#directory()
      listing = { directory, cookie: 0, seen: [], staying: new Map(entries), touched: new Set() }
      this.#listings.push(listing)
    }
    const { directory, seen } = listing
    const now = this.#bench.model.nodes.get(directory)
    if (now === undefined || !(directory === ROOT_INODE || this.#bench.holds.has(directory))) {
      this.#listings = this.#listings.filter((other) => other !== listing)
      return
    }
    let left = 1 + prng.below(4)
    let { cookie } = listing
    world.share.readdir(directory, cookie, (child, kind, next, name) => {
      if (left-- === 0) return false
      const text = String.fromCharCode(...name.bytes.subarray(name.offset, name.offset + name.length))
      if (next > 2) {
        seen.push(text)
        this.#bench.check(now.entries.get(text) === child, `readdir shows ${text} as ${child}`)
        this.#bench.check((this.#bench.model.node(child).mode & S_IFMT) === kind, `readdir: kind of ${text}`)
      }
      cookie = next
      return true
    })
    listing.cookie = cookie
    this.#bench.trace(`  readdir ${directory} up to ${cookie}`)
    if (left < 0) return
    this.#listings = this.#listings.filter((other) => other !== listing)
    for (const [name] of listing.staying) {
      const count = seen.filter((other) => other === name).length
      this.#bench.check(count === 1, `readdir has shown ${name} ${count} times`)
    }
    for (const name of seen) {
      this.#bench.check(listing.staying.has(name) || listing.touched.has(name), `readdir has shown ${name}`)
    }
  }
}
