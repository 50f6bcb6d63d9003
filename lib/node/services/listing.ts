import { ENOTDIR, fail } from '../../base/errno.js'
import { type ByteRange, SERIAL_SPAN } from '../../base/ids.js'
import { Dentry } from '../../meta/dentries.js'
import type { Asked } from '../../rpc/services.js'
import { accessed } from '../../share/attributes.js'
import { ReadDirectory, type RequestOf } from '../../wire/methods.js'
import { areaOf, type NumberedInode, Struct } from '../../wire/struct.js'
import type { Serving } from './serving.js'

/** An entry of a listing, as it stands in the data of ReadDirectory's answer, one behind the other. */
export const ListedEntry = new Struct({ cookie: 'u64', child: 'u64', kind: 'u32', inode: 'inode', name: 'bytes' })

/** The largest: a cookie, a child, a kind, a whole inode, and a name. */
const ENTRY_BYTES_MAX = 8 + 8 + 4 + 8 + 136 + 4 + 256

/** The service that lists what this member has of a directory, in the order of cookies. */
export class ListingServices {
  readonly #serving: Serving
  readonly #dentry = new Dentry()

  constructor(serving: Serving) {
    this.#serving = serving
    serving.services.on(ReadDirectory, (request, asked) => {
      asked.place(request.bytes, (at) => {
        serving.guard(
          () => this.#list(request, asked, at),
          (error) => asked.answer(error, null),
        )
      })
    })
  }

  #list(request: RequestOf<typeof ReadDirectory>, asked: Asked<typeof ReadDirectory>, at: number): void {
    const { share, pool } = this.#serving
    const { number, generation, cookie } = request
    if (cookie === 0) this.#touch(number, generation)
    const area = areaOf(pool.words)
    const end = (at + Math.min(request.bytes, pool.payloadBytes)) / 4
    const entry = this.#dentry
    entry.position = Math.floor(cookie / SERIAL_SPAN)
    entry.serial = cookie % SERIAL_SPAN
    let word = at / 4
    let isEnd = false
    while (word + ENTRY_BYTES_MAX / 4 <= end) {
      isEnd = !share.meta.dentries.next({ number, generation }, entry.position, entry.serial, entry)
      if (isEnd) break
      // Finding the inode overwrites the name.
      const name = copyOf(share.meta.dentries.name)
      const inode = request.plus === 0 ? null : this.#inode(entry.child)
      word = ListedEntry.put(area, word, { cookie: entry.cookie, child: entry.child, kind: entry.kind, inode, name })
    }
    asked.answer(word * 4 - at, { end: isEnd ? 1 : 0 })
  }

  #inode(number: number): NumberedInode | null {
    return this.#serving.isHere(number) ? (this.#serving.share.meta.find(number) ?? null) : null
  }

  /** The directory's own part, where that is here. */
  #touch(number: number, generation: number): void {
    if (!this.#serving.isHere(number)) return
    const directory = this.#serving.inode(number, generation)
    if (!directory.isDirectory) fail(ENOTDIR)
    accessed(this.#serving.share.context, directory)
  }
}

const copyOf = ({ bytes, offset, length }: ByteRange): ByteRange => ({
  bytes: bytes.slice(offset, offset + length),
  offset: 0,
  length,
})
