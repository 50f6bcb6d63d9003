/**
 * Random calls from all nodes of a whole cluster at once, on names, contents, attributes and locks of a small tree, while
 * nodes and links fail. A run goes in rounds: calls and troubles; then everything is healed, and within a bounded time
 * every node answers every call again; then all that was said and all that is there must have an explanation.
 */
import { EEXIST, EIO, EISDIR, ENOSPC } from '../../lib/base/errno.js'
import { isDirectory, S_IFREG } from '../../lib/base/mode.js'
import { LEASE_MS } from '../../lib/node/leases.js'
import { FileCalls } from './cluster-file-calls.js'
import { isOpen, LockCalls, type Opening, ownerOf } from './cluster-lock-calls.js'
import { check, RunLog } from './cluster-log.js'
import { type Trouble, Troubles } from './cluster-troubles.js'
import { ClusterWorld } from './cluster-world.js'
import { NamesClient } from './names-client.js'
import { type Call, explain } from './names-history.js'
import { type ModelInode, NamesModel } from './names-model.js'
import { NamesPlans } from './names-plans.js'
import { treeOf } from './names-tree.js'
import { ROOT } from './names-world.js'
import { Prng } from './prng.js'
import type { Plant } from './world.js'

/** Calls of one round: of names they have to be put in order, which takes the longer the more they are. */
const NAMES_MAX = 5
const OTHERS_MAX = 40
/** Calls of one node at a time: each may need a slot of its pool. */
const CALLS_MAX = 10
/** Files that there are at least, and that each node has open. */
const FILES_MIN = 3
const OPENINGS_MIN = 2
/** From the moment that nothing is in the way any more until every node has answered every call. */
export const CONVERGENCE_MS = 30_000
/** How long what was begun may go on by itself. */
const SETTLING_MS = 30_000
/** After which a client that is away is given up, and some more. */
const CLIENT_ABSENCE_MS = 620_000

export interface ClusterRunOptions {
  readonly rounds?: number
  /** Members; by chance 3 to 7. */
  readonly nodes?: number
  readonly troubles?: readonly Trouble[]
  /** Other calls than those on names; by default they come along. */
  readonly others?: boolean
  readonly plant?: Plant
  readonly trace?: (line: string) => void
}

export class ClusterDriver {
  readonly world: ClusterWorld
  /** The longest time that it took until all was well again. */
  slowestMs = 0
  readonly #prng: Prng
  readonly #options: ClusterRunOptions
  readonly #log: RunLog
  readonly #clients: NamesClient[]
  readonly #plans: NamesPlans
  readonly #troubles: Troubles
  readonly #files: FileCalls
  readonly #locks: LockCalls
  #model = new NamesModel(ROOT)
  #openings: Opening[] = []
  /** Calls on names of this round. */
  #calls: Call[] = []
  #incarnations: number[] = []
  #handles = 0
  #made = 0

  constructor(seed: number, options: ClusterRunOptions = {}) {
    const prng = new Prng(seed)
    this.#prng = prng
    this.#options = options
    const members = options.nodes ?? 3 + prng.below(5)
    const clients = prng.oneIn(3) ? 1 : 0
    const positions = prng.pick([16, 2 ** 32, 2 ** 32])
    const credits = prng.pick([2, 128, 128])
    const graceMs = prng.pick([0, 1000])
    const plant = options.plant === undefined ? {} : { plant: options.plant }
    this.world = new ClusterWorld(prng, { members, clients, positions, credits, graceMs, ...plant })
    this.world.network.weather.delayMsMax = prng.pick([1, 5, 5, 50])
    this.world.meeting.delayMsMax = this.world.network.weather.delayMsMax
    const log = new RunLog(() => this.world.clock.monotonicMs(), options.trace ?? ((): void => undefined))
    log.trace(`${members} members, ${clients} clients, ${positions} positions, ${credits} credits`)
    this.#log = log
    this.#clients = this.world.nodes.map((node) => new NamesClient(this.world, node))
    this.#plans = new NamesPlans(prng)
    const troubles = new Troubles(this.world, prng, options.troubles, (line) => log.trace(line))
    troubles.onPowerCut = () => this.#losePower()
    this.#troubles = troubles
    this.#files = new FileCalls(this.world, prng, troubles, log)
    const { world } = this
    this.#locks = new LockCalls({ world, prng, troubles, log, files: this.#files, openings: () => this.#openings })
  }

