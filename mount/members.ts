/**
 * Member lists as people type them: `node1,node2`, `node[01-64]`, `rack[1-2]n[1-4,7]:7500`, `10.0.0.1`, `[::1]:7400`,
 * and `@FILE` for a file with one of these a line. Where a name leads is not looked up here.
 *
 * A list is normalized: written in one way, with ports, and in the natural order of names. So two nodes have the same
 * list whatever the order in which it was typed, and the members' numbers are their places in it.
 */
import { isIPv4, isIPv6 } from 'node:net'
import { exitCode, MountError } from './exit.js'

export interface ListedMember {
  /** A name or an address, without brackets. */
  readonly host: string
  readonly port: number
  /** "host:port" in the one way in which it is written; brackets around IPv6. */
  readonly name: string
}

export const CONTROL_PORT = 7400
/** Members of a list. */
export const MEMBERS_MAX = 1024
const HOST_BYTES_MAX = 253

/** What tells a list from a mere name for the mount table. */
export function isMemberList(source: string): boolean {
  return /[@,:[\]]/.test(source)
}

/** @throws {MountError} which names what is wrong. `readFile` gives the text of a host file. */
export function parseMembers(source: string, readFile: (path: string) => string): ListedMember[] {
  const members = splitAtCommas(source).flatMap((item) => {
    if (item.startsWith('@')) return membersOfFile(item.slice(1), readFile)
    return membersOf(item)
  })
  if (members.length === 0) throw misuse('the list of members is empty')
  limit(members.length, source)
  members.sort((a, b) => compareNaturally(a.name, b.name))
  const twice = members.find(({ name }, index) => name === members[index + 1]?.name)
  if (twice !== undefined) throw misuse(`${twice.name} is twice in the list of members`)
  return members
}

/** One entry, as for self=. */
export function parseMember(text: string): ListedMember {
  const [member, ...more] = membersOf(text)
  if (member === undefined || more.length > 0) throw misuse(`'${text}' is more than one member`)
  return member
}

export function formatMembers(members: readonly { readonly name: string }[]): string {
  return members.map(({ name }) => name).join(',')
}

/** By text, but runs of digits by their value: node2 comes before node10. */
export function compareNaturally(a: string, b: string): number {
  const [left, right] = [partsOf(a), partsOf(b)]
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const [x, y] = [left[at] as string, right[at] as string]
    // The parts take turns, so that both are digits or neither is.
    const difference = at % 2 === 1 ? Number(x) - Number(y) : compareText(x, y)
    if (difference !== 0) return difference
  }
  return left.length - right.length || compareText(a, b)
}

const partsOf = (text: string): string[] => text.split(/(\d+)/)
const compareText = (a: string, b: string): number => (a < b ? -1 : Number(a > b))

function membersOfFile(path: string, readFile: (path: string) => string): ListedMember[] {
  let text: string
  try {
    text = readFile(path)
  } catch (error) {
    throw misuse(`host file ${path}: ${(error as Error).message.split('\n')[0]}`)
  }
  return text.split('\n').flatMap((line, index) => {
    const item = line.replace(/#.*/, '').trim()
    if (item === '') return []
    try {
      return membersOf(item)
    } catch (error) {
      throw misuse(`host file ${path}, line ${index + 1}: ${(error as Error).message}`)
    }
  })
}

/** The entries of one item: more than one where it has ranges. */
function membersOf(item: string): ListedMember[] {
  if (item === '') throw misuse('a member of the list is empty')
  const literal = /^\[([^\]]*:[^\]]*)\](?::(.*))?$/.exec(item)
  if (literal !== null) return [memberOf(item, literal[1] as string, literal[2])]
  if (isIPv6(item)) return [memberOf(item, item, undefined)]
  return expand(item).map((text) => {
    const at = text.indexOf(':')
    return at < 0 ? memberOf(item, text, undefined) : memberOf(item, text.slice(0, at), text.slice(at + 1))
  })
}

function memberOf(item: string, typed: string, typedPort: string | undefined): ListedMember {
  const port = typedPort === undefined ? CONTROL_PORT : Number(typedPort)
  if (!/^\d{1,5}$/.test(typedPort ?? '0') || port < 1 || port > 65535) {
    throw misuse(`'${item}' has no port from 1 to 65535 behind its colon`)
  }
  const host = hostOf(typed)
  if (host === null) throw misuse(`'${item}' is no name or address of a node`)
  return { host, port, name: `${host.includes(':') ? `[${host}]` : host}:${port}` }
}

/** Written in one way; null where it can be no host. */
function hostOf(typed: string): string | null {
  if (isIPv6(typed)) {
    const [address, zone] = typed.split('%')
    const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1)
    return zone === undefined ? canonical : `${canonical}%${zone}`
  }
  const host = typed.toLowerCase().replace(/\.$/, '')
  if (isIPv4(host)) return host
  const isName = /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/.test(host)
  // As in a URL: where the last part is a number, the whole is meant to be an address.
  return isName && host.length <= HOST_BYTES_MAX && !/(^|\.)\d+$/.test(host) ? host : null
}

/** `a[1-2]b[3,5]` is a1b3, a1b5, a2b3, a2b5. */
function expand(item: string): string[] {
  const match = /^([^[\]]*)\[([^[\]]*)\](.*)$/s.exec(item)
  if (match === null) {
    if (/[[\]]/.test(item)) throw misuse(`'${item}' has a bracket without another`)
    return [item]
  }
  const [, before, inside, after] = match as unknown as [string, string, string, string]
  const rest = expand(after)
  const numbers = inside.split(',').flatMap((range) => numbersOf(range, item))
  limit(numbers.length * rest.length, item)
  return numbers.flatMap((number) => rest.map((end) => `${before}${number}${end}`))
}

/** As many digits as its beginning has: 08-11 is 08, 09, 10, 11. */
function numbersOf(range: string, item: string): string[] {
  const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(range)
  if (match === null) throw misuse(`'[${range}]' of '${item}' is no range of numbers (such as [01-64])`)
  const first = match[1] as string
  const [from, to] = [Number(first), Number(match[2] ?? first)]
  if (to < from) throw misuse(`'[${range}]' of '${item}' runs backwards`)
  limit(to - from + 1, item)
  return Array.from({ length: to - from + 1 }, (_, index) => String(from + index).padStart(first.length, '0'))
}

/** Commas in brackets belong to a range. */
function splitAtCommas(source: string): string[] {
  return source.split(/,(?![^[]*\])/).map((item) => item.trim())
}

function limit(count: number, what: string): void {
  if (count > MEMBERS_MAX) throw misuse(`'${what}' has more than ${MEMBERS_MAX} members`)
}

function misuse(message: string): MountError {
  return new MountError(message, exitCode.usage)
}
