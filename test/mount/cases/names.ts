/** Names: making, finding, moving and removing them. */
import {
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFREG,
  S_IFSOCK,
} from '../constants.js'
import type { Case } from '../twin.js'

const LONGEST = 'n'.repeat(255)
const TOO_LONG = 'n'.repeat(256)

const making: Case[] = [
  {
    name: 'mkdir and rmdir',
    run: async ({ sys }) => {
      await sys.mkdir('d', 0o750)
      await sys.stat('d')
      await sys.mkdir('d')
      await sys.mkdir('d/e')
      await sys.mkdir('d/e/f', 0o1777)
      await sys.stat('d')
      await sys.stat('d/e/f')
      await sys.rmdir('d')
      await sys.rmdir('d/e')
      await sys.rmdir('d/e/f')
      await sys.rmdir('d/e/f')
      await sys.stat('d/e')
      await sys.mkdir('missing/d')
      await sys.put('file', '')
      await sys.mkdir('file/d')
      await sys.mkdir('file')
      await sys.rmdir('file')
      await sys.rmdir('d/e/.')
      await sys.rmdir('d/e/..')
      await sys.rmdir('d/e')
      await sys.stat('d')
      await sys.rmdir('d')
      await sys.list('.')
    },
  },
  {
    name: 'a removed directory that is still open',
    run: async ({ sys }) => {
      await sys.mkdir('d')
      const fd = await sys.open('d', O_DIRECTORY)
      await sys.rmdir('d')
      await sys.fstat(fd)
      await sys.getdents(fd)
      await sys.mkdir(`/proc/self/fd/${fd}/x`)
      await sys.open(`/proc/self/fd/${fd}/x`, O_CREAT | O_RDWR)
      await sys.close(fd)
    },
  },
  {
    name: 'creating files',
    run: async ({ sys }) => {
      await sys.umask(0o027)
      const fd = await sys.open('f', O_CREAT | O_EXCL | O_RDWR, 0o666)
      await sys.fstat(fd)
      await sys.write(fd, 'hello')
      await sys.open('f', O_CREAT | O_EXCL | O_RDWR)
      await sys.stat('f')
      const again = await sys.open('f', O_CREAT | O_RDWR)
      await sys.read(again, 100)
      const emptied = await sys.open('f', O_TRUNC | O_WRONLY)
      await sys.fstat(fd)
      await sys.close(emptied)
      await sys.mkdir('d')
      await sys.open('d', O_CREAT | O_RDWR)
      await sys.open('d', O_RDWR)
      await sys.open('d', O_CREAT | O_EXCL)
      await sys.open('f', O_DIRECTORY)
      await sys.open('f/g', O_CREAT | O_RDWR)
      await sys.open('missing', O_RDWR)
      await sys.open('missing/f', O_CREAT | O_RDWR)
      await sys.open('readonly', O_CREAT | O_RDWR, 0o000)
      await sys.stat('readonly')
      await sys.open('suid', O_CREAT | O_RDWR, 0o6755)
      await sys.stat('suid')
      await sys.symlink('f', 's')
      await sys.open('s', O_NOFOLLOW)
      await sys.symlink('nowhere', 'dangling')
      await sys.open('dangling', O_CREAT | O_EXCL | O_RDWR)
      await sys.open('dangling', O_CREAT | O_RDWR)
      await sys.stat('nowhere')
      await sys.symlink('loop', 'loop')
      await sys.open('loop', O_RDWR)
    },
  },
  {
    name: 'mknod of what anybody may make',
    run: async ({ sys }) => {
      await sys.mknod('fifo', S_IFIFO | 0o640)
      await sys.mknod('socket', S_IFSOCK | 0o666)
      await sys.mknod('file', S_IFREG | 0o604)
      await sys.mknod('fifo', S_IFIFO | 0o640)
      for (const name of ['fifo', 'socket', 'file']) await sys.stat(name)
      await sys.open('socket', O_RDWR)
      const fifo = await sys.open('fifo', O_RDWR)
      await sys.write(fifo, 'through the pipe')
      await sys.read(fifo, 100)
      await sys.unlink('fifo')
      await sys.list('.')
    },
  },
  {
    name: 'mknod of devices',
    root: true,
    run: async ({ sys, as }) => {
      await sys.mknod('null', S_IFCHR | 0o666, 1, 3)
      await sys.mknod('block', S_IFBLK | 0o600, 7, 300)
      await sys.mknod('high', S_IFCHR | 0o600, 4095, 1048575)
      for (const name of ['null', 'block', 'high']) await sys.stat(name)
      await sys.chmod('.', 0o777)
      const user = as({ uid: 1000, gid: 1000 })
      await user.mknod('device', S_IFCHR | 0o666, 1, 3)
      await user.mknod('device', S_IFBLK | 0o666, 1, 3)
      await user.mknod('fifo', S_IFIFO | 0o666)
      await user.list('.')
    },
  },
  {
    name: 'symbolic links',
    run: async ({ sys }) => {
      for (const target of ['x', 'a/b/c', '/', ' ', '\xff\xfe\n', 't'.repeat(4000), 't'.repeat(4095)]) {
        await sys.symlink(target, 'link')
        await sys.readlink('link')
        await sys.stat('link')
        await sys.unlink('link')
      }
      await sys.symlink('t'.repeat(4096), 'link')
      await sys.symlink('', 'link')
      await sys.symlink('target', 'link')
      await sys.symlink('other', 'link')
      await sys.put('link', 'written through the link')
      await sys.readAll('target')
      await sys.readlink('target')
      await sys.readlink('missing')
      await sys.mkdir('d')
      await sys.readlink('d')
      await sys.symlink('d', 'to-d')
      await sys.put('to-d/inside', 'x')
      await sys.list('d')
      await sys.rmdir('to-d')
      await sys.unlink('to-d')
    },
  },
]

