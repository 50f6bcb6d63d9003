/**
 * Messages in a stream of bytes: each is its length (32 bits, little-endian) and then its bytes. What is received costs
 * no more memory than was really sent, whatever a length promises.
 */
import { CONTROL_BYTES_MAX } from '../base/limits.js'

const LENGTH_BYTES = 4
/** What a message that is announced gets at first. */
const FIRST_BYTES = 4096

/** The message with its length before it. */
export function frameOf(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(LENGTH_BYTES + message.length)
  new DataView(frame.buffer).setUint32(0, message.length, true)
  frame.set(message, LENGTH_BYTES)
  return frame
}

export class FrameReader {
  readonly #length = new Uint8Array(LENGTH_BYTES)
  #lengthBytes = 0
  /** Of the message that is being received; −1 while its length is. */
  #wanted = -1
  #message = new Uint8Array(0)
  #received = 0

  /** Takes what has arrived; false where it announces a message that is too long, and then it is of no use any more. */
  push(bytes: Uint8Array, deliver: (message: Uint8Array) => void): boolean {
    for (let at = 0; at < bytes.length; ) {
      if (this.#wanted < 0) {
        this.#length[this.#lengthBytes++] = bytes[at++] as number
        if (this.#lengthBytes === LENGTH_BYTES && !this.#begin()) return false
      } else {
        at += this.#take(bytes.subarray(at))
      }
      if (this.#received === this.#wanted) this.#finish(deliver)
    }
    return true
  }

  #begin(): boolean {
    this.#wanted = new DataView(this.#length.buffer).getUint32(0, true)
    this.#lengthBytes = 0
    this.#received = 0
    if (this.#wanted > CONTROL_BYTES_MAX) return false
    this.#message = new Uint8Array(Math.min(this.#wanted, FIRST_BYTES))
    return true
  }

  #take(bytes: Uint8Array): number {
    const taken = bytes.subarray(0, this.#wanted - this.#received)
    const end = this.#received + taken.length
    if (end > this.#message.length) {
      const larger = new Uint8Array(Math.min(this.#wanted, Math.max(end, 2 * this.#message.length)))
      larger.set(this.#message.subarray(0, this.#received))
      this.#message = larger
    }
    this.#message.set(taken, this.#received)
    this.#received = end
    return taken.length
  }

  #finish(deliver: (message: Uint8Array) => void): void {
    const message = this.#message
    this.#wanted = -1
    this.#message = new Uint8Array(0)
    deliver(message)
  }
}
