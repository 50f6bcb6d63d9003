/** A file system of one file, `file`, and of the names that are created, on our own border: nothing but its cost. */
import { ENOENT, ENOSYS } from '../lib/base/errno.js'
import { addon } from '../lib/native/addon.js'
import { FuseKernel } from '../lib/native/kernel.js'
import { MappedPool } from '../lib/native/pool.js'
import { type Attributes, INIT, INIT_OUT_BYTES, OP, putAttrOut, putEntryOut, putOpenOut } from '../lib/wire/kernel.js'
import { Request } from '../mount/request.js'

const PAYLOAD_BYTES = 1 << 20
const NO_TIMEOUTS = { entrySeconds: 0, attributeSeconds: 0 }
const FILE = 2
const WITHOUT_REPLY = new Set<number>([OP.FORGET, OP.BATCH_FORGET, OP.INTERRUPT])

const times = { atime: 0, mtime: 0, ctime: 0, btime: 0, atimeNs: 0, mtimeNs: 0, ctimeNs: 0, btimeNs: 0 }
const common = { ...times, generation: 1, nlink: 1, uid: 0, gid: 0, rdev: 0, blocks: 1 }
const root = { ...common, number: 1, mode: 0o40755, size: 0 } as Attributes
/** Every file has the same attributes; its number is set before each use. */
const file = { ...common, number: FILE, mode: 0o100644, size: 64 << 20 }
const created = new Map<string, number>([['file', FILE]])
let nextNumber = FILE + 1

const pool = new MappedPool({ count: 16, payloadBytes: PAYLOAD_BYTES })
const kernel = new FuseKernel(pool)
const request = new Request(pool)

function nameAt(bytes: number): string {
  const { bytes: memory, offset, length } = request.name(bytes)
  return Buffer.from(memory.buffer, memory.byteOffset + offset, length).toString('latin1')
}

function entry(number: number): number {
  file.number = number
  return putEntryOut(request.words, request.body, file as Attributes, NO_TIMEOUTS)
}

function create(): number {
  const number = nextNumber++
  created.set(nameAt(16), number)
  const bytes = entry(number)
  request.bodyBytes = bytes + putOpenOut(request.words, request.body + bytes / 4, 0)
  return 0
}

function lookup(): number {
  const number = created.get(nameAt(0))
  if (number === undefined) return -ENOENT
  request.bodyBytes = entry(number)
  return 0
}

function init(): number {
  const { words, body } = request
  words.fill(0, body, body + INIT_OUT_BYTES / 4)
  words[body] = 7
  words[body + 1] = Math.min(request.u32(1), 45)
  words[body + 2] = PAYLOAD_BYTES
  words[body + 3] = INIT.MAX_PAGES | INIT.BIG_WRITES | INIT.ASYNC_READ
  words[body + 4] = 12 | (9 << 16)
  words[body + 5] = PAYLOAD_BYTES
  words[body + 6] = 1
  words[body + 7] = 256
  request.bodyBytes = INIT_OUT_BYTES
  return 0
}

function serve(): number {
  switch (request.opcode) {
    case OP.INIT:
      return init()
    case OP.LOOKUP:
      return lookup()
    case OP.GETATTR:
      request.bodyBytes = putAttrOut(
        request.words,
        request.body,
        request.node === 1 ? root : (file as Attributes),
        NO_TIMEOUTS,
      )
      return 0
    case OP.OPEN:
      request.bodyBytes = putOpenOut(request.words, request.body, 0)
      return 0
    case OP.CREATE:
      return create()
    case OP.UNLINK:
      return created.delete(nameAt(0)) ? 0 : -ENOENT
    case OP.RELEASE:
      return 0
    case OP.READ:
      request.dataBytes = request.u32(4)
      return 0
    case OP.WRITE:
      request.words[request.body] = request.u32(4)
      request.words[request.body + 1] = 0
      request.bodyBytes = 8
      return 0
    default:
      return -ENOSYS
  }
}

function onReadable(): void {
  for (;;) {
    const slot = kernel.next()
    if (slot < 0) {
      if (slot === -2) process.exit(0)
      return
    }
    request.set(slot)
    if (WITHOUT_REPLY.has(request.opcode)) kernel.release(slot)
    else kernel.reply(slot, serve(), request.bodyBytes, request.dataBytes)
  }
}

const fd = addon.mountDirect('null', process.argv[2] as string, 0, 'allow_other')
if (fd < 0) throw new Error(`mount: errno ${-fd}`)
kernel.attach(fd, onReadable)
console.log('mounted')
