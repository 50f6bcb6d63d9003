/** What `chfsctl status` shows of one mount. */

import type { MembershipStatus } from '../lib/node/membership.js'

export interface Capacity {
  readonly totalBytes: number
  readonly freeBytes: number
  /** For users that are not root. */
  readonly availableBytes: number
}

/** Of the node that serves the mount, as that knows it. */
export interface NodeStatus extends MembershipStatus {
  /** Of all members together; null where one of them could not be asked. */
  readonly capacity: Capacity | null
}

export interface MountStatus extends NodeStatus {
  readonly mountpoint: string
  readonly pid: number
}

export function formatStatus({ mountpoint, clusterId, epoch, members, clients, capacity }: MountStatus): string {
  const lines = [`${mountpoint}  cluster ${clusterId}, epoch ${epoch}`]
  const width = Math.max(...members.map(({ name }) => nameOf(name).length))
  for (const { name, state, isSelf } of members) {
    lines.push(`  ${nameOf(name).padEnd(width)}  ${state}${isSelf && name !== '' ? ', this node' : ''}`)
  }
  if (clients > 0) lines.push(`  ${clients} ${clients === 1 ? 'client' : 'clients'}`)
  lines.push(`  ${capacity === null ? 'capacity unknown: not all members could be asked' : formatCapacity(capacity)}`)
  return lines.join('\n')
}

const nameOf = (name: string): string => name || 'this node, alone'

function formatCapacity({ totalBytes, freeBytes, availableBytes }: Capacity): string {
  const sizes = [totalBytes, totalBytes - freeBytes, availableBytes].map(formatBytes)
  return `capacity ${sizes[0]}, used ${sizes[1]}, available ${sizes[2]}`
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

function formatBytes(bytes: number): string {
  let [value, unit] = [bytes, 0]
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`
}
