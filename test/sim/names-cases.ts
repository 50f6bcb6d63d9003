/** Scripted changes of names, each with what it needs beforehand, on nodes that chance picks. */
import { EEXIST, EINVAL, EISDIR, ENOENT, ENOTEMPTY } from '../../lib/base/errno.js'
import { S_IFDIR, S_IFREG } from '../../lib/base/mode.js'
import type { Done } from '../../lib/ports.js'
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../lib/share/remove.js'
import { NamesClient, named } from './names-client.js'
import { NamesModel } from './names-model.js'
import { NamesWorld, type Plant, ROOT } from './names-world.js'
import { Prng } from './prng.js'

const FILE = S_IFREG | 0o644
const DIRECTORY = S_IFDIR | 0o755
const CALLER = { uid: 1, gid: 2, pid: 3, umask: 0 }

/** A world in which a case is about to happen. */
export class Stage {
  readonly world: NamesWorld
  readonly prng: Prng
  readonly clients: NamesClient[]
  readonly model = new NamesModel(ROOT)
  /** Whose kernel asks. */
  readonly asker: NamesClient
  readonly #setter: NamesClient
  #names = 0

  constructor(seed: number, members: number, plant?: Plant) {
    this.prng = new Prng(seed)
    this.world = new NamesWorld(this.prng, { members, ...(plant === undefined ? {} : { plant }) })
    this.clients = this.world.nodes.map((node) => new NamesClient(this.world, node))
    this.asker = this.prng.pick(this.clients)
    this.#setter = this.prng.pick(this.clients)
  }

  /** A name in the directory that lies on some member. */
  name(parent: number, prefix: string): string {
    const member = this.prng.below(this.clients.length)
    for (;;) {
      const text = `${prefix}${++this.#names}`
      if (this.world.owner(this.world.positions.ofDentry(parent, named(text))) === member) return text
    }
  }

  directory(parent: number = ROOT): number {
    return this.#make(parent, DIRECTORY)
  }

  file(parent: number): { number: number; name: string } {
    const name = this.name(parent, 'f')
    const number = this.#setter.mknod(parent, name, FILE)
    this.model.make(parent, name, number, false)
    return { number, name }
  }

  /** A file whose inode need not lie where its name does. */
  movedFile(parent: number): { number: number; name: string } {
    const { number, name } = this.file(parent)
    const to = this.name(parent, 'm')
    this.rename(parent, name, parent, to)
    return { number, name: to }
  }

  nameOf(number: number): { parent: number; name: string } {
    const { parent } = this.model.get(number) as { parent: number }
    for (const [name, child] of this.model.get(parent)?.entries ?? []) if (child === number) return { parent, name }
    throw new Error(`inode ${number} has no name`)
  }

  rename(parent: number, name: string, toParent: number, toName: string): void {
    const result = this.#setter.rename(parent, name, toParent, toName)
    if (result !== 0) throw new Error(`rename: ${result}`)
    this.model.rename(parent, name, toParent, toName, 0)
  }

  link(number: number, parent: number): string {
    const name = this.name(parent, 'l')
    const result = this.#setter.link(number, parent, name)
    if (result !== number) throw new Error(`link: ${result}`)
    this.model.link(number, parent, name)
    return name
  }

  /** The asker's kernel holds these, as the case's call names them. */
  hold(...numbers: number[]): void {
    for (const number of numbers) {
      const path = this.model.path(number) ?? []
      if (this.asker.walk(path) !== number) throw new Error(`${path.join('/')} is not ${number}`)
    }
  }

  /** New files in the directory lie where they are made. */
  layOutLocally(directory: number): void {
    const value = new TextEncoder().encode('local')
    const result = this.asker.setxattr(directory, 'user.chfs.layout', value)
    // What the asker's kernel is told of the directory by the next look at it.
    if (result !== 0 || typeof this.asker.stat(directory) === 'number') throw new Error(`setxattr: ${result}`)
  }

  /** All that was done so far survives a power cut. */
  sync(): void {
    const result = this.#setter.run((done) => this.#setter.node.fs.syncfs(done))
    if (result !== 0) throw new Error(`syncfs: ${result}`)
  }

  #make(parent: number, mode: number): number {
    const name = this.name(parent, 'd')
    const number = this.#setter.mknod(parent, name, mode)
    if (number < 0) throw new Error(`mknod: ${number}`)
    this.model.make(parent, name, number, mode === DIRECTORY)
    return number
  }
}

