/**
 * The kernel border: whatever bytes a request has, it is answered once with a reply or an errno, and nothing outside of
 * its slot is touched.
 */

import t from 'tap'
import { EINTR } from '../../lib/base/errno.js'
import { Alone } from '../../lib/fs/alone.js'
import { Turn } from '../../lib/meta/turn.js'
import { type Log, PENDING } from '../../lib/ports.js'
import { INIT, INIT_HIGH, INIT_OUT_BYTES, OP, PROTOCOL_MINOR } from '../../lib/wire/kernel.js'
import { Dispatch } from '../../mount/dispatch.js'
import type { MountSettings } from '../../mount/handlers/types.js'
import { argumentsOf, FakeKernel, type FakeRequest, type Reply } from './border.js'
import { Prng } from './prng.js'
import { World } from './world.js'

class Border {
  readonly world: World
  readonly kernel: FakeKernel
  readonly dispatch: Dispatch
  readonly fs: Alone
  readonly logged: string[] = []
  readonly faults: unknown[] = []
  isReady = false

  constructor(seed: number, settings: Partial<MountSettings> = {}) {
    this.world = new World(new Prng(seed), {})
    this.world.boot(false)
    this.kernel = new FakeKernel(this.world.pool)
    const log: Log = {
      debug: () => undefined,
      info: (_, message) => this.logged.push(message),
      warn: (_, message) => this.logged.push(message),
      error: (event, message) => this.faults.push([message, event]),
    }
    const all: MountSettings = {
      timeouts: { entrySeconds: 60, attributeSeconds: 60 },
      writeback: false,
      keeper: 'node',
      shared: false,
      protocolMinorMax: PROTOCOL_MINOR,
      onReady: () => {
        this.isReady = true
      },
      ...settings,
    }
    const { share, pool, clock } = this.world
    this.fs = new Alone(share, pool.memory)
    const ports = { fs: this.fs, turn: new Turn(share.meta), kernel: this.kernel, pool, clock, log }
    this.dispatch = new Dispatch(ports, all, () => undefined)
  }

  /** Serves what was pushed, to the end of everything that it began. */
  async run(): Promise<void> {
    for (let idle = 0; idle < 3; ) {
      this.dispatch.onReadable()
      this.world.settle()
      await Promise.resolve()
      if (this.kernel.isEmpty && this.kernel.openCount === 0) idle++
    }
  }

  async ask(request: FakeRequest): Promise<Reply | undefined> {
    this.kernel.push(request)
    await this.run()
    return this.kernel.replies.at(-1)
  }
}

const errorOf = (reply: Reply | undefined): number => reply?.error ?? 1
const wordsOf = ({ body }: Reply): Uint32Array => new Uint32Array(body.buffer, 0, body.length >>> 2)

const ODD_WORDS = [0, 1, 2, 3, 4, 8, 40, 255, 4096, 0x7fffffff, 0x80000000, 0xffffffff, 0o100644, 0o040755]
/** INIT is said once, by the kernel itself. */
const OPCODES = Object.values(OP).filter((opcode) => opcode !== OP.INIT)
const NAMES = ['a', 'b', '', '.', '..', 'n'.repeat(255), 'n'.repeat(256), '\xff', 'user.a', 'trusted.b', 'security.c']
const ACLS = ['system.posix_acl_access', 'system.posix_acl_default', 'user.chfs.chunk', 'user.chfs.layout']

/** A request that is somehow like a real one: words, names and bytes, cut off anywhere. */
function oddRequest(prng: Prng, nodes: readonly number[]): FakeRequest {
  const opcode = prng.oneIn(20) ? 60 + (prng.uint32() % 5000) : prng.pick(OPCODES)
  const word = (): number =>
    prng.oneIn(3) ? prng.uint32() : prng.oneIn(3) ? prng.pick(nodes) % 2 ** 32 : prng.pick(ODD_WORDS)
  const words = Array.from({ length: prng.pick([0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 22]) }, word)
  const names = Array.from({ length: prng.uint32() % 3 }, () => prng.pick([...NAMES, ...ACLS]))
  let bytes = argumentsOf(words, ...names)
  if (prng.oneIn(4)) {
    const long = new Uint8Array(bytes.length + (prng.uint32() % 12000))
    long.set(bytes)
    for (let at = bytes.length; at < long.length; at++) long[at] = prng.uint32()
    // A WRITE says how much it brings.
    if (long.length > 40) new DataView(long.buffer).setUint32(16, long.length - 40, true)
    bytes = long
  }
  if (prng.oneIn(4)) bytes = bytes.slice(0, prng.uint32() % (bytes.length + 1))
  return { opcode, node: prng.oneIn(6) ? prng.uint32() : prng.pick(nodes), bytes, uid: prng.pick([0, 1000]) }
}

