import { EPROTO } from '../base/errno.js'
import { type InodeNumber, SERIAL_SPAN } from '../base/ids.js'
import { S_IFDIR } from '../base/mode.js'
import type { Router } from '../node/router.js'
import { ListedEntry } from '../node/services/listing.js'
import type { BufferPool, Done } from '../ports.js'
import type { VisitEntry } from '../share/share.js'
import { ReadDirectory } from '../wire/methods.js'
import { type Area, areaOf, type NumberedInode, type Values } from '../wire/struct.js'
import type { Known } from './known.js'
import type { Listing } from './operations.js'

const COOKIE_SELF = 1
const COOKIE_PARENT = 2
const DOTS = { bytes: new Uint8Array([0x2e, 0x2e]), offset: 0, length: 1 }
const PARENT_DOTS = { ...DOTS, length: 2 }
/** A member needs room for at least one entry. */
const PART_BYTES_MIN = 1024

/** What one member has listed. */
interface Part {
  word: number
  end: number
  /** The member has nothing more. */
  isLast: boolean
}

type Entry = Values<{ cookie: 'u64'; child: 'u64'; kind: 'u32'; inode: 'inode'; name: 'bytes' }>

/** Listings of directories, whose entries are spread over all members: each lists its own, and they are merged. */
export class Listings {
  readonly #router: Router
  readonly #known: Known
  readonly #area: Area
  /** The inode of the entry that is being visited. */
  inode: NumberedInode | undefined

  constructor(router: Router, known: Known, pool: BufferPool) {
    this.#router = router
    this.#known = known
    this.#area = areaOf(pool.words)
  }

  /** Every member is asked once, and all have to answer: a part that is missing is an error, not a shorter listing. */
  readdir(number: number, cookie: number, visit: VisitEntry, listing: Listing, done: Done): void {
    const ref = this.#known.ref(number)
    const { parent } = this.#known.get(number).inode
    const above = (parent === 0 ? number : parent) as InodeNumber
    const isFull =
      (cookie < COOKIE_SELF && !visit(number as InodeNumber, S_IFDIR, COOKIE_SELF, DOTS)) ||
      (cookie < COOKIE_PARENT && !visit(above, S_IFDIR, COOKIE_PARENT, PARENT_DOTS))
    if (isFull) {
      done(0)
      return
    }
    const { members } = this.#router
    const room = Math.floor(Math.max(listing.bytes / members, PART_BYTES_MIN) / 8) * 8
    const parts: Part[] = []
    const after = cookie < SERIAL_SPAN && cookie <= COOKIE_PARENT ? 0 : cookie
    this.#router.askAll(
      ReadDirectory,
      { ...ref, cookie: after, bytes: room, plus: listing.plus ? 1 : 0 },
      (member) => ({ at: 0, bytes: 0, to: listing.at + member * room, room }),
      (member, bytes, reply) => {
        const word = (listing.at + member * room) / 4
        parts.push({ word, end: word + bytes / 4, isLast: reply.end !== 0 })
      },
      (error) => done(error < 0 ? error : this.#merge(parts, visit)),
    )
  }

  /** Visits entries in the order of cookies, until one is refused or a member may have more before the next one. */
  #merge(parts: Part[], visit: VisitEntry): number {
    const heads = parts.map((part) => this.#next(part))
    for (;;) {
      let least = -1
      for (let at = 0; at < parts.length; at++) {
        const head = heads[at]
        if (head === null) return -EPROTO
        if (head === undefined) {
          if (parts[at]?.isLast === false) return 0
          continue
        }
        if (least < 0 || head.cookie < (heads[least] as Entry).cookie) least = at
      }
      if (least < 0) return 0
      const { child, kind, cookie, name, inode } = heads[least] as Entry
      this.inode = inode ?? undefined
      if (!visit(child as InodeNumber, kind, cookie, name)) return 0
      heads[least] = this.#next(parts[least] as Part)
    }
  }

  /** The next entry of a part; undefined at its end, null where it is damaged. */
  #next(part: Part): Entry | null | undefined {
    if (part.word >= part.end) return undefined
    const entry = ListedEntry.getFirst(this.#area, part.word, part.end)
    part.word = ListedEntry.next
    return entry
  }
}
