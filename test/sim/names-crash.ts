/** Lets a case happen, and something go wrong at one of its events; whatever it is, the outcome is all or nothing. */

import { S_IFDIR } from '../../lib/base/mode.js'
import type { Operation } from './cluster-node.js'
import type { Crash } from './kv.js'
import { type Act, CASES, Stage } from './names-cases.js'
import { treeOf, treeOfModel } from './names-tree.js'
import { type Plant, ROOT } from './names-world.js'

/** What goes wrong after so many events. */
type Trouble =
  | { readonly kind: 'crash'; readonly node: number; readonly how: Crash; readonly backAfterMs: number }
  | { readonly kind: 'break'; readonly a: number; readonly b: number; readonly awayMs: number }

function troublesOf(members: number): Trouble[] {
  const troubles: Trouble[] = []
  for (let node = 0; node < members; node++) {
    troubles.push({ kind: 'crash', node, how: 'process', backAfterMs: 40 })
    troubles.push({ kind: 'crash', node, how: 'power', backAfterMs: 10 })
    for (let b = node + 1; b < members; b++) troubles.push({ kind: 'break', a: node, b, awayMs: 0 })
  }
  return troubles
}

/**
 * Runs a case with every trouble, or one of `stride` by turns, after each of its events; the number of runs. Throws at
 * the first outcome that is wrong.
 */
export function runAll(name: string, seed: number, members: number, stride: number, plant?: Plant): number {
  const events = eventsOf(name, seed, members, plant)
  const troubles = troublesOf(members)
  let runs = 0
  for (let at = 0; at <= events; at++) {
    for (const [index, trouble] of troubles.entries()) {
      if ((index + at) % stride !== 0) continue
      runs++
      try {
        runWith(name, seed, members, at, trouble, plant)
      } catch (error) {
        const text = `${name}, seed ${seed}, event ${at}, ${JSON.stringify(trouble)}`
        throw new Error(`${text}: ${(error as Error).message}`, { cause: error })
      }
    }
  }
  return runs
}

/** How many events a case takes until the call has returned. */
function eventsOf(name: string, seed: number, members: number, plant?: Plant): number {
  const { stage, operation } = begin(name, seed, members, plant)
  let events = 0
  for (; !operation.isOver; events++) stage.world.step()
  return events
}

interface Begun {
  readonly stage: Stage
  readonly act: Act
  readonly operation: Operation
}

function begin(name: string, seed: number, members: number, plant: Plant | undefined): Begun {
  const stage = new Stage(seed, members, plant)
  const act = (CASES[name] as (stage: Stage) => Act)(stage)
  stage.sync()
  stage.world.isArmed = true
  return { stage, act, operation: stage.asker.begin(act.call) }
}

/** Runs the case with the trouble after `events` events; throws where the outcome is wrong. */
function runWith(name: string, seed: number, members: number, events: number, trouble: Trouble, plant?: Plant): void {
  const { stage, act, operation } = begin(name, seed, members, plant)
  const { world } = stage
  for (let at = 0; at < events; at++) world.step()
  let isBack = false
  if (trouble.kind === 'break') world.break(trouble.a, trouble.b, trouble.awayMs)
  else {
    world.crash(trouble.node, trouble.how)
    world.clock.after(trouble.backAfterMs, () => {
      isBack = true
      world.restart(trouble.node)
    })
  }
  world.finish(operation)
  // What was answered before the power went, be the answer still on its way, need not have been safe.
  const mayForget = trouble.kind === 'crash' && trouble.how === 'power' && !isBack
  world.gather()
  world.settle()
  if (world.faults.length > 0) throw new Error(world.faults.join('\n'))
  judge(stage, act, operation, mayForget)
  const found = world.audit()
  if (found.length > 0) throw new Error(found.join('\n'))
}

/** The tree is the old one or the new one, whole, and the same from everywhere; which one, the result says. */
function judge(stage: Stage, act: Act, { result, isLost }: Operation, mayForget: boolean): void {
  const before = treeOfModel(stage.model).join('\n')
  const trees = stage.clients.map((client) => treeOf(client).join('\n'))
  const [tree] = trees as [string]
  for (const other of trees) if (other !== tree) throw new Error(`nodes disagree:\n${tree}\n---\n${other}`)
  const after = afterwards(stage, act)
  if (tree !== before && tree !== after) throw new Error(`neither\n${before}\nnor\n${after}\nbut\n${tree}`)
  const expected = act.error === 0 ? 0 : -act.error
  if (!isLost && result !== expected) throw new Error(`the result is ${result}, not ${expected}`)
  const mustBeNew = !isLost && act.error === 0 && !mayForget
  if (mustBeNew && tree !== after) throw new Error(`it was done, and now is:\n${tree}`)
  stage.clients.forEach((client, index) => {
    const made = client.mknod(ROOT, `after ${index}`, S_IFDIR | 0o755)
    if (made < 0) throw new Error(`mkdir afterwards: ${made}`)
    const removed = client.rmdir(ROOT, `after ${index}`)
    if (removed < 0) throw new Error(`rmdir afterwards: ${removed}`)
  })
  stage.world.settle()
}

function afterwards(stage: Stage, { apply, makes }: Act): string {
  const model = stage.model.copy()
  const number = makes === undefined ? 0 : (stage.clients[0] as Stage['asker']).lookup(makes.parent, makes.name)
  if (number < 0) return ''
  apply(model, number)
  return treeOfModel(model).join('\n')
}
