import { EINVAL, EIO, ENOENT, ESTALE } from '../../base/errno.js'
import { ROOT_INODE } from '../../base/ids.js'
import { S_IFDIR } from '../../base/mode.js'
import type { AnyValues } from '../../rpc/call.js'
import type { AnyMethod, Asked } from '../../rpc/services.js'
import { RENAME_EXCHANGE } from '../../share/remove.js'
import { MOVE } from '../../wire/intents.js'
import {
  DentryHold,
  DentryPeek,
  type DentryPut,
  DentryTake,
  DirectoryParent,
  InodeLinks,
  RenameAcross,
  type ReplyOf,
} from '../../wire/methods.js'
import { type Shape, Struct } from '../../wire/struct.js'
import type { Line } from '../line.js'
import { type Answer, END, type Plan, type Question, question, type Step } from '../plan.js'
import type { Serving } from '../services/serving.js'
import type { Waits } from '../waits.js'
import { type MoveFields, putQuestion } from './move.js'

const CHECK = 1
const PUT = 2
const PARENT = 3
const TAKE = 4
const RELEASE = 5

/** A tree is not deeper than this; going up for longer means that it is damaged. */
const DEPTH_MAX = 1_000_000

type Child = ReplyOf<typeof DentryPut>

/**
 * Gives a directory another parent, on the member that has the root. All that do so wait in one line, so that while one
 * looks whether a directory would come to lie below itself nothing that it looks at can change. The steps are those of
 * MovePlan, with the old name held by a message, as it lies elsewhere.
 */
export class MoveAcrossPlan implements Plan<MoveFields> {
  readonly number = 4
  readonly fields = new Struct(MOVE) as unknown as Struct<Shape>
  readonly steps: readonly Step<MoveFields>[]
  readonly again: (fields: MoveFields, asked: Asked<AnyMethod>) => void
  readonly #serving: Serving
  readonly #line: Line

  constructor(serving: Serving, line: Line, again: (fields: MoveFields, asked: Asked<AnyMethod>) => void) {
    this.#serving = serving
    this.#line = line
    this.again = again
    this.steps = [
      {
        ask: (fields, saga) => [this.#hold(fields, saga)],
        conclude: (fields, [answer]) => held(fields, answer as Answer),
      },
      {
        look: (fields, done) => this.#check(fields, done),
        conclude: (fields, [answer]) => failedOr(PUT, fields, answer as Answer),
      },
      {
        ask: (fields, saga) => [this.#put(fields, saga)],
        conclude: (fields, [answer]) => replaced(fields, answer as Answer),
      },
      { ask: (fields) => this.#parents(fields), conclude: () => TAKE, isCertain: true },
      {
        ask: (fields, saga) => [this.#take(fields, saga, true)],
        conclude: (fields, _, waits) => this.#moved(fields, waits),
        isCertain: true,
      },
      { ask: (fields, saga) => [this.#take(fields, saga, false)], conclude: () => END, isCertain: true },
    ]
  }

  names(): [] {
    return []
  }

  method(): AnyMethod {
    return RenameAcross as unknown as AnyMethod
  }

  reply(): AnyValues {
    return {}
  }

  resume(_: MoveFields, go: () => void): void {
    this.#line.enter(go)
  }

  ended(): void {
    this.#line.leave()
  }

  #hold({ parent, parentGeneration, name, seconds, nanoseconds }: MoveFields, saga: number): Question {
    const member = this.#serving.router.ofDentry(parent, name)
    return question(member, DentryHold, { parent, parentGeneration, name, seconds, nanoseconds, saga })
  }

  /** EINVAL where one of the two would come to lie below itself. */
  #check(fields: MoveFields, done: (error: number) => void): void {
    const { parent, parentGeneration, toParent, toParentGeneration, child, kind } = fields
    const up = (error: number): void => {
      if (error < 0) done(error)
      else if (isDirectory(fields.otherKind)) this.#walk(fields.other, parent, parentGeneration, done)
      else done(0)
    }
    this.#peek(fields, (error) => {
      if (error < 0) done(error)
      else if (isDirectory(kind)) this.#walk(child, toParent, toParentGeneration, up)
      else up(0)
    })
  }

  /** Finds out with what it is exchanged. */
  #peek(fields: MoveFields, done: (error: number) => void): void {
    const { toParent, toParentGeneration, toName, flags } = fields
    if (flags !== RENAME_EXCHANGE) {
      done(0)
      return
    }
    const { router } = this.#serving
    const request = { parent: toParent, parentGeneration: toParentGeneration, name: toName }
    router.askBriefly(router.ofDentry(toParent, toName), DentryPeek, request, (result, reply) => {
      if (reply !== null) setOther(fields, reply)
      done(Math.min(result, 0))
    })
  }

  /** Goes up from a directory to the root. EINVAL where `moved` lies on the way. */
  #walk(moved: number, number: number, generation: number, done: (error: number) => void, depth = 0): void {
    const { router } = this.#serving
    if (number === moved) done(-EINVAL)
    else if (number === ROOT_INODE) done(0)
    else if (depth > DEPTH_MAX) done(-EIO)
    else
      router.askBriefly(router.ofInode(number), DirectoryParent, { number, generation }, (result, reply) => {
        if (reply === null) done(result === -ESTALE ? -ENOENT : result)
        else this.#walk(moved, reply.parent, reply.parentGeneration, done, depth + 1)
      })
  }

