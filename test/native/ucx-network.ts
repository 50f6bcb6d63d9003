/** Two network namespaces with a link between them. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The name of the link's interface in both of them. */
export const INTERFACE = 'chfs0'

/**
 * The namespaces have no names: each lives as long as a process in it, and that one ends with us, whatever ends us.
 */
export class Network {
  readonly #holders: [ChildProcess, ChildProcess]

  private constructor(holders: [ChildProcess, ChildProcess]) {
    this.#holders = holders
  }

  static async make(): Promise<Network> {
    const holders = await Promise.all([hold(), hold()])
    const network = new Network(holders)
    const [a, b] = holders.map(({ pid }) => String(pid)) as [string, string]
    await run('ip', ['link', 'add', INTERFACE, 'netns', a, 'type', 'veth', 'peer', 'name', INTERFACE, 'netns', b])
    for (const index of [0, 1] as const) {
      await network.run(index, 'ip', 'address', 'add', `${network.address(index)}/24`, 'dev', INTERFACE)
      await network.setLink(index, 'up')
    }
    // The kernel notices that the other end is up once a second only, and UCX takes no interface without a carrier.
    for (const index of [0, 1] as const) await network.#carrier(index)
    return network
  }

  /**
   * What a command that is to run in a namespace begins with. UCX finds interfaces by their names in /sys/class/net,
   * which shows those of the namespace that it was mounted in: so the command has a /sys of its own.
   */
  enter(index: 0 | 1): string[] {
    const inside = 'mount -t sysfs sysfs /sys && exec "$@"'
    return ['nsenter', `--net=/proc/${this.#holders[index].pid}/ns/net`, 'unshare', '--mount', 'sh', '-c', inside, 'sh']
  }

  address(index: 0 | 1): string {
    return `10.251.0.${index + 1}`
  }

  async #carrier(index: 0 | 1): Promise<void> {
    for (let attempt = 0; attempt < 100; attempt++) {
      if ((await this.run(index, 'ip', 'link', 'show', 'dev', INTERFACE)).includes('state UP')) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error('the link does not come up')
  }

  async run(index: 0 | 1, ...command: string[]): Promise<string> {
    const [first, ...rest] = [...this.enter(index), ...command]
    return (await run(first as string, rest)).stdout
  }

  async setLink(index: 0 | 1, state: 'up' | 'down'): Promise<void> {
    await this.run(index, 'ip', 'link', 'set', INTERFACE, state)
  }

  end(): void {
    for (const holder of this.#holders) holder.stdin?.end()
  }
}

/** A process in a namespace of its own, which ends when its standard input does. */
async function hold(): Promise<ChildProcess> {
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo; exec cat >/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await new Promise((resolve, reject) => {
    holder.stdout.once('data', resolve)
    holder.once('exit', () => reject(new Error('unshare --net failed: this needs root')))
  })
  return holder
}
