import { EIO, ESTALE } from '../base/errno.js'
import { OUT_ENTRIES, OUT_NAME, OUT_SUBDIRECTORIES, OUT_UNLINK, type OutgoingChange } from '../meta/outbox.js'
import type { MetaStore } from '../meta/store.js'
import type { Turn } from '../meta/turn.js'
import type { Clock } from '../ports.js'
import type { Context } from '../share/context.js'
import { InodeLinks, InodeTouch, ParentUpdate } from '../wire/methods.js'
import { applyChange, type Legacy } from './links.js'
import type { Router } from './router.js'
import { SEQUENCES, type Stream } from './stream.js'
import type { Delivery } from './waits.js'

/** When a node is told again that has answered with a failure, or a store asked again that has failed. */
const AGAIN_MS = 1000

/** A record of the outbox, and who waits until its inode's node has been told. */
class Letter {
  readonly id: number
  readonly change: OutgoingChange
  readonly waiting: Delivery<Legacy>[] = []
  /** False where its record was undone. */
  isStored = true
  /** It is on its way, or goes when the open batch is committed. */
  isPosted = false
  lateError = 0

  constructor(id: number, change: OutgoingChange) {
    this.id = id
    this.change = change
  }

  /** It moves times only: it may come twice, and may be lost with what it tells of. */
  get isTouch(): boolean {
    return this.change.kind === OUT_ENTRIES || this.change.kind === OUT_NAME
  }

  add(delivery: Delivery<Legacy>): void {
    this.waiting.push(delivery)
    if (this.lateError < 0) delivery.late(this.lateError)
  }

  late(error: number): void {
    this.lateError = error
    for (const delivery of this.waiting) delivery.late(error)
  }

  end(error: number, reply?: Legacy): void {
    for (const delivery of this.waiting.splice(0)) delivery.done(error, reply)
  }
}

export interface OutboxParts {
  readonly context: Context
  readonly router: Router
  readonly stream: Stream
  readonly turn: Turn
  readonly clock: Clock
}

/**
 * Changes of inodes that follow from changes of their names and entries. Where the inode lies here it changes in the
 * same batch; where it does not, a record in that batch says what its node has yet to be told, until it has been.
 * Touches of one inode that gather while one is on its way are sent as one.
 */
export class Outgoing {
  readonly #context: Context
  readonly #meta: MetaStore
  readonly #router: Router
  readonly #stream: Stream
  readonly #turn: Turn
  readonly #clock: Clock
  /** By inode: that a touch is on its way, and the one that gathers what comes meanwhile, or until it goes. */
  readonly #touches = new Map<string, Letter | null>()
  /** Letters of the last run that are not answered yet. */
  readonly #recovered = new Set<number>()
  #whenRecovered: (() => void)[] = []
  /** Told of a directory with entries here that is not there any more. */
  onGone: (directory: number, generation: number) => void = () => undefined

  constructor({ context, router, stream, turn, clock }: OutboxParts) {
    this.#context = context
    this.#meta = context.meta
    this.#router = router
    this.#stream = stream
    this.#turn = turn
    this.#clock = clock
  }

  /** Entries of a directory have changed: its times move. The delivery says what it hands down, unless it lies here. */
  entries(number: number, generation: number, delivery: Delivery<Legacy>): void {
    this.#touch(this.#change(OUT_ENTRIES, number, generation, 0), delivery)
  }

  /** The inode has another name: its ctime moves. */
  renamed(number: number, generation: number, delivery: Delivery<Legacy>): void {
    this.#touch(this.#change(OUT_NAME, number, generation, 0), delivery)
  }

  /** The directory's entries have changed, and it has `links` subdirectories more. ESTALE where it is gone. */
  subdirectories(number: number, generation: number, links: number, delivery: Delivery<Legacy>): void {
    if (links === 0) this.entries(number, generation, delivery)
    else this.#tell(this.#change(OUT_SUBDIRECTORIES, number, generation, links), delivery)
  }

  /** A name of the inode is gone. */
  unlinked(number: number, generation: number, delivery: Delivery<Legacy>): void {
    this.#tell(this.#change(OUT_UNLINK, number, generation, -1), delivery)
  }

  /** Ids of letters of the last run that must not come twice. */
  list(): number[] {
    const letters = this.#meta.outbox.list().map(([id, change]) => new Letter(id, change))
    return letters.filter(({ isTouch }) => !isTouch).map(({ id }) => id)
  }

  /** Sends what the last run of this node has left. */
  recover(): void {
    for (const [id, change] of this.#meta.outbox.list()) {
      const letter = new Letter(id, change)
      this.#recovered.add(id)
      this.#post(letter)
    }
  }

  /** Calls `step` when all that the last run has left is delivered. */
  whenRecovered(step: () => void): void {
    if (this.#recovered.size === 0) step()
    else this.#whenRecovered.push(step)
  }

  #change(kind: number, number: number, generation: number, links: number): OutgoingChange {
    const { stamps } = this.#meta
    stamps.advance()
    const { seconds, nanoseconds } = stamps
    return { kind, number, generation, links, seconds, nanoseconds }
  }

