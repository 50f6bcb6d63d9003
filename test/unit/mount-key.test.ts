/** The key file: who may have it, what it holds, where it is looked for; and scripts/keygen, which makes one. */
import { execFile } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { type ClusterConfig, clusterDefaults } from '../../mount/cluster-options.js'
import { keyOf, readKey } from '../../mount/key.js'
import { parseMembers } from '../../mount/members.js'

const directory = mkdtempSync(join(tmpdir(), 'chfs-key-'))
t.teardown(() => rmSync(directory, { recursive: true }))
const keygen = fileURLToPath(new URL('../../../scripts/keygen', import.meta.url))
const uid = process.getuid?.() ?? 0
const DIGITS = '0123456789abcdefABCDEF0000000000'.padEnd(64, '7')
const KEY = new Uint8Array(Buffer.from(DIGITS, 'hex'))

function file(name: string, text: string | Buffer, mode = 0o600): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

const make = (words: string[], home = directory): Promise<{ code: number; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    execFile(keygen, words, { env: { ...process.env, HOME: home } }, (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), stdout, stderr })
    })
  })

t.test('what is read, and what is refused', async (t) => {
  t.strictSame(readKey(file('good', `${DIGITS}\n`), [], uid), KEY)
  t.strictSame(readKey(file('bare', DIGITS, 0o400), [], uid), KEY)
  const table: [string, string | Buffer, number, RegExp][] = [
    ['group', DIGITS, 0o640, /^key \/.*group: others than its owner may use it \(mode 640; chmod 600 helps\)$/],
    ['others', DIGITS, 0o604, /others than its owner/],
    ['writable', DIGITS, 0o602, /others than its owner/],
    ['empty', '', 0o600, /it is no key: 64 hexadecimal digits, as scripts\/keygen writes them$/],
    ['short', DIGITS.slice(1), 0o600, /it is no key/],
    ['long', `${DIGITS}0`, 0o600, /it is no key/],
    ['words', 'correct horse battery staple', 0o600, /it is no key/],
    ['two', `${DIGITS}\n${DIGITS}\n`, 0o600, /it is no key/],
    ['large', Buffer.alloc(1 << 20, 'a'), 0o600, /it is no key/],
    ['binary', Buffer.from(KEY), 0o600, /it is no key/],
  ]
  for (const [name, text, mode, message] of table) {
    t.throws(() => readKey(file(name, text, mode), [], uid), { message, exitCode: 1 }, name)
  }
  t.throws(() => readKey(join(directory, 'none'), [], uid), { message: /^key .*none: ENOENT/, exitCode: 1 })
  t.throws(() => readKey(directory, [], uid), { message: /it is not a file/ })
  t.notMatch(
    (() => {
      try {
        readKey(join(directory, 'words'), [], uid)
      } catch (error) {
        return (error as Error).message
      }
      return ''
    })(),
    /horse/,
    'no message tells what is in the file',
  )
})

t.test('of somebody else', { skip: uid !== 0 && 'only root can give files away' }, async (t) => {
  const path = file('given', DIGITS)
  chownSync(path, 1234, 0)
  t.strictSame(readKey(path, [], 0), KEY, 'root may use a user’s')
  t.throws(() => readKey(path, [], 4321), { message: /it belongs to somebody else/ })
  chownSync(path, 0, 0)
  t.strictSame(readKey(path, [], 4321), KEY, 'a user may use one that root has put there')
})

t.test('where it is looked for', async (t) => {
  const [first, second] = [file('first', DIGITS), file('second', '1'.repeat(64))]
  const none = join(directory, 'none')
  t.strictSame(readKey(null, [first, second], uid), KEY)
  t.strictSame(readKey(null, [none, join(first, 'below'), first], uid), KEY)
  t.equal(readKey(null, [none], uid), null)
  t.throws(
    () => readKey(null, [file('open', DIGITS, 0o644), first], uid),
    { message: /open: others/ },
    'none is skipped',
  )
})

t.test('who needs one', async (t) => {
  const config = (list: string, more: Partial<ClusterConfig> = {}): ClusterConfig => ({
    ...clusterDefaults(),
    members: parseMembers(list, () => ''),
    ...more,
  })
  const home = join(directory, 'home')
  mkdirSync(home)
  const message = /know each other by a key, and there is none: make one with scripts\/keygen/
  const skip = existsSync('/etc/chfs/key') && 'this machine has a key of its own'
  t.test('without a file', { skip }, async (t) => {
    t.throws(() => keyOf(config('a,b'), home, uid), { message, exitCode: 1 })
    t.throws(() => keyOf(config('a', { client: true }), home, uid), { message })
    t.equal(keyOf(config('a'), home, uid), null)
  })
  t.match(await make([], home), { code: 0, stdout: `keygen: ${home}/.config/chfs/key\n` })
  const key = keyOf(config('a,b'), home, uid)
  t.equal(key?.length, 32)
  t.strictSame(keyOf(config('a'), home, uid), key)
  t.strictSame(keyOf(config('a,b', { keyFile: join(directory, 'good') }), home, uid), KEY)
})

t.test('scripts/keygen', async (t) => {
  const path = join(directory, 'new', 'place', 'key')
  t.match(await make([path]), { code: 0, stdout: `keygen: ${path}\n`, stderr: '' })
  t.equal(statSync(path).mode & 0o7777, 0o600)
  t.equal(statSync(join(directory, 'new')).mode & 0o7777, 0o700)
  const text = readFileSync(path, 'utf8')
  t.match(text, /^[0-9a-f]{64}\n$/)
  t.match(await make([path]), { code: 1, stdout: '', stderr: `keygen: ${path} is there already and stays as it is\n` })
  t.equal(readFileSync(path, 'utf8'), text)
  const other = join(directory, 'other')
  await make([other])
  t.not(readFileSync(other, 'utf8'), text)
  t.match(await make(['/proc/none/key']), { code: 1, stderr: /^keygen: / })
  t.match(await make(['a', 'b']), { code: 1, stderr: /try --help/ })
  t.match(await make(['--nonsense']), { code: 1, stderr: /try --help/ })
  t.match(await make(['--help']), { code: 0, stdout: /^usage: scripts\/keygen/ })
})
