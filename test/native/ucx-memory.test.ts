/** The transport between two processes, over shared memory. */
import t from 'tap'
import { transportSuite } from '../conformance/transport.js'
import { processWorld, RENDEZVOUS_BYTES, startStation } from './ucx-processes.js'

await transportSuite(t, async () => processWorld(() => startStation({ rendezvousBytes: RENDEZVOUS_BYTES })))
