"""System calls by their own names, without the comforts that Python puts around them.

Every function returns a JSON value or raises OSError. Text stands for bytes: one character, one byte.
"""
import ctypes
import errno
import fcntl
import mmap
import os
import resource
import signal
import stat as modes
import struct
import time

libc = ctypes.CDLL(None, use_errno=True)

O_TMPFILE = 0o20200000
O_DIRECT = 0o40000
AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
UTIME_NOW = (1 << 30) - 1
UTIME_OMIT = (1 << 30) - 2
SYS_GETDENTS64 = 217 if os.uname().machine == 'x86_64' else 61
SYS_STATX = 332 if os.uname().machine == 'x86_64' else 291
F_OFD = {'get': 36, 'set': 37, 'wait': 38}
F_POSIX = {'get': fcntl.F_GETLK, 'set': fcntl.F_SETLK, 'wait': fcntl.F_SETLKW}
LOCK_TYPES = {'read': fcntl.F_RDLCK, 'write': fcntl.F_WRLCK, 'unlock': fcntl.F_UNLCK}


def raw(text):
    return text.encode('latin-1') if isinstance(text, str) else text


def text(data):
    return data.decode('latin-1')


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, errno.errorcode.get(number, str(number)))
    return result


def number64(value):
    return ctypes.c_int64(int(value))


# --- names

def mkdir(path, mode=0o777):
    # Through the C library: Python would begin again after EINTR, and a test must see that.
    checked(libc.mkdir(raw(path), mode))


def open(path, flags=0, mode=0o666):
    return checked(libc.open(raw(path), flags, mode))


def rmdir(path):
    os.rmdir(raw(path))


def unlink(path):
    os.unlink(raw(path))


def rename(old, new, flags=0):
    checked(libc.renameat2(AT_FDCWD, raw(old), AT_FDCWD, raw(new), flags))


def link(old, new):
    os.link(raw(old), raw(new), follow_symlinks=False)


def linkFd(fd, new):
    checked(libc.linkat(fd, b'', AT_FDCWD, raw(new), AT_EMPTY_PATH))


def symlink(target, path):
    os.symlink(raw(target), raw(path))


def readlink(path):
    return text(os.readlink(raw(path)))


def mknod(path, mode, major=0, minor=0):
    os.mknod(raw(path), mode, os.makedev(major, minor))


# --- attributes

def described(info):
    return {
        'kind': {modes.S_IFREG: 'file', modes.S_IFDIR: 'directory', modes.S_IFLNK: 'symlink', modes.S_IFIFO: 'fifo',
                 modes.S_IFSOCK: 'socket', modes.S_IFCHR: 'character', modes.S_IFBLK: 'block'}[modes.S_IFMT(info.st_mode)],
        'mode': oct(modes.S_IMODE(info.st_mode))[2:],
        'nlink': info.st_nlink, 'uid': info.st_uid, 'gid': info.st_gid,
        # The size of anything but files and symbolic links is each file system's own business.
        'size': info.st_size if modes.S_ISREG(info.st_mode) or modes.S_ISLNK(info.st_mode) else 0,
        'device': [os.major(info.st_rdev), os.minor(info.st_rdev)],
    }


def stat(path):
    return described(os.lstat(raw(path)))


def fstat(fd):
    return described(os.fstat(fd))


def times(path):
    info = os.lstat(raw(path))
    return {name: str(getattr(info, f'st_{name}_ns')) for name in ('atime', 'mtime', 'ctime')}


def inode(path):
    return os.lstat(raw(path)).st_ino


def blocks(path):
    return os.stat(raw(path)).st_blocks


def birth(path):
    """The times of birth and of the last change by statx(2), in nanoseconds, and whether the first is said to be known."""
    out = ctypes.create_string_buffer(256)
    checked(libc.syscall(SYS_STATX, AT_FDCWD, raw(path), AT_SYMLINK_NOFOLLOW, 0xfff, out))
    mask = struct.unpack_from('=I', out, 0)[0]
    seconds, nanoseconds = struct.unpack_from('=qI', out, 80)
    change_seconds, change_nanoseconds = struct.unpack_from('=qI', out, 96)
    return {'known': mask & 0x800 != 0, 'btime': str(seconds * 10**9 + nanoseconds),
            'ctime': str(change_seconds * 10**9 + change_nanoseconds)}


def statfs(path):
    info = os.statvfs(raw(path))
    return {name: getattr(info, f'f_{name}') for name in ('bsize', 'blocks', 'bfree', 'bavail', 'files', 'ffree', 'namemax')}


def access(path, mode):
    checked(libc.access(raw(path), mode))


def chmod(path, mode):
    os.chmod(raw(path), mode)


def fchmod(fd, mode):
    os.fchmod(fd, mode)