/** What happens: a call, what it does to the model, and the errno with which it fails, or 0. */
export interface Act {
  readonly call: (done: Done) => number
  /** Does the same to a model; `number` is that of a new inode. */
  readonly apply: (model: NamesModel, number: number) => void
  readonly error: number
  /** A new inode is made: its number is found under this name. */
  readonly makes?: { readonly parent: number; readonly name: string }
}

export type Case = (stage: Stage) => Act

const rename = (
  stage: Stage,
  parent: number,
  name: string,
  toParent: number,
  toName: string,
  flags = 0,
  error = 0,
): Act => {
  stage.hold(parent, toParent)
  const { fs } = stage.asker.node
  return {
    call: (done) => fs.rename(parent, named(name), toParent, named(toName), flags, done),
    apply: (model) => void model.rename(parent, name, toParent, toName, flags),
    error,
  }
}

const make =
  (mode: number): Case =>
  (stage) => {
    const parent = stage.directory()
    stage.hold(parent)
    const name = stage.name(parent, 'n')
    return {
      call: (done) => stage.asker.node.fs.mknod(parent, named(name), mode, 0, CALLER, done),
      apply: (model, number) => model.make(parent, name, number, mode === DIRECTORY),
      error: 0,
      makes: { parent, name },
    }
  }

const unlink = (stage: Stage, parent: number, name: string): Act => {
  stage.hold(parent)
  return {
    call: (done) => stage.asker.node.fs.unlink(parent, named(name), done),
    apply: (model) => void model.unlink(parent, name),
    error: 0,
  }
}

const rmdir = (stage: Stage, number: number, error: number): Act => {
  const { parent, name } = stage.nameOf(number)
  stage.hold(parent)
  return {
    call: (done) => stage.asker.node.fs.rmdir(parent, named(name), done),
    apply: (model) => void model.rmdir(parent, name),
    error,
  }
}

const link = (stage: Stage, number: number, parent: number, name: string, error = 0): Act => {
  stage.hold(number, parent)
  return {
    call: (done) => stage.asker.node.fs.link(number, parent, named(name), done),
    apply: (model) => void model.link(number, parent, name),
    error,
  }
}

/** Two directories that are there already. */
const two = (stage: Stage): [number, number] => [stage.directory(), stage.directory()]