t.test('random requests', async (t) => {
  for (let seed = 1; seed <= 150; seed++) {
    const prng = new Prng(seed)
    const border = new Border(seed)
    const { kernel, world } = border
    for (const name of ['a', 'b']) {
      await border.ask({ opcode: OP.CREATE, node: 1, bytes: argumentsOf([2, 0o100644, 0, 0], name) })
      await border.ask({ opcode: OP.MKDIR, node: 1, bytes: argumentsOf([0o755, 0], `d${name}`) })
    }
    const nodes = [1]
    for (const reply of kernel.replies) {
      const [low, high] = wordsOf(reply)
      nodes.push((high ?? 0) * 2 ** 32 + (low ?? 0))
    }
    for (let round = 0; round < 40; round++) {
      const batch = Array.from({ length: 8 }, () => oddRequest(prng, nodes))
      // The kernel forgets an inode only when nothing of it is under way.
      const isForget = ({ opcode }: FakeRequest): boolean => opcode === OP.FORGET || opcode === OP.BATCH_FORGET
      for (const request of batch) if (!isForget(request)) kernel.push(request)
      await border.run()
      for (const request of batch) if (isForget(request)) kernel.push(request)
      await border.run()
    }
    if (border.faults.length + world.errors.length > 0 || kernel.damaged() >= 0 || kernel.openCount > 0) {
      t.fail(`seed ${seed}: damaged at ${kernel.damaged()}, ${kernel.openCount} open`, {
        faults: border.faults.slice(0, 3),
        errors: world.errors.slice(0, 3),
      })
    }
    const kinds = new Set(kernel.replies.map(({ error }) => error))
    if (!kinds.has(0) || !kinds.has(-22) || !kinds.has(-38)) t.fail(`seed ${seed} does not try much: ${[...kinds]}`)
  }
})

t.test('an operation that we do not know is ENOSYS and logged once', async (t) => {
  const border = new Border(1)
  for (const opcode of [9999, 9999, 48, 9999]) {
    t.equal(errorOf(await border.ask({ opcode, node: 1, bytes: new Uint8Array(64) })), -38)
  }
  t.equal(border.logged.length, 2)
})

t.test('operations of newer protocols are unknown under an older one', async (t) => {
  const [now, old] = [new Border(1), new Border(1, { protocolMinorMax: 34 })]
  for (const opcode of [OP.TMPFILE, OP.STATX, OP.COPY_FILE_RANGE_64]) {
    const request = { opcode, node: 1, bytes: argumentsOf(new Array(14).fill(0), 'x') }
    t.not(errorOf(await now.ask(request)), -38)
    t.equal(errorOf(await old.ask(request)), -38)
  }
})

t.test('SYNCFS and FSYNC make everything safe against a power cut', async (t) => {
  for (const opcode of [OP.SYNCFS, OP.FSYNC, OP.FSYNCDIR]) {
    const border = new Border(7)
    await border.ask({ opcode: OP.MKDIR, node: 1, bytes: argumentsOf([0o755, 0], 'kept') })
    const made = await border.ask({ opcode: OP.CREATE, node: 1, bytes: argumentsOf([2, 0o100644, 0, 0], 'file') })
    const [low, high] = wordsOf(made as Reply)
    const node = (high ?? 0) * 2 ** 32 + (low ?? 0)
    const data = new Uint8Array(40 + 9000).fill(0x61)
    data.fill(0, 0, 40)
    new DataView(data.buffer).setUint32(16, 9000, true)
    t.equal(errorOf(await border.ask({ opcode: OP.WRITE, node, bytes: data })), 0)
    const synced = opcode === OP.FSYNCDIR ? 1 : node
    t.equal(errorOf(await border.ask({ opcode, node: synced, bytes: new Uint8Array(16) })), 0)
    border.world.crash('power')
    border.world.boot(false)
    const { share } = border.world
    t.equal(share.meta.find(node)?.size, 9000)
    if (opcode === OP.FSYNCDIR) continue
    const slot = border.world.pool.acquire()
    const at = border.world.pool.payloadOf(slot)
    let read = share.read(node, at, 9000, 0, (late) => {
      read = late
    })
    border.world.settle()
    t.equal(read, 9000)
    t.ok(
      border.world.pool.memory.subarray(at, at + 9000).every((byte) => byte === 0x61),
      'the data too',
    )
  }
})

t.test('a synchronous write that has to wait for the disk is answered without another request', async (t) => {
  const border = new Border(3)
  const made = await border.ask({ opcode: OP.CREATE, node: 1, bytes: argumentsOf([2, 0o100644, 0, 0], 'file') })
  const [low, high] = wordsOf(made as Reply)
  const O_SYNC = 0o4010000
  for (const size of [100, 9000, 9000]) {
    const bytes = new Uint8Array(40 + size)
    bytes.set(argumentsOf([0, 0, 0, 0, size, 0, 0, 0, O_SYNC, 0]))
    border.kernel.push({ opcode: OP.WRITE, node: (high ?? 0) * 2 ** 32 + (low ?? 0), bytes })
    const { length } = border.kernel.replies
    border.dispatch.onReadable()
    for (let step = 0; step < 10; step++) {
      border.world.settle()
      await Promise.resolve()
    }
    t.equal(border.kernel.replies.length, length + 1, `${size} bytes`)
  }
})

