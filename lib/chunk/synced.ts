import type { MetaStore } from '../meta/store.js'
import { type Done, type Kv, PENDING } from '../ports.js'

/** Makes all metadata up to now safe against a power cut, once the turn that it belongs to is committed. */
export function synced(meta: MetaStore, kv: Kv, done: Done): number {
  meta.onceCommitted((error) => {
    if (error === 0) kv.sync(done)
    else done(error)
  })
  return PENDING
}
