"""Many processes, each with several threads, at work in the same place. Called by driver.py, in the mount."""
import collections
import errno
import os
import random
import threading
import time


def in_threads(count, work):
    """Runs work(number) in threads; the first failure comes out."""
    failures = []

    def guarded(number):
        try:
            work(number)
        except BaseException as failure:
            failures.append(failure)
    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def churn(directory, seed, seconds, threads=3):
    """Creates, links, renames and removes the same few names as everybody else; counts what went through."""
    counts = collections.Counter()

    def work(number):
        chance = random.Random(f'{seed} {number}')
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            first, second = (f'{directory}/{chance.choice("ab")}/n{chance.randrange(12)}' for _ in range(2))
            action = chance.choice(('create', 'create', 'link', 'rename', 'rename', 'unlink', 'mkdir', 'rmdir', 'list'))
            try:
                if action == 'create':
                    fd = os.open(first, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
                    os.write(fd, first.encode())
                    os.close(fd)
                elif action in ('link', 'rename'):
                    getattr(os, action)(first, second)
                elif action == 'list':
                    os.listdir(os.path.dirname(first))
                else:
                    getattr(os, action)(first)
                counts[action] += 1
            except OSError as failure:
                allowed = (errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EPERM)
                if failure.errno not in allowed:
                    raise AssertionError(f'{action} {first} {second}: {failure}') from failure
    in_threads(threads, work)
    return counts


def agree(directory):
    """Every name is there under its inode, link counts are as many as there are names, and all can be removed."""
    names, links = collections.Counter(), {}
    for place in 'ab':
        subdirectories = 0
        for entry in os.scandir(f'{directory}/{place}'):
            info = os.lstat(entry.path)
            if info.st_ino != entry.inode():
                return f'{entry.path} is inode {info.st_ino} and listed as {entry.inode()}'
            if entry.is_dir(follow_symlinks=False):
                subdirectories += 1
                os.rmdir(entry.path)
            else:
                names[info.st_ino] += 1
                links[info.st_ino] = info.st_nlink
        found = os.stat(f'{directory}/{place}').st_nlink
        if found != 2:
            return f'{place} has {found} links when {subdirectories} directories are gone from it'
    if dict(names) != links:
        return f'names {dict(names)}, links {links}'
    for place in 'ab':
        for name in os.listdir(f'{directory}/{place}'):
            os.unlink(f'{directory}/{place}/{name}')
        os.rmdir(f'{directory}/{place}')
    os.rmdir(directory)
    return None


def record(who, number, index):
    """A line whose length depends on its number, so that records lie across every border."""
    return f'{who}.{number} {index} '.encode() + b'x' * (index % 90) + b'\n'


def append(path, who, count, threads=3):
    def work(number):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for index in range(count):
            line = record(who, number, index)
            if os.write(fd, line) != len(line):
                raise AssertionError('a short write')
        os.close(fd)
    in_threads(threads, work)


def appended(path, writers, count, threads=3):
    """Every record is there, whole, and each writer's in their order."""
    with open(path, 'rb') as file:
        lines = file.read().splitlines(keepends=True)
    next_of = collections.Counter()
    for line in lines:
        who, number = line.split()[0].decode().split('.')
        index = next_of[who, number]
        next_of[who, number] += 1
        if line != record(who, number, index):
            return f'record {index} of {who}.{number} is {line!r}'
    expected = {(who, str(number)): count for who in writers for number in range(threads)}
    return None if dict(next_of) == expected else f'found {dict(next_of)}'


def own_files(directory, who, seed, seconds, threads=3):
    """Each thread writes and reads files of its own and must always find what it wrote."""
    files = [0]

    def work(number):
        chance = random.Random(f'{seed} {number}')
        end = time.monotonic() + seconds
        written = {}
        while time.monotonic() < end:
            name = f'{directory}/{who}.{number}.{chance.randrange(8)}'
            if name in written and chance.random() < 0.5:
                with open(name, 'rb') as file:
                    if file.read() != written[name]:
                        raise AssertionError(f'{name} has other contents')
                if chance.random() < 0.3:
                    os.unlink(name)
                    del written[name]
            else:
                written[name] = chance.randbytes(chance.choice((10, 3999, 4001, 70_000)))
                with open(name + '.new', 'wb') as file:
                    file.write(written[name])
                os.rename(name + '.new', name)
                files[0] += 1
    in_threads(threads, work)
    return files[0]
