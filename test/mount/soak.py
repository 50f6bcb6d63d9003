"""A worker that changes files of its own through all nodes and knows what must be in them, whatever dies meanwhile.

Called by driver.py, in a directory that is no mount: the mounts are named by their paths. What a call that was cut off has
done is not known: the names and files that it concerns are left alone until settle(), when every node is up. Then each
of them has to be in one of the states that the call allows, and everything else in the one state that was acknowledged.
"""
import errno
import hashlib
import os
import time

from soak_known import CUT_OFF, GONE, CutOff, Directory, File, Handle, Known, Wrong, first_difference

FILES_MAX = 40
HANDLES_MAX = 6
SIZE_MAX = 600_000
WRITE_MAX = 200_000


def written(old, offset, data):
    new = bytearray(old)
    if offset > len(new):
        new.extend(bytes(offset - len(new)))
    new[offset:offset + len(data)] = data
    return new


def published(rest):
    return hashlib.sha1(rest).hexdigest().encode() + b'\n' + rest


class Worker(Known):
    # What is there to be chosen.

    def some(self, kind):
        found = [path for path, entry in self.names.items() if isinstance(entry, kind) and self.free(path)]
        return self.chance.choice(found) if found else None

    def new_name(self):
        self.serial += 1
        directories = [path for path, entry in self.names.items() if isinstance(entry, Directory) and self.free(path)]
        place = self.chance.choice(self.places + directories[:6])
        return f'{place}/w{self.who}.{self.serial}'

    def handle(self, node, appends):
        """An open file, by preference one that has been open for long."""
        found = [handle for handle in self.handles
                 if handle.appends == appends and all(self.free(name) for name in handle.file.names)]
        if found and self.chance.random() < 0.4:
            return self.chance.choice(found)
        path = self.some(File)
        if path is None:
            return None
        fd = self.open(node, path, os.O_RDWR | (os.O_APPEND if appends else 0))
        handle = Handle(node, fd, self.names[path], appends)
        self.handles.append(handle)
        if len(self.handles) > HANDLES_MAX:
            self.drop(self.handles[0])
        return handle

    def bytes(self):
        size = self.chance.choice((1, 100, 3000, 5000, 70_000, WRITE_MAX))
        return self.chance.randbytes(self.chance.randint(1, size))

    # The changes.

    def create(self, node):
        if len(self.names) > FILES_MAX:
            return
        path = self.new_name()

        def settle(node):
            if self.exists(node, path):
                self.expect(node, path, b'', 1)
                self.put(path, File())
        fd = self.call(node, f'create {path}', lambda: os.open(
            path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644, dir_fd=self.root(node)), [path], settle)
        file = File()
        self.put(path, file)
        handle = Handle(node, fd, file, False)
        self.handles.append(handle)
        if self.chance.random() < 0.8:
            self.write_to(handle, 0, self.bytes())

    def write(self, node):
        handle = self.handle(node, False)
        if handle is None:
            return
        size = len(handle.file.data)
        offset = self.chance.choice((0, size, self.chance.randint(0, size), min(size + 70_000, SIZE_MAX)))
        self.write_to(handle, offset, self.bytes())

    def write_to(self, handle, offset, data):
        file, old = handle.file, bytes(handle.file.data)
        new = written(old, offset, data)

        def settle(node):
            found = self.contents(node, file)
            if found is None or found in (old, new):
                pass
            elif len(found) != len(old) or any(
                    byte not in (old[at], new[at]) for at, byte in enumerate(found)):
                raise Wrong(f'{sorted(file.names)}: neither old nor new: {first_difference(found, new)}, '
                            f'{first_difference(found, old)}, by a write of {len(data)} at {offset}')
            self.adopt(file, found)
        what = f'write {len(data)} at {offset} of {sorted(file.names)}'
        count = self.change(handle, what, lambda: os.pwrite(handle.fd, data, offset), settle)
        if count != len(data):
            raise Wrong(f'{what}: only {count}')
        file.data = new
        self.counts['bytes'] += count

    def append(self, node):
        handle = self.handle(node, True)
        if handle is None or len(handle.file.data) > SIZE_MAX:
            return
        file, data = handle.file, self.bytes()
        old = bytes(file.data)
        what = f'append {len(data)} to {len(old)} of {sorted(file.names)}'
        count = self.change(handle, what, lambda: os.write(handle.fd, data),
                            lambda node: self.settle_data(node, file, (old, old + data), what))
        if count != len(data):
            raise Wrong(f'{what}: only {count}')
        file.data += data
        self.counts['bytes'] += count

    def truncate(self, node):
        handle = self.handle(node, False)
        if handle is None:
            return
        file, old = handle.file, bytes(handle.file.data)
        size = self.chance.choice((0, self.chance.randint(0, len(old)), min(len(old) + 100_000, SIZE_MAX)))
        new = old[:size] + bytes(max(0, size - len(old)))
        what = f'truncate {sorted(file.names)} from {len(old)} to {size}'
        self.change(handle, what, lambda: os.ftruncate(handle.fd, size),
                    lambda node: self.settle_data(node, file, (old, new), what))
        file.data = bytearray(new)

    def fsync(self, node):
        if self.handles and self.chance.random() < 0.7:
            handle = self.chance.choice(self.handles)
            self.call(handle.node, f'fsync {sorted(handle.file.names)}', lambda: os.fsync(handle.fd))
        else:
            fd = self.open(node, self.chance.choice(self.places), os.O_RDONLY)
            try:
                self.call(node, 'fsync of a directory', lambda: os.fsync(fd))
            finally:
                self.close(fd)

    def mkdir(self, node):
        if sum(isinstance(entry, Directory) for entry in self.names.values()) > 8:
            return
        path = self.new_name()

        def settle(node):
            if self.exists(node, path):
                self.names[path] = Directory()
        self.call(node, f'mkdir {path}', lambda: os.mkdir(path, dir_fd=self.root(node)), [path], settle)
        self.names[path] = Directory()

    def rmdir(self, node):
        path = self.some(Directory)
        if path is None:
            return
        if any(name.startswith(path + '/') for name in self.names):
            try:
                os.rmdir(path, dir_fd=self.root(node))
            except OSError as failure:
                if failure.errno in GONE:
                    self.lose(node)
                if failure.errno not in CUT_OFF + (errno.ENOTEMPTY,):
                    raise Wrong(f'rmdir of {path}, which is not empty, on node {node}: {failure}') from failure
                return
            raise Wrong(f'rmdir of {path} on node {node}, which is not empty')

        def settle(node):
            if not self.exists(node, path):
                del self.names[path]
        self.call(node, f'rmdir {path}', lambda: os.rmdir(path, dir_fd=self.root(node)), [path], settle)
        del self.names[path]
        self.absent(path)

    def unlink(self, node):
        path = self.some(File)
        if path is None or (len(self.names) < FILES_MAX // 2 and self.chance.random() < 0.7):
            return
        file = self.names[path]

        def settle(node):
            if not self.exists(node, path):
                self.take(path)
        self.call(node, f'unlink {path}', lambda: os.unlink(path, dir_fd=self.root(node)), set(file.names), settle)
        self.take(path)
        self.absent(path)

    def link(self, node):
        old = self.some(File)
        if old is None or len(self.names) > FILES_MAX:
            return
        new, file = self.new_name(), self.names[old]

        def settle(node):
            if self.exists(node, new):
                self.put(new, file)
        root = self.root
        self.call(node, f'link {old} {new}', lambda: os.link(old, new, src_dir_fd=root(node), dst_dir_fd=root(node)),
                  {new} | file.names, settle)
        self.put(new, file)

    def rename(self, node):
        old = self.some((File, File, Directory)[self.chance.randrange(3)])
        if old is None:
            return
        moved, new = self.names[old], self.new_name()
        if isinstance(moved, Directory):
            # Not into itself.
            new = f'{self.chance.choice(self.places)}/{os.path.basename(new)}'
        elif self.chance.random() < 0.3:
            new = self.some(File)
            # Two names of one file stay as they are.
            if self.names[new] is moved:
                return
        replaced = self.names.get(new)
        concerned = {old, new}
        for entry in (moved, replaced):
            if isinstance(entry, File):
                concerned |= entry.names

        def settle(node):
            if not self.exists(node, old):
                self.move(old, new)
        root = self.root
        self.call(node, f'rename {old} {new}', lambda: os.rename(old, new, src_dir_fd=root(node), dst_dir_fd=root(node)),
                  concerned, settle)
        self.move(old, new)
        self.absent(old)

    # What all workers change at once.

    def log(self, node):
        """A record at the end of a file that all append to."""
        self.serial += 1
        record = b'%d.%d %s\n' % (self.who, self.serial, b'x' * self.chance.choice((0, 40, 300, 1500)))
        fd = self.open(node, 'log', os.O_WRONLY | os.O_APPEND)
        self.told[self.serial] = (record, False)
        try:
            count = self.call(node, f'append of record {self.who}.{self.serial}', lambda: os.write(fd, record))
        finally:
            self.close(fd)
        if count != len(record):
            raise Wrong(f'append of record {self.who}.{self.serial} on node {node}: only {count}')
        self.told[self.serial] = (record, True)

    def publish(self, node):
        """A new file takes the name that all look at."""
        self.serial += 1
        path = f'{self.chance.choice(self.places)}/p{self.who}.{self.serial}'
        rest = self.bytes()
        self.strays.append(path)
        fd = self.open(node, path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        try:
            self.call(node, f'write {path}', lambda: os.write(fd, published(rest)))
        finally:
            self.close(fd)
        root = self.root
        self.call(node, f'publish {path}', lambda: os.rename(path, 'current', src_dir_fd=root(node), dst_dir_fd=root(node)))
        self.strays.remove(path)

    def look(self, node):
        fd = self.open(node, 'current', os.O_RDONLY)
        try:
            found = self.call(node, 'read of the published file', lambda: self.all_of(fd))
        finally:
            self.close(fd)
        if found != published(found.partition(b'\n')[2]):
            raise Wrong(f'what is published is not whole on node {node}: {len(found)} bytes, {found[:60]}')

    # The looks.

    def read(self, node):
        path = self.some(File)
        if path is not None:
            self.expect(node, path, self.names[path].data, len(self.names[path].names))

    def read_open(self, node):
        """Also of files that have no name any more."""
        found = [handle for handle in self.handles if all(self.free(name) for name in handle.file.names)]
        if found:
            handle = self.chance.choice(found)
            what = f'read of an open file, now {sorted(handle.file.names)}, node {handle.node}'
            found = self.call(handle.node, what, lambda: self.all_of(handle.fd))
            if found != handle.file.data:
                raise Wrong(f'{what}: {first_difference(found, handle.file.data)}')

    def list(self, node):
        self.compare_listing(node, self.chance.choice(self.places))

    def run(self, seconds):
        actions = {
            'create': 3, 'write': 6, 'append': 4, 'truncate': 1, 'fsync': 1, 'mkdir': 1, 'rmdir': 1, 'unlink': 2, 'link': 1,
            'rename': 3, 'read': 4, 'read_open': 2, 'list': 1, 'log': 4, 'publish': 1, 'look': 1,
        }
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            [action] = self.chance.choices(list(actions), list(actions.values()))
            # Mostly by its own node.
            node = self.who % len(self.mounts) if self.chance.random() < 0.7 else self.chance.randrange(len(self.mounts))
            try:
                getattr(self, action)(node)
                self.counts[action] += 1
            except CutOff:
                time.sleep(0.05)


workers = {}


def soak_begin(mounts, who, seed, places):
    workers[who] = Worker(mounts, who, seed, places)


def soak_run(who, seconds):
    workers[who].run(seconds)


def soak_settle(who):
    worker = workers[who]
    doubts = len(worker.doubts)
    # What still comes to an end would say EIO once.
    for attempt in range(5):
        try:
            worker.settle()
            break
        except CutOff:
            if attempt == 4:
                raise
            time.sleep(1)
    return {**worker.counts, 'in doubt': doubts}


def soak_end(who):
    """Nothing of it is left open."""
    worker = workers[who]
    for node in list(worker.roots):
        worker.lose(node)
    return len(worker.names)
