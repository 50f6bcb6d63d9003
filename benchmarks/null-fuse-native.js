/** A file system of one file, `file`, and of the names that are created, on fuse-native: nothing but the border's cost. */
import { createRequire } from 'node:module'

const Fuse = createRequire(import.meta.url)('fuse-native')

const [mountpoint] = process.argv.slice(2)
const created = new Set(['file'])
const zero = new Date(0)
const stat = (mode, size) => ({
  mode,
  size,
  nlink: 1,
  uid: 0,
  gid: 0,
  mtime: zero,
  atime: zero,
  ctime: zero,
  blocks: 1,
})
const root = stat(0o40755, 0)
const file = stat(0o100644, 64 * 1024 * 1024)

const operations = {
  getattr: (path, done) => {
    if (path === '/') done(0, root)
    else if (created.has(path.slice(1))) done(0, file)
    else done(Fuse.ENOENT)
  },
  open: (_path, _flags, done) => done(0, 1),
  create: (path, _mode, done) => {
    created.add(path.slice(1))
    done(0, 1)
  },
  unlink: (path, done) => {
    created.delete(path.slice(1))
    done(0)
  },
  // libfuse renames a file that is removed before its last release has arrived.
  rename: (from, to, done) => {
    created.delete(from.slice(1))
    created.add(to.slice(1))
    done(0)
  },
  release: (_path, _fd, done) => done(0),
  read: (_path, _fd, _buffer, length, _position, done) => done(length),
  write: (_path, _fd, _buffer, length, _position, done) => done(length),
}
// autoCache and kernelCache stay off, and the time-outs of names and attributes are 0, as in the other null file system.
const options = {
  force: true,
  mkdir: false,
  attrTimeout: '0',
  entryTimeout: '0',
  negativeTimeout: '0',
  bigWrites: true,
}
const fuse = new Fuse(mountpoint, operations, options)
fuse.mount((error) => {
  if (error) throw error
  console.log('mounted')
})
process.on('SIGTERM', () => fuse.unmount(() => process.exit(0)))
