/**
 * The heads of requests and replies between nodes, version 1. Who speaks, in which session and incarnation, and to
 * which cluster, was settled when the channel was made, and the transport tells channels apart; so a head does not
 * repeat it.
 * All integers are little-endian and unsigned unless said otherwise; the method's fields follow behind (methods.ts).
 *
 * Request:
 *
 * | at | bytes | field                                                                                       |
 * |----|-------|---------------------------------------------------------------------------------------------|
 * | 0  | 1     | method                                                                                      |
 * | 1  | 1     | flags: 1 durable; unknown ones are refused                                                  |
 * | 2  | 2     | zero                                                                                        |
 * | 4  | 4     | ring epoch of the sender                                                                    |
 * | 8  | 8     | sequence: names a change among all of one stream of the sender; 0: it may be done twice     |
 * | 16 | 8     | acknowledged: every change up to this sequence has been answered, or will not be asked again |
 * | 24 | 8     | the sender's clock, seconds since 1970, signed                                              |
 * | 32 | 4     | its nanoseconds                                                                             |
 * | 36 | 4     | age: milliseconds since this was asked for first; 2^32 − 1: so long, or longer, or unknown   |
 *
 * A sender has two streams of changes. The ordinary one is its incarnation's and ends with it. The **durable** one is
 * the member's: what stands in its outbox or belongs to one of its intents is asked with the same sequence until it is
 * answered, however often either side starts anew. Both sides keep their word across a power cut as well: nothing goes
 * out on the durable stream before the record that it stems from is safe, it is answered only when its effect is, and
 * `acknowledged` stays below it until the removal of its record is.
 *
 * Reply:
 *
 * | at | bytes | field                                                    |
 * |----|-------|----------------------------------------------------------|
 * | 0  | 1     | method                                                   |
 * | 1  | 1     | flags: none yet                                          |
 * | 2  | 2     | status: 0 or an errno                                    |
 * | 4  | 4     | ring epoch of the sender                                 |
 * | 8  | 8     | the sender's clock, seconds since 1970, signed           |
 * | 16 | 4     | its nanoseconds                                          |
 * | 20 | 4     | zero                                                     |
 *
 * A reply with a status other than 0 has no fields behind its head.
 */
import { getSigned, getWords, putWords } from './records.js'

export const REQUEST_HEAD_WORDS = 10
export const REPLY_HEAD_WORDS = 6

/** The request belongs to its sender's durable stream. */
const FLAG_DURABLE = 0x100
const FLAGS = FLAG_DURABLE

/** An age that is not known, as after a restart of whoever asks. */
export const AGE_UNKNOWN = 0xffffffff

export interface RequestHead {
  method: number
  isDurable: boolean
  epoch: number
  sequence: number
  acknowledged: number
  seconds: number
  nanoseconds: number
  ageMs: number
}

export interface ReplyHead {
  method: number
  /** 0, or a negative errno. */
  status: number
  epoch: number
  seconds: number
  nanoseconds: number
}

const ERRNO_MAX = 4095
const SECOND_NS = 1_000_000_000

export function putRequestHead(words: Uint32Array, at: number, head: RequestHead): void {
  words[at] = head.method | (head.isDurable ? FLAG_DURABLE : 0)
  words[at + 1] = head.epoch
  putWords(words, at + 2, head.sequence)
  putWords(words, at + 4, head.acknowledged)
  putWords(words, at + 6, head.seconds)
  words[at + 8] = head.nanoseconds
  words[at + 9] = head.ageMs
}

/** False where it is none of this version. */
export function getRequestHead(words: Uint32Array, at: number, end: number, head: RequestHead): boolean {
  if (at + REQUEST_HEAD_WORDS > end) return false
  const first = words[at] as number
  head.method = first & 0xff
  head.isDurable = (first & FLAG_DURABLE) !== 0
  head.epoch = words[at + 1] as number
  head.sequence = getWords(words, at + 2)
  head.acknowledged = getWords(words, at + 4)
  head.seconds = getSigned(words, at + 6)
  head.nanoseconds = words[at + 8] as number
  head.ageMs = words[at + 9] as number
  const { sequence, acknowledged, seconds } = head
  return (
    (first & ~(0xff | FLAGS)) === 0 && [sequence, acknowledged, seconds].every(Number.isSafeInteger) && hasTime(head)
  )
}

export function putReplyHead(words: Uint32Array, at: number, head: ReplyHead): void {
  words[at] = head.method | (-head.status << 16)
  words[at + 1] = head.epoch
  putWords(words, at + 2, head.seconds)
  words[at + 4] = head.nanoseconds
  words[at + 5] = 0
}

/** False where it is none of this version. */
export function getReplyHead(words: Uint32Array, at: number, end: number, head: ReplyHead): boolean {
  if (at + REPLY_HEAD_WORDS > end) return false
  const first = words[at] as number
  head.method = first & 0xff
  head.status = -(first >>> 16)
  head.epoch = words[at + 1] as number
  head.seconds = getSigned(words, at + 2)
  head.nanoseconds = words[at + 4] as number
  const isKnown = (first & 0xff00) === 0 && head.status >= -ERRNO_MAX && words[at + 5] === 0
  return isKnown && Number.isSafeInteger(head.seconds) && hasTime(head)
}

const hasTime = ({ nanoseconds }: { nanoseconds: number }): boolean => nanoseconds < SECOND_NS
