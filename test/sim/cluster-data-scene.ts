import { ROOT_INODE } from '../../lib/base/ids.js'
import type { AnyMethod } from '../../lib/rpc/services.js'
import { type FileCall, Files } from './cluster-data-files.js'
import { CHUNK_BYTES, type DataNode, DataWorld, PAYLOAD_BYTES } from './cluster-data-world.js'
import { Prng } from './prng.js'
import type { SimTransport } from './transport.js'

/** Which messages a scene keeps back. */
export interface Kept {
  readonly method: AnyMethod
  readonly isReply?: boolean
  readonly from?: DataNode
  readonly to?: DataNode
}

/** A call that has been made, and its end. */
export interface Running {
  call: FileCall | undefined
}

/** One file and three nodes or more, for cases in which messages arrive as the case wants it. */
export class Scene {
  readonly world: DataWorld
  readonly files: Files<DataNode>
  readonly number: number
  /** The node that has the inode. */
  readonly owner: DataNode
  /** The others. */
  readonly others: DataNode[]

  constructor(seed = 1, members = 3) {
    this.world = new DataWorld(members, new Prng(seed))
    this.world.network.weather.delayMsMax = 2
    this.files = new Files(this.world)
    this.number = this.world.create(this.world.node(0), 'f')
    for (const node of this.world.nodes) this.world.find(node, 'f')
    const member = this.world.node(0).node.router.ofInode(this.number)
    this.owner = this.world.node(member)
    this.others = this.world.nodes.filter((node) => node !== this.owner)
    this.world.wait(this.owner, (done) => this.owner.fs.syncfs(done))
  }

  /** Where a chunk of this node begins: the `nth` one, never the first of the file. */
  at(node: DataNode, nth = 0): number {
    let left = nth
    for (let chunk = 1; ; chunk++) {
      if (this.owner.node.router.ofChunk(this.number, chunk, 0) === node.index && left-- === 0) {
        return chunk * CHUNK_BYTES
      }
    }
  }

  write(node: DataNode, offset: number, text: string): number {
    return this.end(this.startWrite(node, offset, text)).result
  }

  startWrite(node: DataNode, offset: number, text: string): Running {
    const data = Buffer.from(text)
    return this.start((ended) => this.files.write(node, this.number, offset, data, false, ended))
  }

  startAppend(node: DataNode, text: string): Running {
    const data = Buffer.from(text)
    return this.start((ended) => this.files.write(node, this.number, 0, data, true, ended))
  }

  append(node: DataNode, text: string): number {
    return this.end(this.startAppend(node, text)).result
  }

  startRead(node: DataNode, offset: number, bytes: number): Running {
    return this.start((ended) => this.files.read(node, this.number, offset, bytes, ended))
  }

  read(node: DataNode, offset: number, bytes: number): string {
    return textOf(this.end(this.startRead(node, offset, bytes)))
  }

  startTruncate(node: DataNode, size: number): Running {
    return this.start((ended) => this.files.truncate(node, this.number, size, ended))
  }

  truncate(node: DataNode, size: number): number {
    return this.end(this.startTruncate(node, size)).result
  }

  /** Its kernel goes on holding the inode. */
  startUnlink(node: DataNode): Running {
    const name = { bytes: Buffer.from('f'), offset: 0, length: 1 }
    return this.start((ended) =>
      this.world.start(
        node,
        (done) => node.fs.unlink(ROOT_INODE, name, done),
        (result) => ended({ result, bytes: new Uint8Array(0), size: 0, inode: undefined }),
      ),
    )
  }

  fsync(node: DataNode): number {
    return this.end(this.start((ended) => this.files.fsync(node, this.number, ended))).result
  }

  startStat(node: DataNode): Running {
    return this.start((ended) => this.files.stat(node, this.number, ended))
  }

  size(node: DataNode): number {
    const { result, size } = this.end(this.startStat(node))
    return result < 0 ? result : size
  }

  /** The whole file, as a node reads it. */
  contents(node: DataNode): string {
    const size = this.size(node)
    let text = ''
    for (let offset = 0; offset < size; offset += PAYLOAD_BYTES) text += this.read(node, offset, PAYLOAD_BYTES)
    return text
  }

  start(run: (ended: (call: FileCall) => void) => void): Running {
    const running: Running = { call: undefined }
    run((call) => {
      running.call = call
    })
    return running
  }

  end(running: Running): FileCall {
    this.world.until(() => running.call !== undefined)
    return running.call as FileCall
  }

  /** Keeps messages back from now on, until {@link release}. */
  keep(...kept: Kept[]): void {
    const { network } = this.world
    const is = (node: DataNode | undefined, transport: SimTransport): boolean =>
      node === undefined || node.transport === transport
    network.keeps = (method, isReply, from, to) =>
      kept.some(
        (one) =>
          one.method.number === method && (one.isReply ?? false) === isReply && is(one.from, from) && is(one.to, to),
      )
  }

  /** Waits until so many messages are kept back. */
  untilKept(count = 1): void {
    this.world.until(() => this.world.network.kept.length >= count)
  }

  /** Lets all go on that was kept back, and keeps nothing back any more. */
  release(): void {
    const { network } = this.world
    network.keeps = () => false
    for (const go of network.kept.splice(0)) go()
  }

  /** Messages that `run` makes this node send, by method. */
  sent(node: DataNode, run: () => void): Record<string, number> {
    const before = new Map(node.node.sent)
    run()
    const sent: Record<string, number> = {}
    for (const [method, count] of node.node.sent) {
      const more = count - (before.get(method) ?? 0)
      if (more > 0) sent[method] = more
    }
    return sent
  }
}

export const textOf = ({ result, bytes }: FileCall): string =>
  result < 0 ? `error ${result}` : Buffer.from(bytes).toString('latin1')

export const zeros = (count: number): string => '\0'.repeat(count)
