/** Member lists as people type them. */
import fc from 'fast-check'
import t from 'tap'
import { compareNaturally, formatMembers, isMemberList, parseMember, parseMembers } from '../../mount/members.js'

const files: Readonly<Record<string, string>> = {
  hosts: '# our nodes\n\nnode2\n  node1:7500  # the first\n[::1]\nrack[1-2]\n',
  bad: 'node1\nnode2 slots=4\n',
  nested: '@hosts\n',
  empty: '# nobody\n',
}
const readFile = (path: string): string => {
  const text = files[path]
  if (text === undefined) throw new Error('ENOENT: no such file\nat all')
  return text
}
const names = (text: string): string[] => parseMembers(text, readFile).map(({ name }) => name)

t.test('what can be typed', async (t) => {
  const table: [string, string][] = [
    ['node1', 'node1:7400'],
    ['node1,node2', 'node1:7400,node2:7400'],
    ['node10,node9,node1', 'node1:7400,node9:7400,node10:7400'],
    ['Node1.Cluster.Example.,NODE2', 'node1.cluster.example:7400,node2:7400'],
    ['node[01-03]', 'node01:7400,node02:7400,node03:7400'],
    ['node[8-11]', 'node8:7400,node9:7400,node10:7400,node11:7400'],
    ['node[1,3-4,07]x', 'node1x:7400,node3x:7400,node4x:7400,node07x:7400'],
    ['r[1-2]n[1-2]:7500', 'r1n1:7500,r1n2:7500,r2n1:7500,r2n2:7500'],
    ['a:1,a:65535', 'a:1,a:65535'],
    ['127.0.0.1:[7401-7403]', '127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403'],
    ['10.0.0.[1-3]', '10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400'],
    ['[::1]:7401,[::1]', '[::1]:7400,[::1]:7401'],
    ['::1', '[::1]:7400'],
    ['[2001:DB8:0:0::7]', '[2001:db8::7]:7400'],
    ['[fe80::1%eth0]:1', '[fe80::1%eth0]:1'],
    ['[::ffff:10.0.0.1]', '[::ffff:a00:1]:7400'],
    ['@hosts', '[::1]:7400,node1:7500,node2:7400,rack1:7400,rack2:7400'],
    ['node3, @hosts', '[::1]:7400,node1:7500,node2:7400,node3:7400,rack1:7400,rack2:7400'],
    ['login_node-1', 'login_node-1:7400'],
    ['n[0001-1024]', Array.from({ length: 1024 }, (_, i) => `n${String(i + 1).padStart(4, '0')}:7400`).join()],
  ]
  for (const [text, expected] of table) t.equal(formatMembers(parseMembers(text, readFile)), expected, text)
  t.strictSame(parseMembers('[::1]:7401', readFile), [{ host: '::1', port: 7401, name: '[::1]:7401' }])
})

t.test('what is refused, with what is wrong', async (t) => {
  const table: [string, RegExp][] = [
    ['', /^a member of the list is empty$/],
    ['a,', /is empty/],
    ['a,,b', /is empty/],
    ['a,b,a', /^a:7400 is twice in the list of members$/],
    ['a,A:7400', /^a:7400 is twice/],
    ['n[1-3],n2', /^n2:7400 is twice/],
    ['[::1],[0:0::1]:7400', /^\[::1\]:7400 is twice/],
    ['a:0', /^'a:0' has no port from 1 to 65535 behind its colon$/],
    ['a:65536', /no port/],
    ['a:', /no port/],
    ['a:+1', /no port/],
    ['a:1:2', /no port/],
    ['[::1]:x', /no port/],
    ['a b', /^'a b' is no name or address of a node$/],
    ['-a', /is no name/],
    ['a..b', /is no name/],
    ['10.0.0', /is no name/],
    ['10.0.0.256', /is no name/],
    ['127', /is no name/],
    ['größe', /is no name/],
    ['x'.repeat(254), /is no name/],
    ['[:::1]', /is no name/],
    ['n[1-2', /^'n\[1-2' has a bracket without another$/],
    ['n1-2]', /bracket/],
    ['n[]', /^'\[\]' of 'n\[\]' is no range of numbers/],
    ['n[a-b]', /no range/],
    ['n[1-]', /no range/],
    ['n[1-2-3]', /no range/],
    ['n[3-1]', /^'\[3-1\]' of 'n\[3-1\]' runs backwards$/],
    ['n[1-1025]', /^'n\[1-1025\]' has more than 1024 members$/],
    ['n[1-999999999]', /more than 1024/],
    ['n[1-1024]m[1-1024]', /more than 1024/],
    ['n[1-1000],m[1-1000]', /more than 1024/],
    ['@none', /^host file none: ENOENT: no such file$/],
    ['@bad', /^host file bad, line 2: 'node2 slots=4' is no name or address of a node$/],
    ['@nested', /^host file nested, line 1: '@hosts' is no name/],
    ['@empty', /^the list of members is empty$/],
  ]
  for (const [text, message] of table) t.throws(() => names(text), { message, exitCode: 1 }, text)
  t.equal(parseMember('N1').name, 'n1:7400')
  t.throws(() => parseMember('n[1-2]'), { message: /more than one member/ })
})

