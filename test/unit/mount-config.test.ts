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
    members: [],
    self: null,
    client: false,
    keyFile: null,
    waitSeconds: 60,
    lingerSeconds: 30,
    timeoSeconds: 30,
    hard: false,
    virtualNodes: 150,
    layout: 0,
    interfaces: null,
    ucxTransports: null,
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
    ['key=k', { keyFile: '/here/k' }],
    ['wait=1,linger=0,timeo=86400', { waitSeconds: 1, lingerSeconds: 0, timeoSeconds: 86400 }],
    ['hard', { hard: true }],
    ['hard,soft', { hard: false }],
    ['client,noclient', { client: false }],
    ['vnodes=1', { virtualNodes: 1 }],
    ['layout=local', { layout: 1 }],
    ['layout=hash', { layout: 0 }],
    ['interface=eth0', { interfaces: 'eth0' }],
    ['interface="mlx5_0:1,eth0.7"', { interfaces: 'mlx5_0:1,eth0.7' }],
    ['ucx_tls="tcp,^ud"', { ucxTransports: 'tcp,^ud' }],
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
    ['key', /'key' needs a value/],
    ['wait=0', /^wait=0 is no whole number from 1 to 86400$/],
    ['wait=1.5', /is no whole number/],
    ['linger=-1', /is no whole number/],
    ['linger=', /needs a value/],
    ['timeo=86401', /is no whole number/],
    ['timeo=0x10', /is no whole number/],
    ['layout=stripe', /neither hash nor local/],
    ['vnodes=0', /from 1 to 4096/],
    ['vnodes=4097', /from 1 to 4096/],
    ['hard=1', /'hard' takes no value/],
    ['client=no', /'client' takes no value/],
    ['interface=a b', /is no list of names/],
    ['interface="eth0,"', /is no list of names/],
    ['ucx_tls=a;b', /is no list of names/],
    ['client', /'client' needs the members/],
    ['self=n1', /self=n1:7400 is none of the members \(chfs\)/],
    ['self=n1:0', /no port/],
    ['config=/none', /^configuration \/none: ENOENT/],
  ]
  for (const [options, message] of table) t.throws(() => config(options), { message, exitCode: 1 }, options)
  t.doesNotThrow(() => config('store=/mother'), 'a name that only begins the same is elsewhere')
  t.throws(() => config('store=/anywhere', { mountpoint: '/' }), { message: /may not lie below/ })
  t.doesNotThrow(() => config('nonsense', { sloppy: true }))
  t.throws(() => config('chunk=3MiB', { sloppy: true }), { message: /no power/ }, '-s is for unknown names only')
})

t.test('members', async (t) => {
  const names = (source: string, options = '', text = '') =>
    config(options, { source }, { readFile: (path) => (path === '/here/hosts' ? text : noFile()) }).members.map(
      ({ name }) => name,
    )
  t.strictSame(names('data'), [], 'a mere name is for the mount table')
  t.strictSame(names('n2,n1'), ['n1:7400', 'n2:7400'])
  t.strictSame(names('n1:7500'), ['n1:7500'], 'a list of one')
  t.strictSame(names('@hosts', '', 'n1\nn2:1\n'), ['n1:7400', 'n2:1'])
  t.strictSame(names('n1', 'client'), ['n1:7400'], 'of a client always')
  t.throws(() => names('@other'), { message: /^host file other: ENOENT/, exitCode: 1 })
  t.throws(() => names('n1,n2', 'self=n3'), { message: /^self=n3:7400 is none of the members \(n1,n2\)$/ })
  t.throws(() => names('n1,n2', 'client,self=n1'), { message: /exclude each other/ })
  t.match(config('self=N2', { source: 'n1,n2' }), { source: 'n1,n2', self: 'n2:7400' })
  const client = config('client,store=/m/s', { source: 'n1,n2' })
  t.match(client, { client: true, logFile: null }, 'no store, and no log in it')
  t.equal(config('client,log=l', { source: 'n1,n2' }).logFile, '/here/l')
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
