"""Many processes, each with several threads, at work in the same place. Called by driver.py, in the mount."""
import collections
import errno
import os
import random
import threading
import time

import calls

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2


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


def churn(directory, seed, seconds, threads=3, over=None):
    """Creates, links, renames and removes the same few names as everybody else; counts what went through."""
    counts = collections.Counter()

    def work(number):
        chance = random.Random(f'{seed} {number}')
        end = time.monotonic() + seconds
        while time.monotonic() < end if over is None else not os.path.exists(over):
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


def records_in(path):
    """How many records of each writer there are, or what is wrong with them."""
    with open(path, 'rb') as file:
        lines = file.read().splitlines(keepends=True)
    next_of = collections.Counter()
    for line in lines:
        who, number = line.split()[0].decode().split('.')
        index = next_of[who, number]
        next_of[who, number] += 1
        if line != record(who, number, index):
            return f'record {index} of {who}.{number} is {line!r}'
    return next_of


def appended(path, writers, count, threads=3):
    """Every record is there, whole, and each writer's in their order."""
    found = records_in(path)
    expected = {(who, str(number)): count for who in writers for number in range(threads)}
    return None if found == expected else f'found {found}'


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


# --- storms: until the file `over` is there

def shuffle(directory, tokens, seed, over, threads=2):
    """Renames tokens among more names than there are tokens, never over another one; counts what went through."""
    moved = [0]

    def work(number):
        chance = random.Random(f'{seed} {number}')
        while not os.path.exists(over):
            old, new = (f'{directory}/{chance.choice("ab")}/n{chance.randrange(tokens)}' for _ in range(2))
            try:
                if chance.random() < 0.3:
                    calls.rename(old, new, RENAME_EXCHANGE)
                else:
                    calls.rename(old, new, RENAME_NOREPLACE)
                moved[0] += 1
            except OSError as failure:
                if failure.errno not in (errno.ENOENT, errno.EEXIST):
                    raise
    in_threads(threads, work)
    return moved[0]


def deal(directory, tokens):
    for place in ('', '/a', '/b'):
        os.mkdir(directory + place)
    for index in range(tokens):
        with open(f'{directory}/a/n{index}', 'w') as file:
            file.write(f'token {index}')


def dealt(directory, tokens):
    """Every token is there once, with its contents."""
    found = collections.Counter()
    for place in 'ab':
        for name in os.listdir(f'{directory}/{place}'):
            with open(f'{directory}/{place}/{name}') as file:
                found[file.read()] += 1
    expected = {f'token {index}': 1 for index in range(tokens)}
    return None if dict(found) == expected else f'found {dict(found)}'


def directories(directory, seed, over, threads=2):
    """Makes and removes the same few directories as everybody else; nobody else touches the files that it makes there."""
    counts = collections.Counter()

    def work(number):
        chance = random.Random(f'{seed} {number}')
        while not os.path.exists(over):
            path = f'{directory}/d{chance.randrange(4)}'
            own = f'{path}/{seed}.{number}'
            for action in (os.mkdir, hold, os.rmdir):
                try:
                    action(own if action is hold else path)
                    counts[action.__name__] += 1
                except OSError as failure:
                    if failure.errno not in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ESTALE):
                        raise
    in_threads(threads, work)
    return counts


def hold(path):
    """A directory that has an entry is not removed, and its entry stays, until that is removed by whom it belongs to."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    try:
        os.stat(path)
        if os.path.basename(path) not in os.listdir(os.path.dirname(path)):
            raise AssertionError(f'{path} is not listed')
        os.unlink(path)
    except OSError as failure:
        raise AssertionError(f'{path} was made, and then: {failure}') from failure


def sweep(directory, killed):
    """Removes what is left; only those that were killed may have left a file."""
    for name in os.listdir(directory):
        for file in os.listdir(f'{directory}/{name}'):
            if file.split('.')[0] not in killed:
                return f'{file} is left in {name}'
            os.unlink(f'{directory}/{name}/{file}')
        os.rmdir(f'{directory}/{name}')
    found = os.stat(directory).st_nlink
    return None if found == 2 else f'{found} links'


def race(directory, who, over):
    """Makes files that everybody else makes too, with O_EXCL; which of them it was, and how many there were."""
    won, index = [], 0
    while not os.path.exists(over):
        try:
            fd = os.open(f'{directory}/r{index}', os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            os.write(fd, who.encode())
            os.close(fd)
            won.append(index)
        except FileExistsError:
            pass
        index += 1
    return [won, index]


def raced(directory, results, killed):
    """Exactly one has made each of them; one that was killed may not have come to write its name."""
    for index in range(max(count for _, count in results.values())):
        claims = [who for who, (won, _) in results.items() if index in won]
        with open(f'{directory}/r{index}') as file:
            found = file.read()
        if claims and [found] != claims or not claims and found not in ('', *killed):
            return f'r{index} is that of {found!r}, and claimed by {claims}'
    return None


def listable(directory):
    """Every directory that is listed can be listed, if it has not gone meanwhile."""
    for name in os.listdir(directory):
        os.listdir(f'{directory}/{name}')
    return None


def fits(directory):
    """Every name is there under its inode, and link counts are as many as there are names."""
    names, links = collections.Counter(), {}
    for place in 'ab':
        for entry in os.scandir(f'{directory}/{place}'):
            info = os.lstat(entry.path)
            if info.st_ino != entry.inode():
                return f'{entry.path} is inode {info.st_ino} and listed as {entry.inode()}'
            if not entry.is_dir(follow_symlinks=False):
                names[info.st_ino] += 1
                links[info.st_ino] = info.st_nlink
    return None if dict(names) == links else f'names {dict(names)}, links {links}'


def make_noted(directory, who, over, log):
    """Makes files of its own, and notes in the log, which lies elsewhere, what has returned; how many it made."""
    note = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    count = 0
    while not os.path.exists(over):
        os.close(os.open(f'{directory}/{who}.{count}', os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        os.write(note, b'.')
        count += 1
    return count


def made_noted(directory, counts, logs):
    """All files are listed; of one that was killed those that it has noted."""
    listed = os.listdir(directory)
    if len(listed) != len(set(listed)):
        return 'a name is listed twice'
    found = collections.Counter(name.split('.')[0] for name in listed)
    for who in (*counts, *logs):
        least, most = bounds(who, counts.get(who), logs.get(who))
        if not least <= found[who] <= most:
            return f'{who} has made {least} files, and {found[who]} are listed'
    return None


def bounds(who, count, log):
    """How many of these there may be: of one that was killed, those that are noted and the one that was under way."""
    if log is None:
        return count, count
    noted = os.path.getsize(log) if os.path.exists(log) else 0
    return noted, noted + 1


def append_noted(path, who, over, log):
    note = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    count = 0
    while not os.path.exists(over):
        line = record(who, 0, count)
        if os.write(fd, line) != len(line):
            raise AssertionError('a short write')
        os.write(note, b'.')
        count += 1
    os.close(fd)
    return count


def appended_noted(path, counts, logs):
    """Every record is there, whole, and each writer's in their order; of one that was killed those that it has noted."""
    found = records_in(path)
    if isinstance(found, str):
        return found
    for who in (*counts, *logs):
        least, most = bounds(who, counts.get(who), logs.get(who))
        if not least <= found[who, '0'] <= most:
            return f'{who} has appended {least} records, and {found[who, "0"]} are there'
    return None
