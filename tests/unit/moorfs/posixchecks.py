# ruff: noqa: S103 - modes are what is tested
"""What POSIX promises of files and folders: one function a check, run in an empty folder of a mount; it asserts."""

import contextlib
import errno
import fcntl
import mmap
import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

CHECKS: dict[str, Callable[[], None]] = {}
MiB = 1 << 20


def check(work: Callable[[], None]) -> Callable[[], None]:
    CHECKS[work.__name__] = work
    return work


def wrong(work: Callable[[], object]) -> int | None:
    """The number of the OSError that `work` raises; 0 when it raises none."""
    try:
        work()
    except OSError as error:
        return error.errno
    return 0


@check
def write_and_read() -> None:
    data = os.urandom(3 * MiB + 17)
    Path("f").write_bytes(data)
    assert Path("f").read_bytes() == data
    assert os.stat("f").st_size == len(data)


@check
def overwrite() -> None:
    Path("f").write_bytes(b"a long first text")
    Path("f").write_bytes(b"short")
    assert Path("f").read_bytes() == b"short"


@check
def append() -> None:
    for word in (b"one ", b"two ", b"three"):
        with open("f", "ab") as out:
            out.write(word)
    assert Path("f").read_bytes() == b"one two three"


@check
def append_by_two_at_once() -> None:
    with open("f", "ab", buffering=0) as one, open("f", "ab", buffering=0) as other:
        for number in range(50):
            one.write(b"a%02d" % number)
            other.write(b"b%02d" % number)
    found = Path("f").read_bytes()
    assert found == b"".join(b"a%02db%02d" % (each, each) for each in range(50))


@check
def random_write() -> None:
    data = bytearray(os.urandom(2 * MiB))
    Path("f").write_bytes(data)
    with open("f", "r+b", buffering=0) as out:
        for place in (0, 5000, MiB - 3, 2 * MiB - 10):
            os.pwrite(out.fileno(), b"0123456789", place)
            data[place : place + 10] = b"0123456789"
    assert Path("f").read_bytes() == data


@check
def read_what_another_handle_writes() -> None:
    with open("f", "wb", buffering=0) as out, open("f", "rb", buffering=0) as reader:
        out.write(b"first")
        assert reader.read() == b"first"
        out.write(b" second")
        assert reader.read() == b" second"


@check
def truncate_to_less() -> None:
    Path("f").write_bytes(b"0123456789")
    os.truncate("f", 4)
    assert Path("f").read_bytes() == b"0123"


@check
def truncate_to_more() -> None:
    Path("f").write_bytes(b"01")
    os.truncate("f", 5000)
    assert Path("f").read_bytes() == b"01".ljust(5000, b"\0")


@check
def truncate_an_open_file() -> None:
    with open("f", "w+b", buffering=0) as file:
        file.write(b"0123456789")
        os.ftruncate(file.fileno(), 3)
        file.seek(0, os.SEEK_END)
        file.write(b"abc")
    assert Path("f").read_bytes() == b"012abc"


@check
def open_and_truncate() -> None:
    Path("f").write_bytes(b"0123456789")
    os.close(os.open("f", os.O_WRONLY | os.O_TRUNC))
    assert os.stat("f").st_size == 0


@check
def sparse() -> None:
    with open("f", "wb") as out:
        out.seek(30 * MiB)
        out.write(b"end")
        out.flush()
        assert os.fstat(out.fileno()).st_blocks * 512 < 5 * MiB
    assert os.stat("f").st_size == 30 * MiB + 3
    with open("f", "rb") as found:
        assert found.read(100) == bytes(100)
        found.seek(30 * MiB)
        assert found.read() == b"end"