  #put(fields: MoveFields, saga: number): Question {
    const isExchange = fields.flags === RENAME_EXCHANGE
    return putQuestion(this.#serving, fields, saga, isExchange ? fields.other : 0, balanceOf(fields))
  }

  /** Where the two directories are now. */
  #parents(fields: MoveFields): Question[] {
    const { router } = this.#serving
    const { parent, parentGeneration, toParent, toParentGeneration, seconds, nanoseconds, flags } = fields
    const { child, childGeneration, kind, other, otherGeneration, otherKind } = fields
    const stamp = { links: 0, seconds, nanoseconds }
    const questions: Question[] = []
    if (isDirectory(kind)) {
      const place = { parent: toParent, parentGeneration: toParentGeneration }
      const request = { number: child, generation: childGeneration, ...stamp, ...place }
      questions.push(question(router.ofInode(child), InodeLinks, request))
    }
    if (flags === RENAME_EXCHANGE && isDirectory(otherKind)) {
      const request = { number: other, generation: otherGeneration, ...stamp, parent, parentGeneration }
      questions.push(question(router.ofInode(other), InodeLinks, request, 1))
    }
    return questions
  }

  #take(fields: MoveFields, saga: number, takes: boolean): Question {
    const { parent, parentGeneration, name, flags, other, otherGeneration, otherKind } = fields
    const isExchange = flags === RENAME_EXCHANGE
    return question(this.#serving.router.ofDentry(parent, name), DentryTake, {
      ...{ parent, parentGeneration, name, saga, take: takes ? 1 : 0, links: takes ? -balanceOf(fields) : 0 },
      ...{ child: isExchange ? other : 0, childGeneration: isExchange ? otherGeneration : 0 },
      kind: isExchange ? otherKind : 0,
    })
  }

  #moved({ child, childGeneration, other, otherGeneration, flags }: MoveFields, waits: Waits): number {
    const { outgoing } = this.#serving
    outgoing.renamed(child, childGeneration, waits.add())
    if (flags === RENAME_EXCHANGE) outgoing.renamed(other, otherGeneration, waits.add())
    return END
  }
}

function held(fields: MoveFields, { result, reply }: Answer): number {
  if (reply === null) {
    fields.error = -result
    return END
  }
  const { child, childGeneration, kind } = reply as Child
  fields.child = child
  fields.childGeneration = childGeneration
  fields.kind = kind
  return CHECK
}

function replaced(fields: MoveFields, answer: Answer): number {
  const { reply } = answer
  if (reply === null) return failedOr(PARENT, fields, answer)
  // Two names of one inode: POSIX says that nothing happens.
  if ((reply as Child).child === fields.child) return RELEASE
  setOther(fields, reply as Child)
  return PARENT
}

function failedOr(next: number, fields: MoveFields, { result }: Answer): number {
  if (result >= 0) return next
  fields.error = -result
  return RELEASE
}

function setOther(fields: MoveFields, { child, childGeneration, kind }: Child): void {
  fields.other = child
  fields.otherGeneration = childGeneration
  fields.otherKind = kind
}

const isDirectory = (kind: number): boolean => kind === S_IFDIR

/** Subdirectories that the new parent gains and the old one loses, but for one that is replaced for good. */
function balanceOf({ kind, otherKind, flags }: MoveFields): number {
  return Number(isDirectory(kind)) - Number(flags === RENAME_EXCHANGE && isDirectory(otherKind))
}