const bytes = Array.from({ length: 255 }, (_, index) => String.fromCharCode(index + 1)).filter((byte) => byte !== '/')

const names: Case[] = [
  {
    name: 'names of every byte and of every length',
    run: async ({ sys }) => {
      for (const byte of bytes) await sys.put(`x${byte}`, byte)
      await sys.list('.')
      for (const byte of bytes) await sys.readAll(`x${byte}`)
      await sys.put('\xff\xff\xff', 'not UTF-8')
      await sys.put(bytes.join(''), 'all of them')
      await sys.readAll(bytes.join(''))
      for (const length of [1, 2, 7, 8, 9, 127, 128, 254, 255]) await sys.mkdir('l'.repeat(length))
      await sys.list('.')
      for (const length of [1, 2, 7, 8, 9, 127, 128, 254, 255]) await sys.rmdir('l'.repeat(length))
    },
  },
  {
    name: 'names that are too long',
    run: async ({ sys }) => {
      await sys.put(LONGEST, 'x')
      await sys.put(TOO_LONG, 'x')
      await sys.mkdir(TOO_LONG)
      await sys.mknod(TOO_LONG, S_IFIFO | 0o600)
      await sys.symlink('x', TOO_LONG)
      await sys.link(LONGEST, TOO_LONG)
      await sys.link(TOO_LONG, 'x')
      await sys.rename(LONGEST, TOO_LONG)
      await sys.rename(TOO_LONG, 'x')
      await sys.unlink(TOO_LONG)
      await sys.rmdir(TOO_LONG)
      await sys.stat(TOO_LONG)
      await sys.open(TOO_LONG)
      await sys.readlink(TOO_LONG)
      await sys.chmod(TOO_LONG, 0o600)
      await sys.truncate(TOO_LONG, 0)
      await sys.access(TOO_LONG, 0)
      await sys.rename(LONGEST, LONGEST.replaceAll('n', 'm'))
      await sys.list('.')
      await sys.put(`${'d/'.repeat(2048)}x`, '')
    },
  },
  {
    name: 'unlink',
    run: async ({ sys }) => {
      await sys.put('f', 'x')
      await sys.unlink('f')
      await sys.unlink('f')
      await sys.stat('f')
      await sys.mkdir('d')
      await sys.unlink('d')
      await sys.put('f', 'x')
      await sys.unlink('f/x')
      await sys.unlink('missing/x')
      await sys.unlink('f/')
      await sys.unlink('.')
      await sys.list('.')
    },
  },
  {
    name: 'hard links',
    run: async ({ sys, note }) => {
      await sys.put('f', 'content')
      await sys.link('f', 'g')
      await sys.stat('f')
      note('one inode', (await sys.inode('f')) === (await sys.inode('g')))
    },
  },
]

const links: Case[] = [
  {
    name: 'link counts and contents of hard links',
    run: async ({ sys }) => {
      await sys.put('f', 'content')
      await sys.mkdir('d')
      await sys.link('f', 'd/g')
      await sys.link('f', 'd/g')
      await sys.link('d', 'e')
      await sys.link('missing', 'x')
      await sys.link('f', 'missing/x')
      await sys.link('f', 'f')
      await sys.link('f', 'f/x')
      await sys.put('d/g', 'changed')
      await sys.readAll('f')
      await sys.chmod('d/g', 0o600)
      await sys.stat('f')
      await sys.unlink('f')
      await sys.stat('d/g')
      await sys.rename('d/g', 'h')
      await sys.stat('h')
      await sys.symlink('h', 's')
      await sys.link('s', 's2')
      await sys.stat('s2')
      await sys.mknod('fifo', S_IFIFO | 0o600)
      await sys.link('fifo', 'fifo2')
      await sys.stat('fifo')
      for (let index = 0; index < 40; index++) await sys.link('h', `h${index}`)
      await sys.stat('h')
      for (let index = 0; index < 40; index++) await sys.unlink(`h${index}`)
      await sys.stat('h')
    },
  },
]

