import type { Inode } from '../meta/inode.js'
import type { MetaStore } from '../meta/store.js'
import type { Disk, Done, Kv } from '../ports.js'
import type { BackingFiles, OpenFile } from './files.js'
import type { Reaper } from './reaper.js'
import type { SmallFiles } from './small.js'
import type { Staging } from './staging.js'
import type { Stock } from './stock.js'
import { synced } from './synced.js'
import { ending, type Step, then } from './then.js'

/** A change of a backing file. */
export type FileChange = (file: OpenFile, done: Done) => number

/** What {@link LargeFiles} works with. */
export interface LargePorts {
  readonly meta: MetaStore
  readonly kv: Kv
  readonly disk: Disk
  readonly files: BackingFiles
  readonly reaper: Reaper
  readonly stock: Stock
  readonly staging: Staging
  readonly small: SmallFiles
}

/** Changes of backing files, and the way there from the metadata store. To be called through the gate only. */
export class LargeFiles {
  readonly #ports: LargePorts

  constructor(ports: LargePorts) {
    this.#ports = ports
  }

  /**
   * Runs a change of a backing file, made for the purpose where the data is still inline, and then `changed`, in which
   * the inode gets its new size. Before a file grows up to `end`, what lies hidden beyond its size is cut off.
   */
  change(number: number, end: number, change: FileChange, changed: (file: OpenFile) => number, done: Done): number {
    const { meta, files } = this.#ports
    const inode = meta.inode(number)
    if (inode.backing === 0) return this.#convert(inode, change, changed, done)
    const { size } = inode
    const { undoneCount } = meta
    const file = files.use(inode)
    const run: Step = (late) => change(file, late)
    const finish = (ended: number): number => {
      const result = meta.undoneCount === undoneCount ? ended : meta.undoneError
      try {
        if (result >= 0) return changed(file)
        // Part of it may have been done, and must not be seen when the file grows, unless its inode was undone, too.
        const left = meta.find(number)
        if (left !== undefined) files.noteTail(file, left.size)
        return result
      } finally {
        files.release(file)
      }
    }
    const cuts = end > size && files.hasTail(inode)
    return ending((late) => (cuts ? then((cut) => this.#cutTail(file, size, cut), run, late) : run(late)), finish, done)
  }

  /** Cuts off what lies hidden beyond an inode's size, if anything does. */
  trim(number: number, done: Done): number {
    const { meta, files } = this.#ports
    const inode = meta.find(number)
    if (inode === undefined || !files.hasTail(inode)) return 0
    const file = files.use(inode)
    const finish = (result: number): number => {
      files.release(file)
      return result
    }
    return ending((late) => this.#cutTail(file, inode.size, late), finish, done)
  }

  /**
   * Moves an inode's data from the metadata store into a new backing file. The file's id stands in the free queue until
   * the inode claims it, so that a crash in between leaves nothing behind; the inline data goes only when the file's
   * copy is safe against a power cut.
   */
  #convert(inode: Inode, change: FileChange, changed: (file: OpenFile) => number, done: Done): number {
    const { number } = inode
    const { meta, stock, small } = this.#ports
    let id = 0
    let file: OpenFile | undefined
    const make = (result: number): number => {
      id = result
      file = this.#ports.files.create(id)
      return 0
    }
    const take: Step = (late) =>
      ending(
        (next) => stock.take(next),
        (result) => (result < 0 ? result : make(result)),
        late,
      )
    const fill: Step = (late) => (small.end(inode) === 0 ? 0 : this.#moveInline(number, file as OpenFile, late))
    const run: Step = (late) => change(file as OpenFile, late)
    const { undoneCount } = meta
    const finish = (ended: number): number => {
      const result = meta.undoneCount === undoneCount ? ended : meta.undoneError
      try {
        return result < 0 ? result : this.#claim(number, file as OpenFile, changed)
      } finally {
        if (file !== undefined) this.#ports.files.release(file)
        if (id !== 0 && meta.find(number)?.backing !== id) this.#ports.reaper.add(id)
      }
    }
    return ending((late) => then(take, (next) => then(fill, run, next), late), finish, done)
  }

  #claim(number: number, file: OpenFile, changed: (file: OpenFile) => number): number {
    const { meta, reaper } = this.#ports
    const inode = meta.inode(number)
    meta.inline.remove(number)
    meta.free.remove(file.id)
    meta.ifUndone(() => reaper.add(file.id))
    inode.backing = file.id
    return changed(file)
  }

  /** Copies the inline data to the backing file and syncs it. */
  #moveInline(number: number, file: OpenFile, done: Done): number {
    const { disk, small, staging } = this.#ports
    let cell = -1
    const write: Step = (next) => {
      const length = small.copyTo(number, cell)
      return disk.write(file.handle, cell, length, 0, next)
    }
    const sync: Step = (next) => disk.sync(file.handle, next)
    const acquire: Step = (late) =>
      ending(
        (next) => staging.acquire(next),
        (result) => {
          cell = result
          return 0
        },
        late,
      )
    const finish = (result: number): number => {
      if (cell >= 0) staging.release(cell)
      return result
    }
    return ending((late) => then(acquire, (next) => then(write, sync, next), late), finish, done)
  }

  /**
   * Cuts a file off at its inode's size. Not before that size is safe against a power cut, after which the old size
   * would be without its data; and the cut is safe before a larger size is, which would show what was cut off.
   */
  #cutTail(file: OpenFile, size: number, done: Done): number {
    const { meta, kv, disk, files } = this.#ports
    const settle: Step = (next) => synced(meta, kv, next)
    const truncate: Step = (next) => disk.truncate(file.handle, size, next)
    const sync: Step = (next) => disk.sync(file.handle, next)
    const finish = (result: number): number => {
      if (result >= 0) files.trims.delete(file.id)
      return result
    }
    return ending((late) => then(settle, (next) => then(truncate, sync, next), late), finish, done)
  }
}