t.test('INIT', async (t) => {
  const everything = 0xffffffff
  const init = (border: Border, major: number, minor: number): Promise<Reply | undefined> =>
    border.ask({ opcode: OP.INIT, node: 0, bytes: argumentsOf([major, minor, 1 << 22, everything, everything, 0]) })

  t.test('agrees to what both know', async (t) => {
    const border = new Border(1)
    const words = wordsOf((await init(border, 7, PROTOCOL_MINOR)) as Reply)
    t.equal(words.length * 4, INIT_OUT_BYTES)
    t.strictSame([words[0], words[1]], [7, PROTOCOL_MINOR])
    const flags = words[3] ?? 0
    for (const name of ['POSIX_ACL', 'DONT_MASK', 'MAX_PAGES', 'HANDLE_KILLPRIV_V2', 'SETXATTR_EXT'] as const) {
      t.ok(flags & INIT[name], name)
    }
    t.notOk(flags & INIT.EXPORT_SUPPORT)
    t.notOk(flags & INIT.WRITEBACK_CACHE)
    t.equal(words[6], 1, 'times in nanoseconds')
    t.ok(border.isReady)
  })

  t.test('an older kernel gets its own version', async (t) => {
    const words = wordsOf((await init(new Border(1), 7, 36)) as Reply)
    t.equal(words[1], 36)
    const capped = wordsOf((await init(new Border(1, { protocolMinorMax: 34 }), 7, 45)) as Reply)
    t.equal(capped[1], 34)
    t.notOk((capped[3] ?? 0) & INIT.INIT_EXT)
  })

  t.test('a kernel that is too old is refused, and a newer one asks again', async (t) => {
    const border = new Border(1)
    t.equal(errorOf(await init(border, 7, 33)), -71)
    t.equal(border.faults.length, 1)
    const words = wordsOf((await init(border, 8, 0)) as Reply)
    t.equal(words[0], 7)
    t.notOk(border.isReady)
  })

  t.test('delayed writes only when asked for, locks and opens only when kept here', async (t) => {
    const delayed = wordsOf((await init(new Border(1, { writeback: true }), 7, 45)) as Reply)
    t.ok((delayed[3] ?? 0) & INIT.WRITEBACK_CACHE)
    t.ok((delayed[3] ?? 0) & INIT.POSIX_LOCKS)
    const alone = wordsOf((await init(new Border(1, { keeper: 'kernel' }), 7, 45)) as Reply)
    t.notOk((alone[3] ?? 0) & (INIT.POSIX_LOCKS | INIT.FLOCK_LOCKS))
  })

  t.test('with other nodes nothing is read ahead or kept, and what bypasses the cache can be mapped', async (t) => {
    const border = new Border(1, { shared: true, timeouts: { entrySeconds: 0, attributeSeconds: 0 } })
    const words = wordsOf((await init(border, 7, 45)) as Reply)
    t.notOk((words[3] ?? 0) & (INIT.DO_READDIRPLUS | INIT.READDIRPLUS_AUTO))
    t.equal(words[8], INIT_HIGH.DIRECT_IO_ALLOW_MMAP)
    const old = wordsOf((await init(new Border(1, { shared: true }), 7, 34)) as Reply)
    t.equal(old[8], 0, 'a kernel without a second word of flags is not given one')
    t.equal(wordsOf((await init(new Border(1), 7, 45)) as Reply)[8], 0)
    const opened = await border.ask({ opcode: OP.OPENDIR, node: 1, bytes: argumentsOf([0, 0]) })
    t.equal(wordsOf(opened as Reply)[2], 0)
  })
})

t.test('a signal ends the wait for a peer that is away, after a while, and nothing else', async (t) => {
  const interrupted = (border: Border): Reply[] => {
    let answer = (_: number): void => undefined
    border.fs.getattr = (_number: number, done?: (result: number) => void) => {
      answer = done ?? answer
      return PENDING
    }
    border.kernel.push({ opcode: OP.GETATTR, node: 1, bytes: argumentsOf([0, 0, 0, 0]) })
    border.dispatch.onReadable()
    const { unique } = border.kernel
    border.kernel.push({ opcode: OP.INTERRUPT, node: 0, bytes: argumentsOf([unique, 0]) })
    border.dispatch.onReadable()
    t.strictSame(border.kernel.replies, [], 'not at once')
    for (let second = 0; second < 5; second++) border.world.clock.step()
    const replies = [...border.kernel.replies]
    answer(-5)
    return replies
  }
  const away = new Border(1, { shared: true })
  Object.defineProperty(away.fs, 'isHeldUp', { value: true })
  t.equal(interrupted(away)[0]?.error, -EINTR)
  t.equal(away.kernel.replies.length, 1, 'the late answer goes nowhere')
  await away.run()
  t.equal(away.kernel.openCount, 0, 'and gives the slot back')
  const slow = new Border(1, { shared: true })
  t.strictSame(interrupted(slow), [])
  await slow.run()
  t.equal(slow.kernel.replies[0]?.error, -5)
})
