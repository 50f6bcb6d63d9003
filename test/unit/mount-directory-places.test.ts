import t from 'tap'
import { invalidEntry } from '../../lib/wire/kernel.js'
import { DirectoryPlaces } from '../../mount/directory-places.js'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const place = (parent: number, name: string) => ({ parent, name: bytes(name) })

t.test('a directory that is told of in another place', async (t) => {
  const places = new DirectoryPlaces()
  t.equal(places.tell(7, 1, bytes('a')), undefined)
  t.equal(places.tell(7, 1, bytes('a')), undefined)
  t.strictSame(places.tell(7, 2, bytes('a')), place(1, 'a'))
  t.equal(places.tell(7, 2, bytes('a')), undefined)
  t.strictSame(places.tell(7, 2, bytes('b')), place(2, 'a'))
  places.forget(7, 4)
  t.strictSame(places.tell(7, 3, bytes('c')), place(2, 'b'), 'one reference is left')
  places.forget(7, 2)
  t.equal(places.tell(7, 1, bytes('a')), undefined, 'the kernel has forgotten it')
  places.forget(99, 1)
})

t.test('what the kernel renames by itself', async (t) => {
  const places = new DirectoryPlaces()
  places.tell(7, 1, bytes('a'))
  places.tell(8, 2, bytes('b'))
  places.rename(place(1, 'a'), place(2, 'c'), false)
  t.equal(places.tell(7, 2, bytes('c')), undefined)
  places.rename(place(2, 'c'), place(2, 'b'), true)
  t.equal(places.tell(7, 2, bytes('b')), undefined)
  t.equal(places.tell(8, 2, bytes('c')), undefined)
  places.rename(place(5, 'x'), place(6, 'x'), true)
  // Another one in the place of one that is still known there.
  t.equal(places.tell(9, 2, bytes('b')), undefined)
  places.forget(7, 3)
  places.rename(place(2, 'b'), place(4, 'd'), false)
  t.equal(places.tell(9, 4, bytes('d')), undefined, 'forgetting the old one leaves the new one')
})

t.test('the message to the kernel', async (t) => {
  t.strictSame([...invalidEntry(2 ** 40 + 5, bytes('ab'))], [5, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 97, 98, 0])
})
