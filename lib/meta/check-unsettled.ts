/** What a store says of changes on several nodes that are not finished: for the check. */
import { GRAVE_BYTES, HeldNameRecord, LINK, MOVE, OUTBOX_BYTES, REMOVAL } from '../wire/intents.js'
import { getUint32BE, getUint64BE, getWords, KEY_GRAVE, KEY_HELD, KEY_INTENT, KEY_OUTBOX } from '../wire/records.js'
import { areaOf, type Shape, Struct } from '../wire/struct.js'
import { FROZEN } from './graves.js'

const ID_BYTES = 8

/** The fields of each plan's intent. */
const PLANS: ReadonlyMap<number, Struct<Shape>> = new Map([
  [1, new Struct(REMOVAL) as unknown as Struct<Shape>],
  [2, new Struct(MOVE) as unknown as Struct<Shape>],
  [3, new Struct(LINK) as unknown as Struct<Shape>],
  [4, new Struct(MOVE) as unknown as Struct<Shape>],
  [5, new Struct(LINK) as unknown as Struct<Shape>],
])

/** Fields of an intent that name an inode whose names or links may not fit yet. */
const INODES = ['parent', 'toParent', 'child', 'other']

/** What rests on the intent of a member: a frozen directory, or a held name. */
interface Dependent {
  readonly text: string
  /** The member's id, and the intent's. */
  readonly owner: string
  readonly saga: number
}

export class Unsettled {
  /** Inodes whose links, names and parents need not fit together yet. */
  readonly inodes = new Set<number>()
  readonly intents = new Set<number>()
  readonly dependents: Dependent[] = []
  /** Records of all these. */
  count = 0

  /** Takes a record in; the reason why it cannot be one, or null. */
  read(key: Uint8Array, words: Uint32Array, valueBytes: number): string | null {
    const own = words.slice(0, valueBytes >>> 2)
    switch (key[0]) {
      case KEY_OUTBOX:
        return this.#letter(own, valueBytes)
      case KEY_INTENT:
        return this.#intent(getUint64BE(key, 1), own)
      case KEY_HELD:
        return this.#held(key, own)
      case KEY_GRAVE:
        return this.#grave(key, own, valueBytes)
      default:
        return 'it is of no known type'
    }
  }

  #letter(words: Uint32Array, valueBytes: number): string | null {
    if (valueBytes !== OUTBOX_BYTES) return `it has ${valueBytes} bytes`
    this.count++
    this.inodes.add(getWords(words, 2))
    return null
  }

  #intent(id: number, words: Uint32Array): string | null {
    const plan = ((words[0] as number) >>> 16) & 0xff
    const fields = PLANS.get(plan)?.get(areaOf(words), 1, words.length)
    if (fields == null) return `it is no intent of plan ${plan}`
    this.count++
    this.intents.add(id)
    for (const name of INODES) if (fields[name] !== undefined) this.inodes.add(fields[name] as number)
    return null
  }

  #held(key: Uint8Array, words: Uint32Array): string | null {
    const held = HeldNameRecord.get(areaOf(words), 1, words.length)
    if (held === null) return 'it is no held name'
    this.count++
    const owner = key.subarray(1, 1 + ID_BYTES).join()
    this.dependents.push({ text: `a name in directory ${held.parent} is held`, owner, saga: getUint64BE(key, 9) })
    return null
  }

  #grave(key: Uint8Array, words: Uint32Array, valueBytes: number): string | null {
    if (valueBytes !== GRAVE_BYTES) return `it has ${valueBytes} bytes`
    if ((words[0] as number) >>> 16 !== FROZEN) return null
    this.count++
    const [number, generation] = [getUint64BE(key, 1), getUint32BE(key, 9)]
    const owner = new Uint8Array(words.buffer, 8, ID_BYTES).join()
    this.dependents.push({ text: `directory ${number} (${generation}) is frozen`, owner, saga: getWords(words, 4) })
    return null
  }
}
