/**
 * Random calls from all nodes of a whole cluster at once, on names, contents, attributes and locks of a small tree, while
 * nodes and links fail. A run goes in rounds: calls and troubles; then everything is healed, and within a bounded time
 * every node answers every call again; then all that was said and all that is there must have an explanation.
 */
import { EAGAIN, EDEADLK, EEXIST, EINTR, EIO, EISDIR, ENODATA, ENOSPC, ESTALE } from '../../lib/base/errno.js'
import { isDirectory, S_IFREG } from '../../lib/base/mode.js'
import { LEASE_MS } from '../../lib/node/leases.js'
import { F_RDLCK, F_UNLCK, F_WRLCK, LOCK_END, type Lock } from '../../lib/share/locks.js'
import type { LockKind } from '../../lib/fs/operations.js'
import { type FileCall, Files } from './cluster-data-files.js'
import type { Change } from './cluster-data-oracle.js'
import { ATTRIBUTE, FileRecord, LockLedger, MODE } from './cluster-file.js'
import type { ClusterNode } from './cluster-node.js'
import { type Trouble, Troubles } from './cluster-troubles.js'
import { CHUNK_BYTES, ClusterWorld, type MeetingNode } from './cluster-world.js'
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
/** Files that there are at least, and that each node has open. */
const FILES_MIN = 3
const OPENINGS_MIN = 2
/** Files reach at most so far. */
const REACH = 10 * CHUNK_BYTES
/** From the moment that nothing is in the way any more until every node has answered every call. */
export const CONVERGENCE_MS = 30_000
/** How long what was begun may go on by itself. */
const SETTLING_MS = 30_000
/** After which a client that is away is given up, and some more. */
const CLIENT_ABSENCE_MS = 620_000
const XATTR = 'user.x'
/** File modes that stay files' whatever is set. */
const MODE_BASE = 0o400
const KINDS: readonly LockKind[] = ['record', 'flock']

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

/** A file that a process of a node has open. */
interface Opening {
  readonly client: NamesClient
  readonly incarnation: number
  readonly number: number
  readonly handle: number
  /** Somebody waits for a lock through it. */
  isWaiting: boolean
  /** Calls about its locks that are under way: two of one owner have no order. */
  lockCalls: number
}

