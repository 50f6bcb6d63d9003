import type { Cluster, MembershipEvents, Missing } from '../lib/node/membership.js'
import type { Node } from '../lib/node/node.js'
import { exitCode, MountError } from './exit.js'

/** The events of a membership as a mount waits for them. What is about peers goes to the node, once there is one. */
export class Joining implements MembershipEvents {
  /** Both reject with what is in the way. */
  readonly whenFormed: Promise<Cluster>
  readonly whenReady: Promise<void>
  node: Node | undefined
  readonly #waitSeconds: number
  #form: (cluster: Cluster) => void = () => undefined
  #beReady: () => void = () => undefined
  readonly #fails: ((error: Error) => void)[] = []

  constructor(waitSeconds: number) {
    this.#waitSeconds = waitSeconds
    this.whenFormed = new Promise((resolve, reject) => {
      this.#form = resolve
      this.#fails.push(reject)
    })
    this.whenReady = new Promise((resolve, reject) => {
      this.#beReady = resolve
      this.#fails.push(reject)
    })
    // Nobody may be waiting for one of them any more.
    for (const promise of [this.whenFormed, this.whenReady]) promise.catch(() => undefined)
  }

  formed(cluster: Cluster): void {
    this.#form(cluster)
  }

  ready(): void {
    this.#beReady()
  }

  late(missing: readonly Missing[]): void {
    const names = missing.map(({ name, reason }) => `${name} (${reason})`).join(', ')
    this.failed(new MountError(`not all members came within ${this.#waitSeconds} s: ${names}`, exitCode.mount))
  }

  failed(error: Error): void {
    for (const fail of this.#fails) fail(error)
  }

  peerServed(member: number, channel: number, client: Uint8Array): void {
    this.node?.peerServed(member, channel, client)
  }

  peerUp(member: number): void {
    this.node?.peerUp(member)
  }

  heard(member: number): void {
    this.node?.heard(member)
  }

  peerDown(member: number): void {
    this.node?.peerDown(member)
  }

  peerLeft(member: number): void {
    this.node?.peerLeft(member)
  }
}
