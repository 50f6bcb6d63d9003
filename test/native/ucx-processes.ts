/** Stations in processes of their own, for tests of the transport between processes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { UcxSettings } from '../../lib/native/ucx.js'
import type { StationHandle, TransportWorld } from '../conformance/transport.js'
import { killNow } from '../processes.js'
import { CHILD_ENVIRONMENT } from './environment.js'
import type { More } from './ucx-station.child.js'

const CHILD = fileURLToPath(new URL('./ucx-station.child.js', import.meta.url))

export const PAYLOAD_BYTES = 1048576
export const RENDEZVOUS_BYTES = 131072
/** Sizes at which UCX sends in another way, and the slot's. */
export const THRESHOLDS = [64, 8192, 8256, 65536, RENDEZVOUS_BYTES, PAYLOAD_BYTES]

/** A station over UCX. */
export type UcxStationHandle = StationHandle & More

export interface StationProcess {
  readonly handle: UcxStationHandle
  readonly pid: number
  /** What it wrote to its standard output and error, which should be nothing. */
  said(): string
  /** Its process is gone; the signal that ended it, or null. */
  readonly exited: Promise<string | null>
  end(): Promise<void>
}

/** @param launcher a command that runs the process in other surroundings, or nothing */
export async function startStation(
  settings: UcxSettings,
  launcher: string[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<StationProcess> {
  const argument = JSON.stringify({ ...settings, payloadBytes: PAYLOAD_BYTES })
  const command = [...launcher, process.execPath, '--expose-gc', CHILD, argument]
  const child = spawn(command[0] as string, command.slice(1), {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...CHILD_ENVIRONMENT, ...env },
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (said += data))
  const exited = new Promise<string | null>((resolve) => child.once('exit', (_code, signal) => resolve(signal)))
  const call = caller(child, exited, () => said)
  await call.ready
  return {
    handle: call.handle,
    pid: child.pid as number,
    said: () => said,
    exited,
    end: async () => {
      if (child.connected) child.disconnect()
      await exited
    },
  }
}

function caller(
  child: ChildProcess,
  exited: Promise<string | null>,
  said: () => string,
): { handle: UcxStationHandle; ready: Promise<void> } {
  const waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>()
  let lastId = 0
  const wait = (id: number): Promise<unknown> => new Promise((resolve, reject) => waiting.set(id, { resolve, reject }))
  const ready = wait(0) as Promise<void>
  child.on('message', ({ id, result, error }: { id: number; result: unknown; error?: string }) => {
    if (error === undefined) waiting.get(id)?.resolve(result)
    else waiting.get(id)?.reject(new Error(error))
    waiting.delete(id)
  })
  void exited.then((signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`the station's process has ended: ${signal} ${said()}`))
  })
  const handle = new Proxy({} as UcxStationHandle, {
    get: (_target, method) => {
      // A promise's result is asked for this: a handle is none.
      if (method === 'then') return undefined
      return (...args: unknown[]) => {
        const id = ++lastId
        const answer = wait(id)
        child.send({ id, method, args })
        return answer
      }
    },
  })
  return { handle, ready }
}

const sleep = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs))

/** A world whose stations `start` makes, which is told whether it is the first or the second of its pair. */
export function processWorld(start: (index: 0 | 1) => Promise<StationProcess>): TransportWorld {
  const stations: StationProcess[] = []
  return {
    thresholds: THRESHOLDS,
    payloadBytes: PAYLOAD_BYTES,
    isOrdered: true,
    pair: async () => {
      const [a, b] = await Promise.all([start(0), start(1)])
      stations.push(a, b)
      return [a.handle, b.handle]
    },
    wait: (promise) => promise,
    pass: () => sleep(60),
    kill: (handle) => {
      const station = stations.find((candidate) => candidate.handle === handle)
      killNow(station?.pid ?? 0)
    },
    end: async () => {
      await Promise.all(stations.map((station) => station.end()))
      const said = stations.map((station) => station.said()).join('')
      if (said !== '') throw new Error(`a station said: ${said}`)
    },
  }
}
