/** What somebody may be about to do with names, at random, and what it does to the model. */
import { ENOENT } from '../../lib/base/errno.js'
import { S_IFDIR, S_IFREG } from '../../lib/base/mode.js'
import type { Done } from '../../lib/ports.js'
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../lib/share/remove.js'
import { type NamesClient, named } from './names-client.js'
import type { Call } from './names-history.js'
import type { NamesModel } from './names-model.js'
import type { Prng } from './prng.js'

const NAMES = ['a', 'b', 'c']
const INODES_MAX = 12
const CALLER = { uid: 1, gid: 2, pid: 3, umask: 0 }

/** What somebody is going to do. */
export interface NamesPlan {
  readonly text: string
  readonly run: (done: Done) => number
  readonly apply: Call['apply']
  /** It makes an inode. */
  readonly makes: boolean
}

export class NamesPlans {
  readonly prng: Prng
  #model!: NamesModel

  constructor(prng: Prng) {
    this.prng = prng
  }

  /** A call of this node's kernel, which holds all inodes of the model. */
  next(client: NamesClient, model: NamesModel): NamesPlan {
    this.#model = model
    const parent = this.directory(this.#model)
    const name = this.name()
    const plans = [
      () => this.#make(client, parent, name),
      () => this.#make(client, parent, name),
      () => this.#link(client, parent, name),
      () => this.#unlink(client, parent, name),
      () => this.#rmdir(client, parent, name),
      () => this.#rename(client, parent, name),
      () => this.#rename(client, parent, name),
      () => this.#rename(client, parent, name),
      () => this.#lookup(client, parent, name),
    ]
    return this.prng.pick(plans)()
  }

  directory(model: NamesModel): number {
    return this.prng.pick([...model.inodes.values()].filter(({ isDirectory }) => isDirectory)).number
  }

  name(): string {
    return this.prng.pick(NAMES)
  }

  #make({ node }: NamesClient, parent: number, name: string): NamesPlan {
    const isFull = this.#model.inodes.size >= INODES_MAX
    const mode = this.prng.oneIn(2) && !isFull ? S_IFDIR | 0o755 : S_IFREG | 0o644
    const isDirectory = (mode & S_IFDIR) !== 0
    return {
      text: `${isDirectory ? 'mkdir' : 'mknod'} ${parent}/${name}`,
      run: (done) => {
        const found = (result: number): number => (result === 0 ? node.fs.found.number : result)
        const result = node.fs.mknod(parent, named(name), mode, 0, CALLER, (late) => done(found(late)))
        return found(result)
      },
      apply: (model, number) => {
        const errors = model.errorsOfNew(parent, name)
        if (errors.length > 0) return errors
        if (model.get(number) !== undefined) return [0]
        model.make(parent, name, number, isDirectory)
        return []
      },
      makes: true,
    }
  }

  #link({ node }: NamesClient, parent: number, name: string): NamesPlan {
    const held = [...this.#model.inodes.values()].filter(({ number }) => this.#model.path(number) !== undefined)
    const { number } = this.prng.pick(held)
    let isDone = false
    return {
      text: `link ${number} ${parent}/${name}`,
      run: (done) => {
        const taken = (result: number): number => {
          isDone = result === 0
          return result
        }
        return taken(node.fs.link(number, parent, named(name), (late) => done(taken(late))))
      },
      // The kernel had found the inode, so it may get a name even where it has lost its last one meanwhile.
      makes: false,
      apply: (model) => {
        const isGone = model.get(number) === undefined
        return isGone && isDone ? model.revive(number, parent, name) : model.link(number, parent, name)
      },
    }
  }

  #unlink({ node }: NamesClient, parent: number, name: string): NamesPlan {
    return {
      text: `unlink ${parent}/${name}`,
      run: (done) => node.fs.unlink(parent, named(name), done),
      makes: false,
      apply: (model) => model.unlink(parent, name),
    }
  }

  #rmdir({ node }: NamesClient, parent: number, name: string): NamesPlan {
    return {
      text: `rmdir ${parent}/${name}`,
      run: (done) => node.fs.rmdir(parent, named(name), done),
      makes: false,
      apply: (model) => model.rmdir(parent, name),
    }
  }

  #rename({ node }: NamesClient, parent: number, name: string): NamesPlan {
    const toParent = this.prng.oneIn(3) ? parent : this.directory(this.#model)
    const toName = this.name()
    const flags = this.prng.pick([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE])
    return {
      text: `rename ${parent}/${name} ${toParent}/${toName} ${flags}`,
      run: (done) => node.fs.rename(parent, named(name), toParent, named(toName), flags, done),
      makes: false,
      apply: (model) => model.rename(parent, name, toParent, toName, flags),
    }
  }

  #lookup({ node }: NamesClient, parent: number, name: string): NamesPlan {
    let found = 0
    return {
      text: `lookup ${parent}/${name}`,
      run: (done) => {
        const taken = (result: number): number => {
          found = result === 0 ? node.fs.found.number : 0
          return result
        }
        return taken(node.fs.lookup(parent, named(name), (late) => done(taken(late))))
      },
      makes: false,
      apply: (model) => {
        const number = model.lookup(parent, name)
        if (number === undefined) return [ENOENT]
        // Another one than was found: no errno fits.
        return found !== 0 && number !== found ? [0] : []
      },
    }
  }
}
