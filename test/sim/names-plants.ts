/** Mistakes to be found: each leaves out something that changes on several nodes rest on. */
import type { Done, Kv } from '../../lib/ports.js'
import type { SimKv } from './kv.js'
import type { Plant } from './names-world.js'

function altered(kv: SimKv, methods: Partial<Kv>): Kv {
  return new Proxy(kv, {
    get: (target, name) => {
      const found: unknown = Reflect.get(name in methods ? methods : target, name)
      return typeof found === 'function' && !(name in methods) ? found.bind(target) : found
    },
    set: (target, name, value) => Reflect.set(target, name, value),
  })
}

/** Records of this type are not written. */
export const without =
  (type: number): Plant =>
  (kv, isArmed) =>
    altered(kv, { put: (key, value) => (isArmed() && kv.key[0] === type ? 0 : kv.put(key, value)) })

/** A sync says that it has been done, and has not. */
export const unsynced: Plant = (kv, isArmed) =>
  altered(kv, { sync: (done: Done) => (isArmed() ? kv.pretendSync(done) : kv.sync(done)) })
