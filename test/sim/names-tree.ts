/** The whole tree as a node sees it, or as a model has it, in a form that can be compared. */
import { isDirectory } from '../../lib/base/mode.js'
import type { NamesClient } from './names-client.js'
import type { NamesModel } from './names-model.js'
import { ROOT } from './names-world.js'

/** A line for each name: path, inode, links. Equal trees have equal lines. */
export function treeOf(client: NamesClient): string[] {
  const lines: string[] = []
  const visit = (number: number, path: string): void => {
    const inode = client.stat(number)
    if (typeof inode === 'number') throw new Error(`stat of ${path || '/'} by node ${client.node.index}: ${inode}`)
    lines.push(`${path}/ ${number} ${inode.nlink}`)
    if (!isDirectory(inode.mode)) return
    const entries = client.list(number)
    if (typeof entries === 'number') throw new Error(`readdir of ${path || '/'}: ${entries}`)
    for (const [name, child] of [...entries].sort()) {
      const found = client.lookup(number, name)
      if (found !== child) throw new Error(`${path}/${name} is listed as ${child} and found as ${found}`)
      visit(child, `${path}/${name}`)
    }
  }
  visit(ROOT, '')
  return lines
}

export function treeOfModel(model: NamesModel): string[] {
  const lines: string[] = []
  const visit = (number: number, path: string): void => {
    const inode = model.get(number)
    if (inode === undefined) throw new Error(`the model has no inode ${number}`)
    lines.push(`${path}/ ${number} ${inode.nlink}`)
    for (const [name, child] of [...inode.entries].sort()) visit(child, `${path}/${name}`)
  }
  visit(ROOT, '')
  return lines
}