def chown(path, uid, gid):
    os.lchown(raw(path), uid, gid)


def utimens(path, atime, mtime):
    """Each time is 'now', 'omit' or [seconds, nanoseconds]."""
    def pair(value):
        if value == 'now':
            return (0, UTIME_NOW)
        return (0, UTIME_OMIT) if value == 'omit' else value
    packed = struct.pack('=qqqq', *pair(atime), *pair(mtime))
    checked(libc.utimensat(AT_FDCWD, raw(path), packed, AT_SYMLINK_NOFOLLOW))


def moved(paths, name, *arguments):
    """Runs a call and says which times of which paths it moved: a, m, c."""
    def read():
        return {path: os.lstat(raw(path)) if os.path.lexists(raw(path)) else None for path in paths}
    time.sleep(0.015)  # Some file systems stamp with the clock of the timer interrupt.
    before = read()
    try:
        globals()[name](*arguments)
        outcome = 'ok'
    except OSError as failure:
        outcome = errno.errorcode[failure.errno]
    after = read()
    def difference(path):
        old, new = before[path], after[path]
        if old is None or new is None:
            return 'gone' if new is None else 'new'
        return ''.join(letter for letter in 'amc'
                       if getattr(old, f'st_{letter}time_ns') != getattr(new, f'st_{letter}time_ns'))
    return [outcome, {path: difference(path) for path in paths}]


def umask(mask):
    os.umask(mask)


# --- data

def close(fd):
    os.close(fd)


def read(fd, size):
    return text(os.read(fd, size))


def write(fd, data):
    return os.write(fd, raw(data))


def pread(fd, size, offset):
    return text(os.pread(fd, size, offset))


def pwrite(fd, data, offset):
    return checked(libc.pwrite64(fd, raw(data), len(data), number64(offset)))


def readAll(path):
    with_fd = os.open(raw(path), os.O_RDONLY)
    try:
        parts = []
        while part := os.read(with_fd, 1 << 20):
            parts.append(part)
        return text(b''.join(parts))
    finally:
        os.close(with_fd)