export const CASES: Readonly<Record<string, Case>> = {
  'a new file': make(FILE),
  'a new directory': make(DIRECTORY),
  'a new file that is to lie with its maker': (stage) => {
    const act = make(FILE)(stage)
    stage.layOutLocally(act.makes?.parent ?? 0)
    return act
  },
  'a new file that is to lie with its maker, under a name that is taken': (stage) => {
    const parent = stage.directory()
    const { name } = stage.file(parent)
    stage.hold(parent)
    stage.layOutLocally(parent)
    return {
      call: (done) => stage.asker.node.fs.mknod(parent, named(name), FILE, 0, CALLER, done),
      apply: () => undefined,
      error: EEXIST,
    }
  },
  'the last name of a file': (stage) => {
    const parent = stage.directory()
    return unlink(stage, parent, stage.file(parent).name)
  },
  'the last name of a file that was renamed': (stage) => {
    const parent = stage.directory()
    return unlink(stage, parent, stage.movedFile(parent).name)
  },
  'one of two names of a file': (stage) => {
    const [first, second] = two(stage)
    const { number } = stage.file(first)
    return unlink(stage, second, stage.link(number, second))
  },
  'a second name': (stage) => {
    const [first, second] = two(stage)
    return link(stage, stage.movedFile(first).number, second, stage.name(second, 'n'))
  },
  'a second name that is taken': (stage) => {
    const [first, second] = two(stage)
    const { name } = stage.file(second)
    return link(stage, stage.movedFile(first).number, second, name, EEXIST)
  },
  'another name for a file': (stage) => {
    const [first, second] = two(stage)
    return rename(stage, first, stage.movedFile(first).name, second, stage.name(second, 'n'))
  },
  'another name in the same directory': (stage) => {
    const parent = stage.directory()
    return rename(stage, parent, stage.file(parent).name, parent, stage.name(parent, 'n'))
  },
  'a file takes the place of another one': (stage) => {
    const [first, second] = two(stage)
    return rename(stage, first, stage.movedFile(first).name, second, stage.movedFile(second).name)
  },
  'a file takes the place of one with two names': (stage) => {
    const [first, second] = two(stage)
    const { number, name } = stage.movedFile(second)
    stage.link(number, first)
    return rename(stage, first, stage.file(first).name, second, name)
  },
  'a name that is taken, and must not be': (stage) => {
    const [first, second] = two(stage)
    const { name } = stage.file(second)
    return rename(stage, first, stage.file(first).name, second, name, RENAME_NOREPLACE, EEXIST)
  },
  'another name for another name of the same file': (stage) => {
    const [first, second] = two(stage)
    const { number, name } = stage.file(first)
    return rename(stage, first, name, second, stage.link(number, second))
  },
  'a file in the place of a directory': (stage) => {
    const [first, second] = two(stage)
    const { name } = stage.nameOf(stage.directory(second))
    return rename(stage, first, stage.file(first).name, second, name, 0, EISDIR)
  },
  'two files change places': (stage) => {
    const [first, second] = two(stage)
    const flags = RENAME_EXCHANGE
    return rename(stage, first, stage.movedFile(first).name, second, stage.movedFile(second).name, flags)
  },
  'two files of one directory change places': (stage) => {
    const parent = stage.directory()
    return rename(stage, parent, stage.file(parent).name, parent, stage.movedFile(parent).name, RENAME_EXCHANGE)
  },
  'a file and a directory change places': (stage) => {
    const [first, second] = two(stage)
    const inner = stage.directory(second)
    stage.file(inner)
    return rename(stage, first, stage.file(first).name, second, stage.nameOf(inner).name, RENAME_EXCHANGE)
  },
  'two directories change places': (stage) => {
    const [first, second] = two(stage)
    const [left, right] = [stage.directory(first), stage.directory(second)]
    stage.file(left)
    return rename(stage, first, stage.nameOf(left).name, second, stage.nameOf(right).name, RENAME_EXCHANGE)
  },
  'a directory and one below it change places': (stage) => {
    const outer = stage.directory()
    const inner = stage.directory(stage.directory(outer))
    const { parent, name } = stage.nameOf(inner)
    return rename(stage, ROOT, stage.nameOf(outer).name, parent, name, RENAME_EXCHANGE, EINVAL)
  },
  'nothing to change places with': (stage) => {
    const [first, second] = two(stage)
    const { name } = stage.file(first)
    return rename(stage, first, name, second, stage.name(second, 'n'), RENAME_EXCHANGE, ENOENT)
  },
  'another name for a directory': (stage) => {
    const parent = stage.directory()
    const moved = stage.directory(parent)
    stage.file(moved)
    return rename(stage, parent, stage.nameOf(moved).name, parent, stage.name(parent, 'n'))
  },
  'another parent for a directory': (stage) => {
    const [first, second] = two(stage)
    const moved = stage.directory(first)
    stage.file(moved)
    return rename(stage, first, stage.nameOf(moved).name, second, stage.name(second, 'n'))
  },
  'a directory takes the place of an empty one': (stage) => {
    const [first, second] = two(stage)
    const [moved, empty] = [stage.directory(first), stage.directory(second)]
    stage.file(moved)
    return rename(stage, first, stage.nameOf(moved).name, second, stage.nameOf(empty).name)
  },
  'a directory takes the place of its neighbour': (stage) => {
    const parent = stage.directory()
    const [moved, empty] = [stage.directory(parent), stage.directory(parent)]
    return rename(stage, parent, stage.nameOf(moved).name, parent, stage.nameOf(empty).name)
  },
  'a directory in the place of a full one': (stage) => {
    const [first, second] = two(stage)
    const [moved, full] = [stage.directory(first), stage.directory(second)]
    stage.file(full)
    return rename(stage, first, stage.nameOf(moved).name, second, stage.nameOf(full).name, 0, ENOTEMPTY)
  },
  'a directory below itself': (stage) => {
    const outer = stage.directory()
    const inner = stage.directory(outer)
    return rename(stage, ROOT, stage.nameOf(outer).name, inner, stage.name(inner, 'n'), 0, EINVAL)
  },
  'an empty directory': (stage) => rmdir(stage, stage.directory(stage.directory()), 0),
  'a directory that is not empty': (stage) => {
    const full = stage.directory(stage.directory())
    stage.file(full)
    return rmdir(stage, full, ENOTEMPTY)
  },
}
