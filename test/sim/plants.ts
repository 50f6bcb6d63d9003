/** Bugs to be found: each breaks one promise of a port, in the way in which a mistake of ours would. */
import type { Disk, Done, Kv } from '../../lib/ports.js'
import { KEY_FREE, KEY_XATTR } from '../../lib/wire/records.js'
import type { Plant } from './world.js'

/** The port `original` with some of its methods replaced. */
function altered<T extends object>(original: T, methods: Partial<T>): T {
  return new Proxy(original, {
    get: (target, name) => {
      const found: unknown = Reflect.get(name in methods ? methods : target, name)
      return typeof found === 'function' && !(name in methods) ? found.bind(target) : found
    },
    set: (target, name, value) => Reflect.set(target, name, value),
  })
}

export const plants: Readonly<Record<string, Plant>> = {
  'the size is written before the data': {
    disk: (disk, clock): Disk =>
      altered<Disk>(disk, {
        write: (file, at, bytes, offset, _done: Done) => {
          clock.after(1, () => {
            try {
              disk.write(file, at, bytes, offset, () => {})
            } catch {
              // Closed meanwhile.
            }
          })
          return bytes
        },
      }),
  },
  'new files are not queued for removal before they are claimed': {
    kv: (kv): Kv => altered<Kv>(kv, { put: (key, value) => (kv.key[0] === KEY_FREE ? 0 : kv.put(key, value)) }),
  },
  'a sync of the store does nothing': {
    kv: (kv, clock): Kv => altered<Kv>(kv, { sync: (done) => void clock.after(1, () => done(0)) }),
  },
  'a sync of a file does nothing': { disk: (disk): Disk => altered<Disk>(disk, { sync: () => 0 }) },
  'hidden tails are not cut off': { disk: (disk): Disk => altered<Disk>(disk, { truncate: () => 0 }) },
  'attributes outlive their inode': {
    kv: (kv): Kv => altered<Kv>(kv, { delete: (key) => (kv.key[0] === KEY_XATTR ? 0 : kv.delete(key)) }),
  },
}
