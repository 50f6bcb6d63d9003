"""Does system calls for tests: a process of its own for each connection to a socket.

usage: driver.py SOCKET

The first line of a connection is [directory, [uid, gid, groups] or null]; the answer is the number of the process that
serves it from now on, as that user, in that directory. Then each request is [id, name, arguments], and each reply
[id, value] or [id, null, errno]. A test never touches its mount itself: a mount that hangs then only hangs a process
like these, which the test can kill.
"""
import errno
import json
import os
import signal
import socket
import sys
import traceback

import calls
import crash
import crowd
import fsx
import soak

MODULES = (calls, crash, crowd, fsx, soak)


def become(uid, gid, groups):
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


# Where Linux has one number for two names, this is the one that its manuals say.
errno.errorcode.update({errno.EOPNOTSUPP: 'EOPNOTSUPP', errno.EDEADLK: 'EDEADLK', errno.EAGAIN: 'EAGAIN'})


def answer(identity, name, arguments):
    try:
        function = next(getattr(module, name) for module in MODULES if hasattr(module, name))
        return [identity, function(*arguments)]
    except OSError as failure:
        return [identity, None, errno.errorcode.get(failure.errno, str(failure.errno))]
    except Exception:
        return [identity, None, 'driver: ' + traceback.format_exc()]


def serve(connection):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    lines = connection.makefile('r')

    def send(value):
        connection.sendall(json.dumps(value).encode() + b'\n')
    directory, user = json.loads(lines.readline())
    send(os.getpid())
    os.umask(0o022)
    if user is not None:
        become(*user)
    # Only now: the mount of an ordinary user lets nobody else in, not even root.
    os.chdir(directory)
    for line in lines:
        send(answer(*json.loads(line)))


def listen(path):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    print('listening', flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            # A test counts the descriptors that it opens from 3.
            os.dup2(connection.detach(), 100)
            listener.close()
            serve(socket.socket(fileno=100))
            os._exit(0)
        connection.close()


listen(sys.argv[1])
