/** The server of one mount: an open file system, the kernel's session, and the dispatch between them. */
import { FuseKernel } from '../lib/native/kernel.js'
import type { Log } from '../lib/ports.js'
import { PROTOCOL_MINOR } from '../lib/wire/kernel.js'
import { capacityOf } from './capacity.js'
import { type Config, surroundingsOfProcess } from './config.js'
import { Dispatch } from './dispatch.js'
import type { MountSettings } from './handlers/types.js'
import { keyOf } from './key.js'
import { openMember } from './member.js'
import { findPlace, thisMachine } from './place.js'
import type { Opened, OpenNode } from './seams.js'
import type { NodeStatus } from './status.js'
import { openStore } from './store.js'
import { Undo } from './undo.js'

/** How long the kernel may keep what it was told, while nobody else can change it. */
const ALONE_SECONDS = 86400

/** How long the capacity is waited for by whoever asks for the status. */
const CAPACITY_MS = 1000

/** A test's switch: pretends that the kernel is older. */
const MINOR_MAX = 'CHFS_TEST_FUSE_MINOR'

/** A test's switch: `node` keeps open files and locks here, as with peers. */
const KEEPER = 'CHFS_TEST_KEEPER'

export const openNode: OpenNode = async (config, log, interrupted) => {
  const undo = new Undo()
  let opened: Opened
  try {
    opened = await Promise.race([open(config, log, undo), interrupted])
  } catch (error) {
    await undo.all().catch((failure: Error) => log.error({ cause: failure.message }, 'it was not closed in order'))
    throw error
  }
  const { fs, turn, pool, clock, isShared, accessTimes } = opened
  const kernel = new FuseKernel(pool)
  const flags = new Set(config.kernelFlags)
  if (accessTimes !== null) {
    accessTimes.ofFiles = !flags.has('noatime') && !flags.has('ro')
    accessTimes.ofDirectories = !flags.has('nodiratime')
  }
  let ended = (): void => {}
  const whenEnded = new Promise<void>((resolve) => {
    ended = resolve
  })
  return {
    ended: whenEnded,
    status: async () => ({ ...opened.status(), capacity: await Promise.race([capacityOf(fs), unknownSoon()]) }),
    serve: (fuseFd) =>
      new Promise<void>((resolve) => {
        const settings = settingsOf(config, isShared, resolve)
        const dispatch = new Dispatch({ fs, turn, kernel, pool, clock, log }, settings, ended)
        kernel.attach(fuseFd, () => dispatch.onReadable())
      }),
    stop: async () => {
      kernel.close()
      await undo.all()
    },
  }
}

/** Whoever asks how the members are wants to know it also while one of them is away. */
function unknownSoon(): Promise<null> {
  return new Promise((resolve) => setTimeout(() => resolve(null), CAPACITY_MS).unref())
}

/** A member that is the only one and has no key is alone: nobody can come to it. */
async function open(config: Config, log: Log, undo: Undo): Promise<Opened> {
  const { members, self, virtualNodes, layout, store, chunkBytes } = config
  const key = members.length === 0 ? null : keyOf(config, surroundingsOfProcess().home, process.geteuid?.() ?? 0)
  if (key !== null) return await openMember(config, key, log, undo)
  const names = members.map(({ name }) => name)
  const place = members.length === 0 ? null : await findPlace(members, self, thisMachine())
  const belonging = place === null ? undefined : { names, self: place.index, virtualNodes, layout }
  const opened = await openStore(store, chunkBytes, log, belonging)
  undo.push(() => opened.close())
  const { clusterId, ringEpoch, members: own } = opened.superblock
  const status = (): Omit<NodeStatus, 'capacity'> => ({
    clusterId,
    epoch: ringEpoch,
    members: own.map(({ id, name }) => ({ id, name, state: 'up', isSelf: true })),
    clients: 0,
  })
  return { ...opened, isShared: false, accessTimes: opened.share.accessTimes, status }
}

function settingsOf(config: Config, isShared: boolean, onReady: () => void): MountSettings {
  const seconds = isShared ? 0 : ALONE_SECONDS
  return {
    timeouts: { entrySeconds: seconds, attributeSeconds: seconds },
    writeback: config.writeback && !isShared,
    keeper: isShared || process.env[KEEPER] === 'node' ? 'node' : 'kernel',
    shared: isShared,
    protocolMinorMax: Number(process.env[MINOR_MAX] ?? PROTOCOL_MINOR),
    onReady,
  }
}
