/** Extended attributes: every namespace, size and error. */
import { O_RDONLY, S_IFIFO, XATTR_CREATE, XATTR_REPLACE } from '../constants.js'
import type { Case } from '../twin.js'

const cases: Case[] = [
  {
    name: 'attributes of the user namespace',
    run: async ({ sys }) => {
      await sys.put('f', '')
      await sys.mkdir('d')
      for (const path of ['f', 'd']) {
        await sys.getxattr(path, 'user.none')
        await sys.removexattr(path, 'user.none')
        await sys.listxattr(path)
        await sys.setxattr(path, 'user.a', 'value')
        await sys.setxattr(path, 'user.a', 'other', XATTR_CREATE)
        await sys.setxattr(path, 'user.b', 'other', XATTR_REPLACE)
        await sys.setxattr(path, 'user.a', 'longer value', XATTR_REPLACE)
        await sys.setxattr(path, 'user.b', '', XATTR_CREATE)
        await sys.setxattr(path, 'user.c', 'x', XATTR_CREATE | XATTR_REPLACE)
        await sys.setxattr(path, 'user.c', 'x', 4)
        await sys.setxattr(path, 'user.\xff\n ', '\0binary\xff')
        for (const name of ['user.a', 'user.b', 'user.\xff\n ']) await sys.getxattr(path, name)
        for (const size of [0, 1, 11, 12, 13]) await sys.getxattr(path, 'user.a', size)
        await sys.listxattr(path)
        await sys.removexattr(path, 'user.a')
        await sys.getxattr(path, 'user.a')
        await sys.listxattr(path)
      }
      await sys.setxattr('missing', 'user.a', 'x')
      await sys.getxattr('missing', 'user.a')
      await sys.setxattr('f', 'user.', 'x')
      await sys.setxattr('f', 'user', 'x')
      await sys.setxattr('f', '', 'x')
      await sys.setxattr('f', 'unknown.a', 'x')
      await sys.getxattr('f', 'unknown.a')
      await sys.setxattr('f', 'system.unknown', 'x')
    },
  },
  {
    name: 'values to 64 KiB and names to 255 bytes',
    run: async ({ sys }) => {
      await sys.put('f', '')
      const longest = `user.${'n'.repeat(250)}`
      await sys.setxattr('f', longest, 'x')
      await sys.setxattr('f', `${longest}n`, 'x')
      await sys.getxattr('f', longest)
      await sys.listxattr('f')
      for (const size of [1, 100, 4000, 4096, 16384, 65535, 65536]) {
        await sys.fillxattr('f', `user.${size}`, size)
        await sys.getxattr('f', `user.${size}`, 0)
        await sys.getxattr('f', `user.${size}`)
        await sys.getxattr('f', `user.${size}`, size - 1)
      }
      await sys.fillxattr('f', 'user.too-large', 65537)
      await sys.listxattr('f')
      const length = (await sys.listxattr('f', 0)) as number
      for (const size of [1, length - 1, length]) await sys.listxattr('f', size)
    },
  },
  {
    name: 'many attributes of one file',
    run: async ({ sys }) => {
      await sys.put('f', '')
      for (let index = 0; index < 200; index++) await sys.setxattr('f', `user.attribute-${index}`, `value ${index}`)
      await sys.listxattr('f')
      for (let index = 0; index < 200; index += 7) await sys.getxattr('f', `user.attribute-${index}`)
      for (let index = 0; index < 200; index += 2) await sys.removexattr('f', `user.attribute-${index}`)
      await sys.listxattr('f')
      await sys.rename('f', 'g')
      await sys.getxattr('g', 'user.attribute-7')
      await sys.unlink('g')
      await sys.put('g', '')
      await sys.listxattr('g')
    },
  },
  {
    name: 'attributes that only root may touch',
    root: true,
    run: async ({ sys, as }) => {
      await sys.put('f', '')
      await sys.chmod('f', 0o666)
      await sys.symlink('f', 's')
      await sys.mknod('fifo', S_IFIFO | 0o666)
      const user = as({ uid: 1000, gid: 1000 })
      for (const path of ['f', 's', 'fifo']) {
        await sys.setxattr(path, 'trusted.a', 'secret')
        await sys.getxattr(path, 'trusted.a')
        await sys.setxattr(path, 'security.label', 'a label')
        await sys.getxattr(path, 'security.label')
        await sys.setxattr(path, 'user.a', 'x')
        await sys.getxattr(path, 'user.a')
        await sys.listxattr(path)
        await user.listxattr(path)
        await user.getxattr(path, 'trusted.a')
        await user.setxattr(path, 'trusted.b', 'x')
        await user.removexattr(path, 'trusted.a')
        await user.setxattr(path, 'security.b', 'x')
        await user.getxattr(path, 'security.label')
        await user.setxattr(path, 'user.b', 'x')
      }
      await sys.chmod('f', 0o644)
      await user.setxattr('f', 'user.c', 'x')
      await user.removexattr('f', 'user.a')
      await user.getxattr('f', 'user.b')
      await sys.chmod('f', 0o600)
      await user.getxattr('f', 'user.b')
      await sys.mkdir('sticky')
      await sys.chmod('sticky', 0o1777)
      await user.setxattr('sticky', 'user.a', 'x')
    },
  },
  {
    name: 'a file loses its capabilities when it changes',
    root: true,
    run: async ({ sys, as }) => {
      // Version 2 of struct vfs_cap_data: CAP_NET_RAW, permitted and effective.
      const capability = `\x01\0\0\x02\0\x20\0\0${'\0'.repeat(12)}`
      await sys.chmod('.', 0o777)
      const changes: [string, () => Promise<unknown>][] = [
        ['write', () => sys.put('f', 'x', 1)],
        ['truncate', () => sys.truncate('f', 3)],
        ['chown', () => sys.chown('f', 5, 5)],
        ['chmod', () => sys.chmod('f', 0o700)],
        ['link', () => sys.link('f', 'g')],
      ]
      for (const [, change] of changes) {
        await sys.put('f', 'content')
        await sys.setxattr('f', 'security.capability', capability)
        await sys.getxattr('f', 'security.capability')
        await change()
        await sys.getxattr('f', 'security.capability')
        await sys.listxattr('f')
        await sys.unlink('f')
      }
      await as({ uid: 1000, gid: 1000 }).setxattr('g', 'security.capability', capability)
    },
  },
  {
    name: 'times of attributes',
    run: async ({ sys }) => {
      await sys.put('f', '')
      await sys.open('f', O_RDONLY)
      await sys.moved(['.', 'f'], 'setxattr', 'f', 'user.a', 'x')
      await sys.moved(['.', 'f'], 'setxattr', 'f', 'user.a', 'x')
      await sys.moved(['.', 'f'], 'getxattr', 'f', 'user.a')
      await sys.moved(['.', 'f'], 'listxattr', 'f')
      await sys.moved(['.', 'f'], 'removexattr', 'f', 'user.a')
      await sys.moved(['.', 'f'], 'removexattr', 'f', 'user.a')
    },
  },
]

export const xattrCases: readonly Case[] = cases