@check
def shared_mapping() -> None:
    Path("f").write_bytes(bytes(10000))
    with open("f", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[5000:5004] = b"here"
        mapped.flush()
        assert os.pread(file.fileno(), 4, 5000) == b"here"
        mapped[6000:6003] = b"too"
    found = Path("f").read_bytes()
    assert (found[5000:5004], found[6000:6003]) == (b"here", b"too")


@check
def private_mapping() -> None:
    Path("f").write_bytes(b"0123456789" * 1000)
    with open("f", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped[9990:] == b"0123456789"


@check
def exclusive_create() -> None:
    os.close(os.open("f", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    assert wrong(lambda: os.open("f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)) == errno.EEXIST


@check
def created_and_emptied_by_readers() -> None:
    os.close(os.open("f", os.O_CREAT | os.O_RDONLY, 0o600))
    os.chmod("f", 0o644)
    Path("f").write_bytes(b"something")
    os.close(os.open("f", os.O_RDONLY | os.O_TRUNC))
    assert os.stat("f").st_size == 0
    assert Path("f").read_bytes() == b""


@check
def names_that_are_too_long() -> None:
    assert wrong(lambda: os.stat("x" * 256)) == errno.ENAMETOOLONG
    assert wrong(lambda: os.mkdir("x" * 256)) == errno.ENAMETOOLONG
    Path("f").touch()
    assert wrong(lambda: os.rename("f", "x" * 256)) == errno.ENAMETOOLONG
    assert wrong(lambda: os.symlink("f", "x" * 256)) == errno.ENAMETOOLONG


@check
def rename_a_file() -> None:
    Path("f").write_bytes(b"x")
    os.rename("f", "g")
    assert os.listdir(".") == ["g"]
    assert Path("g").read_bytes() == b"x"
    assert wrong(lambda: os.stat("f")) == errno.ENOENT


@check
def rename_over_a_file() -> None:
    Path("f").write_bytes(b"new")
    Path("g").write_bytes(b"old")
    os.rename("f", "g")
    assert os.listdir(".") == ["g"]
    assert Path("g").read_bytes() == b"new"


@check
def rename_while_it_is_written() -> None:
    with open("f", "wb", buffering=0) as out:
        out.write(b"before ")
        os.rename("f", "g")
        out.write(b"after")
    assert Path("g").read_bytes() == b"before after"
    assert os.listdir(".") == ["g"]


@check
def rename_a_folder_with_content() -> None:
    os.makedirs("d/e")
    Path("d/f").write_bytes(b"1")
    Path("d/e/g").write_bytes(b"2")
    os.rename("d", "n")
    assert sorted(os.listdir("n")) == ["e", "f"]
    assert (Path("n/f").read_bytes(), Path("n/e/g").read_bytes()) == (b"1", b"2")
    assert wrong(lambda: os.stat("d")) == errno.ENOENT


@check
def rename_onto_folders() -> None:
    os.makedirs("full/x")
    os.mkdir("empty")
    os.mkdir("d")
    assert wrong(lambda: os.rename("d", "full")) in (errno.ENOTEMPTY, errno.EEXIST)
    os.rename("d", "empty")
    Path("f").touch()
    assert wrong(lambda: os.rename("f", "full")) == errno.EISDIR
    assert wrong(lambda: os.rename("full", "f")) == errno.ENOTDIR
    assert wrong(lambda: os.rename("full", "full/y")) == errno.EINVAL


@check
def make_and_remove_folders() -> None:
    os.makedirs("a/b/c")
    assert wrong(lambda: os.rmdir("a")) == errno.ENOTEMPTY
    assert wrong(lambda: os.mkdir("a")) == errno.EEXIST
    for name in ("a/b/c", "a/b", "a"):
        os.rmdir(name)
    assert os.listdir(".") == []


@check
def wrong_kinds() -> None:
    Path("f").touch()
    os.mkdir("d")
    assert wrong(lambda: os.rmdir("f")) == errno.ENOTDIR
    assert wrong(lambda: os.unlink("d")) in (errno.EISDIR, errno.EPERM)
    assert wrong(lambda: os.stat("f/x")) == errno.ENOTDIR
    assert wrong(lambda: os.open("d", os.O_WRONLY)) == errno.EISDIR
    assert wrong(lambda: os.unlink("nothing")) == errno.ENOENT


@check
def unlink_while_open() -> None:
    Path("f").write_bytes(b"kept")
    with open("f", "r+b", buffering=0) as file:
        os.unlink("f")
        assert os.listdir(".") == []
        assert file.read() == b"kept"
        file.write(b" and more")
        assert os.pread(file.fileno(), 100, 0) == b"kept and more"
        assert os.fstat(file.fileno()).st_size == 13
    assert os.listdir(".") == []


@check
def a_name_is_free_again_after_unlink_while_open() -> None:
    Path("f").write_bytes(b"old")
    with open("f", "rb") as old:
        os.unlink("f")
        Path("f").write_bytes(b"new")
        assert old.read() == b"old"
    assert Path("f").read_bytes() == b"new"


@check
def modes() -> None:
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, 0o640))
    assert stat.S_IMODE(os.stat("f").st_mode) == 0o640
    os.chmod("f", 0o751)
    assert stat.S_IMODE(os.stat("f").st_mode) == 0o751
    os.mkdir("d", 0o700)
    os.chmod("d", 0o1770)
    assert stat.S_IMODE(os.stat("d").st_mode) == 0o1770


@check
def umask() -> None:
    os.umask(0o027)
    Path("f").touch()
    os.mkdir("d")
    assert (stat.S_IMODE(os.stat("f").st_mode), stat.S_IMODE(os.stat("d").st_mode)) == (0o640, 0o750)


@check
def set_user_and_group_id() -> None:
    Path("f").touch()
    os.chmod("f", 0o6755)
    assert stat.S_IMODE(os.stat("f").st_mode) == 0o6755
    os.chown("f", 5, 6)  # a new owner does not get the right
    assert stat.S_IMODE(os.stat("f").st_mode) & 0o4000 == 0


@check
def owners() -> None:
    Path("f").touch()
    os.mkdir("d")
    for name in ("f", "d"):
        os.chown(name, 1234, 5678)
        assert (os.stat(name).st_uid, os.stat(name).st_gid) == (1234, 5678)


@check
def times() -> None:
    Path("f").write_bytes(b"x")
    os.utime("f", ns=(0, 1_234_567_890_123_456_789))
    assert os.stat("f").st_mtime_ns == 1_234_567_890_123_456_789
    before = time.time() - 2
    os.utime("f")
    assert before < os.stat("f").st_mtime < time.time() + 2
    with open("f", "ab") as out:
        out.write(b"y")
    os.utime("f", ns=(0, 5_000_000_000))
    assert os.stat("f").st_mtime == 5


@check
def the_mtime_of_a_new_file_stays() -> None:
    for number in range(20):
        file = os.open(f"f{number}", os.O_CREAT | os.O_WRONLY)
        first = os.fstat(file).st_mtime_ns
        os.close(file)
        os.chmod(f"f{number}", 0o600)
        assert os.stat(f"f{number}").st_mtime_ns == first


@check
def times_of_access_that_were_set() -> None:
    Path("f").write_bytes(b"x")
    os.utime("f", ns=(1_900_000_000_000_000_007, 1_950_000_000_000_000_000))
    with open("f", "rb") as file:
        assert file.read() == b"x"
    assert os.stat("f").st_atime_ns == 1_900_000_000_000_000_007
    os.mkdir("d")
    os.utime("d", ns=(5, 77))
    assert (os.stat("d").st_atime_ns, os.stat("d").st_mtime_ns) == (5, 77)


@check
def times_of_change() -> None:
    Path("f").write_bytes(b"x")
    os.mkdir("d")
    os.mkfifo("p")
    changes: list[Callable[[str], None]] = [
        lambda name: os.chmod(name, 0o700),
        lambda name: os.chown(name, 5, 6),
        lambda name: os.utime(name, ns=(7, 8)),
    ]
    for name in ("f", "d", "p"):
        for change in changes:
            before = os.stat(name).st_ctime_ns
            time.sleep(0.02)
            change(name)
            assert os.stat(name).st_ctime_ns > before
    assert os.stat("f").st_mtime_ns == 8


@check
def mtime_of_a_folder() -> None:
    os.mkdir("d")
    os.utime("d", ns=(0, 1_000_000_000))
    assert os.stat("d").st_mtime == 1


@check
def symbolic_links() -> None:
    Path("f").write_bytes(b"x")
    os.symlink("f", "l")
    os.symlink("nowhere/at/all", "dangling")
    assert (os.readlink("l"), Path("l").read_bytes()) == ("f", b"x")
    assert os.readlink("dangling") == "nowhere/at/all"
    assert stat.S_ISLNK(os.lstat("dangling").st_mode)
    assert wrong(lambda: os.stat("dangling")) == errno.ENOENT
    assert sorted(os.listdir(".")) == ["dangling", "f", "l"]


@check
def fifo() -> None:
    os.mkfifo("p")
    assert stat.S_ISFIFO(os.stat("p").st_mode)
    reader = os.open("p", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open("p", os.O_WRONLY)
    os.write(writer, b"through")
    assert os.read(reader, 100) == b"through"


@check
def unix_socket() -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("s")
        server.listen(1)
        assert stat.S_ISSOCK(os.stat("s").st_mode)
        client.connect("s")
        client.sendall(b"through")
        assert server.accept()[0].recv(100) == b"through"


@check
def flock() -> None:
    with open("f", "w") as one, open("f") as other:
        fcntl.flock(one, fcntl.LOCK_EX)
        assert wrong(lambda: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)) == errno.EAGAIN
        fcntl.flock(one, fcntl.LOCK_UN)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@check
def record_locks() -> None:
    with open("f", "w") as file:
        file.write("0123456789")
        file.flush()
        fcntl.lockf(file, fcntl.LOCK_EX, 5, 0)
        child = os.fork()
        if not child:
            with open("f", "r+") as other:
                taken = wrong(lambda: fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0))
                free = wrong(lambda: fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 5))
                os._exit(0 if taken in (errno.EAGAIN, errno.EACCES) and free == 0 else 1)
        assert os.waitpid(child, 0)[1] == 0


@check
def fsync_of_files_and_folders() -> None:
    with open("f", "wb") as out:
        out.write(b"x")
        out.flush()
        os.fsync(out.fileno())
        os.fdatasync(out.fileno())
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


@check
def allocation() -> None:
    with open("f", "w+b") as file:
        os.posix_fallocate(file.fileno(), 0, MiB)
        assert os.fstat(file.fileno()).st_size == MiB
        file.write(b"x")
    assert Path("f").read_bytes() == b"x".ljust(MiB, b"\0")


@check
def names_of_all_kinds() -> None:
    wanted = ["with space", "ünïcödé", "%41+&?#;=", "'\"`$", ".hidden", "x" * 255, "tab\there", "back\\slash"]
    for name in wanted:
        Path(name).write_text(name)
    assert sorted(os.listdir(".")) == sorted(wanted)
    assert all(Path(name).read_text() == name for name in wanted)


@check
def room_is_told() -> None:
    found = os.statvfs(".")
    assert 0 < found.f_bavail <= found.f_blocks


@check
def listing_while_it_is_emptied() -> None:
    for number in range(200):
        Path(f"f{number}").touch()
    with os.scandir(".") as found:
        for each in found:
            os.unlink(each.path)
    assert os.listdir(".") == []


@check
def no_hard_links() -> None:
    Path("f").touch()
    assert wrong(lambda: os.link("f", "g")) == errno.EPERM
    assert os.listdir(".") == ["f"]


@check
def no_user_attributes() -> None:
    Path("f").touch()
    assert wrong(lambda: os.setxattr("f", "user.a", b"1")) == errno.EOPNOTSUPP
    with contextlib.suppress(OSError):
        assert os.listxattr("f") == []
