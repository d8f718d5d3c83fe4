"""What is done to mounts by a child process, because every step may hang when a volume's server is dead.

    hand.py bind <staging> <folder> <target> ro|rw [new]    one task, as a command
    hand.py grant <target> <group>                          another
    hand.py heal <pid> <staging> <folder> <path> ro,nosuid… another
    hand.py                                                 tasks as lines of JSON, until the input ends (see `hands`)

bind: the folder is resolved by openat2(2) beneath the staging path, without symbolic links and without crossing mounts,
so no path in the volume, nor a race on one, leads out of it. The mount is read-only before anybody can see it: the flag
is set on the detached tree (mount_setattr), which is then put in place (move_mount). With `new` the target is made, or
was an empty directory of its own: nothing is ever hidden beneath the mount. Such a target is the node's: what pods
write as root, a setuid program or a device, gives the users there no rights (nosuid, nodev).
grant: the folder mounted at the target gets the group and g+rwxs (fsGroup of Kubernetes), unless the group can write
there already. It is opened once, so nothing that a pod does to names meanwhile leads to another one.
heal: the folder of what is mounted at the staging path is put on top of `path` as that process sees it, in its mount
namespace. Never as a line of a longer input: who has entered a namespace stays there.
umount, stat: as the commands of these names, for who waits already. Only the standard library, for a quick start.
"""

import ctypes
import errno
import json
import os
import stat
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress

# Exit statuses of bind that the caller turns into errors; 1 is that of umount and stat.
MISSING, REFUSED, FAILED, OCCUPIED, UNKNOWN = 3, 4, 5, 6, 7

# The system calls have the same numbers on every architecture (asm-generic/unistd.h).
_OPEN_TREE, _MOVE_MOUNT, _OPENAT2, _MOUNT_SETATTR = 428, 429, 437, 442
_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08  # NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH
_OPEN_TREE_CLONE, _AT_EMPTY_PATH = 1, 0x1000
_MOVE_EMPTY_PATHS = 0x04 | 0x40  # MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 1, 2, 4
_ATTRIBUTES = {  # linux/mount.h
    "ro": _MOUNT_ATTR_RDONLY, "nosuid": _MOUNT_ATTR_NOSUID, "nodev": _MOUNT_ATTR_NODEV, "noexec": 8, "noatime": 0x10,
}  # fmt: skip
_UMOUNT_NOFOLLOW = 8
_CLONE_NEWNS = 0x20000
_HANDLE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_LISTABLE = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_GROUP_WRITES, _OTHERS_WRITE = stat.S_IWGRP | stat.S_IXGRP, stat.S_IWOTH | stat.S_IXOTH
_libc = ctypes.CDLL(None, use_errno=True)

Result = tuple[int, str, str]  # status, output, complaint


class OccupiedError(Exception):
    """The target holds something already."""


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _syscall(number: int, *arguments: object) -> int:
    return _checked(int(_libc.syscall(ctypes.c_long(number), *arguments)))


@contextmanager
def _closing(handle: int) -> Generator[int]:
    try:
        yield handle
    finally:
        os.close(handle)


def open_beneath(root: int, folder: str) -> int:
    """A handle (O_PATH) on a directory beneath the directory `root`; `folder` is relative."""
    how = (ctypes.c_uint64 * 3)(_HANDLE, 0, _RESOLVE)
    for attempt in range(100):
        try:
            return _syscall(_OPENAT2, root, os.fsencode(folder), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)))
        except BlockingIOError:  # somebody renamed a folder meanwhile (openat2(2), EAGAIN)
            if attempt == 99:
                raise
    raise AssertionError("unreachable")


def open_empty(target: str) -> int:
    """A handle on the directory `target`, made unless it is there, in which nothing lies; raises OccupiedError."""
    parent, name = os.path.split(target)
    with _closing(os.open(parent, _LISTABLE)) as above:
        with suppress(FileExistsError):
            os.mkdir(name, mode=0o755, dir_fd=above)
        try:
            place = os.open(name, _LISTABLE | os.O_NOFOLLOW, dir_fd=above)
        except OSError as error:
            raise OccupiedError("it is a file or a symbolic link, not a directory") from error
        try:
            _check_empty(place, above)
        except BaseException:  # the server of what is mounted there may be dead
            os.close(place)
            raise
    return place


def _check_empty(place: int, above: int) -> None:
    if os.fstat(place).st_dev != os.fstat(above).st_dev:
        raise OccupiedError("something else is mounted there")
    if os.listdir(place):
        raise OccupiedError("it is a directory that is not empty")


