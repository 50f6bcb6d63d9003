/**
 * Proves the metadata of a store, or of all stores of a cluster, consistent, or names what is not: every record by
 * itself, and all of them against each other and against the backing files that are there. Reads only.
 */
import { checkParts, type StoreOfParts } from './check-parts.js'
import { type CheckTotals, StoreReader, type StoreToCheck } from './check-store.js'
import { type OwnerOf, Tree } from './check-tree.js'

const ID_BYTES = 8

/** Checks the store of a node that is alone. */
export function checkStore(store: StoreToCheck): CheckTotals {
  const [reader] = readAll([store]) as [StoreReader]
  new Tree([reader]).run()
  checkParts([partsOf(reader, new Uint8Array(ID_BYTES))])
  reader.finish()
  return reader.totals
}

/**
 * Checks one store of a cluster by itself, where the others are not at hand: what its records say of inodes and names
 * that lie elsewhere, and how many links it has, is not looked at.
 */
export function checkMember(store: StoreToCheck): CheckTotals {
  const [reader] = readAll([store]) as [StoreReader]
  reader.readOthers(() => undefined)
  reader.finish()
  return reader.totals
}

/** A store of a cluster, by its member's id of 8 bytes. */
export interface MemberToCheck extends StoreToCheck {
  readonly id: Uint8Array
}

/**
 * Checks all stores of a cluster together, none of which may be in use. `ownerOf` says which of them has what, by its
 * index. Changes on several nodes that are not finished are no fault; they are counted as `unsettled`.
 */
export function checkCluster(members: readonly MemberToCheck[], ownerOf: OwnerOf): CheckTotals[] {
  const readers = readAll(members)
  const intents = new Map<string, ReadonlySet<number>>()
  for (const [index, { id }] of members.entries()) {
    intents.set(id.subarray(0, ID_BYTES).join(), (readers[index] as StoreReader).unsettled.intents)
  }
  for (const reader of readers) {
    for (const { text, owner, saga } of reader.unsettled.dependents) {
      if (intents.get(owner)?.has(saga) !== true) reader.fault(`${text} for an intent that is not there`)
    }
  }
  new Tree(readers, ownerOf).run()
  checkParts(readers.map((reader, index) => partsOf(reader, (members[index] as MemberToCheck).id)))
  for (const reader of readers) reader.finish()
  return readers.map(({ totals }) => totals)
}

function readAll(stores: readonly StoreToCheck[]): StoreReader[] {
  const readers = stores.map((store) => new StoreReader(store))
  for (const reader of readers) {
    reader.readInodes()
    reader.readUnsettled()
  }
  return readers
}

const partsOf = (reader: StoreReader, id: Uint8Array): StoreOfParts => ({
  id,
  inodes: reader.inodes,
  parts: reader.parts,
  fault: (text) => reader.fault(text),
})
