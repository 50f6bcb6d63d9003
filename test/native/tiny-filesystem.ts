/**
 * A file system of a few names, for tests of the kernel session: `hello` can be read, and the READ of every other name
 * is what the test says. It serves from the test's own process, so whatever touches the mount is a child process under
 * `timeout`, and is never waited for synchronously.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { addon } from '../../lib/native/addon.js'
import { FuseKernel } from '../../lib/native/kernel.js'
import { MappedPool } from '../../lib/native/pool.js'
import type { Config } from '../../mount/config.js'
import { directMounter, userMounter } from '../../mount/mounter.js'
import { quiet } from '../quiet.js'

const { EACCES, ENOENT, ENOSYS } = constants.errno

export const CONTENT = 'the content of a file\n'
/** Names by inode number; 1 is the root. */
const NAMES = ['', '', 'hello', 'odd-1', 'odd-2', 'odd-3', 'odd-4', 'odd-5', 'odd-6', 'odd-7', 'odd-8', 'odd-9']

const OPCODE = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  OPEN: 14,
  READ: 15,
  RELEASE: 18,
  FLUSH: 25,
  INIT: 26,
  CREATE: 35,
} as const
const WITHOUT_REPLY: readonly number[] = [OPCODE.FORGET, 42, 36, 41]
const FUSE_MAX_PAGES = 1 << 22
const FOPEN_DIRECT_IO = 1

export interface Outcome {
  status: number | null
  stdout: string
  stderr: string
}

export class TinyFilesystem {
  readonly pool: MappedPool
  readonly kernel: FuseKernel
  readonly mountpoint = mkdtempSync(join(tmpdir(), 'chfs-test-'))
  /** What is done with a READ of a name other than `hello`; it owns the slot. */
  onOddRead: (slot: number) => void = (slot) => this.kernel.release(slot)
  /** What is done with a CREATE; it owns the slot. */
  onCreate: (slot: number) => void = (slot) => this.kernel.reply(slot, -EACCES, 0, 0)
  /** Seen opcodes, in order. */
  readonly opcodes: number[] = []
  ended = false
  readonly #isRoot = process.getuid?.() === 0
  readonly #mounter = this.#isRoot ? directMounter(addon) : userMounter(addon)

  constructor(count = 16) {
    this.pool = new MappedPool({ count, payloadBytes: 131072 })
    this.kernel = new FuseKernel(this.pool)
  }

  async start(): Promise<void> {
    const config = { source: 'tiny', kernelFlags: ['nosuid', 'nodev'], allowOther: this.#isRoot }
    const fd = await this.#mounter.mount(config as unknown as Config, this.mountpoint, quiet)
    this.kernel.attach(fd, () => this.#serve())
  }

  /** False where it is busy. */
  async unmount(): Promise<boolean> {
    return await this.#mounter.unmount(this.mountpoint, false)
  }

  /** Leaves nothing behind, whatever happened. */
  async end(): Promise<void> {
    this.kernel.close()
    await this.#mounter.unmount(this.mountpoint, true)
    rmdirSync(this.mountpoint)
  }

  async cat(name: string): Promise<Outcome> {
    return await run('cat', [join(this.mountpoint, name)])
  }

  #serve(): void {
    for (;;) {
      const slot = this.kernel.next()
      if (slot < 0) {
        this.ended = slot === -2
        return
      }
      this.#dispatch(slot)
    }
  }

  #dispatch(slot: number): void {
    const head = (slot * this.pool.stride) / 4
    const request = head + 4016 / 4
    const { words } = this.pool
    const opcode = words[request + 1] as number
    const node = words[request + 4] as number
    this.opcodes.push(opcode)
    if (WITHOUT_REPLY.includes(opcode)) this.kernel.release(slot)
    else if (opcode === OPCODE.INIT) this.#init(slot, head + 4)
    else if (opcode === OPCODE.LOOKUP) this.#lookup(slot, head + 4)
    else if (opcode === OPCODE.GETATTR) this.#getattr(slot, head + 4, node)
    else if (opcode === OPCODE.OPEN) this.#open(slot, head + 4)
    else if (opcode === OPCODE.READ) this.#read(slot, node, words[request + 12] as number)
    else if (opcode === OPCODE.CREATE) this.onCreate(slot)
    else if (opcode === OPCODE.RELEASE || opcode === OPCODE.FLUSH) this.kernel.reply(slot, 0, 0, 0)
    else this.kernel.reply(slot, -ENOSYS, 0, 0)
  }

  #init(slot: number, out: number): void {
    const { words } = this.pool
    words.fill(0, out, out + 16)
    words[out] = 7
    words[out + 1] = 31
    words[out + 2] = 131072
    words[out + 3] = FUSE_MAX_PAGES
    words[out + 4] = 12 | (8 << 16)
    words[out + 5] = this.pool.payloadBytes
    words[out + 6] = 1
    words[out + 7] = this.pool.payloadBytes / 4096
    this.kernel.reply(slot, 0, 64, 0)
  }

  #lookup(slot: number, out: number): void {
    const at = slot * this.pool.stride + 4016 + 40
    const name = Buffer.from(this.pool.memory.subarray(at, this.pool.memory.indexOf(0, at))).toString()
    const node = NAMES.indexOf(name, 2)
    if (node < 0) {
      this.kernel.reply(slot, -ENOENT, 0, 0)
      return
    }
    const { words } = this.pool
    words.fill(0, out, out + 32)
    words[out] = node
    this.#attributes(out + 10, node)
    this.kernel.reply(slot, 0, 128, 0)
  }

  #getattr(slot: number, out: number, node: number): void {
    this.pool.words.fill(0, out, out + 26)
    this.#attributes(out + 4, node)
    this.kernel.reply(slot, 0, 104, 0)
  }

  #attributes(out: number, node: number): void {
    const { words } = this.pool
    words[out] = node
    words[out + 2] = node === 1 ? 4096 : CONTENT.length
    words[out + 15] = node === 1 ? 0o40755 : 0o100644
    words[out + 16] = 1
  }

  #open(slot: number, out: number): void {
    this.pool.words.fill(0, out, out + 4)
    this.pool.words[out + 2] = FOPEN_DIRECT_IO
    this.kernel.reply(slot, 0, 16, 0)
  }

  #read(slot: number, node: number, offset: number): void {
    if (NAMES[node] !== 'hello') {
      this.onOddRead(slot)
      return
    }
    const content = Buffer.from(CONTENT).subarray(offset)
    this.pool.memory.set(content, slot * this.pool.stride + 4096)
    this.kernel.reply(slot, 0, 0, content.length)
  }
}

/** Runs a command for at most ten seconds; SIGKILL because a caller of a dead mount ignores everything else. */
export function run(command: string, args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn('timeout', ['-s', 'KILL', '10', command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    const outcome: Outcome = { status: null, stdout: '', stderr: '' }
    child.stdout.on('data', (data) => {
      outcome.stdout += String(data)
    })
    child.stderr.on('data', (data) => {
      outcome.stderr += String(data)
    })
    child.on('close', (status) => resolve({ ...outcome, status }))
  })
}

/** Resolves when `holds` does, within five seconds. */
export async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; !holds(); turn++) {
    if (turn > 1000) throw new Error('it did not come about')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
