/**
 * Mistakes to be found in a simulated cluster: each leaves out something that what all nodes promise rests on, in the way
 * in which a mistake of ours would, and says within how many seeds it has to be noticed.
 */
import { EMPTY_RANGE } from '../../lib/base/ids.js'
import { Belongings } from '../../lib/node/belongings.js'
import { HeldNames } from '../../lib/node/held-names.js'
import { FileHolders } from '../../lib/node/holders.js'
import { Services } from '../../lib/rpc/services.js'
import { Locks } from '../../lib/share/locks.js'
import { PartCut, PartWrite, ReadChunk } from '../../lib/wire/methods.js'
import { KEY_RESULT } from '../../lib/wire/records.js'
import type { ClusterRunOptions } from './cluster-driver.js'
import { without } from './names-plants.js'
import { plants } from './plants.js'
import type { Plant } from './world.js'

export interface ClusterPlant {
  readonly what: string
  /** It is found at one of so many seeds from 1 on. */
  readonly seeds: number
  /** Put between the file system and its store. */
  readonly ports?: Plant
  /** Changes the program, until it is called back. */
  readonly change?: () => () => void
  /** How the runs are to be that find it. */
  readonly run?: ClusterRunOptions
}

/** Puts another method in the place of one of a class. */
function replaced<T extends object, Name extends keyof T>(
  of: { prototype: T },
  name: Name,
  method: T[Name],
): () => void {
  const original = of.prototype[name]
  of.prototype[name] = method
  return () => {
    of.prototype[name] = original
  }
}

const { listFor } = Belongings.prototype
const { ask } = FileHolders.prototype
const { on } = Services.prototype

/** The epoch of a part that each node was told last takes the place of that with which it is read. */
function readWithAnyEpoch(): () => void {
  const epochs = new WeakMap<Services, Map<number, number>>()
  return replaced(Services, 'on', function (this: Services, method, serve, repeat) {
    const known = epochs.get(this) ?? new Map<number, number>()
    epochs.set(this, known)
    const spoiled: typeof serve = (request, asked) => {
      const fields = request as unknown as { number: number; epoch: number }
      if (method.number === PartCut.number || method.number === PartWrite.number) known.set(fields.number, fields.epoch)
      const epoch = known.get(fields.number) ?? fields.epoch
      serve(method.number === ReadChunk.number ? { ...request, epoch } : request, asked)
    }
    on.call(this, method, spoiled as Parameters<typeof on>[1], repeat as Parameters<typeof on>[2])
  })
}

export const clusterPlants: readonly ClusterPlant[] = [
  {
    what: 'results of changes are forgotten with the process',
    seeds: 80,
    ports: { kv: (kv) => without(KEY_RESULT)(kv, () => true) },
  },
  {
    what: 'the size is written before the data',
    seeds: 20,
    ports: plants['the size is written before the data'] as Plant,
  },
  {
    what: 'a name that is being moved is not held',
    seeds: 20,
    change: () => replaced(HeldNames, 'holder', () => undefined),
    run: { others: false, rounds: 40 },
  },
  {
    what: 'holders are not told of a truncation',
    seeds: 20,
    change: () =>
      replaced(FileHolders, 'ask', function (this: FileHolders, members, method, request, each, done) {
        ask.call(this, method.number === PartCut.number ? [] : members, method, request, each as () => void, done)
      }),
  },
  { what: 'parts are read whatever their epoch is', seeds: 20, change: readWithAnyEpoch },
  {
    what: 'locks of nodes that have died stay',
    seeds: 20,
    change: () => replaced(Locks, 'replace', () => undefined),
  },
  {
    what: 'locks outlive what they were set through',
    seeds: 20,
    change: () => replaced(Locks, 'releaseHandle', () => undefined),
  },
  {
    what: 'what is open is not said again',
    seeds: 20,
    change: () =>
      replaced(Belongings, 'listFor', function (this: Belongings, member) {
        return listFor.call(this, member).map((message) => ({ ...message, opens: EMPTY_RANGE }))
      }),
  },
]
