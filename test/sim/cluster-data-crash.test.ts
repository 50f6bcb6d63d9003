/** Each operation that takes several nodes, with a crash of each node after each step of it. */
import t, { type Test } from 'tap'
import type { FileCall } from './cluster-data-files.js'
import { type Running, Scene, zeros } from './cluster-data-scene.js'
import { CHUNK_BYTES, type DataNode } from './cluster-data-world.js'
import type { Crash } from './kv.js'

interface Operation {
  /** What the file is before, safe against a power cut. */
  prepare(scene: Scene): void
  start(scene: Scene): Running
  /** Whether these contents may be, where the operation was answered with 0 or more (`ended`), or was not. */
  allows(before: string, after: string, seen: string, ended: boolean, kind: Crash): boolean
}

const [ACTOR, HOLDER] = [0, 1]

const actor = (scene: Scene): DataNode => scene.others[ACTOR] as DataNode
const holder = (scene: Scene): DataNode => scene.others[HOLDER] as DataNode

/** Something in every chunk of the first six. */
function fill(scene: Scene): void {
  const text = Array.from({ length: 6 }, (_, chunk) => String(chunk).repeat(CHUNK_BYTES)).join('')
  scene.write(actor(scene), 0, text.slice(0, 5.5 * CHUNK_BYTES))
  scene.fsync(actor(scene))
}

/** All or nothing. */
const isWhole: Operation['allows'] = (before, after, seen, ended, kind) =>
  seen === after || (seen === before && (!ended || kind === 'power'))

/** Of a write that is broken off each part may have been written; what makes the file longer is there as a whole. */
const isInParts: Operation['allows'] = (before, after, seen, ended, kind) => {
  if (ended && kind === 'process') return seen === after
  if (seen.length !== before.length && seen.length !== after.length) return false
  const isByte = (at: number): boolean =>
    seen[at] === before[at] || seen[at] === after[at] || (kind === 'power' && at >= before.length && seen[at] === '\0')
  return Array.from(seen).every((_, at) => isByte(at))
}

/** A power cut may leave a longer file without what was not synced. */
const isAppended: Operation['allows'] = (before, after, seen, ended, kind) =>
  isWhole(before, after, seen, ended, kind) ||
  (kind === 'power' && seen.length === after.length && isInParts(before, after, seen, false, kind))

const operations: Record<string, Operation> = {
  truncate: {
    prepare: fill,
    start: (scene) => scene.startTruncate(actor(scene), 10),
    allows: isWhole,
  },
  'truncate by the inode’s member': {
    prepare: fill,
    start: (scene) => scene.startTruncate(scene.owner, 3 * CHUNK_BYTES + 5),
    allows: isWhole,
  },
  write: {
    prepare: fill,
    start: (scene) => scene.startWrite(actor(scene), 4 * CHUNK_BYTES + 7, 'w'.repeat(3 * CHUNK_BYTES)),
    allows: isInParts,
  },
  'write by the inode’s member, in doubt': {
    prepare: (scene) => {
      fill(scene)
      scene.world.connect(actor(scene), holder(scene))
      scene.world.connect(actor(scene), scene.owner)
    },
    start: (scene) => scene.startWrite(scene.owner, 7 * CHUNK_BYTES - 10, 'w'.repeat(3 * CHUNK_BYTES)),
    allows: isInParts,
  },
  append: {
    prepare: (scene) => {
      fill(scene)
      scene.truncate(actor(scene), scene.at(holder(scene), 1) + 5)
      scene.fsync(actor(scene))
    },
    start: (scene) => scene.startAppend(actor(scene), 'appended'),
    allows: isAppended,
  },
  'append by the inode’s member': {
    prepare: (scene) => {
      fill(scene)
      scene.truncate(actor(scene), scene.at(holder(scene), 1) - 3)
      scene.fsync(actor(scene))
    },
    start: (scene) => scene.startAppend(scene.owner, 'appended'),
    allows: isAppended,
  },
  'first write to a holder': {
    prepare: (scene) => {
      scene.write(scene.owner, 0, 'begin')
      scene.fsync(scene.owner)
    },
    start: (scene) => scene.startWrite(actor(scene), scene.at(holder(scene)), 'first'),
    allows: isAppended,
  },
  punch: {
    prepare: fill,
    start: (scene) =>
      scene.start((ended) => scene.files.allocate(actor(scene), scene.number, 3, 100, 4 * CHUNK_BYTES, ended)),
    allows: isInParts,
  },
}

function build(operation: Operation): { scene: Scene; before: string } {
  const scene = new Scene(7)
  operation.prepare(scene)
  return { scene, before: scene.contents(scene.owner) }
}

/** What the file is after the operation, and how many steps of the clock it takes. */
function rehearse(operation: Operation): { after: string; steps: number } {
  const { scene } = build(operation)
  const running = operation.start(scene)
  let steps = 0
  while (running.call === undefined && scene.world.clock.step()) steps++
  return { after: scene.contents(scene.owner), steps }
}

const wasEnded = (call: FileCall | undefined): boolean => call !== undefined && call.result >= 0

function crashAt(t: Test, operation: Operation, after: string, step: number, victim: number, kind: Crash): void {
  const { scene, before } = build(operation)
  const label = `step ${step}, ${kind} of ${victim}`
  const running = operation.start(scene)
  for (let left = step; left > 0; left--) scene.world.clock.step()
  const node = scene.world.node(victim)
  scene.world.crash(node, kind)
  scene.world.pass(100)
  scene.world.restart(node)
  scene.world.settle()
  for (const { held } of scene.world.nodes) held.clear()
  for (const each of scene.world.nodes) scene.world.find(each, 'f')
  const seen = scene.contents(scene.owner)
  for (const other of scene.others) if (scene.contents(other) !== seen) t.fail(`${label}: not all see the same`)
  if (!operation.allows(before, after, seen, wasEnded(running.call), kind)) {
    t.fail(`${label}: ${seen.length} bytes, answered ${running.call?.result}`)
  }
  const longer = seen.length + 3 * CHUNK_BYTES
  if (scene.truncate(scene.owner, longer) !== 0) t.fail(`${label}: truncate`)
  if (scene.contents(holder(scene)) !== seen + zeros(3 * CHUNK_BYTES)) t.fail(`${label}: something lay beyond the end`)
  scene.world.settle()
  const faults = [...scene.world.check(kind === 'power'), ...scene.world.faults]
  if (faults.length > 0) t.fail(`${label}: ${faults.join()}`)
}

for (const [name, operation] of Object.entries(operations)) {
  t.test(name, async (t) => {
    const { after, steps } = rehearse(operation)
    t.ok(steps > 3, `${steps} steps`)
    for (const kind of ['process', 'power'] as const) {
      for (let victim = 0; victim < 3; victim++) {
        for (let step = 0; step <= steps + 3; step++) crashAt(t, operation, after, step, victim, kind)
      }
    }
  })
}
