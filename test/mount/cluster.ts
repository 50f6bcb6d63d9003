/**
 * A cluster of mounts on this machine for a test: each node has its own process, store and mountpoint, and they reach
 * each other over the loopback interface. Whatever happens, nothing stays.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { Calls } from './driver.js'
import { checkStores, type MountSettings, run, TestMount } from './harness.js'
import { fileWhere, ownerOf } from './owners.js'

const KEYGEN = fileURLToPath(new URL('../../../scripts/keygen', import.meta.url))

export interface ClusterSettings extends Omit<MountSettings, 'store'> {
  /** Where the store of a node goes, if not into memory. */
  readonly storeOf?: (index: number) => { readonly store: string }
}

export class TestCluster {
  readonly nodes: readonly TestMount[]
  readonly #directory: string
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

  /** The node that has an inode. */
  async ownerOf(inode: number): Promise<TestMount> {
    const stores = this.nodes.map(({ store }) => store)
    return this.node(await ownerOf(stores, inode))
  }

  /** The path of a new and empty file whose inode lies with `owner`. */
  async fileOn(owner: TestMount, sys: Calls, directory?: string): Promise<string> {
    return await fileWhere(sys, async (inode) => (await this.ownerOf(inode)) === owner, directory)
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
export async function freePorts(count: number): Promise<number[]> {
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
