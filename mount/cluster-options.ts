/** The options of a mount that has peers. */
import { resolve } from 'node:path'
import { LAYOUTS } from '../lib/share/placement.js'
import { sourceDefault } from './arguments.js'
import { exitCode, MountError } from './exit.js'
import { isMemberList, type ListedMember, parseMember, parseMembers } from './members.js'
import { type MountOption, valueIn, withoutValue } from './options.js'

export interface ClusterConfig {
  /** In their order; none where this node is alone. */
  readonly members: readonly ListedMember[]
  /** The name of the own entry, where it was chosen. */
  readonly self: string | null
  /** Without a share: everything lies with the members. */
  readonly client: boolean
  /** Absolute; null for the usual places. */
  readonly keyFile: string | null
  readonly waitSeconds: number
  readonly lingerSeconds: number
  readonly timeoSeconds: number
  /** A call waits for ever for a member that is away. */
  readonly hard: boolean
  /** Of a store that is made now. */
  readonly virtualNodes: number
  /** That of a store that is made now. */
  readonly layout: number
  /** For UCX, separated by commas; null where it is left to us. */
  readonly interfaces: string | null
  readonly ucxTransports: string | null
}

/** What the options said so far. */
export type ClusterDraft = { -readonly [Name in Exclude<keyof ClusterConfig, 'members'>]: ClusterConfig[Name] }

/** A day. */
const secondsMax = 86_400
const virtualNodesMax = 4096

export function clusterDefaults(): ClusterDraft {
  return {
    self: null,
    client: false,
    keyFile: null,
    waitSeconds: 60,
    lingerSeconds: 30,
    timeoSeconds: 30,
    hard: false,
    virtualNodes: 150,
    layout: LAYOUTS.indexOf('hash'),
    interfaces: null,
    ucxTransports: null,
  }
}

/** False for an option that is none of these. `directory` is where relative paths begin. */
export function applyClusterOption(draft: ClusterDraft, option: MountOption, directory: string): boolean {
  switch (option.name) {
    case 'key':
      draft.keyFile = resolve(directory, valueIn(option))
      return true
    case 'self':
      draft.self = parseMember(valueIn(option)).name
      return true
    case 'client':
    case 'noclient':
      draft.client = withoutValue(option) === 'client'
      return true
    case 'wait':
      draft.waitSeconds = numberIn(option, 1, secondsMax)
      return true
    case 'linger':
      draft.lingerSeconds = numberIn(option, 0, secondsMax)
      return true
    case 'timeo':
      draft.timeoSeconds = numberIn(option, 1, secondsMax)
      return true
    case 'soft':
    case 'hard':
      draft.hard = withoutValue(option) === 'hard'
      return true
    case 'vnodes':
      draft.virtualNodes = numberIn(option, 1, virtualNodesMax)
      return true
    case 'layout':
      draft.layout = layoutIn(option)
      return true
    case 'interface':
      draft.interfaces = wordsIn(option)
      return true
    case 'ucx_tls':
      draft.ucxTransports = wordsIn(option)
      return true
    default:
      return false
  }
}

/** With the members that the source names. Of a client it is a list also where it looks like a mere name. */
export function finishCluster(
  draft: ClusterDraft,
  source: string,
  directory: string,
  readFile: (path: string) => string,
): ClusterConfig {
  const { client, self } = draft
  if (client && source === sourceDefault) throw misuse(`option 'client' needs the members as the source`)
  if (client && self !== null) throw misuse(`options 'client' and 'self' exclude each other: a client is no member`)
  const isList = client || isMemberList(source)
  const members = isList ? parseMembers(source, (path) => readFile(resolve(directory, path))) : []
  if (self !== null && !members.some(({ name }) => name === self)) {
    throw misuse(`self=${self} is none of the members (${source})`)
  }
  return { ...draft, members }
}

function numberIn(option: MountOption, least: number, most: number): number {
  const text = valueIn(option)
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (number >= least && number <= most) return number
  throw misuse(`${option.name}=${text} is no whole number from ${least} to ${most}`)
}

function layoutIn(option: MountOption): number {
  const text = valueIn(option)
  const layout = LAYOUTS.indexOf(text)
  if (layout >= 0) return layout
  throw misuse(`layout=${text} is neither ${LAYOUTS.join(' nor ')}`)
}

/** Names between commas; -o takes those in double quotes. */
function wordsIn(option: MountOption): string {
  const text = valueIn(option)
  if (/^[\w.:@^/-]+(,[\w.:@^/-]+)*$/.test(text)) return text
  throw misuse(`${option.name}=${text} is no list of names`)
}

function misuse(message: string): MountError {
  return new MountError(message, exitCode.usage)
}
