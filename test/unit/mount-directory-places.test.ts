import t from 'tap'
import { ALIASES, getAlias, getNode, putAlias } from '../../lib/wire/kernel.js'
import { putWords } from '../../lib/wire/records.js'
import { DirectoryPlaces, type Place } from '../../mount/directory-places.js'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const place = (parent: number, name: string, alias = 0): Place => ({ parent, alias, name: bytes(name) })

t.test('a directory that is found in another place has another alias', async (t) => {
  const places = new DirectoryPlaces()
  const tell = (parent: number, name: string): number => places.tell(7, place(parent, name), places.now)
  t.equal(tell(1, 'a'), 0)
  t.equal(tell(1, 'a'), 0)
  t.equal(tell(2, 'a'), 1)
  t.equal(tell(2, 'a'), 1)
  t.equal(tell(2, 'b'), 2)
  t.equal(places.tellAgain(7), 2)
  t.equal(tell(1, 'a'), 0, 'as before')
  t.equal(places.tell(7, place(2, 'b', 1), places.now), 3, 'below another alias')
  places.forget(7, 7)
  t.equal(tell(3, 'c'), 4, 'one reference is left')
  places.forget(7, 2)
  t.equal(tell(1, 'a'), 0, 'the kernel has forgotten it')
  for (let move = 1; move < ALIASES; move++) t.equal(tell(1, `a${move}`), move)
  t.equal(tell(1, 'again'), 0, 'an alias that was long ago')
  places.forget(99, 1)
  t.equal(places.tellAgain(99), 0)
})

t.test('what the kernel renames by itself keeps its alias', async (t) => {
  const places = new DirectoryPlaces()
  const tell = (number: number, parent: number, name: string): number =>
    places.tell(number, place(parent, name), places.now)
  tell(7, 1, 'a')
  tell(8, 2, 'b')
  places.rename(place(1, 'a'), place(2, 'c'), false)(0)
  t.equal(tell(7, 2, 'c'), 0)
  places.rename(place(2, 'c'), place(2, 'b'), true)(0)
  t.equal(tell(7, 2, 'b'), 0)
  t.equal(tell(8, 2, 'c'), 0)
  places.rename(place(2, 'c'), place(3, 'd'), false)(-2)
  t.equal(tell(8, 3, 'd'), 1, 'it was not this one that has moved it')
  places.rename(place(5, 'x'), place(6, 'x'), true)(0)
  t.equal(tell(9, 2, 'b'), 0, 'another one in a place that is still known')
  places.forget(7, 3)
  places.rename(place(2, 'b'), place(4, 'd'), false)(0)
  t.equal(tell(9, 4, 'd'), 0)
})

t.test('looks that are under way while the kernel renames', async (t) => {
  const places = new DirectoryPlaces()
  const before = places.now
  places.tell(7, place(1, 'a'), before)
  const end = places.rename(place(1, 'a'), place(2, 'b'), false)
  t.equal(places.tell(7, place(2, 'b'), before), 0, 'done, and not yet answered')
  t.equal(places.tell(7, place(1, 'a'), before), 0)
  end(0)
  t.equal(places.tell(7, place(1, 'a'), before), 0, 'an answer that is older than the rename')
  t.equal(places.tell(7, place(2, 'b'), places.now), 0)
  t.equal(places.tell(7, place(1, 'a'), places.now), 1)
})

t.test('an alias in a nodeid', async (t) => {
  const words = new Uint32Array(2)
  for (const number of [2, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER]) {
    for (const alias of [0, 1, ALIASES - 1]) {
      putWords(words, 0, number)
      putAlias(words, 0, alias)
      t.equal(getNode(words, 0), number)
      t.equal(getAlias(words, 0), alias)
    }
  }
})
