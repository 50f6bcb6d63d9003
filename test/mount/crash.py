"""A workload that says what it does, and afterwards what must be there. Called by driver.py, in the mount.

Each operation is a line in a log outside of the mount before it begins and another after it has returned. After a crash
every operation that had returned has happened; of the one that had not (each workload does one at a time) all or
nothing has, or, of a write, a part.
"""
import errno
import json
import os
import random

import calls


def write_log(log, *what):
    os.write(log, json.dumps(what).encode() + b'\n')


def perform(root, operation):
    action, path, *rest = operation
    path = f'{root}/{path}'
    if action == 'create':
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    elif action == 'write':
        fd = os.open(path, os.O_WRONLY)
        written = os.pwrite(fd, contents(rest[1], rest[2]), rest[0])
        os.close(fd)
        # Of a write in parts the kernel returns the first ones, when the server dies in a later one.
        if written != rest[2]:
            raise OSError(errno.EIO, 'a short write')
    elif action == 'truncate':
        os.truncate(path, rest[0])
    elif action in ('rename', 'link'):
        getattr(os, action)(path, f'{root}/{rest[0]}')
    elif action == 'symlink':
        os.symlink(rest[0], path)
    elif action == 'chmod':
        os.chmod(path, rest[0])
    elif action == 'setxattr':
        os.setxattr(path, 'user.mark', str(rest[0]).encode())
    elif action == 'fsync':
        calls.fsyncPath(path)
    else:
        getattr(os, action)(path)


def contents(seed, size):
    return random.Random(seed).randbytes(size)


