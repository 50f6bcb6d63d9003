/** Which member of the list a machine is. */
import { createServer } from 'node:net'
import t from 'tap'
import { parseMembers } from '../../mount/members.js'
import { findPlace, type Machine, thisMachine } from '../../mount/place.js'

const members = (text: string) => parseMembers(text, () => '')

const names: Readonly<Record<string, readonly string[]>> = {
  n1: ['10.0.0.1'],
  n2: ['10.0.0.2', 'fd00::2'],
  n3: ['10.0.0.3'],
  alias: ['10.0.0.2'],
  local: ['127.0.1.1'],
}

function machine(more: Partial<Machine> = {}): Machine {
  return {
    hostname: 'whatever',
    interfaces: [
      { name: 'lo', address: '127.0.0.1' },
      { name: 'eth0', address: '10.0.0.2' },
      { name: 'eth1', address: 'fe80::2' },
    ],
    lookup: async (host) => (/^[\d.:%a-f]+(eth1)?$/.test(host) ? [host] : (names[host] ?? [])),
    canBind: async () => true,
    ...more,
  }
}

t.test('found', async (t) => {
  const table: [string, string | null, Partial<Machine>, object][] = [
    ['n1,n2,n3', null, {}, { index: 1, host: null, networkInterface: 'eth0' }],
    ['10.0.0.1,10.0.0.2', null, {}, { index: 1, host: '10.0.0.2', networkInterface: 'eth0' }],
    ['n1,[fe80::2%eth1]', null, {}, { index: 0, host: 'fe80::2%eth1', networkInterface: 'eth1' }],
    ['n1,n3,local', null, {}, { index: 0, host: null, networkInterface: null }],
    // By its name, though that leads elsewhere here.
    ['n1,n2,n3', null, { hostname: 'n3' }, { index: 2, host: null, networkInterface: null }],
    ['n1.x,n2.x', null, { hostname: 'N1' }, { index: 0 }],
    ['n1,n2', null, { hostname: 'n1.x' }, { index: 0 }],
    ['n1.x,n2', null, { hostname: 'n1.y' }, { index: 1 }],
    ['n1,n2,n3', 'n3:7400', {}, { index: 2, host: null }],
    ['10.0.0.2:1,10.0.0.2:2', '10.0.0.2:2', {}, { index: 1, host: '10.0.0.2', networkInterface: 'eth0' }],
    // Another process has the first one's port.
    ['n2:1,n2:2', null, { canBind: async (_, port) => port === 2 }, { index: 1, host: null }],
    ['n2:1,n2:2', null, { hostname: 'n2', canBind: async (_, port) => port === 1 }, { index: 0, host: null }],
    ['nowhere,n2', null, {}, { index: 0 }],
  ]
  for (const [list, self, more, expected] of table) {
    const found = await findPlace(members(list), self, machine(more))
    const sorted = members(list).map(({ name }) => name)
    if (list === 'nowhere,n2') t.equal(sorted[found.index], 'n2:7400')
    else t.match(found, expected, `${list} ${JSON.stringify(more)}`)
  }
})

t.test('not found, or more than once', async (t) => {
  const table: [string, Partial<Machine>, RegExp][] = [
    ['n1,n3', {}, /^none of the members \(n1:7400,n3:7400\) is this machine, which has 127.0.0.1, 10.0.0.2, fe80::2:/],
    ['n1,nowhere', {}, /; not found: nowhere:7400: choose one with self=host:port, or mount with -o client$/],
    ['n2,alias', {}, /^more than one member is this machine \(alias:7400,n2:7400\): choose one with self=host:port$/],
    ['n1,n2:1,n2:2', { hostname: 'n2' }, /^more than one member is this machine \(n2:1,n2:2\): choose/],
    ['n2:1,n2:2', { canBind: async () => false }, /the ports of all of them are in use$/],
  ]
  for (const [list, more, message] of table) {
    await t.rejects(findPlace(members(list), null, machine(more)), { message, exitCode: 1 }, list)
  }
})

t.test('this machine', async (t) => {
  const own = thisMachine()
  t.ok(own.interfaces.some(({ address }) => address === '127.0.0.1'))
  t.strictSame(await own.lookup('10.1.2.3'), ['10.1.2.3'])
  t.strictSame(await own.lookup('[fe80::1%lo]'.slice(1, -1)), ['fe80::1%lo'])
  t.strictSame(await own.lookup('no-such-name.invalid'), [])
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  t.equal(await own.canBind('127.0.0.1', port), false)
  await new Promise((done) => server.close(done))
  t.equal(await own.canBind('127.0.0.1', port), true)
  t.equal(await own.canBind(null, port), true)
  t.equal(await own.canBind('192.0.2.77', port), false, 'an address of somebody else')
})
