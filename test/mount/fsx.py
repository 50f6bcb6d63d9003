"""Random operations on one file of the mount and on its twin; whatever was done, both have the same contents.

After the file system exerciser that came with BSD. Called by driver.py, in the mount.
"""
import mmap
import os
import random

import calls

# Borders that the store and the kernel have: inline data, pages, a request's payload.
EDGES = (0, 1, 4000, 4096, 8192, 65536, 131072, 1 << 20)


class Pair:
    """The file on the mount and its twin; every operation is done on both.

    Where the file system has several mounts, the file is open on all of them, and each operation goes to one.
    """

    def __init__(self, twin, name, seed, largest, places):
        self.names = [f'{place}/{name}' for place in places]
        self.twin = f'{twin}/{name}'
        self.random = random.Random(seed)
        self.largest = largest
        self.log = []
        self.open()

    def open(self, flags=0):
        self.mounts = [os.open(name, os.O_RDWR | os.O_CREAT | flags, 0o644) for name in self.names]
        self.fds = [self.mounts[0], os.open(self.twin, os.O_RDWR | os.O_CREAT | flags, 0o644)]
        self.paths = [self.names[0], self.twin]

    def close(self):
        for fd in [*self.mounts, self.fds[1]]:
            os.close(fd)

    def move(self):
        """Goes on at another mount."""
        if len(self.mounts) == 1:
            return
        place = self.random.randrange(len(self.mounts))
        self.fds[0] = self.mounts[place]
        self.paths[0] = self.names[place]
        self.note(f'at {place}')

    def offset(self):
        edge = self.random.choice([edge for edge in EDGES if edge <= self.largest])
        if self.random.random() < 0.5:
            return max(0, min(self.largest - 1, edge + self.random.randint(-3, 3)))
        return self.random.randrange(self.largest)

    def length(self, offset):
        longest = max(1, self.largest - offset)
        return self.random.randint(1, self.random.choice([longest, min(longest, 5000), min(longest, 40)]))

    def data(self, size):
        return self.random.randbytes(size)

    def size(self):
        return os.fstat(self.fds[1]).st_size

    def both(self, action):
        outcomes = []
        for fd in self.fds:
            try:
                outcomes.append(action(fd))
            except OSError as failure:
                outcomes.append(f'errno {failure.errno}')
        if outcomes[0] != outcomes[1]:
            self.fail(f'the mount says {str(outcomes[0])[:100]}, the twin {str(outcomes[1])[:100]}')

    def fail(self, why):
        raise AssertionError(f'{why}, after\n' + '\n'.join(self.log[-25:]))

    def verify(self):
        """Sizes and all of the contents, by read or (now and then) by memory."""
        sizes = [os.fstat(fd).st_size for fd in self.fds]
        if sizes[0] != sizes[1]:
            self.fail(f'the sizes are {sizes}')
        if sizes[0] == 0:
            return
        found, expected = (self.contents(fd, sizes[0]) for fd in self.fds)
        if found != expected:
            at = next(at for at in range(len(expected)) if found[at:at + 1] != expected[at:at + 1])
            self.fail(f'byte {at} of {sizes[0]} is {found[at:at + 8]!r} and not {expected[at:at + 8]!r}')

    def contents(self, fd, size):
        if self.random.random() < 0.2:
            with mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ) as memory:
                return memory[:]
        return os.pread(fd, size, 0)

    # --- operations

    def do_write(self):
        offset = self.offset()
        data = self.data(self.length(offset))
        self.note(f'write {len(data)} at {offset}')
        self.both(lambda fd: os.pwrite(fd, data, offset))

    def do_append(self):
        data = self.data(self.length(min(self.size(), self.largest)))
        self.note(f'append {len(data)}')
        if self.size() + len(data) > self.largest * 2:
            return
        for path in self.paths:
            fd = os.open(path, os.O_WRONLY | os.O_APPEND)
            os.write(fd, data)
            os.close(fd)

    def do_truncate(self):
        size = self.offset()
        self.note(f'truncate to {size}')
        self.both(lambda fd: os.ftruncate(fd, size))

    def do_memory_write(self):
        size = self.size()
        if size == 0:
            return
        offset = min(self.offset(), size - 1)
        data = self.data(min(self.length(offset), size - offset))
        # Another node sees what was stored once it is synced.
        sync = self.random.random() < 0.3 or len(self.mounts) > 1
        self.note(f'write {len(data)} at {offset} by memory{", synced" if sync else ""}')
        for fd in self.fds:
            with mmap.mmap(fd, size) as memory:
                memory[offset:offset + len(data)] = data
                if sync:
                    memory.flush()

    def do_punch(self):
        offset = self.offset()
        size = self.length(offset)
        self.note(f'punch {size} at {offset}')
        self.both(lambda fd: calls.fallocate(fd, 3, offset, size))

    def do_zero(self):
        offset = self.offset()
        size = self.length(offset)
        keep = self.random.random() < 0.5
        self.note(f'zero {size} at {offset}{", size kept" if keep else ""}')
        calls.fallocate(self.fds[0], 16 | keep, offset, size)
        # tmpfs has no ZERO_RANGE.
        end = min(offset + size, self.size()) if keep else offset + size
        if end > offset:
            os.pwrite(self.fds[1], bytes(end - offset), offset)

    def do_allocate(self):
        offset = self.offset()
        size = self.length(offset)
        keep = self.random.random() < 0.5
        self.note(f'allocate {size} at {offset}{", size kept" if keep else ""}')
        self.both(lambda fd: calls.fallocate(fd, int(keep), offset, size))

    def do_copy(self):
        source, to = self.offset(), self.offset()
        size = min(self.length(source), self.length(to), abs(source - to), max(0, self.size() - source))
        if size == 0:
            return
        self.note(f'copy {size} from {source} to {to}')
        for fd in self.fds:
            # The kernel copies up to the size that it has seen last.
            os.fstat(fd)
            done = 0
            while done < size:
                copied = os.copy_file_range(fd, fd, size - done, source + done, to + done)
                if copied == 0:
                    self.fail(f'copy_file_range ended at {done}')
                done += copied

    def do_direct(self):
        offset, pages = self.offset() & ~4095, self.random.randint(1, 3)
        buffer = mmap.mmap(-1, pages * 4096)
        buffer[:] = self.data(len(buffer))
        self.note(f'direct write {len(buffer)} at {offset}')
        for path in self.paths:
            fd = os.open(path, os.O_WRONLY | calls.O_DIRECT)
            os.pwritev(fd, [buffer], offset)
            os.close(fd)

    def do_read_beyond(self):
        offset = self.offset()
        size = self.length(offset) * 2
        self.note(f'read {size} at {offset}')
        self.both(lambda fd: os.pread(fd, size, offset))

    def do_sync(self):
        self.note('fsync')
        self.random.choice([os.fsync, os.fdatasync])(self.fds[0])

    def do_reopen(self):
        # At times emptied; and what the kernel has of it is dropped, so that the next read comes to us.
        flags = os.O_TRUNC if self.random.random() < 0.2 else 0
        self.note(f'reopen{", emptied" if flags else ""}')
        self.close()
        self.open(flags)
        os.posix_fadvise(self.fds[0], 0, 0, os.POSIX_FADV_DONTNEED)

    def do_forget(self):
        self.note('pages dropped')
        os.fsync(self.fds[0])
        os.posix_fadvise(self.fds[0], 0, 0, os.POSIX_FADV_DONTNEED)

    def note(self, what):
        self.log.append(what)

    def step(self):
        operations = {self.do_write: 6, self.do_append: 2, self.do_truncate: 3, self.do_memory_write: 3,
                      self.do_punch: 2, self.do_zero: 2, self.do_allocate: 1, self.do_copy: 3, self.do_direct: 1,
                      self.do_read_beyond: 2, self.do_sync: 1, self.do_reopen: 1, self.do_forget: 2}
        self.move()
        self.random.choices(list(operations), list(operations.values()))[0]()
        self.move()
        self.verify()


def fsx(twin, name, seed, largest, operations, places=('.',)):
    """The number of operations that really did something."""
    pair = Pair(twin, name, seed, largest, places)
    pair.note('opened')
    try:
        pair.verify()
        for _ in range(operations):
            pair.step()
        # What was written through memory is safe against a crash only now.
        os.fsync(pair.fds[0])
    finally:
        pair.close()
    return len(pair.log)