class Model:
    """What is there: a tree of names, and files that may have several."""

    def __init__(self):
        self.entries = {}

    def apply(self, operation):
        action, path, *rest = operation
        entries = self.entries
        if action == 'create':
            entries[path] = {'kind': 'file', 'data': b'', 'mode': 0o644, 'mark': None}
        elif action == 'mkdir':
            entries[path] = {'kind': 'directory'}
        elif action == 'symlink':
            entries[path] = {'kind': 'symlink', 'data': rest[0]}
        elif action == 'write':
            old, data = entries[path]['data'], contents(rest[1], rest[2])
            old = old.ljust(rest[0], b'\0')
            entries[path]['data'] = old[:rest[0]] + data + old[rest[0] + len(data):]
        elif action == 'truncate':
            entries[path]['data'] = entries[path]['data'][:rest[0]].ljust(rest[0], b'\0')
        elif action == 'rename':
            if entries.get(rest[0]) is not entries[path]:
                entries[rest[0]] = entries.pop(path)
        elif action == 'link':
            entries[rest[0]] = entries[path]
        elif action in ('unlink', 'rmdir'):
            del entries[path]
        elif action == 'chmod':
            entries[path]['mode'] = rest[0]
        elif action == 'setxattr':
            entries[path]['mark'] = str(rest[0]).encode()

    def files(self):
        return [path for path, entry in self.entries.items() if entry['kind'] == 'file']

    def next(self, chance):
        """A random operation that succeeds."""
        names = [f'{place}{name}' for place in ('', 'd0/', 'd1/') for name in ('a', 'b', 'c', 'e', 'f')]
        usable = [name for name in names if '/' not in name or name.split('/')[0] in self.entries]
        free = [name for name in usable if name not in self.entries]
        files = self.files()
        choices = []
        if free:
            choices += [('create', chance.choice(free))] * 3
            choices.append(('symlink', chance.choice(free), 'target' * chance.randrange(1, 9)))
        for directory in ('d0', 'd1'):
            if directory not in self.entries:
                choices.append(('mkdir', directory))
            elif not any(path.startswith(directory + '/') for path in self.entries):
                choices.append(('rmdir', directory))
        links = [path for path, entry in self.entries.items() if entry['kind'] != 'directory']
        if links:
            choices += [('unlink', chance.choice(links))] * 2
        if files:
            path = chance.choice(files)
            size = len(self.entries[path]['data'])
            offset = chance.choice((0, size, chance.randrange(size + 1), size + 5000)) if size < 300_000 else 0
            length = chance.choice((1, 100, 3000, 5000, 100_000))
            choices += [('write', path, offset, chance.randrange(2**32), length)] * 6
            choices += [('truncate', path, chance.choice((0, size // 2, size + 10, 4000)))] * 2
            choices += [('rename', path, chance.choice(usable))] * 2
            choices += [('chmod', path, chance.choice((0o600, 0o644, 0o755)))]
            choices += [('setxattr', path, chance.randrange(1000)), ('fsync', path)]
            if free:
                choices.append(('link', path, chance.choice(free)))
        return chance.choice(choices)


def replay(log):
    """The model of what has returned, the operation that had not, and how many had."""
    model, open_operation, count = Model(), None, 0
    if not os.path.exists(log):
        return model, None, 0
    with open(log) as file:
        for line in file:
            what, operation = json.loads(line)
            if what == 'begin':
                open_operation = operation
            else:
                model.apply(operation)
                open_operation = None
                count += 1
    return model, open_operation, count


def crash_work(root, log, seed):
    """Works on from where the log ends until the server dies."""
    model = replay(log)[0]
    os.makedirs(root, exist_ok=True)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    chance = random.Random(seed)
    while True:
        operation = model.next(chance)
        write_log(out, 'begin', operation)
        perform(root, operation)
        model.apply(operation)
        write_log(out, 'done', operation)


def seen(root):
    found = {}
    for place, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(place, name)
            relative = os.path.relpath(path, root)
            if os.path.islink(path):
                found[relative] = {'kind': 'symlink', 'data': os.readlink(path)}
            elif os.path.isdir(path):
                found[relative] = {'kind': 'directory'}
            else:
                with open(path, 'rb') as file:
                    data = file.read()
                marks = os.listxattr(path)
                found[relative] = {'kind': 'file', 'data': data, 'mode': os.stat(path).st_mode & 0o7777,
                                   'mark': os.getxattr(path, 'user.mark') if marks else None}
    return found


def mixed(found, old, new):
    """Whether a part of a write has happened: the kernel sends us a large one in parts, at borders of pages."""
    if not min(len(old), len(new)) <= len(found) <= max(len(old), len(new)):
        return False
    old, new = old.ljust(len(found), b'\0'), new.ljust(len(found), b'\0')
    return all(byte in (old[at], new[at]) for at, byte in enumerate(found))


def crash_check(root, log):
    """Compares the tree with the log; then makes the log say what has happened. Returns how many had returned."""
    before, operation, count = replay(log)
    if not os.path.isdir(root):
        return 0
    found = seen(root)
    after = replay(log)[0]
    if operation is not None:
        after.apply(operation)
    done = found == after.entries
    if not done and found != before.entries:
        if operation is None or operation[0] != 'write':
            raise AssertionError(difference(found, before.entries, operation))
        path = operation[1]
        data = found.get(path, {}).get('data', b'')
        if not mixed(data, before.entries[path]['data'], after.entries[path]['data']):
            raise AssertionError(difference(found, before.entries, operation))
        # Written anew, so that the model knows what is there.
        perform(root, operation)
        found = seen(root)
        if found != after.entries:
            raise AssertionError(difference(found, after.entries, operation))
        done = True
    if operation is not None:
        with open(log, 'a') as file:
            if done:
                file.write(json.dumps(['done', operation]) + '\n')
    return count


def difference(found, expected, operation):
    for path in sorted({*found, *expected}):
        is_there, should = found.get(path), expected.get(path)
        if is_there == should:
            continue
        both = [{**(entry or {}), 'data': len((entry or {}).get('data', b''))} for entry in (is_there, should)]
        text = f'{path} is {both[0]}, not {both[1]}'
        if both[0]['data'] and both[1]['data']:
            pairs = enumerate(zip(is_there['data'], should['data']))
            at = [position for position, (one, other) in pairs if one != other]
            text += f'; {len(at)} bytes differ, from {at[:1]} to {at[-1:]}: {is_there["data"][at[0]:][:20] if at else ""!r}'
        return f'{text}; in flight: {operation}'
    return 'no difference'
