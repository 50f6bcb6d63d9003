/** Nodes that start in any order, crash at any step and lose each other: they agree, or nobody is ready. */
import t from 'tap'
import { LINGER_MS, type SimMember, SimMembership, type Start } from './membership.js'
import { Prng } from './prng.js'

/** From the moment that nothing is in the way any more: a redial, a silence, and some room. */
const CONVERGENCE_MS = 30_000

/** Starts everybody at some time, with crashes and cuts meanwhile; then lets it heal, and end. */
function run(seed: number): string[] {
  const prng = new Prng(seed)
  const world = new SimMembership(prng, 1 + prng.below(5), prng.below(3))
  const { clock, faults } = world
  world.meeting.delayMsMax = prng.pick([1, 5, 300])
  for (const node of world.all) clock.after(prng.below(5000), () => node.boot())
  const isCalm = prng.oneIn(4)
  const isLost = isCalm ? (): boolean => false : disturb(prng, world)
  world.pass(24_000)
  world.heal()
  for (const node of world.all) if (!node.isAlive || node.process?.start.isWrong) node.boot()
  world.pass(20_000)
  const isReady = (): boolean => world.all.every(({ process }) => process?.isReady === true) && world.isConnected
  if (!world.until(isReady, CONVERGENCE_MS)) faults.push(`not ready: ${describe(world)}`)
  if (isCalm) checkSessions(world)
  end(prng, world, isLost())
  return faults
}

/** Crashes, cuts and stops; tells whether a client was lost. */
function disturb(prng: Prng, world: SimMembership): () => boolean {
  const { clock } = world
  let lostClient = false
  for (const { store } of world.members) if (store !== null && prng.oneIn(3)) crashWhileForming(prng, world, store)
  const [crashes, cuts] = [prng.below(4) * 3, prng.below(3) * 3]
  const pick = (): SimMember => prng.pick(world.all)
  for (let count = 0; count < crashes; count++) {
    clock.after(prng.below(20_000), () => {
      const node = pick()
      node.kill()
      // Members do not know that it will not come back as the one it was.
      if (node.isClient) lostClient = true
      clock.after(prng.below(3000), () => node.boot(prng.oneIn(3) ? wrong(prng, world) : {}))
    })
  }
  for (let count = 0; count < cuts; count++) clock.after(prng.below(20_000), () => world.cut(pick(), pick()))
  if (prng.oneIn(3)) {
    clock.after(prng.below(20_000), () => {
      const process = pick().process
      if (process !== undefined) process.clock.stoppedUntilMs = clock.monotonicMs() + prng.below(20_000)
    })
  }
  return () => lostClient
}

/** A start with something that the others do not have. */
function wrong(prng: Prng, { names }: SimMembership): Partial<Start> {
  const starts: Partial<Start>[] = [
    { names: [...names, 'other:7400'] },
    { key: 'other' },
    { skewMs: prng.pick([-60_000, 60_000]) },
  ]
  return { ...prng.pick(starts), isWrong: true }
}

/**
 * Where nothing has gone wrong, every two nodes have needed one session; and two connections, where their dials have
 * crossed, or more, where what was said on one connection was overtaken by what was said on another.
 */
function checkSessions(world: SimMembership): void {
  for (const { process, name, isClient } of world.all) {
    const expected = world.members.length - 1 + (isClient ? 1 : world.clients.length)
    if (process?.sessions !== expected)
      world.faults.push(`${name} has had ${process?.sessions} sessions, not ${expected}`)
  }
  const most = world.meeting.delayMsMax < 100 ? 2 : 4
  for (const [pair, count] of world.meeting.opened) {
    if (count > most) world.faults.push(`${pair} have had ${count} connections`)
  }
}

function crashWhileForming(prng: Prng, world: SimMembership, store: { onForm: (isWritten: boolean) => void }): void {
  const when = prng.oneIn(2)
  store.onForm = (isWritten) => {
    if (isWritten !== when) return
    store.onForm = () => undefined
    const node = world.members.find((member) => member.store === store)
    node?.kill()
    world.clock.after(prng.below(3000), () => node?.boot())
  }
}

/** All leave, in any order, some of them killed. */
function end(prng: Prng, world: SimMembership, mayLinger: boolean): void {
  const killed = prng.oneIn(4) ? prng.pick(world.all) : undefined
  killed?.kill()
  for (const { process } of world.all) {
    if (process?.isAlive) world.clock.after(prng.below(3000), () => process.leave())
  }
  world.pass(3000)
  const isDone = (): boolean => world.all.every((node) => node === killed || (node.process?.doneMs ?? -1) >= 0)
  if (!world.until(isDone, LINGER_MS + 5000)) world.faults.push(`they do not end: ${describe(world)}`)
  if (killed !== undefined || mayLinger) return
  for (const { process, name } of world.all) {
    if (process !== undefined && process.doneMs - process.leavingMs > 10_000) world.faults.push(`${name} has lingered`)
  }
}

function describe(world: SimMembership): string {
  return world.all
    .map(
      ({ name, process }) => `${name} ${process?.isAlive} ${process?.isReady} ${[...(process?.log ?? [])].slice(-3)}`,
    )
    .join('\n')
}

t.test('seeds', async (t) => {
  const replayed = process.env['CHFS_SIM_SEED']
  if (replayed !== undefined) {
    t.strictSame(run(Number(replayed)), [])
    return
  }
  const end = performance.now() + Number(process.env['CHFS_SIM_SECONDS'] ?? 10) * 1000
  const first = Date.now() % 1_000_000_000
  let seed = first
  for (; performance.now() < end; seed++) {
    const faults = run(seed)
    if (faults.length > 0) {
      t.fail(`CHFS_SIM_SEED=${seed}: ${faults.join('\n')}`)
      break
    }
  }
  t.comment(`${seed - first} seeds from ${first} on`)
  t.ok(seed > first)
})