@contextmanager
def _detached(staging: str, folder: str, attributes: int) -> Generator[int]:
    """A mount of the folder beneath `staging` that nobody sees yet, with the attributes that it shall have."""
    flags = ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH)
    with (
        _closing(os.open(staging, _HANDLE)) as root,
        _closing(open_beneath(root, folder.lstrip("/") or ".")) as source,
        _closing(_syscall(_OPEN_TREE, source, b"", flags)) as tree,
    ):
        _set(tree, attributes)
        yield tree


def _put(tree: int, place: int) -> None:
    """Show it at an open directory, on top of what is there."""
    _syscall(_MOVE_MOUNT, tree, b"", place, b"", ctypes.c_uint(_MOVE_EMPTY_PATHS))


def bind(staging: str, folder: str, target: str, readonly: bool, new: bool = False) -> None:
    attributes = (_MOUNT_ATTR_RDONLY if readonly else 0) | (_MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV if new else 0)
    with (
        _detached(staging, folder, attributes) as tree,
        _closing(open_empty(target) if new else os.open(target, _HANDLE | os.O_NOFOLLOW)) as place,
    ):
        _put(tree, place)


def _set(tree: int, flags: int) -> None:
    if not flags:
        return
    attributes = (ctypes.c_uint64 * 4)(flags, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    _syscall(_MOUNT_SETATTR, tree, b"", ctypes.c_uint(_AT_EMPTY_PATH), ctypes.byref(attributes), size)


def _bind(staging: str, folder: str, target: str, mode: str, *new: str) -> Result:
    try:
        bind(staging, folder, target, mode == "ro", bool(new))
    except OccupiedError as error:
        return OCCUPIED, "", str(error)
    except FileNotFoundError:
        return MISSING, "", "No such file or directory"
    except OSError as error:
        if error.errno == errno.ENOSYS:  # a kernel before 5.12
            return UNKNOWN, "", error.strerror or ""
        refused = error.errno in (errno.ELOOP, errno.EXDEV, errno.ENOTDIR)
        return REFUSED if refused else FAILED, "", error.strerror or ""
    return 0, "", ""


def heal(pid: int, staging: str, folder: str, path: str, attributes: int) -> None:
    """What `path` showed is dead; nobody ever sees the bare directory beneath it."""
    with _detached(staging, folder, attributes) as tree:
        with _closing(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)) as namespace:
            _checked(int(_libc.setns(namespace, _CLONE_NEWNS)))
        if not is_dead(path):
            return
        with _closing(os.open(path, _HANDLE | os.O_NOFOLLOW)) as place:
            _put(tree, place)


def is_dead(path: str) -> bool:
    """Whether nobody serves the FUSE file system there any more: its number may be another one's by now."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    return False


def _heal(pid: str, staging: str, folder: str, path: str, flags: str) -> Result:
    try:
        heal(int(pid), staging, folder, path, sum(_ATTRIBUTES.get(each, 0) for each in set(flags.split(","))))
    except OSError as error:
        return FAILED, "", error.strerror or ""
    return 0, "", ""


def grant(target: str, group: int) -> None:
    with _closing(os.open(target, _LISTABLE | os.O_NOFOLLOW)) as folder:
        found = os.fstat(folder)
        mode = stat.S_IMODE(found.st_mode)
        needed = _GROUP_WRITES if found.st_gid == group else _OTHERS_WRITE
        if mode & needed == needed:
            return
        os.fchown(folder, -1, group)
        os.fchmod(folder, mode | stat.S_ISGID | stat.S_IRWXG)


def _grant(target: str, group: str) -> Result:
    try:
        grant(target, int(group))
    except OSError as error:
        return FAILED, "", error.strerror or ""
    return 0, "", ""


def _umount(target: str, flags: str) -> Result:
    """`flags` of umount2(2): 1 is MNT_FORCE, 2 is MNT_DETACH."""
    try:
        _checked(int(_libc.umount2(os.fsencode(target), int(flags) | _UMOUNT_NOFOLLOW)))
    except OSError as error:
        return 1, "", f"umount: {target}: {error.strerror}"
    return 0, "", ""


def _stat(path: str) -> Result:
    """Fragment size, blocks, free, available, inodes, free inodes, as `stats.FORMAT` has them."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        return 1, "", f"stat: {path}: {error.strerror}"
    figures = (found.f_frsize, found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree)
    return 0, " ".join(map(str, figures)), ""


_TASKS: Mapping[str, Callable[..., Result]] = {
    "bind": _bind, "grant": _grant, "heal": _heal, "umount": _umount, "stat": _stat,
}  # fmt: skip


def serve() -> None:
    for line in sys.stdin:
        task, *arguments = json.loads(line)
        print(json.dumps(_TASKS[task](*arguments)), flush=True)


def main(arguments: list[str]) -> int:
    if not arguments:
        serve()
        return 0
    task, *rest = arguments
    status, output, complaint = _TASKS[task](*rest)
    print(output)
    print(complaint, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
