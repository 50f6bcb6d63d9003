"""A tree with everything that an archiver has to keep (make DIR COUNT), and what can be told of one (list DIR)."""

import hashlib
import json
import os
import random
import stat
import subprocess
import sys

XATTR_NAMES = ("user.short", "user.empty", "user." + "n" * 200, "trusted.root")
# cap_net_raw as setcap(8) writes it: version 2, effective.
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
NAMES = (
    b"plain", b" leading space", b"trailing space ", b"new\nline", b"tab\there", b"-dash", b"--", b"*?[a]", b'quote"\'',
    b"back\\slash", b"\xff\xfe not utf-8", b"\x01\x7f", "ünïcødé".encode(), b"...", b".hidden", b"n" * 255,
)
SIZES = (0, 1, 511, 3999, 4000, 4001, 4096, 65537, 1 << 20, 4194304, 4194305, 9000001)


def write(path, data, mode=0o644):
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)


def make_files(root, chance, count):
    for size in SIZES:
        write(root + b"/size-%d" % size, chance.randbytes(size))
    os.mkdir(root + b"/names")
    for name in NAMES:
        write(root + b"/names/" + name, name)
    deep = root
    for level in range(40):
        deep += b"/level%d" % level
        os.mkdir(deep, 0o711)
        write(deep + b"/file", b"%d" % level)
    os.mkdir(root + b"/many")
    for number in range(count):
        write(root + b"/many/%d" % number, b"%d" % number)


def make_sparse(root):
    with open(root + b"/sparse", "wb") as file:
        for offset in (0, 1 << 20, 100 << 20, (1 << 27) - 5):
            file.seek(offset)
            file.write(b"here")
        file.truncate((1 << 27) + 12345)
    with open(root + b"/hole", "wb") as file:
        file.truncate(10 << 20)


def make_special(root):
    for mode in (0o4755, 0o2755, 0o1777, 0o6711, 0o000, 0o444):
        write(root + b"/mode-%o" % mode, b"x")
        os.chown(root + b"/mode-%o" % mode, 1000 + mode, 2000 + mode)
        os.chmod(root + b"/mode-%o" % mode, mode)
        os.mkdir(root + b"/directory-%o" % mode)
        os.chmod(root + b"/directory-%o" % mode, mode)
    for number in range(3):
        os.makedirs(root + b"/links/%d" % number)
        os.link(root + b"/size-4001", root + b"/links/%d/hard" % number)
        os.link(root + b"/size-1", root + b"/links/%d/small" % number)
    for number, target in enumerate((b"../size-1", b"/nowhere", b"loop", b"t" * 4095, b"new\nline", b"..")):
        os.symlink(target, root + b"/links/symlink%d" % number)
        os.lchown(root + b"/links/symlink%d" % number, 12, 34)
    os.mkfifo(root + b"/fifo", 0o640)
    os.mknod(root + b"/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(root + b"/block", 0o600 | stat.S_IFBLK, os.makedev(7, 300))


def make_attributes(root, chance):
    for owner in (b"size-4096", b"size-1", b"many", b"links/0"):
        for number, name in enumerate(XATTR_NAMES):
            value = chance.randbytes(number * 1000) if name != "user.empty" else b""
            os.setxattr(root + b"/" + owner, name, value)
    os.setxattr(root + b"/size-511", "security.capability", CAPABILITY)
    acls = (
        ("u:1234:rwx,g:5678:r-x,m::rwx", b"size-65537"),
        ("u:1:---,u:2:r--,u:3:-w-,g:4:--x,o::---", b"mode-444"),
        ("u:1234:rwx,d:u:99:r-x,d:g:98:rwx,d:o::---", b"many"),
    )
    for acl, name in acls:
        subprocess.run(["setfacl", "-m", acl, root + b"/" + name], check=True)


def make_times(root, chance):
    """Last of all and from the leaves up, since everything else moves them."""
    for directory, directories, files in os.walk(root, topdown=False):
        for name in directories + files:
            ns = chance.randrange(10**17, 17 * 10**17)
            os.utime(directory + b"/" + name, ns=(ns, ns), follow_symlinks=False)
    os.utime(root + b"/size-0", ns=(-5 * 10**9 + 7, -5 * 10**9 + 7))


def make(root, count):
    chance = random.Random(1)
    os.umask(0)
    os.mkdir(root)
    make_files(root, chance, int(count))
    make_sparse(root)
    make_special(root)
    make_attributes(root, chance)
    make_times(root, chance)


def digest(path):
    sha = hashlib.sha1()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def describe(path, first_of):
    status = os.lstat(path)
    told = {
        "mode": oct(status.st_mode), "uid": status.st_uid, "gid": status.st_gid, "links": status.st_nlink,
        "mtime": status.st_mtime_ns, "device": status.st_rdev,
        "xattrs": {
            name: hashlib.sha1(os.getxattr(path, name, follow_symlinks=False)).hexdigest()
            for name in sorted(os.listxattr(path, follow_symlinks=False))
        },
    }
    if not stat.S_ISDIR(status.st_mode):
        told["size"] = status.st_size
        told["same"] = first_of.setdefault(status.st_ino, os.fsdecode(path))
    if stat.S_ISLNK(status.st_mode):
        told["target"] = os.fsdecode(os.readlink(path))
    if stat.S_ISREG(status.st_mode):
        told["sparse"] = status.st_size > 1 << 16 and status.st_blocks * 512 < status.st_size // 2
        told["content"] = digest(path)
    return told


def show(root):
    os.chdir(root)
    first_of = {}
    for directory, directories, files in os.walk(b"."):
        directories.sort()
        for name in sorted(directories + files):
            path = directory + b"/" + name
            print(json.dumps([os.fsdecode(path), describe(path, first_of)]))


{"make": make, "list": show}[sys.argv[1]](os.fsencode(sys.argv[2]), *sys.argv[3:])
