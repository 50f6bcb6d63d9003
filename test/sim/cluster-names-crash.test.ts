/** A crash, a power cut or the end of a session at every event of every kind of change, on every node by turns. */
import t from 'tap'
import { KEY_HELD, KEY_INTENT, KEY_OUTBOX, KEY_RESULT } from '../../lib/wire/records.js'
import { CASES } from './names-cases.js'
import { runAll } from './names-crash.js'
import { unsynced, without } from './names-plants.js'
import type { Plant } from './names-world.js'

const MEMBERS = 3
const SEEDS = Number(process.env['CHFS_TEST_SEEDS'] ?? 2)
const FIRST = Number(process.env['CHFS_TEST_FIRST'] ?? 1)
/** Of the nine troubles that three nodes may have, one after each event. */
const STRIDE = 9

for (const name of Object.keys(CASES)) {
  t.test(name, async (t) => {
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const runs = runAll(name, seed, MEMBERS, STRIDE)
      t.ok(runs > 0, `seed ${seed}: ${runs} runs`)
    }
  })
}

/** What must not be left out, and a case in which it is missed. */
const PLANTS: readonly (readonly [what: string, plant: Plant, caseName: string])[] = [
  ['intents are not kept', without(KEY_INTENT), 'another name for a file'],
  ['intents are not kept', without(KEY_INTENT), 'an empty directory'],
  ['intents are not kept', without(KEY_INTENT), 'another parent for a directory'],
  ['the outbox is not kept', without(KEY_OUTBOX), 'the last name of a file that was renamed'],
  ['results are not kept', without(KEY_RESULT), 'a new directory'],
  ['results are not kept', without(KEY_RESULT), 'a second name'],
  ['held names are not kept', without(KEY_HELD), 'another parent for a directory'],
  ['nothing is synced', unsynced, 'the last name of a file that was renamed'],
  ['nothing is synced', unsynced, 'another name for a file'],
  ['nothing is synced', unsynced, 'a second name'],
  ['nothing is synced', unsynced, 'an empty directory'],
]

t.test('each of these mistakes would be found', async (t) => {
  for (const [what, plant, name] of PLANTS) {
    let found = ''
    for (let seed = 1; seed < 12 && found === ''; seed++) {
      try {
        runAll(name, seed, MEMBERS, 1, plant)
      } catch (error) {
        found = (error as Error).message.split('\n')[0] ?? 'something'
      }
    }
    t.ok(found !== '', `${what}: ${found}`)
  }
})