  /** What the run has said, in one number: the same seed, the same number. */
  get hash(): number {
    return this.#log.hash
  }

  run(): void {
    this.world.until(() => this.world.isWhole, CONVERGENCE_MS)
    this.#log.trace('all are ready')
    for (let round = 0; round < (this.#options.rounds ?? 8); round++) this.#round()
    this.#end()
  }

  #round(): void {
    this.#prepare()
    const names = this.#prng.below(NAMES_MAX + 1)
    const others = this.#options.others === false ? 0 : this.#prng.below(OTHERS_MAX + 1)
    this.#troubles.begin()
    let left = names + others
    for (let at = 0; left > 0 && at < 2000; at++) {
      this.#reap()
      const client = this.#prng.pick(this.#clients)
      if (this.#mayAsk(client)) {
        const isOfNames = this.#calls.length < names && this.#prng.below(left) < names - this.#calls.length
        if (isOfNames) this.#beginNames(client)
        else this.#beginOther(client)
        left--
      }
      for (let steps = this.#prng.below(40); steps > 0; steps--) this.world.clock.step()
      this.#troubles.maybe()
    }
    this.#heal()
    this.#judge()
    this.#releaseSome()
    this.#audit()
  }

  /** Every kernel holds every inode that has a name, and everything is safe. */
  #prepare(): void {
    this.#calls = []
    this.#incarnations = this.#clients.map(({ node }) => node.incarnation)
    for (const client of this.#clients) {
      for (const { number } of this.#model.inodes.values()) {
        const path = this.#model.path(number)
        if (path === undefined) continue
        const found = client.walk(path)
        check(found === number, `${path.join('/')} is ${found}, not ${number}, for ${client.node.index}`)
      }
    }
    this.#openSome()
    const [client] = this.#clients as [NamesClient]
    const error = client.run((done) => client.node.fs.syncfs(done))
    check(error === 0, `syncfs: ${error}`)
    this.#files.beginRound(this.#model.inodes.keys())
    this.#log.trace('round')
  }

  /** Every node has some files open. */
  #openSome(): void {
    const files = (): ModelInode[] =>
      [...this.#model.inodes.values()].filter(({ number, isDirectory }) => !isDirectory && this.#model.path(number))
    for (let at = files().length; at < FILES_MIN; at++) {
      const name = `f${++this.#made}`
      const number = this.#prng.pick(this.#clients).mknod(ROOT, name, S_IFREG | 0o644)
      check(number > 0, `mknod ${name}: ${number}`)
      this.#model.make(ROOT, name, number, false)
      for (const client of this.#clients) client.lookup(ROOT, name)
    }
    for (const client of this.#clients) {
      const mine = this.#openings.filter((opening) => opening.client === client).length
      for (let at = mine; at < OPENINGS_MIN; at++) {
        const { number } = this.#prng.pick(files())
        const error = client.open(number)
        check(error === 0, `open ${number}: ${error}`)
        this.#model.open(number)
        this.#opened(client, number)
      }
    }
  }

  /** Its kernel holds what was prepared, as it has not started anew since; and it can take one more call. */
  #mayAsk({ node }: NamesClient): boolean {
    const isSame = node.isReady && node.incarnation === this.#incarnations[node.index]
    return isSame && this.#log.countAt(node) < CALLS_MAX
  }

  /** Forgets calls whose nodes have died. */
  #reap(): void {
    this.#log.reap()
    this.#openings = this.#openings.filter((opening) => {
      if (isOpen(opening)) return true
      this.#locks.forget(opening)
      this.#model.release(opening.number)
      return false
    })
  }

  #beginNames(client: NamesClient): void {
    if (this.#prng.oneIn(3)) {
      this.#beginOpen(client)
      return
    }
    const { text, run, apply, makes } = this.#plans.next(client, this.#model)
    this.#beginCall(client, text, apply, makes, run, () => undefined)
  }

  /** A call that has a place in the order of names. */
  #beginCall(
    client: NamesClient,
    what: string,
    apply: Call['apply'],
    makes: boolean,
    run: (done: (result: number) => void) => number,
    succeeded: (result: number) => void,
  ): void {
    const text = `${client.node.index}: ${what}`
    const call: Call = {
      ...{ text, apply, makes, beganAt: this.#log.tick(), endedAt: Number.POSITIVE_INFINITY },
      ...{ result: undefined, mayBeLost: false },
    }
    this.#calls.push(call)
    const end = this.#log.begin(client.node, text)
    client.begin(run, ({ resultOrError: result }) => {
      end()
      this.#log.trace(`  ${text}: ${result}`)
      // In trouble nobody can say what has become of it.
      call.endedAt = this.#log.tick()
      if (result === -EIO && this.#troubles.mayFail) return
      call.result = result
      if (result === -ENOSPC && this.#troubles.isFull && !/unlink|rmdir/.test(what)) {
        // Nothing has happened.
        this.#calls.splice(this.#calls.indexOf(call), 1)
      }
      if (result >= 0) succeeded(result)
    })
  }

  #beginOpen(client: NamesClient): void {
    const { fs } = client.node
    const parent = this.#plans.directory(this.#model)
    const name = this.#plans.name()
    const file = this.#model.get(this.#model.lookup(parent, name) ?? 0)
    const exclusive = this.#prng.oneIn(2)
    const flags = { exclusive, truncate: false, killPrivileges: false }
    if (file !== undefined && !file.isDirectory && this.#prng.oneIn(2)) {
      const { number } = file
      let isDone = false
      const run = (done: (result: number) => void): number => fs.open(number, flags, done)
      // The kernel had found it, so it may be opened for a moment even where it has lost its last name meanwhile.
      const apply = (model: NamesModel): readonly number[] => {
        if (model.get(number) !== undefined || !isDone) return model.open(number)
        model.temporary(number)
        return []
      }
      this.#beginCall(client, `open ${number}`, apply, false, run, () => {
        isDone = true
        this.#opened(client, number)
      })
      return
    }
    // The kernel opens what it has found by itself, and no directory in this way.
    if (file?.isDirectory === true) return
    const found = (result: number): number => {
      if (result !== 0) return result
      fs.hold(fs.found)
      return isDirectory(fs.found.mode) ? -EEXIST : fs.found.number
    }
    const caller = { uid: 1, gid: 2, pid: 3, umask: 0 }
    const run = (done: (result: number) => void): number =>
      found(fs.create(parent, client.named(name), 0o644, flags, caller, (late) => done(found(late))))
    const text = `create ${parent}/${name}${exclusive ? ' exclusively' : ''}`
    this.#beginCall(
      client,
      text,
      (model, number) => created(model, parent, name, number, exclusive),
      true,
      run,
      (number) => this.#opened(client, number),
    )
  }

  #opened(client: NamesClient, number: number): void {
    const { incarnation } = client.node
    this.#openings.push({ client, incarnation, number, handle: ++this.#handles, isWaiting: false, lockCalls: 0 })
  }

  #beginOther(client: NamesClient): void {
    const mine = this.#openings.filter((opening) => opening.client === client)
    if (mine.length === 0 || this.#prng.oneIn(12)) {
      this.#list(client)
      return
    }
    const opening = this.#prng.pick(mine)
    const calls = [
      () => this.#files.write(opening),
      () => this.#files.write(opening),
      () => this.#files.append(opening),
      () => this.#files.read(opening),
      () => this.#files.read(opening),
      () => this.#files.truncate(opening),
      () => this.#files.stat(opening),
      () => this.#files.stat(opening),
      () => this.#files.fsync(opening),
      () => this.#files.chmod(opening),
      () => this.#files.setxattr(opening),
      () => this.#files.getxattr(opening),
      () => this.#locks.lock(opening),
      () => this.#locks.lock(opening),
      () => this.#locks.unlock(opening),
      () => this.#closeEarly(opening),
    ]
    this.#prng.pick(calls)()
  }

  /** close(2): whatever was locked through it is not any more. */
  #closeEarly(opening: Opening): void {
    const { client, number } = opening
    if (this.#log.countAt(client.node) > 0 || opening.isWaiting || this.#files.mayBeGone(number)) return
    this.#locks.forget(opening)
    const release = (model: NamesModel): readonly number[] => {
      model.release(number)
      return []
    }
    this.#calls.push({
      ...{ text: `${client.node.index}: close ${number}`, apply: release, makes: false, beganAt: this.#log.tick() },
      ...{ endedAt: Number.POSITIVE_INFINITY, result: 0, mayBeLost: false },
    })
    this.#openings.splice(this.#openings.indexOf(opening), 1)
    this.#close(opening)
  }

  /** A listing shows every name once that nobody touches meanwhile, and none that nobody has made. */
  #list(client: NamesClient): void {
    const directory = this.#plans.directory(this.#model)
    const entries = new Map((this.#model.get(directory) as ModelInode).entries)
    const text = `${client.node.index}: readdir ${directory}`
    const end = this.#log.begin(client.node, text)
    const listed: string[] = []
    client.beginList(
      directory,
      (name, child) => void listed.push(`${name} ${child}`),
      (result) => {
        end()
        this.#log.trace(`  ${text}: ${result} ${listed.join(', ')}`)
        if (result < 0) return
        // Who touches them says so.
        const touched = (name: string): boolean =>
          this.#calls.some((call) => call.text.includes(`${directory}/${name}`))
        for (const [name, child] of entries) {
          const times = listed.filter((one) => one === `${name} ${child}`).length
          check(touched(name) || times === 1, `${text} has shown ${name} ${times} times`)
        }
        for (const one of listed) {
          const name = one.slice(0, one.indexOf(' '))
          check(touched(name) || entries.has(name), `${text} has shown ${one}`)
        }
      },
    )
  }

  #losePower(): void {
    this.#files.losePower()
    // An answer may be on its way that the node does not remember. What is open is said again.
    for (const call of this.#calls) call.mayBeLost ||= !call.text.includes(': open ')
  }

  /** Nothing is in the way any more: soon every node answers, and every call ends. */
  #heal(): void {
    const { world } = this
    this.#troubles.end()
    const healedMs = world.clock.monotonicMs()
    this.#log.trace('healed')
    const left = (): number => Math.max(0, healedMs + CONVERGENCE_MS - world.clock.monotonicMs())
    const isDone = (): boolean => {
      this.#reap()
      return this.#log.running.size === 0 && world.isWhole
    }
    const within = (what: string, isOver: () => boolean): void => {
      try {
        world.until(isOver, left())
      } catch (error) {
        throw new Error(
          `${what}: ${(error as Error).message}, ${[...this.#log.running.values()].map(({ text }) => text).join('; ')}`,
        )
      }
    }
    within('calls go on', isDone)
    this.#locks.unlockAll(within)
    this.slowestMs = Math.max(this.slowestMs, world.clock.monotonicMs() - healedMs)
    this.#settle()
  }

  /** What was begun by somebody who is no more goes on by itself. */
  #settle(): void {
    const { world } = this
    const endMs = world.clock.monotonicMs() + SETTLING_MS
    do world.rest(1500)
    while (world.clock.monotonicMs() < endMs && world.audit().unsettled > 0)
  }

  #judge(): void {
    const trees = this.#clients.map((client) => treeOf(client).join('\n'))
    const [tree] = trees as [string]
    for (const other of trees) check(other === tree, `nodes disagree:\n${tree}\n---\n${other}`)
    // What a create says it has opened may be what another one has made that has said EIO.
    const created = this.#calls.filter(({ makes }) => makes).map(({ result }) => result ?? 0)
    const numbers = new Set([...tree.split('\n').map((line) => Number(line.split(' ')[1])), ...created])
    const unclaimed = [...numbers].filter((number) => number > 0 && this.#model.get(number) === undefined)
    const next = explain(this.#model, this.#calls, tree, unclaimed)
    if (next === undefined) throw new Error(`no order of the calls explains this tree:\n${tree}`)
    this.#model = next
    this.#dropGone()
    this.#files.keep((number) => next.get(number) !== undefined)
    for (const { number, isDirectory } of next.inodes.values()) {
      if (!isDirectory) this.#files.judge(number, this.#readersOf(number))
    }
  }

  /** Whose kernels can read a file. */
  #readersOf(number: number): NamesClient[] {
    if (this.#model.path(number) !== undefined) return this.#clients
    return this.#openings.filter((opening) => opening.number === number).map(({ client }) => client)
  }

  /** Closes what a power cut has taken away; the rest is what is open, also by calls that seem not to have happened. */
  #dropGone(): void {
    this.#openings = this.#openings.filter((opening) => {
      if (this.#model.get(opening.number) !== undefined && !this.#isGone(opening)) return true
      check(this.#files.mayBeGone(opening.number), `${opening.number} is open, and is gone`)
      this.#close(opening)
      return false
    })
    for (const { number } of [...this.#model.inodes.values()]) {
      this.#model.setOpens(number, this.#openings.filter((opening) => opening.number === number).length)
    }
  }

  /** That a file lost its name, or that it was never made, looks the same in the tree: only who has it open can tell. */
  #isGone({ client, number }: Opening): boolean {
    return this.#model.path(number) === undefined && this.#files.mayBeGone(number) && this.#files.isGone(client, number)
  }

  /** Closes some of what is open, and what has lost its locks in any case. */
  #releaseSome(all = false): void {
    this.#reap()
    this.#openings = this.#openings.filter((opening) => {
      const { client, number, handle } = opening
      if (!all && !client.node.fs.isLost(handle) && !this.#prng.oneIn(3)) return true
      this.#close(opening)
      this.#model.release(number)
      return false
    })
    this.#files.keep((number) => this.#model.get(number) !== undefined)
  }

  #close(opening: Opening): void {
    const { client, number, handle } = opening
    this.#log.trace(`  ${client.node.index}: close ${number}`)
    client.begin(() => {
      client.node.fs.release(number, handle, ownerOf(opening))
      return 0
    })
  }

  #audit(): void {
    this.#settle()
    const { faults, unsettled } = this.world.audit()
    check(faults.length === 0, faults.join('\n'))
    check(unsettled === 0, `${unsettled} changes are never finished`)
    check(this.world.faults.length === 0, this.world.faults.join('\n'))
    check(this.world.network.vainReplies === 0, 'a request was answered twice')
    check(this.world.unanswered === 0, `${this.world.unanswered} requests were never answered`)
  }

  /** Everything is closed and removed: nothing may be left of it anywhere. */
  #end(): void {
    this.#releaseSome(true)
    const [client] = this.#clients as [NamesClient]
    const empty = (directory: number): void => {
      const entries = client.list(directory)
      if (typeof entries === 'number') throw new Error(`readdir: ${entries}`)
      for (const [name, child] of entries) {
        const found = client.lookup(directory, name)
        const inode = client.stat(found)
        check(found === child && typeof inode === 'object', `${name} is ${found}, not ${child}`)
        const isDir = typeof inode === 'object' && isDirectory(inode.mode)
        if (isDir) empty(child)
        const error = isDir ? client.rmdir(directory, name) : client.unlink(directory, name)
        check(error === 0, `removing ${name}: ${error}`)
      }
    }
    empty(ROOT)
    this.#audit()
    const error = client.run((done) => client.node.fs.syncfs(done))
    check(error === 0, `syncfs: ${error}`)
    this.#settle()
    // A client that has died comes back as another one; what it had open is kept for it for a while.
    this.world.rest(this.world.hasLostClients ? CLIENT_ABSENCE_MS : LEASE_MS)
    const left = this.world.leftovers(this.#troubles.storeHasFailed)
    check(left.length === 0, `in the end there are still ${left.join(', ')}`)
    this.#log.trace(`slowest ${this.slowestMs} ms`)
  }
}

/** open(2) with O_CREAT. */
function created(
  model: NamesModel,
  parent: number,
  name: string,
  number: number,
  exclusive: boolean,
): readonly number[] {
  const existing = model.lookup(parent, name)
  if (existing === undefined || exclusive) {
    const errors = model.errorsOfNew(parent, name)
    if (errors.length > 0) return errors
    if (model.get(number) !== undefined) return [0]
    model.make(parent, name, number, false)
    return model.open(number)
  }
  // A directory has come there meanwhile: what the kernel would say then is not this layer's.
  if (model.get(existing)?.isDirectory === true) return [EISDIR, EEXIST]
  // Another one than was opened: no errno fits.
  return existing === number ? model.open(number) : [0]
}