export class ClusterDriver {
  readonly world: ClusterWorld
  /** What the run has done, in one number: the same seed, the same number. */
  hash = 0x811c9dc5
  /** The longest time that it took until all was well again. */
  slowestMs = 0
  readonly #prng: Prng
  readonly #options: ClusterRunOptions
  readonly #clients: NamesClient[]
  readonly #files: Files<MeetingNode>
  readonly #plans: NamesPlans
  readonly #troubles: Troubles
  #model = new NamesModel(ROOT)
  readonly #records = new Map<number, FileRecord>()
  readonly #ledgers = new Map<string, LockLedger>()
  #openings: Opening[] = []
  /** Calls on names of this round. */
  #calls: Call[] = []
  /** Calls under way, but those that wait for locks. */
  readonly #running = new Map<
    object,
    { readonly text: string; readonly node: ClusterNode; readonly incarnation: number }
  >()
  #incarnations: number[] = []
  #now = 0
  #handles = 0
  #isUnlocking = false
  #tag = 0
  /** When the power went last, and when the round has begun. */
  #powerCut = -1
  #roundBeganAt = 0
  /** Inodes that were there then. */
  #safe: ReadonlySet<number> = new Set()

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
    this.#trace(`${members} members, ${clients} clients, ${positions} positions, ${credits} credits`)
    this.#clients = this.world.nodes.map((node) => new NamesClient(this.world, node))
    this.#files = new Files(this.world)
    this.#plans = new NamesPlans(prng)
    this.#troubles = new Troubles(this.world, prng, options.troubles, (line) => this.#trace(line))
    this.#troubles.onPowerCut = () => this.#losePower()
  }

  run(): void {
    this.world.until(() => this.world.isWhole, CONVERGENCE_MS)
    this.#trace('all are ready')
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
        this.#check(found === number, `${path.join('/')} is ${found}, not ${number}, for ${client.node.index}`)
      }
    }
    this.#openSome()
    const [client] = this.#clients as [NamesClient]
    const error = client.run((done) => client.node.fs.syncfs(done))
    this.#check(error === 0, `syncfs: ${error}`)
    this.#roundBeganAt = this.#tick()
    this.#safe = new Set(this.#model.inodes.keys())
    this.#trace('round')
  }

  /** Every node has some files open. */
  #openSome(): void {
    const files = (): ModelInode[] =>
      [...this.#model.inodes.values()].filter(({ number, isDirectory }) => !isDirectory && this.#model.path(number))
    for (let at = files().length; at < FILES_MIN; at++) {
      const name = `f${++this.#tag}`
      const number = this.#prng.pick(this.#clients).mknod(ROOT, name, S_IFREG | 0o644)
      this.#check(number > 0, `mknod ${name}: ${number}`)
      this.#model.make(ROOT, name, number, false)
      for (const client of this.#clients) client.lookup(ROOT, name)
    }
    for (const client of this.#clients) {
      const mine = this.#openings.filter((opening) => opening.client === client).length
      for (let at = mine; at < OPENINGS_MIN; at++) {
        const { number } = this.#prng.pick(files())
        const error = client.open(number)
        this.#check(error === 0, `open ${number}: ${error}`)
        this.#model.open(number)
        this.#opened(client, number)
      }
    }
  }

  /** Its kernel holds what was prepared: it has not started anew since. */
  #mayAsk({ node }: NamesClient): boolean {
    return node.isReady && node.incarnation === this.#incarnations[node.index]
  }

  /** Forgets calls whose nodes have died. */
  #reap(): void {
    for (const [token, { text, node, incarnation }] of this.#running) {
      if (node.isOn && node.incarnation === incarnation) continue
      this.#trace(`  ${text}: lost`)
      this.#running.delete(token)
    }
    this.#openings = this.#openings.filter((opening) => {
      if (this.#isOpen(opening)) return true
      for (const kind of KINDS) this.#ledger(opening.number, kind).giveUpAll(ownerOf(opening))
      this.#model.release(opening.number)
      return false
    })
  }

  #isOpen({ client, incarnation }: Opening): boolean {
    return client.node.isOn && client.node.incarnation === incarnation
  }

  /** A call begins; what to call when it has ended. */
  #begin(node: ClusterNode, text: string): () => void {
    this.#trace(`  ${text} …`)
    const token = {}
    this.#running.set(token, { text, node, incarnation: node.incarnation })
    return () => void this.#running.delete(token)
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
      ...{ text, apply, makes, beganAt: this.#tick(), endedAt: Number.POSITIVE_INFINITY },
      ...{ result: undefined, mayBeLost: false },
    }
    this.#calls.push(call)
    const end = this.#begin(client.node, text)
    client.begin(run, ({ resultOrError: result }) => {
      end()
      this.#trace(`  ${text}: ${result}`)
      // In trouble nobody can say what has become of it.
      call.endedAt = this.#tick()
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
      () => this.#write(opening),
      () => this.#write(opening),
      () => this.#append(opening),
      () => this.#read(opening),
      () => this.#read(opening),
      () => this.#truncate(opening),
      () => this.#stat(opening),
      () => this.#stat(opening),
      () => this.#fsync(opening),
      () => this.#chmod(opening),
      () => this.#setxattr(opening),
      () => this.#getxattr(opening),
      () => this.#lock(opening),
      () => this.#lock(opening),
      () => this.#unlock(opening),
      () => this.#closeEarly(opening),
    ]
    this.#prng.pick(calls)()
  }

  /** It was made in this round, and the power has gone since. */
  #mayBeGone(number: number): boolean {
    return this.#powerCut > this.#roundBeganAt && !this.#safe.has(number)
  }

  /** close(2): whatever was locked through it is not any more. */
  #closeEarly(opening: Opening): void {
    const { client, number } = opening
    const isBusy = [...this.#running.values()].some(({ node }) => node === client.node)
    if (isBusy || opening.isWaiting || this.#mayBeGone(number)) return
    for (const kind of KINDS) this.#ledger(number, kind).giveUpAll(ownerOf(opening))
    const release = (model: NamesModel): readonly number[] => {
      model.release(number)
      return []
    }
    this.#calls.push({
      ...{ text: `${client.node.index}: close ${number}`, apply: release, makes: false, beganAt: this.#tick() },
      ...{ endedAt: Number.POSITIVE_INFINITY, result: 0, mayBeLost: false },
    })
    this.#openings.splice(this.#openings.indexOf(opening), 1)
    this.#close(opening)
  }

  /** The record of a file, whose permissions are 0644 when it is made. */
  #record(number: number): FileRecord {
    let record = this.#records.get(number)
    if (record === undefined) {
      record = new FileRecord(0o644)
      this.#records.set(number, record)
    }
    return record
  }

  /** Begins a call on an open file: `run` makes it, and `ended` judges what it says, unless that is a trouble's. */
  #start(
    opening: Opening,
    what: string,
    changes: readonly Change[],
    run: (node: MeetingNode, ended: (call: FileCall) => void) => void,
    ended: (call: FileCall, start: number, end: number) => void,
  ): void {
    const node = opening.client.node as MeetingNode
    const text = `${node.index}: ${what}`
    const start = this.#tick()
    const over = this.#begin(node, text)
    run(node, (call) => {
      over()
      const end = this.#tick()
      this.#trace(`  ${text}: ${call.result}${call.inode === undefined ? '' : ` ${call.size}`}`)
      const { result } = call
      if (result === -EIO && this.#troubles.mayFail) return
      if (result === -ENOSPC && this.#troubles.isFull) return
      if (result === -ESTALE && (this.#mayBeGone(opening.number) || this.#troubles.storeFails)) return
      // What the power has taken away of it meanwhile is not known.
      if (start > this.#powerCut) for (const change of changes) change.end = end
      ended(call, start, end)
    })
  }

  #range(): [offset: number, bytes: number] {
    const near = this.#prng.below(REACH / CHUNK_BYTES) * CHUNK_BYTES + this.#prng.pick([0, 1, -1, 100, 4000])
    const offset = Math.max(0, this.#prng.oneIn(2) ? near : this.#prng.below(REACH))
    const lengths = [1, 100, 4000, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]
    return [offset, Math.max(1, Math.min(this.#prng.pick(lengths), REACH - offset))]
  }

  #write(opening: Opening): void {
    const { number } = opening
    const { contents } = this.#record(number)
    const [offset, bytes] = this.#range()
    const tag = ++this.#tag
    const value = (at: number): number => 1 + ((tag * 41 + (at >> 9)) % 255)
    const data = Uint8Array.from({ length: bytes }, (_, index) => value(offset + index))
    const what = `write ${number}: ${bytes} at ${offset}`
    const change = contents.begin({ kind: 'bytes', from: offset, to: offset + bytes, value, start: this.#now + 1 })
    this.#start(
      opening,
      what,
      [],
      (node, ended) => this.#files.write(node, number, offset, data, false, ended),
      ({ result }, start, end) => {
        if (result === bytes && start > this.#powerCut) change.end = end
        this.#check(result === bytes || (result > 0 && this.#troubles.isFull), `${what}: ${result}`)
      },
    )
  }

  #append(opening: Opening): void {
    const { number } = opening
    const { contents } = this.#record(number)
    if (contents.base.length > REACH) return
    const bytes = this.#prng.pick([1, 500, 5000, CHUNK_BYTES + 5])
    const tag = 1 + (++this.#tag % 255)
    const what = `append ${number}: ${bytes} of ${tag}`
    contents.beginAppend(tag, this.#now + 1)
    this.#start(
      opening,
      what,
      [],
      (node, ended) => this.#files.write(node, number, 0, new Uint8Array(bytes).fill(tag), true, ended),
      ({ result }) => this.#check(result === bytes || (result > 0 && this.#troubles.isFull), `${what}: ${result}`),
    )
  }

  #truncate(opening: Opening): void {
    const { number } = opening
    const { contents } = this.#record(number)
    const isOpen = this.#prng.oneIn(5)
    const size = isOpen ? 0 : (this.#range()[0] as number)
    const what = isOpen ? `open ${number} with O_TRUNC` : `truncate ${number} to ${size}`
    const shape = { from: size, to: size, value: () => 0, start: this.#now + 1 }
    const changes = [contents.begin({ kind: 'cut', ...shape }), contents.begin({ kind: 'grow', ...shape })]
    const { client } = opening
    this.#start(
      opening,
      what,
      changes,
      (node, ended) => {
        if (isOpen) this.#files.empty(node, number, ended)
        else this.#files.truncate(node, number, size, ended)
      },
      ({ result }) => {
        this.#check(result === 0, `${what}: ${result}`)
        if (!isOpen) return
        client.node.fs.release(number, 0, undefined)
      },
    )
  }

  #read(opening: Opening): void {
    const { number } = opening
    const record = this.#record(number)
    const [offset, bytes] = this.#range()
    const what = `read ${number}: ${bytes} at ${offset}`
    this.#start(
      opening,
      what,
      [],
      (node, ended) => this.#files.read(node, number, offset, bytes, ended),
      (call, start, end) => {
        this.#check(call.result >= 0, `${what}: ${call.result}`)
        const wrong = record.read(offset, bytes, call.bytes.subarray(0, call.result), start, end)
        this.#check(wrong === null, `${what}: ${wrong}`)
      },
    )
  }

  #stat(opening: Opening): void {
    const { number } = opening
    const record = this.#record(number)
    const what = `stat ${number}`
    const { changedAt } = record
    const power = this.#powerCut
    this.#start(
      opening,
      what,
      [],
      (node, ended) => this.#files.stat(node, number, ended),
      ({ result, inode, size }, start, end) => {
        this.#check(result === 0 && inode !== undefined, `${what}: ${result}`)
        if (inode === undefined) return
        const wrong = record.measured(size, start, end) ?? record.attribute(MODE, inode.mode & 0xff, start, end)
        this.#check(wrong === null, `${what}: ${wrong}`)
        const changed = inode.ctime * 1e9 + inode.ctimeNs
        if (power !== this.#powerCut) return
        this.#check(changed >= changedAt, `${what}: ctime runs back from ${changedAt} to ${changed}`)
        record.changedAt = Math.max(record.changedAt, changed)
      },
    )
  }

  #fsync(opening: Opening): void {
    const { number } = opening
    const record = this.#record(number)
    const what = `fsync ${number}`
    this.#start(
      opening,
      what,
      [],
      (node, ended) => this.#files.fsync(node, number, ended),
      ({ result }, start) => {
        this.#check(result === 0, `${what}: ${result}`)
        if (start > this.#powerCut) record.synced(start)
      },
    )
  }

  #chmod(opening: Opening): void {
    const { number } = opening
    const mode = MODE_BASE | this.#prng.below(256)
    const what = `chmod ${number} ${mode.toString(8)}`
    this.#start(
      opening,
      what,
      [this.#attributeSet(number, MODE, mode & 0xff)],
      (node, ended) => this.#files.chmod(node, number, mode, ended),
      ({ result }) => this.#check(result === 0, `${what}: ${result}`),
    )
  }

  #setxattr(opening: Opening): void {
    const { number } = opening
    const value = 1 + this.#prng.below(255)
    const what = `setxattr ${number} ${value}`
    this.#start(
      opening,
      what,
      [this.#attributeSet(number, ATTRIBUTE, value)],
      (node, ended) => this.#files.setxattr(node, number, XATTR, Uint8Array.of(value), ended),
      ({ result }) => this.#check(result === 0, `${what}: ${result}`),
    )
  }

  #attributeSet(number: number, at: number, value: number): Change {
    const { attributes } = this.#record(number)
    return attributes.begin({ kind: 'bytes', from: at, to: at + 1, value: () => value, start: this.#now + 1 })
  }

  #getxattr(opening: Opening): void {
    const { number } = opening
    const record = this.#record(number)
    const what = `getxattr ${number}`
    this.#start(
      opening,
      what,
      [],
      (node, ended) => this.#files.getxattr(node, number, XATTR, ended),
      ({ result, bytes }, start, end) => {
        this.#check(result === 1 || result === -ENODATA, `${what}: ${result}`)
        const wrong = record.attribute(ATTRIBUTE, result === 1 ? (bytes[0] as number) : 0, start, end)
        this.#check(wrong === null, `${what}: ${wrong}`)
      },
    )
  }

  #ledger(number: number, kind: LockKind): LockLedger {
    const key = `${kind} ${number}`
    let ledger = this.#ledgers.get(key)
    if (ledger === undefined) {
      ledger = new LockLedger()
      this.#ledgers.set(key, ledger)
    }
    return ledger
  }

  #lock(opening: Opening): void {
    if (opening.lockCalls > 0 || opening.client.node.fs.isLost(opening.handle)) return
    const kind = this.#prng.pick(KINDS)
    const [start, end] =
      kind === 'flock'
        ? [0, LOCK_END]
        : this.#prng.pick([
            [0, LOCK_END],
            [0, 9],
            [10, 19],
          ] as const)
    const lock: Lock = { ...lockOf(opening), type: this.#prng.pick([F_RDLCK, F_WRLCK]), start, end }
    const waits = this.#prng.oneIn(3)
    const what = `${waits ? 'wait for' : 'try'} ${kind} lock ${lock.type} ${opening.number} ${start}-${end}`
    const ledger = this.#ledger(opening.number, kind)
    // It may take the place of another one at any moment.
    ledger.giveUp(lock)
    const { fs } = opening.client.node
    this.#locked(
      opening,
      what,
      (done) => {
        if (!waits) return fs.setLock(opening.number, kind, lock, done)
        return fs.waitLock(opening.number, kind, lock, ownerOf(opening), done)
      },
      (result) => {
        if (result === -EAGAIN || result === -EINTR || result === -EDEADLK) return
        this.#check(result === 0, `${what}: ${result}`)
        const blocker = ledger.granted(lock, (held) => this.#isValid(held))
        this.#check(blocker === undefined, `${what}: ${lock.owner} and ${blocker?.owner} both have it`)
      },
      waits,
    )
  }

  #unlock(opening: Opening): void {
    if (opening.lockCalls > 0) return
    const kind = this.#prng.pick(KINDS)
    const lock: Lock = { ...lockOf(opening), type: F_UNLCK, start: 0, end: LOCK_END }
    this.#ledger(opening.number, kind).giveUpAll(lock.owner)
    const { fs } = opening.client.node
    const what = `unlock ${kind} ${opening.number}`
    this.#locked(
      opening,
      what,
      (done) => fs.setLock(opening.number, kind, lock, done),
      (result) => this.#check(result === 0, `${what}: ${result}`),
      false,
    )
  }

  #locked(
    opening: Opening,
    what: string,
    run: (done: (result: number) => void) => number,
    ended: (result: number) => void,
    waits: boolean,
  ): void {
    const text = `${opening.client.node.index}: ${what} by ${ownerOf(opening)}`
    const end = waits ? (): void => undefined : this.#begin(opening.client.node, text)
    if (waits) this.#trace(`  ${text} …`)
    if (waits) opening.isWaiting = true
    opening.lockCalls++
    opening.client.begin(run, ({ resultOrError: result }) => {
      end()
      this.#trace(`  ${text}: ${result}`)
      if (waits) opening.isWaiting = false
      opening.lockCalls--
      // It comes too late: all are about to give up what they have.
      if (waits && this.#isUnlocking) opening.client.node.clock.after(0, () => this.#giveUpBoth(opening))
      if (result === -EIO && this.#troubles.mayFail) return
      if (result === -ESTALE && this.#mayBeGone(opening.number)) return
      ended(result)
    })
  }

  /** Its owner lives, and does not know that it has lost it. */
  #isValid({ owner }: Lock): boolean {
    const opening = this.#openings.find((one) => ownerOf(one) === owner)
    return opening !== undefined && this.#isOpen(opening) && !opening.client.node.fs.isLost(opening.handle)
  }

  /** A listing shows every name once that nobody touches meanwhile, and none that nobody has made. */
  #list(client: NamesClient): void {
    const directory = this.#plans.directory(this.#model)
    const entries = new Map((this.#model.get(directory) as ModelInode).entries)
    const text = `${client.node.index}: readdir ${directory}`
    const end = this.#begin(client.node, text)
    const listed: string[] = []
    client.beginList(
      directory,
      (name, child) => void listed.push(`${name} ${child}`),
      (result) => {
        end()
        this.#trace(`  ${text}: ${result} ${listed.join(', ')}`)
        if (result < 0) return
        // Who touches them says so.
        const touched = (name: string): boolean =>
          this.#calls.some((call) => call.text.includes(`${directory}/${name}`))
        for (const [name, child] of entries) {
          const times = listed.filter((one) => one === `${name} ${child}`).length
          this.#check(touched(name) || times === 1, `${text} has shown ${name} ${times} times`)
        }
        for (const one of listed) {
          const name = one.slice(0, one.indexOf(' '))
          this.#check(touched(name) || entries.has(name), `${text} has shown ${one}`)
        }
      },
    )
  }

  #losePower(): void {
    this.#powerCut = this.#tick()
    // An answer may be on its way that the node does not remember. What is open is said again.
    for (const call of this.#calls) call.mayBeLost ||= !call.text.includes(': open ')
    for (const record of this.#records.values()) record.doubt(this.#now)
  }

  /** Nothing is in the way any more: soon every node answers, and every call ends. */
  #heal(): void {
    const { world } = this
    this.#troubles.end()
    const healedMs = world.clock.monotonicMs()
    this.#trace('healed')
    const left = (): number => Math.max(0, healedMs + CONVERGENCE_MS - world.clock.monotonicMs())
    const isDone = (): boolean => {
      this.#reap()
      return this.#running.size === 0 && world.isWhole
    }
    const within = (what: string, isOver: () => boolean): void => {
      try {
        world.until(isOver, left())
      } catch (error) {
        throw new Error(
          `${what}: ${(error as Error).message}, ${[...this.#running.values()].map(({ text }) => text).join('; ')}`,
        )
      }
    }
    within('calls go on', isDone)
    this.#unlockAll(within)
    this.slowestMs = Math.max(this.slowestMs, world.clock.monotonicMs() - healedMs)
    this.#settle()
  }

  /** What waits for a lock gets it when the others have given theirs up; afterwards nobody has any. */
  #unlockAll(within: (what: string, isOver: () => boolean) => void): void {
    this.#isUnlocking = true
    for (const opening of this.#openings) {
      if (opening.isWaiting && this.#prng.oneIn(3)) opening.client.node.fs.interrupt(ownerOf(opening))
      this.#giveUpBoth(opening)
    }
    within('locks are waited for', () =>
      this.#openings.every((opening) => !this.#isOpen(opening) || !opening.isWaiting),
    )
    for (const opening of this.#openings) this.#giveUpBoth(opening)
    this.#isUnlocking = false
    within('locks are given up', () => this.#running.size === 0)
    for (const opening of this.#openings) {
      const { number, client } = opening
      if (client.node.fs.isLost(opening.handle) || this.#mayBeGone(number)) continue
      for (const kind of KINDS) {
        for (const type of [F_WRLCK, F_UNLCK]) {
          const lock: Lock = { ...lockOf(opening), type, start: 0, end: LOCK_END }
          let result = -EAGAIN
          within(`a ${kind} lock of ${number} is not to be had`, () => {
            result = client.run((done) => client.node.fs.setLock(number, kind, lock, done))
            if (result === -EAGAIN) this.world.rest(1000)
            return result !== -EAGAIN
          })
          this.#check(result === 0, `${kind} lock ${type} of ${number} after all: ${result}`)
        }
      }
    }
  }

  #giveUpBoth(opening: Opening): void {
    if (this.#isOpen(opening)) for (const kind of KINDS) this.#giveUp(opening, kind)
  }

  #giveUp(opening: Opening, kind: LockKind): void {
    const { client, number } = opening
    this.#ledger(number, kind).giveUpAll(ownerOf(opening))
    const lock: Lock = { ...lockOf(opening), type: F_UNLCK, start: 0, end: LOCK_END }
    this.#locked(
      opening,
      `give up ${kind} ${number}`,
      (done) => client.node.fs.setLock(number, kind, lock, done),
      (result) => this.#check(result === 0, `giving up a ${kind} lock: ${result}`),
      false,
    )
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
    for (const other of trees) this.#check(other === tree, `nodes disagree:\n${tree}\n---\n${other}`)
    const known = new Set([...this.#model.inodes.keys(), ...this.#calls.map(({ result }) => result ?? 0)])
    const numbers = new Set(tree.split('\n').map((line) => Number(line.split(' ')[1])))
    const unclaimed = [...numbers].filter((number) => !known.has(number))
    const next = explain(this.#model, this.#calls, tree, unclaimed)
    if (next === undefined) throw new Error(`no order of the calls explains this tree:\n${tree}`)
    this.#model = next
    this.#dropGone()
    for (const number of this.#records.keys()) if (next.get(number) === undefined) this.#records.delete(number)
    for (const inode of next.inodes.values()) if (!inode.isDirectory) this.#judgeFile(inode)
  }

  /** Closes what a power cut has taken away; the rest is what is open, also by calls that seem not to have happened. */
  #dropGone(): void {
    this.#openings = this.#openings.filter((opening) => {
      if (this.#model.get(opening.number) !== undefined) return true
      this.#check(this.#mayBeGone(opening.number), `${opening.number} is open, and is gone`)
      this.#close(opening)
      return false
    })
    for (const { number } of [...this.#model.inodes.values()]) {
      this.#model.setOpens(number, this.#openings.filter((opening) => opening.number === number).length)
    }
  }

  /** Whoever can see the file sees the same. */
  #judgeFile({ number }: ModelInode): void {
    const record = this.#record(number)
    const hasName = this.#model.path(number) !== undefined
    const readers = hasName
      ? this.#clients
      : this.#openings.filter((one) => one.number === number).map(({ client }) => client)
    const [first] = readers
    if (first === undefined) return
    const start = this.#tick()
    const seen = this.#look(first, number)
    const end = this.#tick()
    const { bytes, mode, attribute } = seen
    const wrong =
      record.read(0, bytes.length + 1, bytes, start, end) ??
      record.attribute(MODE, mode, start, end) ??
      record.attribute(ATTRIBUTE, attribute, start, end)
    this.#check(wrong === null, `in the end ${number} has ${wrong}`)
    const unordered = record.firstWithoutOrder()
    this.#check(unordered === null, `no order of the calls explains ${unordered} of ${number}`)
    for (const other of readers) {
      const again = this.#look(other, number)
      const at = again.bytes.findIndex((byte, index) => byte !== bytes[index])
      const isSame =
        again.bytes.length === bytes.length && at < 0 && again.mode === mode && again.attribute === attribute
      this.#check(
        isSame,
        `${other.node.index} sees another file ${number}: ${again.bytes.length} bytes, ${again.mode}, at ${at}`,
      )
    }
    record.adopt(bytes, mode, attribute)
  }

  #look({ node }: NamesClient, number: number): { bytes: Uint8Array; mode: number; attribute: number } {
    const { payloadBytes } = node.pool
    const { size, result, inode } = this.#files.now((ended) => this.#files.stat(node as MeetingNode, number, ended))
    this.#check(result === 0, `${node.index}: stat of ${number}: ${result}`)
    const bytes = new Uint8Array(size)
    for (let offset = 0; offset < size; offset += payloadBytes) {
      const call = this.#files.now((ended) =>
        this.#files.read(node as MeetingNode, number, offset, payloadBytes, ended),
      )
      const expected = Math.min(payloadBytes, size - offset)
      this.#check(call.result === expected, `${node.index}: reading ${number} at ${offset} of ${size}: ${call.result}`)
      bytes.set(call.bytes.subarray(0, expected), offset)
    }
    const attribute = this.#files.now((ended) => this.#files.getxattr(node as MeetingNode, number, XATTR, ended))
    this.#check(attribute.result === 1 || attribute.result === -ENODATA, `getxattr of ${number}: ${attribute.result}`)
    return {
      bytes,
      mode: (inode?.mode ?? 0) & 0xff,
      attribute: attribute.result === 1 ? (attribute.bytes[0] as number) : 0,
    }
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
    for (const number of this.#records.keys()) if (this.#model.get(number) === undefined) this.#records.delete(number)
  }

  #close(opening: Opening): void {
    const { client, number, handle } = opening
    this.#trace(`  ${client.node.index}: close ${number}`)
    client.begin(() => {
      client.node.fs.release(number, handle, ownerOf(opening))
      return 0
    })
  }

  #audit(): void {
    this.#settle()
    const { faults, unsettled } = this.world.audit()
    this.#check(faults.length === 0, faults.join('\n'))
    this.#check(unsettled === 0, `${unsettled} changes are never finished`)
    this.#check(this.world.faults.length === 0, this.world.faults.join('\n'))
    this.#check(this.world.network.vainReplies === 0, 'a request was answered twice')
    this.#check(this.world.unanswered === 0, `${this.world.unanswered} requests were never answered`)
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
        this.#check(found === child && typeof inode === 'object', `${name} is ${found}, not ${child}`)
        const isDir = typeof inode === 'object' && isDirectory(inode.mode)
        if (isDir) empty(child)
        const error = isDir ? client.rmdir(directory, name) : client.unlink(directory, name)
        this.#check(error === 0, `removing ${name}: ${error}`)
      }
    }
    empty(ROOT)
    this.#audit()
    const error = client.run((done) => client.node.fs.syncfs(done))
    this.#check(error === 0, `syncfs: ${error}`)
    this.#settle()
    // A client that has died comes back as another one; what it had open is kept for it for a while.
    this.world.rest(this.world.hasLostClients ? CLIENT_ABSENCE_MS : LEASE_MS)
    const left = this.world.leftovers(this.#troubles.storeHasFailed)
    this.#check(left.length === 0, `in the end there are still ${left.join(', ')}`)
    this.#trace(`slowest ${this.slowestMs} ms`)
  }

  #tick(): number {
    return ++this.#now
  }

  #check(condition: boolean, message: string): void {
    if (!condition) throw new Error(message)
  }

  #trace(line: string): void {
    const text = `${this.world.clock.monotonicMs().toFixed(0).padStart(7)} ${line}`
    for (let at = 0; at < text.length; at++) this.hash = Math.imul(this.hash ^ text.charCodeAt(at), 0x01000193) >>> 0
    this.#options.trace?.(text)
  }
}

const ownerOf = ({ handle }: Opening): string => `owner ${handle}`

const lockOf = (opening: Opening): { owner: string; handle: number; pid: number } => ({
  ...{ owner: ownerOf(opening), handle: opening.handle, pid: opening.handle },
})

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
