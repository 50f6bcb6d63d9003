/**
 * One run of the simulation: turns of random operations on a file system, as the kernel would send them, compared with
 * the model; and crashes, after which what was promised must be there. Everything follows from the seed.
 */
import { ROOT_INODE } from '../../lib/base/ids.js'
import { Audit } from './audit.js'
import { Bench, type RunOptions } from './bench.js'
import { DataOperations } from './data.js'
import type { Crash } from './kv.js'
import { NameOperations } from './names.js'

export class Driver extends Bench {
  readonly #names: NameOperations
  readonly #data: DataOperations
  readonly #audit: Audit
  readonly #turns: number

  constructor(seed: number, options: RunOptions = {}) {
    super(seed, options)
    this.#turns = options.turns ?? 24
    this.#names = new NameOperations(this)
    this.#data = new DataOperations(this)
    this.#audit = new Audit(this)
  }

  run(): void {
    this.#begin()
    const crashes = this.prng.pick([0, 6, 12])
    this.faults = this.prng.pick(['none', 'none', 'full', 'errors', 'commits'])
    for (let turn = 0; turn < this.#turns; turn++) {
      this.#setFaults(this.faults)
      if (crashes > 0 && this.prng.oneIn(crashes)) this.#crash(this.prng.pick(['process', 'power']))
      else if (this.prng.oneIn(20)) this.#remount()
      else this.#turn()
      if (this.prng.oneIn(8)) this.#quiesce()
      if (this.prng.oneIn(10)) this.#audit.tree()
    }
    this.#remount()
  }

  #begin(): void {
    const root = this.model.add(ROOT_INODE, 0, 0o40755)
    root.nlink = 2
    root.parent = ROOT_INODE
    this.model.snapshot(0)
    this.world.boot(false)
    const { atime, atimeNs, mtime, mtimeNs, ctime, ctimeNs } = this.inode(ROOT_INODE)
    root.times = [atime, atimeNs, mtime, mtimeNs, ctime, ctimeNs]
    this.model.snapshot(0)
    this.#endTurn()
    this.#quiesce()
    // The first moments of a store are not interesting: from here on it is there.
    this.finish((done) => this.world.share.syncfs(done))
    this.require(this.mark())
  }

  #setFaults(faults: string): void {
    const { kv, disk } = this.world
    if (faults === 'full' && this.prng.oneIn(4)) kv.faults.isFull = !kv.faults.isFull
    if (faults === 'full' && this.prng.oneIn(4)) disk.faults.isFull = !disk.faults.isFull
    if (faults === 'errors') disk.faults.errorOneIn = this.prng.pick([0, 4])
    this.turnFails = faults === 'commits' && this.inFlight === 0 && this.prng.oneIn(4)
  }

  #turn(): void {
    this.trace(this.turnFails ? 'turn that fails' : 'turn')
    if (this.turnFails) this.#endTurn()
    this.beginTurn()
    for (let count = 1 + this.prng.below(6); count > 0; count--) this.#operation()
    if (!this.turnFails) {
      if (!this.prng.oneIn(12)) this.#endTurn()
    } else this.#failTurn()
    for (let steps = this.prng.below(6); steps > 0 && this.world.clock.step(); steps--) this.#endTurn()
  }

  #operation(): void {
    if (this.prng.oneIn(2)) this.#names.run()
    else this.#data.run()
  }

  /** What was done since the last turn may be answered now. */
  #endTurn(): void {
    this.check(this.world.share.meta.endTurn() === 0, 'a commit failed')
    this.check(!this.world.kv.isOpen, 'something was answered without a commit')
    this.#data.endTurn()
    this.setMarks()
    this.model.snapshot(this.world.kv.commits)
  }

  #failTurn(): void {
    const { kv, share } = this.world
    this.turnFails = false
    kv.faults.failCommit = true
    const result = share.meta.endTurn()
    if (kv.faults.failCommit) {
      // There was nothing to commit.
      kv.faults.failCommit = false
      this.#endTurn()
      return
    }
    this.check(result < 0, 'a failed commit was not reported')
    this.trace('  the commit fails')
    this.#names.reset()
    this.dropTurn()
    this.#data.doubtTurn()
    this.#audit.tree()
  }

  /** Waits until nothing is in flight. */
  #quiesce(): void {
    this.#endTurn()
    while (this.inFlight > 0) {
      this.check(this.world.clock.step(), 'an operation is never answered')
      this.#endTurn()
    }
    if (this.prng.oneIn(2)) this.world.settle()
  }

  #crash(kind: Crash): void {
    const { kv } = this.world
    this.world.crash(kind)
    this.trace(`crash of the ${kind}, keeping commit ${kv.commits}`)
    this.check(kind === 'process' || kv.commits >= this.required, 'a power cut has taken away what was synced')
    this.model.rollback(kv.commits)
    this.#data.doubtTurn()
    this.#reboot(kind)
    if (this.prng.oneIn(2)) this.#audit.settled()
  }

  /** Starts again after a crash, and looks at what is there. */
  #reboot(crash: Crash): void {
    let kind = crash
    const { kv, disk } = this.world
    this.endLife()
    this.#names.reset()
    this.#data.reset()
    kv.faults.isFull = disk.faults.isFull = false
    disk.faults.errorOneIn = 0
    let kept = kv.commits
    while (!this.world.boot(true)) {
      const another = this.prng.pick<Crash>(['process', 'power'])
      if (another === 'power') kind = 'power'
      this.world.crash(another)
      this.trace(`crash of the ${another} during recovery, keeping commit ${kv.commits}`)
      this.check(kv.commits >= this.required, 'a power cut has taken away what was synced')
      this.model.rollback(kv.commits)
      kept = kv.commits
    }
    // Recovery frees what had no name, and changes nothing else.
    for (const { number, nlink } of [...this.model.nodes.values()]) if (nlink === 0) this.model.drop(number)
    for (let commit = kept; commit <= kv.commits; commit++) this.model.snapshot(commit)
    this.#endTurn()
    this.#audit.afterCrash(kind, kept)
  }

  #remount(): void {
    this.trace('remount')
    this.turnFails = false
    this.world.disk.faults.errorOneIn = 0
    this.#quiesce()
    let stopped = false
    this.world.share.stop(() => {
      stopped = true
    })
    while (!stopped) this.check(this.world.clock.step(), 'the file system never stops')
    for (const { number, nlink } of [...this.model.nodes.values()]) if (nlink === 0) this.model.drop(number)
    this.model.snapshot(this.world.kv.commits)
    this.world.settle()
    this.check(this.world.disk.openHandles === 0, 'backing files are open after the end')
    if (this.faults !== 'errors') this.#audit.nothingQueued()
    this.world.crash('process')
    this.#reboot('process')
  }
}
