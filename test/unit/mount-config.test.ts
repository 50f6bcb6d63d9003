/** Defaults, the file and the command line, and what is refused. */
import t from 'tap'
import type { Arguments } from '../../mount/arguments.js'
import { type Config, makeConfig, type Surroundings } from '../../mount/config.js'
import { kernelFlags } from '../../mount/kernel-flags.js'
import { parseOptions } from '../../mount/options.js'

const noFile = (): string => {
  throw new Error('ENOENT: no such file')
}
const root: Surroundings = {
  workingDirectory: '/here',
  isRoot: true,
  home: '/root',
  stateHome: undefined,
  readFile: noFile,
}

function config(options: string, more: Partial<Arguments> = {}, surroundings: Partial<Surroundings> = {}): Config {
  const args: Arguments = {
    source: 'chfs',
    mountpoint: '/m',
    options: parseOptions(options),
    foreground: false,
    sloppy: false,
    fake: false,
    verbose: false,
    namespace: null,
    ...more,
  }
  return makeConfig(args, { ...root, ...surroundings })
}

t.test('defaults', async (t) => {
  t.strictSame(config(''), {
    source: 'chfs',
    mountpoint: '/m',
    store: '/var/lib/chfs',
    chunkBytes: 4194304,
    logFile: '/var/lib/chfs/log',
    logFileChosen: false,
    logLevel: 'info',
    writeback: false,
    allowOther: true,
    kernelFlags: [],
  })
  const user = { isRoot: false, home: '/home/u' }
  t.match(config('', {}, user), { store: '/home/u/.local/state/chfs', allowOther: false })
  t.equal(config('', {}, { ...user, stateHome: '/state' }).store, '/state/chfs')
  t.equal(config('', {}, { ...user, stateHome: 'relative' }).store, '/home/u/.local/state/chfs')
  t.equal(config('', { foreground: true }).logFile, null)
})

t.test('options and what they mean', async (t) => {
  const table: [string, Partial<Config>][] = [
    ['store=s', { store: '/here/s', logFile: '/here/s/log' }],
    ['store=/a,store=/b', { store: '/b' }],
    ['chunk=64KiB', { chunkBytes: 65536 }],
    ['chunk=1g', { chunkBytes: 2 ** 30 }],
    ['log=l', { logFile: '/here/l', logFileChosen: true }],
    ['loglevel=debug', { logLevel: 'debug' }],
    ['writeback', { writeback: true }],
    ['writeback,nowriteback', { writeback: false }],
    ['noallow_other', { allowOther: false }],
    ['noatime,ro,nosuid', { kernelFlags: ['ro', 'nosuid', 'noatime'] }],
    ['ro,rw', { kernelFlags: [] }],
    ['noatime,relatime', { kernelFlags: ['relatime'] }],
    ['noatime,atime', { kernelFlags: [] }],
    ['relatime,atime', { kernelFlags: [] }],
    ['user', { kernelFlags: ['nosuid', 'nodev', 'noexec'] }],
    ['user,exec,dev', { kernelFlags: ['nosuid'] }],
    ['exec,user', { kernelFlags: ['nosuid', 'nodev', 'noexec'] }],
    ['defaults,_netdev,nofail,auto,noauto,nouser,owner,group,comment=x,x-systemd.requires=a', { kernelFlags: [] }],
  ]
  for (const [options, expected] of table) t.match(config(options), expected, options)
})

t.test('every flag and its opposite', async (t) => {
  for (const [flag, { opposite }] of kernelFlags) {
    t.strictSame(config(flag).kernelFlags, [flag])
    t.strictSame(config(`${flag},${opposite}`).kernelFlags, [], opposite)
    t.throws(() => config(`${flag}=1`), { message: `option '${flag}' takes no value`, exitCode: 1 })
  }
})

t.test('what is refused', async (t) => {
  const table: [string, RegExp][] = [
    ['nonsense', /^unknown option 'nonsense'$/],
    ['store', /'store' needs a value/],
    ['store=', /'store' needs a value/],
    ['writeback=1', /'writeback' takes no value/],
    ['chunk=3MiB', /no power of two from 64KiB to 1GiB/],
    ['chunk=32KiB', /no power of two/],
    ['chunk=2GiB', /no power of two/],
    ['chunk=much', /is no size/],
    ['loglevel=trace', /none of debug, info, warn, error/],
    ['store=/m', /may not lie below the mountpoint/],
    ['store=/m/s', /may not lie below the mountpoint/],
    ['log=/m/l', /the log \(\/m\/l\) may not lie below/],
    ['config=/none', /^configuration \/none: ENOENT/],
  ]
  for (const [options, message] of table) t.throws(() => config(options), { message, exitCode: 1 }, options)
  t.doesNotThrow(() => config('store=/mother'), 'a name that only begins the same is elsewhere')
  t.throws(() => config('store=/anywhere', { mountpoint: '/' }), { message: /may not lie below/ })
  t.doesNotThrow(() => config('nonsense', { sloppy: true }))
  t.throws(() => config('chunk=3MiB', { sloppy: true }), { message: /no power/ }, '-s is for unknown names only')
})

t.test('the file', async (t) => {
  const file = (text: string, options = '') =>
    config(`config=/etc/c.toml${options}`, {}, { readFile: (path) => (path === '/etc/c.toml' ? text : noFile()) })
  t.match(file('store = "s"\nchunk = 65536\nwriteback = true\nro = true\nallow_other = false'), {
    store: '/etc/s',
    chunkBytes: 65536,
    writeback: true,
    kernelFlags: ['ro'],
    allowOther: false,
  })
  t.match(file('store = "s"\nro = true', ',store=t,rw'), { store: '/here/t', kernelFlags: [] }, 'options win')
  t.match(file('noexec = false\nrw = false'), { kernelFlags: ['ro'] })
  for (const text of ['nonsense = 1', 'store = []', 'config = "x"', '[table]\na = 1', 'nofail = true', 'store = ']) {
    t.throws(() => file(text), { message: /^configuration \/etc\/c\.toml: [^\n]+$/, exitCode: 1 }, text)
  }
})