t.test('a list and a mere name', async (t) => {
  for (const text of ['a,b', '@a', 'a:1', 'n[1-2]', '::1']) t.ok(isMemberList(text), text)
  for (const text of ['chfs', 'my-data', '/dev/x', 'a.b']) t.notOk(isMemberList(text), text)
})

t.test('the order in which a list is typed does not matter, and it is its own normal form', async () => {
  const host = fc.oneof(
    fc.stringMatching(/^[a-z]{1,3}\d{0,3}$/),
    fc.ipV4(),
    fc.ipV6().map((address) => `[${address}]`),
  )
  const entry = fc.tuple(host, fc.option(fc.integer({ min: 1, max: 65535 }))).map(([name, port]) => {
    return port === null ? name : `${name}:${port}`
  })
  const lists = fc
    .uniqueArray(entry, { minLength: 1, maxLength: 20 })
    .chain((entries) => fc.tuple(fc.constant(entries), fc.shuffledSubarray(entries, { minLength: entries.length })))
  const outcome = (text: string): string => {
    try {
      return formatMembers(parseMembers(text, readFile))
    } catch (error) {
      return (error as Error).message.replace(/^\S+/, '')
    }
  }
  fc.assert(
    fc.property(lists, ([typed, shuffled]) => {
      const normal = outcome(typed.join())
      return outcome(shuffled.join()) === normal && (normal.startsWith(' ') || outcome(normal) === normal)
    }),
  )
})

t.test('any text at all is a list or a clear error', async () => {
  const piece = fc.constantFrom('a', '1', '[', ']', '-', ',', ':', '.', '%', '@', ' ', '[1-3]', '::1', '\n')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      try {
        return names(pieces.join('')).length > 0
      } catch (error) {
        return (error as { exitCode?: number }).exitCode === 1
      }
    }),
    { numRuns: 2000 },
  )
})

t.test('natural order', async (t) => {
  const sorted = ['a', 'a1', 'a01', 'a1b', 'a2', 'a10', 'b', 'n1.x:7400', 'n1.x:7401', 'n1.x:10000']
  const shuffled = [...sorted].reverse().sort(compareNaturally)
  t.strictSame(shuffled, ['a', 'a01', 'a1', 'a1b', 'a2', 'a10', 'b', 'n1.x:7400', 'n1.x:7401', 'n1.x:10000'])
  const text = fc.stringMatching(/^[ab01.:]{0,6}$/)
  fc.assert(
    fc.property(text, text, text, (a, b, c) => {
      const sign = (x: string, y: string): number => Math.sign(compareNaturally(x, y))
      if (sign(a, b) !== -sign(b, a) || (sign(a, b) === 0) !== (a === b)) return false
      return !(sign(a, b) <= 0 && sign(b, c) <= 0) || sign(a, c) <= 0
    }),
    { numRuns: 3000 },
  )
})
