"""What a worker of the soak (soak.py) knows of its files, and how it asks for what is there."""
import collections
import errno
import os
import random
import time

# The node of the call is dead, or not mounted.
GONE = (errno.ENOTCONN, errno.ECONNABORTED)
# The call was cut off: it may have been done.
CUT_OFF = GONE + (errno.EIO, errno.ETIMEDOUT)


class CutOff(Exception):
    pass


class Wrong(AssertionError):
    pass


class File:
    def __init__(self):
        self.data = bytearray()
        self.names = set()


class Directory:
    pass


class Handle:
    def __init__(self, node, fd, file, appends):
        self.node, self.fd, self.file, self.appends = node, fd, file, appends


def first_difference(found, wanted):
    at = next((at for at, (a, b) in enumerate(zip(found, wanted)) if a != b), min(len(found), len(wanted)))
    return f'{len(found)} bytes for {len(wanted)}, first other at {at}: {found[at:at + 8].hex()}, not {wanted[at:at + 8].hex()}'


class Known:
    def __init__(self, mounts, who, seed, places):
        self.mounts, self.who, self.places = mounts, who, places
        self.chance = random.Random(f'{seed} {who}')
        self.roots = {}
        self.names = {}
        self.handles = []
        # Each a set of names, and what finds out which of the possible states is there.
        self.doubts = []
        self.serial = 0
        # Records that were to go into the common log, and whether they are known to be there.
        self.told = {}
        # Files that were made to be published, and perhaps were.
        self.strays = []
        self.counts = collections.Counter()

    # What is asked of which node.

    def root(self, node):
        if node not in self.roots:
            mount = self.mounts[node]
            fd = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
            # Nothing may be written to what the mount will cover.
            if os.fstat(fd).st_dev == os.stat(os.path.dirname(mount)).st_dev:
                os.close(fd)
                raise OSError(errno.ENOTCONN, 'not mounted')
            self.roots[node] = fd
        return self.roots[node]

    def lose(self, node):
        if node in self.roots:
            self.close(self.roots.pop(node))
        for handle in [handle for handle in self.handles if handle.node == node]:
            self.drop(handle)

    def drop(self, handle):
        self.handles.remove(handle)
        self.close(handle.fd)

    def close(self, fd):
        try:
            os.close(fd)
        except OSError as failure:
            if failure.errno not in CUT_OFF:
                raise

    def call(self, node, what, function, names=(), settle=None):
        """The result; a call that is cut off leaves `names` in doubt."""
        try:
            return function()
        except OSError as failure:
            if failure.errno not in CUT_OFF:
                raise Wrong(f'{what} on node {node}: {failure}') from failure
            self.counts['cut off'] += 1
            if settle is not None:
                self.doubts.append((frozenset(names), settle, f'{what} on node {node}: {failure}'))
            if failure.errno in GONE:
                self.lose(node)
            raise CutOff(what) from failure

    def change(self, handle, what, function, settle):
        """As call(); what then is in a file without a name nobody can know any more."""
        try:
            return self.call(handle.node, what, function, handle.file.names, settle)
        except CutOff:
            if not handle.file.names:
                for other in [other for other in self.handles if other.file is handle.file]:
                    self.drop(other)
            raise

    def open(self, node, path, flags):
        return self.call(node, f'open {path}', lambda: os.open(path, flags, dir_fd=self.root(node)))

    # What is in no doubt.

    def free(self, path):
        """Nothing is in doubt about it, what is above it and what is below."""
        for names, _, _ in self.doubts:
            for name in names:
                if name == path or path.startswith(name + '/') or name.startswith(path + '/'):
                    return False
        entry = self.names.get(path)
        if isinstance(entry, File):
            return all(name == path or self.free_name(name) for name in entry.names)
        return True

    def free_name(self, path):
        return not any(name == path or path.startswith(name + '/') for names, _, _ in self.doubts for name in names)

    # The looks.

    def compare_listing(self, node, place):
        fd = self.open(node, place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            found = self.call(node, f'list {place}', lambda: os.listdir(fd))
        finally:
            self.close(fd)
        if len(set(found)) != len(found):
            raise Wrong(f'{place} on node {node} has names twice: {sorted(found)}')
        own = {name for name in found if name.startswith(f'w{self.who}.') and self.free_name(f'{place}/{name}')}
        wanted = {os.path.basename(path) for path in self.names
                  if os.path.dirname(path) == place and self.free_name(path)}
        if own != wanted:
            raise Wrong(f'{place} on node {node}: found {sorted(own - wanted)}, not found {sorted(wanted - own)}')

    def absent(self, path):
        """By whichever node, and a call later."""
        node = self.chance.randrange(len(self.mounts))
        if self.chance.random() < 0.5 and self.exists(node, path):
            raise Wrong(f'{path} is still there on node {node}')

    def exists(self, node, path):
        def look():
            try:
                os.stat(path, dir_fd=self.root(node), follow_symlinks=False)
                return True
            except FileNotFoundError:
                return False
        return self.call(node, f'stat {path}', look)

    def all_of(self, fd):
        parts, at = [], 0
        while part := os.pread(fd, 1 << 20, at):
            parts.append(part)
            at += len(part)
        return b''.join(parts)

    def expect(self, node, path, data, links):
        fd = self.open(node, path, os.O_RDONLY)
        try:
            found = self.call(node, f'read {path}', lambda: self.all_of(fd))
            status = self.call(node, f'stat {path}', lambda: os.fstat(fd))
        finally:
            self.close(fd)
        if found != data:
            raise Wrong(f'{path} on node {node}: {first_difference(found, data)}')
        if (status.st_size, status.st_nlink) != (len(data), links):
            raise Wrong(f'{path} on node {node}: size {status.st_size} for {len(data)}, links {status.st_nlink} for {links}')

    # What is known.

    def put(self, path, file):
        self.names[path] = file
        file.names.add(path)

    def take(self, path):
        self.names.pop(path).names.discard(path)

    def move(self, old, new):
        if isinstance(self.names.get(new), File):
            self.take(new)
        for path in [path for path in self.names if path == old or path.startswith(old + '/')]:
            entry, to = self.names.pop(path), new + path[len(old):]
            self.names[to] = entry
            if isinstance(entry, File):
                entry.names.remove(path)
                entry.names.add(to)

    # When all nodes are up.

    def contents(self, node, file):
        """None where the file has no name by which it could be read."""
        if not file.names:
            return None
        fd = self.open(node, min(file.names), os.O_RDONLY)
        try:
            return self.call(node, f'read {sorted(file.names)}', lambda: self.all_of(fd))
        finally:
            self.close(fd)

    def adopt(self, file, found):
        if found is not None:
            file.data = bytearray(found)

    def settle_data(self, node, file, possible, what):
        found = self.contents(node, file)
        if found is not None and found not in possible:
            differences = [first_difference(found, data) for data in possible]
            raise Wrong(f'{sorted(file.names)} on node {node} after {what}: {differences}')
        self.adopt(file, found)

    def settle(self):
        """Finds out what was done of that which is not known, and then proves everything on every node."""
        for handle in list(self.handles):
            self.drop(handle)
        while self.doubts:
            _, settle, what = self.doubts[0]
            try:
                settle(self.chance.randrange(len(self.mounts)))
            except Wrong as wrong:
                raise Wrong(f'{wrong} (in doubt since {what})') from wrong
            self.doubts.pop(0)
        while self.strays:
            self.call(0, f'unlink {self.strays[0]}', lambda: self.remove(0, self.strays[0]))
            self.strays.pop(0)
        self.compare_log(self.chance.randrange(len(self.mounts)))
        for node in range(len(self.mounts)):
            for path, entry in self.names.items():
                if isinstance(entry, File):
                    self.expect(node, path, entry.data, len(entry.names))
            for place in self.places + [path for path, entry in self.names.items() if isinstance(entry, Directory)]:
                self.compare_listing(node, place)

    def remove(self, node, path):
        try:
            os.unlink(path, dir_fd=self.root(node))
        except FileNotFoundError:
            pass

    def compare_log(self, node):
        """Every acknowledged record is there once and whole, and what was cut off at most once."""
        fd = self.open(node, 'log', os.O_RDONLY)
        try:
            lines = self.call(node, 'read of the log', lambda: self.all_of(fd)).splitlines(keepends=True)
        finally:
            self.close(fd)
        found = [line for line in lines if line.startswith(b'%d.' % self.who)]
        wanted, doubtful = [], {record for record, is_sure in self.told.values() if not is_sure}
        seen = set(found)
        for record, is_sure in self.told.values():
            if is_sure or record in seen:
                wanted.append(record)
        if found != wanted:
            at = next((at for at, (a, b) in enumerate(zip(found, wanted)) if a != b), min(len(found), len(wanted)))
            raise Wrong(f'log on node {node}: {len(found)} records for {len(wanted)}, at {at} '
                        f'{[line[:20] for line in found[at:at + 3]]} for {[line[:20] for line in wanted[at:at + 3]]}, '
                        f'in doubt {[record[:20] for record in doubtful]}')
        self.told = {serial: (record, True) for serial, (record, _) in self.told.items() if record in seen}