  #touch(change: OutgoingChange, delivery: Delivery<Legacy>): void {
    if (this.#isHere(change)) {
      delivery.done(this.#apply(change))
      return
    }
    const key = keyOf(change)
    const gathering = this.#touches.get(key)
    if (gathering == null) {
      const letter = this.#write(change, this.#meta.counter.next())
      letter.add(delivery)
      this.#touches.set(key, letter)
      if (gathering === undefined) this.#post(letter)
      return
    }
    // Its record is there already, and stays until it was sent, which is later than now.
    if (!gathering.isStored) this.#store(gathering)
    gathering.change.seconds = change.seconds
    gathering.change.nanoseconds = change.nanoseconds
    gathering.add(delivery)
  }

  #tell(change: OutgoingChange, delivery: Delivery<Legacy>): void {
    if (this.#isHere(change)) {
      delivery.done(this.#apply(change))
      return
    }
    const letter = this.#write(change, this.#stream.open())
    letter.add(delivery)
    this.#post(letter)
  }

  #apply(change: OutgoingChange): number {
    const error = applyChange(this.#context, change)
    return isOfEntries(change) ? error : 0
  }

  #isHere({ number }: OutgoingChange): boolean {
    return this.#router.ofInode(number) === this.#router.self
  }

  #write(change: OutgoingChange, id: number): Letter {
    const letter = new Letter(id, change)
    this.#store(letter)
    return letter
  }

  #store(letter: Letter): void {
    letter.isStored = true
    this.#meta.outbox.put(letter.id, letter.change)
    this.#meta.ifUndone(() => {
      letter.isStored = false
    })
  }

  /** Sends a letter once what it tells of has happened, and where it must not come without that, has for good. */
  #post(letter: Letter): void {
    letter.isPosted = true
    const ready = (error: number): void => {
      if (error === 0 || letter.isTouch) this.#send(letter)
      // What it tells of has happened, and only may be lost in a power cut.
      else if (this.#meta.outbox.has(letter.id)) this.#again(() => this.#post(letter))
      else {
        this.#stream.drop(letter.id)
        letter.end(error)
      }
    }
    if (letter.isTouch) this.#meta.onceCommitted(ready)
    else this.#stream.onceDurable(ready)
    this.#turn.endSoon()
  }

  #send(letter: Letter): void {
    const { kind, number, generation, links, seconds, nanoseconds } = letter.change
    const member = this.#router.ofInode(number)
    const stamp = { number, generation, seconds, nanoseconds }
    const late = (error: number): void => letter.late(error)
    const done = (result: number, reply: Legacy | null | Record<string, never>): void =>
      this.#answered(letter, result, reply as Legacy | null)
    if (letter.isTouch) {
      const key = keyOf(letter.change)
      if (this.#touches.get(key) === letter) this.#touches.set(key, null)
      const request = { ...stamp, modified: kind === OUT_ENTRIES ? 1 : 0 }
      this.#router.insist(member, InodeTouch, request, { sequence: 0, ageMs: 0, late }, done)
      return
    }
    const insistence = { sequence: letter.id * SEQUENCES, ageMs: 0, late }
    if (kind === OUT_SUBDIRECTORIES) this.#router.insist(member, ParentUpdate, { ...stamp, links }, insistence, done)
    else {
      const request = { ...stamp, links, parent: 0, parentGeneration: 0 }
      this.#router.insist(member, InodeLinks, request, insistence, done)
    }
  }

  #answered(letter: Letter, result: number, reply: Legacy | null): void {
    const { number, generation } = letter.change
    if (result < 0 && result !== -ESTALE) {
      letter.late(-EIO)
      this.#again(() => this.#send(letter))
      return
    }
    this.#remove(letter)
    if (letter.isTouch) this.#sendNext(keyOf(letter.change))
    const isEntries = isOfEntries(letter.change)
    if (result === -ESTALE && isEntries) this.onGone(number, generation)
    letter.end(isEntries ? Math.min(result, 0) : 0, reply ?? undefined)
    this.#turn.endSoon()
  }

  #remove(letter: Letter): void {
    const { id, isTouch } = letter
    this.#meta.outbox.remove(id)
    if (!isTouch) this.#stream.close(id)
    this.#meta.ifUndone(() => this.#again(() => this.#post(letter)))
    this.#meta.onceCommitted((error) => {
      if (error < 0 || !this.#recovered.delete(id) || this.#recovered.size > 0) return
      for (const step of this.#whenRecovered.splice(0)) step()
    })
  }

  #sendNext(key: string): void {
    const gathering = this.#touches.get(key)
    if (gathering == null) this.#touches.delete(key)
    else if (!gathering.isPosted) this.#post(gathering)
  }

  #again(step: () => void): void {
    this.#clock.after(AGAIN_MS, () => {
      step()
      this.#turn.endSoon()
    })
  }
}

/** Of any other inode that is gone nobody needs to know what has become of its names. */
const isOfEntries = ({ kind }: OutgoingChange): boolean => kind === OUT_ENTRIES || kind === OUT_SUBDIRECTORIES

const keyOf = ({ kind, number, generation }: OutgoingChange): string => `${kind} ${number} ${generation}`
