/** A node among others: a member with its share, or a client without; and the file system over all of them. */
import { ROOT_INODE, SERIAL_SPAN } from '../lib/base/ids.js'
import { Cluster } from '../lib/fs/cluster.js'
import { NO_STORE, Turn } from '../lib/meta/turn.js'
import { SystemClock } from '../lib/native/clock.js'
import { TlsControl } from '../lib/native/control.js'
import { loadHash32 } from '../lib/native/hash.js'
import { MappedPool } from '../lib/native/pool.js'
import { SystemRandom } from '../lib/native/random.js'
import { UcxTransport } from '../lib/native/ucx.js'
import { type Cluster as Agreed, Membership } from '../lib/node/membership.js'
import { Node } from '../lib/node/node.js'
import type { Clock, Hash32, Log } from '../lib/ports.js'
import { Positions } from '../lib/ring/position.js'
import { Ring } from '../lib/ring/ring.js'
import type { Config } from './config.js'
import { exitCode, MountError } from './exit.js'
import { Joining } from './joining.js'
import { findPlace, type Place, thisMachine } from './place.js'
import type { Opened } from './seams.js'
import type { NodeStatus } from './status.js'
import { openDirectory, openShare, PAYLOAD_BYTES } from './store.js'
import type { Undo } from './undo.js'

/** Requests of this node's own mount, and of peers, that may be under way at once. */
const OWN_SLOTS = 192
const PEER_SLOTS = 64

/**
 * Opens this node, and waits until the whole cluster is there; what it has begun stands in `undo`. Rejects with what is
 * in the way, such as members that have not come in time.
 */
export async function openMember(config: Config, key: Uint8Array, log: Log, undo: Undo): Promise<Opened> {
  const place = config.client ? null : await findPlace(config.members, config.self, thisMachine())
  const hash = await loadHash32()
  const clock = new SystemClock()
  const forPeers = place === null ? 0 : PEER_SLOTS
  const pool = new MappedPool({ count: OWN_SLOTS + forPeers, payloadBytes: PAYLOAD_BYTES, forPeers })
  const names = config.members.map(({ name }) => name)
  const belonging = { names, self: place?.index ?? -1, virtualNodes: config.virtualNodes, layout: config.layout }
  const store = place === null ? null : openDirectory(config.store, config.chunkBytes, belonging, hash, log, undo)
  const transport = new UcxTransport(pool, transportSettings(config, place))
  undo.push(() => new Promise<void>((done) => transport.end(done)))
  const control = await listen(config, place, key, clock, log)
  undo.push(() => new Promise<void>((done) => control.end(done)))
  const joining = new Joining(config.waitSeconds)
  const membership = new Membership(
    { control, transport, clock, random: new SystemRandom(), log },
    {
      names,
      self: belonging.self,
      waitMs: config.waitSeconds * 1000,
      lingerMs: config.lingerSeconds * 1000,
    },
    store,
    joining,
  )
  undo.push(() => membership.stop())
  membership.start()
  const agreed = await joining.whenFormed
  const { self } = belonging
  const ring = ringOf(agreed, hash)
  const peers = names.map((_, member) => member).filter((member) => member !== self)
  const hasRoot = ring.owner(Math.floor(ROOT_INODE / SERIAL_SPAN)) === self
  const share = store === null ? null : await openShare(store, { hash, pool, clock, hasRoot, peers, log }, undo)
  // Before what is asked of it is closed.
  undo.push(() => membership.stop())
  const turn = share?.turn ?? new Turn(NO_STORE)
  const node = new Node({
    ...{ self, owners: ring, epoch: agreed.epoch, positions: new Positions(hash), transport, pool, clock, log, turn },
    timeoutMs: config.hard ? Number.POSITIVE_INFINITY : config.timeoSeconds * 1000,
    share: share?.share,
  })
  joining.node = node
  transport.attach({
    request: (channel, token, headAt, headBytes, slot, bytes) =>
      node.request(channel, token, headAt, headBytes, slot, bytes),
    slotFree: () => node.onSlotFree(),
    failed: (channel, error) => membership.channelFailed(channel, error),
  })
  membership.serve()
  await joining.whenReady
  // From here on this node does not just vanish: it tells the others.
  undo.push(() => new Promise<void>((done) => membership.leave(done)))
  const fs = new Cluster(node, pool)
  const error = await new Promise<number>((done) => fs.start(done))
  if (error < 0) throw new MountError(`the root directory cannot be read (errno ${-error})`, exitCode.mount)
  const status = (): Omit<NodeStatus, 'capacity'> => {
    const { clusterId, epoch, members, clients } = membership.status()
    return { clusterId, epoch, clients, members: members.map((member, at) => ({ ...member, isSelf: at === self })) }
  }
  return { fs, turn, pool, clock, isShared: true, accessTimes: share?.share.accessTimes ?? null, status }
}

/** A client is dialled by nobody. */
async function listen(config: Config, place: Place | null, key: Uint8Array, clock: Clock, log: Log) {
  if (place === null) return await TlsControl.open({ key, listen: null }, clock, log)
  const { port } = config.members[place.index] as { port: number }
  const host = place.host === null ? {} : { host: place.host }
  return await TlsControl.open({ key, listen: { port, ...host } }, clock, log)
}

function transportSettings({ interfaces, ucxTransports }: Config, place: Place | null) {
  const devices = interfaces ?? place?.networkInterface
  return {
    // Membership does that, over its control connections.
    keepalive: false,
    ...(devices == null ? {} : { interfaces: devices }),
    ...(ucxTransports === null ? {} : { transports: ucxTransports }),
  }
}

function ringOf({ epoch, ids, virtualNodes }: Agreed, hash: Hash32): Ring {
  return new Ring({ epoch, members: ids.map((id) => new Uint8Array(Buffer.from(id, 'hex'))), virtualNodes }, hash)
}