const moving: Case[] = [
  {
    name: 'rename of files',
    run: async ({ sys }) => {
      await sys.put('a', 'A')
      await sys.put('b', 'B')
      await sys.mkdir('d')
      await sys.rename('a', 'c')
      await sys.stat('a')
      await sys.readAll('c')
      await sys.rename('c', 'b')
      await sys.readAll('b')
      await sys.rename('b', 'd/b')
      await sys.rename('d/b', 'd')
      await sys.rename('missing', 'x')
      await sys.rename('d/b', 'missing/x')
      await sys.rename('d/b', 'd/b')
      await sys.rename('d/b/x', 'y')
      await sys.link('d/b', 'd/twin')
      await sys.rename('d/b', 'd/twin')
      await sys.list('d')
      await sys.stat('d/b')
      await sys.rename('d/b', 'target')
      await sys.put('other', 'O')
      await sys.rename('other', 'target')
      await sys.stat('d/twin')
      await sys.list('.')
    },
  },
  {
    name: 'rename of directories',
    run: async ({ sys }) => {
      for (const path of ['a', 'a/b', 'a/b/c', 'x', 'y', 'y/full']) await sys.mkdir(path)
      await sys.put('file', 'F')
      await sys.rename('a', 'a/b')
      await sys.rename('a', 'a/b/c/d')
      await sys.rename('a/b/c', 'a')
      await sys.rename('a', 'x')
      await sys.stat('x')
      await sys.rename('x', 'y')
      await sys.rename('x', 'file')
      await sys.rename('file', 'x')
      await sys.rename('x/b', 'y/moved')
      for (const path of ['x', 'y', 'y/moved', '.']) await sys.stat(path)
      await sys.list('y/moved')
      await sys.stat('y/moved/..')
      await sys.rename('.', 'z')
      await sys.rename('y/.', 'z')
      await sys.rename('y/full', 'y/moved/c')
      await sys.list('y/moved')
      for (const path of ['x', 'y', 'y/moved', 'y/moved/c']) await sys.stat(path)
      await sys.rename('file', 'new/')
      await sys.rename('x', 'new/')
      await sys.list('.')
    },
  },
  {
    name: 'renameat2 with flags',
    run: async ({ sys, known }) => {
      await sys.put('a', 'A')
      await sys.put('b', 'B')
      await sys.mkdir('d')
      await sys.mkdir('d/sub')
      await sys.rename('a', 'b', RENAME_NOREPLACE)
      await sys.rename('a', 'c', RENAME_NOREPLACE)
      await sys.rename('c', 'c', RENAME_NOREPLACE)
      await sys.rename('c', 'b', RENAME_EXCHANGE)
      await sys.readAll('c')
      await sys.readAll('b')
      await sys.rename('c', 'missing', RENAME_EXCHANGE)
      await sys.rename('missing', 'c', RENAME_EXCHANGE)
      await sys.rename('c', 'd/sub', RENAME_EXCHANGE)
      for (const path of ['c', 'd/sub', 'd', '.']) await sys.stat(path)
      await sys.rename('c', 'c', RENAME_EXCHANGE)
      await sys.rename('d', 'd/sub', RENAME_EXCHANGE)
      await sys.mkdir('d/deep')
      await sys.mkdir('d/deep/er')
      await sys.rename('d', 'd/deep/er', RENAME_EXCHANGE)
      await sys.rename('d/deep/er', 'd', RENAME_EXCHANGE)
      await sys.mkdir('e')
      await sys.put('e/inside', 'I')
      await sys.rename('d', 'e', RENAME_EXCHANGE)
      await sys.list('d')
      await sys.list('e')
      known('a whiteout belongs to overlay file systems that have this one as their upper layer', 'EINVAL')
      await sys.rename('b', 'w', RENAME_WHITEOUT)
      await sys.rename('e', 'w', RENAME_NOREPLACE | RENAME_EXCHANGE)
      await sys.rename('e', 'w', 64)
    },
  },
]

export const nameCases: readonly Case[] = [...making, ...names, ...links, ...moving]
