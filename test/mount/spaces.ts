/**
 * A cluster as scripts/cluster starts it with --netns: each node in a network namespace of its own, so that its link can
 * be cut. Whatever happens, no mount, process, namespace or file stays.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { type Driver, DriverServer } from './driver.js'
import { checkStores, run } from './harness.js'
import { fileWhere, ownerOf } from './owners.js'

const CLUSTER = fileURLToPath(new URL('../../../scripts/cluster', import.meta.url))
/** It compiles what is not compiled. */
const UP_TIMEOUT_MS = 240_000
const CLOSING_MS = 3000

export class SpaceNode {
  readonly number: number
  /** A directory that all nodes see. */
  readonly beside: string
  readonly store: string
  readonly mountpoint: string
  #drivers: DriverServer | undefined

  constructor(number: number, directory: string) {
    this.number = number
    this.beside = `${directory}/beside`
    this.store = `${directory}/store${number}`
    this.mountpoint = `${directory}/mnt${number}`
  }

  driver(): Driver {
    this.#drivers ??= new DriverServer(`${this.beside}/socket${this.number}`)
    return this.#drivers.driver(this.mountpoint)
  }

  endDrivers(): void {
    this.#drivers?.end()
    this.#drivers = undefined
  }
}

export class SpaceCluster {
  readonly nodes: readonly SpaceNode[]
  readonly #directory: string
  readonly #space: string
  /** The last net, for a test that dies before its teardown. */
  readonly #onExit = (): void => this.#clear()

  private constructor(directory: string, count: number) {
    this.#directory = directory
    this.#space = `chfs-${createHash('sha256').update(directory).digest('hex').slice(0, 8)}`
    this.nodes = Array.from({ length: count }, (_, index) => new SpaceNode(index + 1, directory))
    mkdirSync(`${directory}/beside`)
    process.once('exit', this.#onExit)
  }

  /** Starts `count` nodes; the test's teardown ends them. */
  static async start(test: Test, count: number, options: string): Promise<SpaceCluster> {
    const cluster = new SpaceCluster(mkdtempSync('/dev/shm/chfs-spaces-'), count)
    test.teardown(() => cluster.#end())
    await cluster.#run(['up', String(count), cluster.#directory, '--netns', '-o', options])
    return cluster
  }

  /** Takes the link of a node down. */
  async cut(node: SpaceNode): Promise<void> {
    await this.#link(node, 'down')
  }

  async mend(node: SpaceNode): Promise<void> {
    await this.#link(node, 'up')
  }

  async ownerOf(inode: number): Promise<SpaceNode> {
    const stores = this.nodes.map(({ store }) => store)
    return this.nodes[await ownerOf(stores, inode)] as SpaceNode
  }

  /** The path of a new and empty file whose inode lies with `owner`. */
  async fileOn(owner: SpaceNode): Promise<string> {
    return await fileWhere(owner.driver().sys, async (inode) => (await this.ownerOf(inode)) === owner)
  }

  async #link({ number }: SpaceNode, state: 'up' | 'down'): Promise<void> {
    const { code, stderr } = await run('ip', ['-n', `${this.#space}-hub`, 'link', 'set', `node${number}`, state])
    if (code !== 0) throw new Error(stderr)
  }

  async #run(args: readonly string[]): Promise<void> {
    const { code, stdout, stderr } = await run('env', ['-u', 'NODE_OPTIONS', CLUSTER, ...args], UP_TIMEOUT_MS)
    if (code !== 0) throw new Error(`scripts/cluster ${args.join(' ')}: ${stdout}${stderr}`)
  }

  async #end(): Promise<void> {
    try {
      for (const node of this.nodes) node.endDrivers()
      // They are still closing what they had open, and then the mounts are busy.
      const down = () => this.#run(['down', this.#directory])
      await down().catch(() => sleep(CLOSING_MS).then(down))
      await checkStores(this.nodes.map(({ store }) => store))
    } catch (error) {
      const logs = this.nodes.map(({ store }) => readFileSync(`${store}/log`, 'utf8'))
      throw new Error(`${(error as Error).message}\n${logs.join('\n')}`)
    } finally {
      this.#clear()
      process.off('exit', this.#onExit)
    }
  }

  #clear(): void {
    const command = (...words: string[]) => spawnSync(words[0] as string, words.slice(1), { timeout: 10_000 })
    for (const node of this.nodes) {
      node.endDrivers()
      command(CLUSTER, 'kill', String(node.number), this.#directory)
      if (!readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${node.mountpoint} `)) continue
      for (const how of ['-f', '-l']) command('umount', how, node.mountpoint)
    }
    for (const name of ['hub', ...this.nodes.map(({ number }) => String(number))]) {
      command('ip', 'netns', 'del', `${this.#space}-${name}`)
    }
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
