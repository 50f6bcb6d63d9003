/** Who may do what: owner, group, others, sticky and set-group-id directories, access control lists. */
import { O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from '../constants.js'
import type { Case } from '../twin.js'

const OWNER = { uid: 1000, gid: 1000 }
const MEMBER = { uid: 1001, gid: 1001, groups: [7, 1000] }
const OTHER = { uid: 1002, gid: 1002 }

const modes: Case[] = [
  {
    name: 'owner, group, supplementary groups and others',
    root: true,
    run: async ({ sys, as }) => {
      await sys.put('f', 'content')
      await sys.chown('f', 1000, 1000)
      await sys.mkdir('d')
      await sys.put('d/inside', '')
      await sys.chown('d', 1000, 1000)
      const callers = [sys, as(OWNER), as(MEMBER), as(OTHER)]
      for (const mode of [0o000, 0o400, 0o200, 0o100, 0o040, 0o020, 0o010, 0o004, 0o002, 0o001, 0o644, 0o750]) {
        await sys.chmod('f', mode)
        await sys.chmod('d', mode)
        for (const [index, caller] of callers.entries()) {
          for (const wanted of [0, 1, 2, 4, 7]) await caller.access('f', wanted)
          await caller.open('f', O_RDONLY)
          await caller.open('f', O_WRONLY)
          await caller.open('f', O_RDWR)
          await caller.truncate('f', 7)
          await caller.list('d')
          await caller.stat('d/inside')
          await caller.put(`d/by${index}`, '')
          await caller.unlink(`d/by${index}`)
        }
      }
    },
  },
  {
    name: 'permissions of parents',
    root: true,
    run: async ({ sys, as }) => {
      await sys.mkdir('d')
      await sys.put('d/f', '')
      await sys.chmod('d/f', 0o666)
      const other = as(OTHER)
      for (const mode of [0o777, 0o776, 0o775, 0o771, 0o774, 0o770]) {
        await sys.chmod('d', mode)
        await other.stat('d/f')
        await other.list('d')
        await other.open('d/f', O_RDWR)
        await other.mkdir('d/sub')
        await other.rmdir('d/sub')
        await other.rename('d/f', 'd/g')
        await other.rename('d/g', 'd/f')
        await other.link('d/f', 'd/l')
        await other.unlink('d/l')
        await other.symlink('x', 'd/s')
        await other.unlink('d/s')
        await other.readlink('d/missing')
      }
    },
  },
  {
    name: 'sticky directories',
    root: true,
    run: async ({ sys, as }) => {
      const [owner, other] = [as(OWNER), as(OTHER)]
      await sys.mkdir('sticky')
      await sys.chmod('sticky', 0o1777)
      await sys.chown('sticky', 1001, 1001)
      await owner.put('sticky/f', '')
      await owner.mkdir('sticky/d')
      await owner.chmod('sticky/f', 0o666)
      await other.unlink('sticky/f')
      await other.rmdir('sticky/d')
      await other.rename('sticky/f', 'sticky/g')
      await other.put('sticky/mine', '')
      await other.rename('sticky/mine', 'sticky/f')
      await other.rename('sticky/mine', 'sticky/f', 2)
      await other.rename('sticky/mine', 'sticky/yours')
      await as(MEMBER).unlink('sticky/yours')
      await owner.rename('sticky/f', 'sticky/g')
      await owner.rmdir('sticky/d')
      await owner.unlink('sticky/g')
    },
  },
  {
    name: 'set-group-id directories',
    root: true,
    run: async ({ sys, as }) => {
      await sys.mkdir('d')
      await sys.chown('d', 1000, 7)
      await sys.chmod('d', 0o2777)
      for (const [index, user] of [OWNER, MEMBER].entries()) {
        const caller = as(user)
        await caller.mkdir(`d/sub${index}`)
        await caller.put(`d/file${index}`, '')
        await caller.symlink('x', `d/link${index}`)
        await caller.open(`d/setgid${index}`, O_CREAT | O_RDWR, 0o2775)
        for (const kind of ['sub', 'file', 'link', 'setgid']) await sys.stat(`d/${kind}${index}`)
        await caller.mkdir(`d/sub${index}/below`)
        await sys.stat(`d/sub${index}/below`)
        await caller.rmdir(`d/sub${index}/below`)
      }
    },
  },
  {
    name: 'the umask of each caller',
    root: true,
    run: async ({ sys, as }) => {
      await sys.chmod('.', 0o777)
      const [one, two] = [as(OWNER), as(OTHER)]
      await one.umask(0o077)
      await two.umask(0o002)
      await one.put('a', '')
      await two.put('b', '')
      await one.mkdir('c')
      await two.mkdir('d')
      for (const path of ['a', 'b', 'c', 'd']) await sys.stat(path)
      await two.open('a', O_RDONLY)
      await two.open('a', O_WRONLY | O_TRUNC)
    },
  },
]

// Tags of acl(5): owner 1, user 2, group of the file 4, group 8, mask 16, others 32.
const NOBODY_ID = 2 ** 32 - 1
const MINIMAL: [number, number, number][] = [
  [1, 6, NOBODY_ID],
  [4, 4, NOBODY_ID],
  [32, 0, NOBODY_ID],
]
const NAMED: [number, number, number][] = [
  [1, 6, NOBODY_ID],
  [2, 6, 1001],
  [4, 4, NOBODY_ID],
  [8, 2, 1002],
  [16, 6, NOBODY_ID],
  [32, 0, NOBODY_ID],
]

const lists: Case[] = [
  {
    name: 'access control lists',
    root: true,
    run: async ({ sys, as }) => {
      await sys.put('f', 'content')
      await sys.chown('f', 1000, 1000)
      await sys.getacl('f')
      await sys.setacl('f', NAMED)
      await sys.getacl('f')
      await sys.stat('f')
      await sys.listxattr('f')
      const callers = [as(OWNER), as({ uid: 1001, gid: 9 }), as({ uid: 9, gid: 1002 }), as({ uid: 9, gid: 9 })]
      for (const caller of callers) {
        await caller.open('f', O_RDONLY)
        await caller.open('f', O_WRONLY)
      }
      await sys.chmod('f', 0o640)
      await sys.getacl('f')
      for (const caller of callers) await caller.open('f', O_WRONLY)
      await callers[1]?.setacl('f', MINIMAL)
      await callers[0]?.setacl('f', MINIMAL)
      await sys.stat('f')
      await sys.getacl('f')
      await sys.listxattr('f')
      await sys.setacl('f', NAMED)
      await sys.removexattr('f', 'system.posix_acl_access')
      await sys.stat('f')
      await sys.setacl('f', [])
      await sys.setacl('f', MINIMAL.slice(1))
      await sys.setacl(
        'f',
        NAMED.filter(([tag]) => tag !== 16),
      )
      await sys.setacl('f', [...NAMED].reverse())
      await sys.setxattr('f', 'system.posix_acl_access', 'nonsense')
      await sys.setacl('f', MINIMAL, 'default')
      await sys.setacl('missing', MINIMAL)
    },
  },
  {
    name: 'default access control lists',
    root: true,
    run: async ({ sys, as }) => {
      await sys.mkdir('d')
      await sys.chown('d', 1000, 1000)
      await sys.chmod('d', 0o777)
      await sys.setacl('d', NAMED, 'default')
      await sys.getacl('d', 'default')
      await sys.getacl('d')
      await sys.stat('d')
      const owner = as(OWNER)
      await owner.umask(0o077)
      await owner.open('d/file', O_CREAT | O_RDWR, 0o666)
      await owner.open('d/narrow', O_CREAT | O_RDWR, 0o640)
      await owner.mkdir('d/sub', 0o777)
      await owner.mkdir('d/sub/sub', 0o700)
      await owner.mknod('d/fifo', 0o010666)
      await owner.symlink('x', 'd/link')
      for (const path of ['d/file', 'd/narrow', 'd/sub', 'd/sub/sub', 'd/fifo', 'd/link']) {
        await sys.stat(path)
        if (path === 'd/link') continue
        await sys.getacl(path)
        await sys.getacl(path, 'default')
      }
      await sys.setacl('d', [], 'default')
      await sys.getacl('d', 'default')
      await owner.open('d/after', O_CREAT | O_RDWR, 0o666)
      await sys.stat('d/after')
      await sys.setacl('d', MINIMAL, 'default')
      await owner.open('d/minimal', O_CREAT | O_RDWR, 0o666)
      await sys.stat('d/minimal')
      await sys.getacl('d/minimal')
      await sys.removexattr('d', 'system.posix_acl_default')
      await sys.getacl('d', 'default')
    },
  },
  {
    name: 'a list and the set-group-id bit',
    root: true,
    run: async ({ sys, as }) => {
      for (const user of [undefined, OWNER, { uid: 1000, gid: 9 }]) {
        await sys.put('f', '')
        await sys.chown('f', 1000, 1000)
        await sys.chmod('f', 0o2775)
        await as(user).setacl('f', NAMED)
        await sys.stat('f')
        await sys.unlink('f')
      }
    },
  },
]

export const permissionCases: readonly Case[] = [...modes, ...lists]
