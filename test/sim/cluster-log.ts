/** What a run says, what of it is under way, and the order in which calls begin and end. */
import type { ClusterNode } from './cluster-node.js'

interface UnderWay {
  readonly text: string
  readonly node: ClusterNode
  readonly incarnation: number
}

export class RunLog {
  /** What the run has said, in one number: the same seed, the same number. */
  hash = 0x811c9dc5
  /** Counts whatever begins or ends. */
  now = 0
  /** Calls under way, but those that wait for locks. */
  readonly running = new Map<object, UnderWay>()
  readonly #timeMs: () => number
  readonly #trace: (line: string) => void

  constructor(timeMs: () => number, trace: (line: string) => void) {
    this.#timeMs = timeMs
    this.#trace = trace
  }

  tick(): number {
    return ++this.now
  }

  trace(line: string): void {
    const text = `${this.#timeMs().toFixed(0).padStart(7)} ${line}`
    for (let at = 0; at < text.length; at++) this.hash = Math.imul(this.hash ^ text.charCodeAt(at), 0x01000193) >>> 0
    this.#trace(text)
  }

  /** A call begins; what to call when it has ended. */
  begin(node: ClusterNode, text: string): () => void {
    this.trace(`  ${text} …`)
    const token = {}
    this.running.set(token, { text, node, incarnation: node.incarnation })
    return () => void this.running.delete(token)
  }

  /** How many a node has under way. */
  countAt(node: ClusterNode): number {
    return [...this.running.values()].filter((one) => one.node === node).length
  }

  /** Forgets calls whose nodes have died. */
  reap(): void {
    for (const [token, { text, node, incarnation }] of this.running) {
      if (node.isOn && node.incarnation === incarnation) continue
      this.trace(`  ${text}: lost`)
      this.running.delete(token)
    }
  }
}

export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message)
}
