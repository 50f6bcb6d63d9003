/** The transport between two processes in network namespaces of their own, over TCP. As root. */
import t from 'tap'
import { transportSuite } from '../conformance/transport.js'
import { INTERFACE, Network } from './ucx-network.js'
import { processWorld, RENDEZVOUS_BYTES, startStation } from './ucx-processes.js'

const settings = { transports: 'tcp', interfaces: INTERFACE, rendezvousBytes: RENDEZVOUS_BYTES }

t.test('over TCP', async (t) => {
  const network = await Network.make()
  t.teardown(() => network.end())
  await transportSuite(t, async () => processWorld((index) => startStation(settings, network.enter(index))))
})
