/** The server of one mount: an open store, the kernel's session, and the dispatch between them. */
import { FuseKernel } from '../lib/native/kernel.js'
import { PROTOCOL_MINOR } from '../lib/wire/kernel.js'
import { capacityOf } from './capacity.js'
import { type Config, surroundingsOfProcess } from './config.js'
import { Dispatch } from './dispatch.js'
import { exitCode, MountError } from './exit.js'
import type { MountSettings } from './handlers/types.js'
import { keyOf } from './key.js'
import { findPlace, thisMachine } from './place.js'
import type { OpenNode } from './seams.js'
import { openStore } from './store.js'

/** How long the kernel may keep what it was told, while nobody else can change it. */
const ALONE_SECONDS = 86400

/** A test's switch: pretends that the kernel is older. */
const MINOR_MAX = 'CHFS_TEST_FUSE_MINOR'

/** A test's switch: `node` keeps open files and locks here, as with peers. */
const KEEPER = 'CHFS_TEST_KEEPER'

export const openNode: OpenNode = async (config, log) => {
  if (config.members.length > 0) await refusePeers(config)
  const store = await openStore(config.store, config.chunkBytes, log)
  const kernel = new FuseKernel(store.pool)
  const flags = new Set(config.kernelFlags)
  store.share.accessTimes.ofFiles = !flags.has('noatime') && !flags.has('ro')
  store.share.accessTimes.ofDirectories = !flags.has('nodiratime')
  let ended = (): void => {}
  const whenEnded = new Promise<void>((resolve) => {
    ended = resolve
  })
  return {
    ended: whenEnded,
    status: async () => {
      const { clusterId, ringEpoch, members } = store.superblock
      return {
        clusterId,
        epoch: ringEpoch,
        members: members.map(({ id, name }) => ({ id, name, state: 'up', isSelf: true })),
        clients: 0,
        capacity: await capacityOf(store.fs),
      }
    },
    serve: (fuseFd) =>
      new Promise<void>((resolve) => {
        const settings: MountSettings = {
          timeouts: { entrySeconds: ALONE_SECONDS, attributeSeconds: ALONE_SECONDS },
          writeback: config.writeback,
          keeper: process.env[KEEPER] === 'node' ? 'node' : 'kernel',
          protocolMinorMax: Number(process.env[MINOR_MAX] ?? PROTOCOL_MINOR),
          onReady: resolve,
        }
        const { fs, turn, pool } = store
        const dispatch = new Dispatch({ fs, turn, kernel, pool, log }, settings, ended)
        kernel.attach(fuseFd, () => dispatch.onReadable())
      }),
    stop: async () => {
      kernel.close()
      await store.close()
    },
  }
}

/** Whatever is wrong with a cluster is told before that there is none yet. */
async function refusePeers(config: Config): Promise<void> {
  keyOf(config, surroundingsOfProcess().home, process.geteuid?.() ?? 0)
  if (!config.client) await findPlace(config.members, config.self, thisMachine())
  if (config.members.length === 1 && !config.client) return
  throw new MountError('several members are not available yet', exitCode.usage)
}