def put(path, data, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
    """Writes a whole file."""
    fd = os.open(raw(path), flags, 0o666)
    try:
        return os.write(fd, raw(data))
    finally:
        os.close(fd)


def fill(path, size, seed=1):
    """Writes a file of this size with contents that depend on the position; see same()."""
    fd = os.open(raw(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for at in range(0, size, 1 << 20):
        os.write(fd, pattern(at, min(1 << 20, size - at), seed))
    os.close(fd)


def pattern(offset, size, seed):
    first = offset // 8
    words = range(first, (offset + size + 7) // 8)
    data = b''.join(struct.pack('<Q', (word * 0x9e3779b97f4a7c15 + seed) & (2**64 - 1)) for word in words)
    return data[offset - first * 8:][:size]


def same(path, offset, size, seed=1):
    """Whether this range is as fill() left it."""
    fd = os.open(raw(path), os.O_RDONLY)
    found = os.pread(fd, size, offset)
    os.close(fd)
    return found == pattern(offset, size, seed)


def direct(path, flags, size, offset):
    """One write or read of `size` times 'd' with O_DIRECT, from a buffer on a page boundary."""
    buffer = mmap.mmap(-1, size)
    fd = os.open(raw(path), flags | O_DIRECT, 0o666)
    try:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            buffer.write(b'd' * size)
            return os.pwritev(fd, [buffer], offset)
        count = os.preadv(fd, [buffer], offset)
        return [count, text(buffer[:min(count, 8)])]
    finally:
        os.close(fd)


def seek(fd, offset, whence):
    # lseek(2) of a directory to a cookie goes beyond what Python lets through.
    libc.lseek.restype = ctypes.c_int64
    return checked(libc.lseek(fd, number64(offset), whence))


def truncate(path, size):
    checked(libc.truncate64(raw(path), number64(size)))


def ftruncate(fd, size):
    checked(libc.ftruncate64(fd, number64(size)))


def fallocate(fd, mode, offset, size):
    checked(libc.fallocate64(fd, mode, number64(offset), number64(size)))


def copy(source, to, size, source_offset=None, to_offset=None):
    return os.copy_file_range(source, to, size, source_offset, to_offset)


def fsync(fd):
    os.fsync(fd)


def fdatasync(fd):
    os.fdatasync(fd)


def syncfs(fd):
    checked(libc.syncfs(fd))


def fsyncPath(path):
    fd = os.open(raw(path), os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sizeLimit(size):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def ioctl(fd, request):
    return fcntl.ioctl(fd, request, 0)


# --- directories

def list(path):
    return sorted(text(name) for name in os.listdir(raw(path)))


def getdents(fd, size=32768):
    """One call's entries as [name, cookie, kind]; [] at the end."""
    buffer = ctypes.create_string_buffer(size)
    end = checked(libc.syscall(SYS_GETDENTS64, fd, buffer, size))
    entries, at = [], 0
    while at < end:
        _, cookie, length, kind = struct.unpack_from('=QqHB', buffer, at)
        name = buffer.raw[at + 19:at + length].split(b'\0')[0]
        entries.append([text(name), cookie, kind])
        at += length
    return entries


def makeMany(path, count, prefix='n'):
    for index in range(count):
        os.close(os.open(raw(f'{path}/{prefix}{index}'), os.O_CREAT | os.O_WRONLY, 0o644))


def removeMany(path, first, end, step=1, prefix='n'):
    for index in range(first, end, step):
        os.unlink(raw(f'{path}/{prefix}{index}'))


# --- extended attributes

def setxattr(path, name, value, flags=0):
    os.setxattr(raw(path), raw(name), raw(value), flags, follow_symlinks=False)


def fillxattr(path, name, size):
    os.setxattr(raw(path), raw(name), b'v' * size, 0, follow_symlinks=False)


def getxattr(path, name, size=65536):
    buffer = ctypes.create_string_buffer(max(size, 1))
    length = checked(libc.lgetxattr(raw(path), raw(name), buffer if size else None, size))
    return text(buffer.raw[:length]) if size else length


def listxattr(path, size=65536):
    buffer = ctypes.create_string_buffer(max(size, 1))
    length = checked(libc.llistxattr(raw(path), buffer if size else None, size))
    return sorted(text(name) for name in buffer.raw[:length].split(b'\0')[:-1]) if size else length


def removexattr(path, name):
    os.removexattr(raw(path), raw(name), follow_symlinks=False)


def setacl(path, entries, kind='access'):
    """Entries are [tag, permissions, id]; see acl(5) and lib/fs/acl.ts."""
    value = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', tag, bits, who) for tag, bits, who in entries)
    os.setxattr(raw(path), f'system.posix_acl_{kind}'.encode(), value)


def getacl(path, kind='access'):
    value = os.getxattr(raw(path), f'system.posix_acl_{kind}'.encode())
    return [struct.unpack_from('<HHI', value, at) for at in range(4, len(value), 8)]


# --- locks

def lock(fd, how, kind, start=0, length=0, ofd=False):
    """fcntl(2): how is get, set or wait; kind is read, write or unlock. get returns what stands in the way."""
    packed = struct.pack('=hhiqqii', LOCK_TYPES[kind], os.SEEK_SET, 0, start, length, 0, 0)
    packed = fcntl.fcntl(fd, (F_OFD if ofd else F_POSIX)[how], packed)
    if how != 'get':
        return None
    found, _, _, start, length, pid, _ = struct.unpack('=hhiqqii', packed)
    names = {number: name for name, number in LOCK_TYPES.items()}
    return None if found == fcntl.F_UNLCK else [names[found], start, length, pid]


def flock(fd, operation):
    fcntl.flock(fd, operation)


def waitWithSignals(fd, kind, seconds):
    """Waits for a record lock until a timer's signal interrupts that: EINTR must then come out."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    packed = ctypes.create_string_buffer(struct.pack('=hhiqqii', LOCK_TYPES[kind], 0, 0, 0, 0, 0, 0))
    try:
        checked(libc.fcntl(fd, F_POSIX['wait'], packed))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def alarmStorm(path, count):
    """Opens, makes and removes under a timer that fires all the time; returns the errnos that came out."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    failures = {}
    for index in range(count):
        for call, arguments in ((mkdir, (f'{path}/d{index}',)), (rmdir, (f'{path}/d{index}',)),
                                (open, (f'{path}/f{index}', os.O_CREAT | os.O_EXCL | os.O_RDWR)),
                                (unlink, (f'{path}/f{index}',))):
            try:
                result = call(*arguments)
                if call is open:
                    write(result, 'x')
                    os.close(result)
            except OSError as failure:
                failures[f'{call.__name__} {errno.errorcode[failure.errno]}'] = index
    signal.setitimer(signal.ITIMER_REAL, 0)
    return failures


# --- shared memory

maps = {}


def map(fd, size, writable=True):
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    maps[fd] = mmap.mmap(fd, size, mmap.MAP_SHARED, protection)


def mapRead(fd, offset, size):
    return text(maps[fd][offset:offset + size])


def mapWrite(fd, offset, data):
    maps[fd][offset:offset + len(data)] = raw(data)


def mapSync(fd):
    maps[fd].flush()


def unmap(fd):
    maps.pop(fd).close()


def mapTouch(fd, offset):
    """Touches a byte of the map in a child; the name of the signal that it died of, or None."""
    child = os.fork()
    if child == 0:
        maps[fd][offset]
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else None
