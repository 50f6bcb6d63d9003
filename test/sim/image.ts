/** The bytes of a sparse file, and the steps by which they change: what a disk may keep or lose, each by itself. */

export const PAGE = 4096

export type Step =
  | { readonly kind: 'page'; readonly index: number; readonly bytes: Uint8Array | undefined }
  | { readonly kind: 'grow'; readonly size: number }
  | { readonly kind: 'cut'; readonly size: number }

export class Image {
  size = 0
  /** Present pages; they are never changed in place. */
  readonly pages: Map<number, Uint8Array>

  constructor(from?: Image) {
    this.size = from?.size ?? 0
    this.pages = new Map(from?.pages)
  }

  read(into: Uint8Array, at: number, bytes: number, offset: number): number {
    const length = Math.max(0, Math.min(bytes, this.size - offset))
    for (let done = 0; done < length; ) {
      const [index, within] = [Math.floor((offset + done) / PAGE), (offset + done) % PAGE]
      const part = Math.min(PAGE - within, length - done)
      const page = this.pages.get(index)
      if (page === undefined) into.fill(0, at + done, at + done + part)
      else into.set(page.subarray(within, within + part), at + done)
      done += part
    }
    return length
  }

  /** The steps of a write, one a page, and the growth of the file. */
  stepsOfWrite(from: Uint8Array, offset: number): Step[] {
    const steps: Step[] = []
    for (let done = 0; done < from.length; ) {
      const [index, within] = [Math.floor((offset + done) / PAGE), (offset + done) % PAGE]
      const part = Math.min(PAGE - within, from.length - done)
      const bytes = Uint8Array.from(this.pages.get(index) ?? new Uint8Array(PAGE))
      bytes.set(from.subarray(done, done + part), within)
      steps.push({ kind: 'page', index, bytes })
      done += part
    }
    if (offset + from.length > this.size) steps.push({ kind: 'grow', size: offset + from.length })
    return steps
  }

  stepsOfPunch(offset: number, bytes: number): Step[] {
    const steps: Step[] = []
    const end = Math.min(offset + bytes, Math.ceil(this.size / PAGE) * PAGE)
    for (let at = offset; at < end; ) {
      const [index, within] = [Math.floor(at / PAGE), at % PAGE]
      const part = Math.min(PAGE - within, end - at)
      const old = this.pages.get(index)
      if (old !== undefined) {
        const page = part === PAGE ? undefined : Uint8Array.from(old).fill(0, within, within + part)
        steps.push({ kind: 'page', index, bytes: page })
      }
      at += part
    }
    return steps
  }

  apply(step: Step): void {
    if (step.kind === 'page') {
      if (step.bytes === undefined) this.pages.delete(step.index)
      else this.pages.set(step.index, step.bytes)
    } else if (step.kind === 'grow') this.size = Math.max(this.size, step.size)
    else {
      if (step.size < this.size) this.#clearBeyond(step.size)
      this.size = step.size
    }
  }

  /** Drops what lies beyond the size, as a file system does that has lost some steps. */
  settle(): void {
    this.#clearBeyond(this.size)
  }

  /** lseek(2): SEEK_DATA where `data`, else SEEK_HOLE; −1 where there is none. */
  seek(offset: number, data: boolean): number {
    if (offset >= this.size) return -1
    if (this.pages.has(Math.floor(offset / PAGE)) === data) return offset
    let found = Number.POSITIVE_INFINITY
    if (data) {
      for (const index of this.pages.keys()) if (index * PAGE > offset) found = Math.min(found, index * PAGE)
      return found < this.size ? found : -1
    }
    let index = Math.floor(offset / PAGE)
    while (this.pages.has(index)) index++
    return Math.min(index * PAGE, this.size)
  }

  #clearBeyond(size: number): void {
    for (const [index, page] of this.pages) {
      if (index * PAGE >= size) this.pages.delete(index)
      else if ((index + 1) * PAGE > size) this.pages.set(index, Uint8Array.from(page).fill(0, size - index * PAGE))
    }
  }
}
