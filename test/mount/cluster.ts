/**
 * A cluster of mounts on this machine for a test: each node has its own process, store and mountpoint, and they reach
 * each other over the loopback interface. Whatever happens, nothing stays.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { SERIAL_SPAN } from '../../lib/base/ids.js'
import { loadHash32 } from '../../lib/native/hash.js'
import { Ring } from '../../lib/ring/ring.js'
import { decodeSuperblock, type Superblock } from '../../lib/wire/superblock.js'
import type { Calls } from './driver.js'
import { checkStores, type MountSettings, run, TestMount } from './harness.js'

const KEYGEN = fileURLToPath(new URL('../../../scripts/keygen', import.meta.url))

export interface ClusterSettings extends Omit<MountSettings, 'store'> {
  /** Where the store of a node goes, if not into memory. */
  readonly storeOf?: (index: number) => { readonly store: string }
}

export class TestCluster {
  readonly nodes: readonly TestMount[]
  readonly #directory: string
  #filesMade = 0
  #finished = false

  private constructor(directory: string, nodes: readonly TestMount[]) {
    this.#directory = directory
    this.nodes = nodes
  }

  /** Starts `count` nodes at once; the test's teardown ends them. */
  static async start(test: Test, count: number, settings: ClusterSettings = {}): Promise<TestCluster> {
    const cluster = await TestCluster.prepare(test, count, settings)
    await cluster.all((node) => node.mount())
    return cluster
  }

  /** Starts none yet. */
  static async prepare(test: Test, count: number, settings: ClusterSettings = {}): Promise<TestCluster> {
    const directory = mkdtempSync('/dev/shm/chfs-cluster-')
    const key = `${directory}/key`
    const members = (await freePorts(count)).map((port) => `127.0.0.1:${port}`)
    const { options = [], storeOf = () => ({}), ...others } = settings
    const nodes = members.map((self, index) =>
      TestMount.prepare({
        ...others,
        ...storeOf(index),
        source: members.join(','),
        options: [`self=${self}`, `key=${key}`, ...options],
      }),
    )
    const cluster = new TestCluster(directory, nodes)
    test.teardown(() => cluster.end())
    const { code, stderr } = await run(KEYGEN, [key])
    if (code !== 0) throw new Error(`no key: ${stderr}`)
    return cluster
  }

  node(index: number): TestMount {
    const node = this.nodes[index]
    if (node === undefined) throw new Error(`there is no node ${index}`)
    return node
  }

  /** The node that has an inode, as the ring of their stores says. */
  async ownerOf(inode: number): Promise<TestMount> {
    const superblocks = this.nodes.map(({ store }) => decodeSuperblock(readFileSync(`${store}/superblock`)))
    const { members, ringEpoch, virtualNodes } = superblocks[0] as Superblock
    const ids = members.map(({ id }) => new Uint8Array(Buffer.from(id, 'hex')))
    const ring = new Ring({ epoch: ringEpoch, members: ids, virtualNodes }, await loadHash32())
    const { id } = members[ring.owner(Math.floor(inode / SERIAL_SPAN))] as { id: string }
    return this.node(superblocks.findIndex(({ memberId }) => memberId === id))
  }

  /** Makes files in a directory until one has its inode on `owner`; that one's path. */
  async fileOn(owner: TestMount, sys: Calls, directory = '.'): Promise<string> {
    for (;;) {
      const path = `${directory}/on${this.#filesMade++}`
      await sys.put(path, '')
      if ((await this.ownerOf(await sys.inode(path))) === owner) return path
      await sys.unlink(path)
    }
  }

  async all(step: (node: TestMount) => Promise<unknown>): Promise<void> {
    await Promise.all(this.nodes.map(step))
  }

  async fsck(): Promise<void> {
    await checkStores(this.nodes.map(({ store }) => store))
  }

  /** Unmounts everywhere at once; a second time it does nothing. */
  async end(): Promise<void> {
    if (this.#finished) return
    this.#finished = true
    try {
      const ends = await Promise.allSettled(this.nodes.map((node) => node.stop()))
      for (const end of ends) if (end.status === 'rejected') throw end.reason
      await this.fsck()
    } finally {
      await this.all((node) => node.cleanUp())
      rmSync(this.#directory, { recursive: true, force: true })
    }
  }
}

/** Ports that nobody listened on a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = servers.map(
    (server) =>
      new Promise<number>((resolve) => {
        server.listen(0, '127.0.0.1', () => {
          const address = server.address()
          resolve(address !== null && typeof address === 'object' ? address.port : 0)
        })
      }),
  )
  const found = await Promise.all(ports)
  for (const server of servers) server.close()
  return found
}
