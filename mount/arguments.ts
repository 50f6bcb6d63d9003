/**
 * The command line: mount(8)'s contract for helpers, `SOURCE MOUNTPOINT [-sfnv] [-N ns] [-o options] [-t type]`, and
 * `-F` to stay in the foreground. Says nothing about what the options mean (see config.ts).
 */
import yargs from 'yargs'
import { exitCode, exitMeaning, MountError } from './exit.js'
import { type MountOption, parseOptions } from './options.js'

export interface Arguments {
  /** The members of the cluster, or a name for the mount table. */
  readonly source: string
  /** As typed: possibly relative. */
  readonly mountpoint: string
  readonly options: readonly MountOption[]
  readonly foreground: boolean
  /** -s: unknown options are ignored. */
  readonly sloppy: boolean
  /** -f: everything is checked and nothing is done. */
  readonly fake: boolean
  readonly verbose: boolean
  /** -N: the mount namespace, as a process id or a path. */
  readonly namespace: string | null
}

/** Either what is to be done, or a text to print instead (--help, --version). */
export type CommandLine = { readonly arguments: Arguments } | { readonly text: string }

/** The source where none is given: the name that the mount table shows. */
export const sourceDefault = 'chfs'

export async function parseCommandLine(argv: readonly string[], version: string): Promise<CommandLine> {
  let output = ''
  const parser = describe(version)
  const parsed = await parser.parseAsync(separateValues(argv), {}, (error, _argv, text) => {
    output = text
    if (error) throw error
  })
  if (output !== '') return { text: output }
  const words = parsed._.map(String)
  if (words.length === 0) throw misuse('the mountpoint is missing')
  if (words.length > 2) throw misuse(`too many arguments: '${words.slice(2).join(' ')}'`)
  const [source, mountpoint] = words.length === 1 ? [sourceDefault, words[0]] : words
  if (source === undefined || mountpoint === undefined || mountpoint === '') throw misuse('the mountpoint is empty')
  const type = lastOf(parsed.t)
  if (type !== null && type !== 'chfs' && type !== 'fuse.chfs') throw misuse(`'${type}' is not a type of chfs`)
  return {
    arguments: {
      source,
      mountpoint,
      options: allOf(parsed.o).flatMap(parseOptions),
      foreground: parsed.F,
      sloppy: parsed.s,
      fake: parsed.f,
      verbose: parsed.v,
      namespace: lastOf(parsed.N),
    },
  }
}

function misuse(message: string): MountError {
  return new MountError(`${message} (try --help)`, exitCode.usage)
}

function describe(version: string) {
  return (
    yargs()
      .locale('en')
      .scriptName('mount.chfs')
      .usage('usage: $0 [-F] [-sfnv] [-N namespace] [-o option[,option=value…]] [members] <mountpoint>')
      // The mountpoint may be called 007, and no-such-directory is not the negation of such-directory.
      .parserConfiguration({
        'parse-positional-numbers': false,
        'boolean-negation': false,
        'dot-notation': false,
        'camel-case-expansion': false,
      })
      .option('F', { alias: 'foreground', type: 'boolean', default: false, describe: 'stay in the foreground' })
      .option('o', { alias: 'options', type: 'string', nargs: 1, describe: 'mount options, see below' })
      .option('f', { alias: 'fake', type: 'boolean', default: false, describe: 'check everything, do nothing' })
      .option('s', { type: 'boolean', default: false, describe: 'ignore unknown mount options' })
      .option('n', { type: 'boolean', default: false, describe: 'accepted for mount(8), without effect' })
      .option('v', { alias: 'verbose', type: 'boolean', default: false, describe: 'say what is done' })
      .option('N', {
        alias: 'namespace',
        type: 'string',
        nargs: 1,
        describe: 'mount namespace: a process id or a path',
      })
      .option('t', { alias: 'type', type: 'string', nargs: 1, describe: 'chfs or fuse.chfs' })
      .help('help')
      .alias('help', 'h')
      .version(version)
      .alias('version', 'V')
      .epilogue(epilogue())
      .wrap(100)
      .strictOptions()
      .exitProcess(false)
      .fail((message, error) => {
        throw error instanceof MountError ? error : misuse(message || error.message)
      })
  )
}

function epilogue(): string {
  const codes = [...exitMeaning].map(([code, meaning]) => `  ${String(code).padEnd(4)}${meaning}`)
  return `Members, the same list on every node, separated by commas; without any the node is alone:
  node1               a name or an address, port 7400 unless it is given
  node[01-64]:7500    a range of names
  [fe80::1]:7400      IPv6
  @FILE               a file with one of these a line

Mount options:
  store=DIR           where this node keeps its data (/var/lib/chfs; for a user ~/.local/state/chfs)
  config=FILE         options in TOML, with the same names; those given here win
  chunk=SIZE          chunk size of a new store's files, a power of two from 64KiB to 1GiB (4MiB)
  log=FILE            where to log (in the background STORE/log, in the foreground the terminal)
  loglevel=LEVEL      debug, info, warn or error (info)
  key=FILE            the key of the cluster (~/.config/chfs/key, then /etc/chfs/key); scripts/keygen makes one
  self=HOST:PORT      which member this node is, where its addresses do not say so
  client              no store: only use what the members have
  wait=SECONDS        how long to wait for the other members (60)
  linger=SECONDS      how long to serve after the unmount while other nodes have it mounted (30)
  timeo=SECONDS       how long calls wait for a member that is away, from when it went (30)
  soft, hard          a call that has waited so long fails with EIO (soft), or goes on waiting
  layout=hash|local   whether a new store's files are spread over the members or lie with their makers (hash)
  vnodes=COUNT        virtual nodes a member, of a store that is made now (150)
  interface=NAME,…    network interfaces for data (that of the own address)
  ucx_tls=NAME,…      transports of UCX (chosen by what is there)
  writeback           let the kernel delay writes; a crash may then lose what was written without fsync
  [no]allow_other     let other users in (the default for root)
  ro, nosuid, nodev, noexec, noatime, sync, …   as in mount(8)

Exit codes:
${codes.join('\n')}`
}

/** getopt(3) takes `-oro` for `-o ro`; the parser would take it for three flags. */
export function separateValues(argv: readonly string[]): string[] {
  return argv.flatMap((word) => {
    const match = /^-([A-Za-z]*?[oNt])(.+)$/s.exec(word)
    return match?.[1] === undefined || match[2] === undefined ? [word] : [`-${match[1]}`, match[2]]
  })
}

/** The words of {@link separateValues} without -N and its value. */
export function withoutNamespace(words: readonly string[]): string[] {
  const rest: string[] = []
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string
    if (/^-[A-Za-z]*[ot]$/.test(word) || word === '--options' || word === '--type') {
      rest.push(...words.slice(at, at + 2))
      at++
    } else if (/^-[A-Za-z]*N$/.test(word) || word === '--namespace') {
      // Flags may stand before it in the same word.
      if (word !== '--namespace' && word !== '-N') rest.push(word.slice(0, -1))
      at++
    } else if (!word.startsWith('--namespace=')) {
      rest.push(word)
    }
  }
  return rest
}

/** A string option that was given several times arrives as an array. */
function allOf(value: unknown): string[] {
  if (value === undefined) return []
  return (Array.isArray(value) ? value : [value]).map(String)
}

function lastOf(value: unknown): string | null {
  return allOf(value).at(-1) ?? null
}
