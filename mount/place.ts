/** Which member of the list this process is, and where it listens. */
import { lookup } from 'node:dns/promises'
import { createServer, isIP } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import { exitCode, MountError } from './exit.js'
import { formatMembers, type ListedMember } from './members.js'

export interface Place {
  /** In the list. */
  readonly index: number
  /** The address to listen at; null for all: a name may lead to other addresses here than elsewhere (127.0.1.1). */
  readonly host: string | null
  /** The network interface that has the member's address; null where that is not known, or only the loopback has it. */
  readonly networkInterface: string | null
}

/** What is asked of the machine. */
export interface Machine {
  readonly hostname: string
  readonly interfaces: readonly { readonly name: string; readonly address: string }[]
  /** The addresses of a name or an address; none where it leads nowhere. */
  lookup(host: string): Promise<readonly string[]>
  canBind(host: string | null, port: number): Promise<boolean>
}

/** `self` is the entry that was chosen by option, or null. @throws {MountError} */
export async function findPlace(
  members: readonly ListedMember[],
  self: string | null,
  machine: Machine,
): Promise<Place> {
  const named = self === null ? namedAsThisMachine(members, machine) : members.findIndex(({ name }) => name === self)
  const index = named >= 0 ? named : await findByAddress(members, machine)
  const { host } = members[index] as ListedMember
  return {
    index,
    host: isIP(withoutZone(host)) === 0 ? null : host,
    networkInterface: interfaceOf(await machine.lookup(host), machine),
  }
}

/** The only entry with this machine's name, with or without its domain; −1 where there is none, or more than one. */
function namedAsThisMachine(members: readonly ListedMember[], { hostname }: Machine): number {
  const own = hostname.toLowerCase()
  const isOwn = ({ host }: ListedMember): boolean => {
    if (isIP(host) !== 0) return false
    return host === own || (host.includes('.') !== own.includes('.') && firstLabel(host) === firstLabel(own))
  }
  return members.filter(isOwn).length === 1 ? members.findIndex(isOwn) : -1
}

const firstLabel = (name: string): string => name.split('.')[0] as string

async function findByAddress(members: readonly ListedMember[], machine: Machine): Promise<number> {
  const addresses = await Promise.all(members.map(({ host }) => machine.lookup(host)))
  const own = new Set(machine.interfaces.map(({ address }) => address))
  // All of 127.0.0.0/8 is here, though an interface shows only one of it.
  const isOwn = (address: string): boolean => own.has(withoutZone(address)) || isLoopback(address)
  const mine = members.flatMap((_, index) => (addresses[index]?.some(isOwn) ? [index] : []))
  if (mine.length === 1) return mine[0] as number
  if (mine.length === 0) throw none(members, addresses, own)
  // Several processes on one machine: whoever was first has its port.
  const bindable = await Promise.all(
    mine.map((index) => {
      const { host, port } = members[index] as ListedMember
      return machine.canBind(isIP(withoutZone(host)) === 0 ? null : host, port)
    }),
  )
  const free = mine.filter((_, at) => bindable[at])
  if (free.length === 1) return free[0] as number
  const names = mine.map((index) => members[index] as ListedMember)
  const why = free.length === 0 ? 'and the ports of all of them are in use' : 'choose one with self=host:port'
  throw new MountError(`more than one member is this machine (${formatMembers(names)}): ${why}`, exitCode.usage)
}

function none(
  members: readonly ListedMember[],
  addresses: readonly (readonly string[])[],
  own: ReadonlySet<string>,
): MountError {
  const unknown = members.filter((_, index) => addresses[index]?.length === 0)
  const more = unknown.length === 0 ? '' : `; not found: ${formatMembers(unknown)}`
  const what = `none of the members (${formatMembers(members)}) is this machine`
  const advice = 'choose one with self=host:port, or mount with -o client'
  return new MountError(`${what}, which has ${[...own].join(', ')}${more}: ${advice}`, exitCode.usage)
}

function interfaceOf(addresses: readonly string[], { interfaces }: Machine): string | null {
  const found = interfaces.filter(({ address }) => addresses.some((other) => withoutZone(other) === address))
  return found.find(({ address }) => !isLoopback(address))?.name ?? null
}

const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.')
const withoutZone = (address: string): string => address.replace(/%.*/, '')

export function thisMachine(): Machine {
  return {
    hostname: hostname(),
    interfaces: Object.entries(networkInterfaces()).flatMap(([name, addresses]) => {
      return (addresses ?? []).map(({ address }) => ({ name, address }))
    }),
    async lookup(host) {
      if (isIP(withoutZone(host)) !== 0) return [host]
      const found = await lookup(host, { all: true }).catch(() => [])
      return found.map(({ address }) => address)
    },
    canBind(host, port) {
      return new Promise((resolve) => {
        const server = createServer()
        server.once('error', () => resolve(false))
        server.listen({ port, ...(host === null ? {} : { host }) }, () => server.close(() => resolve(true)))
      })
    },
  }
}
