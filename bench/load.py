"""The load of the bench, run in a pod as one file of the standard library (and a module to its tests).

compare ROUNDS MEGABYTES SECONDS DIR...   each round every measure in every mount, in turn; a JSON line for each
grow DIR                                  writes for ever, and tells each new size of the file system
fill DIR MEGABYTES                        a file that cannot be compressed
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import random
import sys
import threading
import time
from collections.abc import Callable

BLOCK = 4096
STREAM = 2**20
THREADS = 4  # of random reads and writes at once
FILES = 20
_AT_FDCWD, _FORCE_SYNC, _BASIC = -100, 0x2000, 0x7FF
_libc = ctypes.CDLL(None, use_errno=True)


def rate(count: int, work: Callable[[], None]) -> float:
    """How many a second, of `count` that the work does."""
    start = time.monotonic()
    work()
    return count / (time.monotonic() - start)


def stream_out(path: str, megabytes: int) -> None:
    data = os.urandom(STREAM)
    handle = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o644)
    for _ in range(megabytes):
        os.write(handle, data)
    os.fsync(handle)
    os.close(handle)


def stream_in(path: str) -> None:
    """All of the file, and none of it from this node's cache."""
    handle = os.open(path, os.O_RDONLY)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    while os.read(handle, STREAM):
        pass
    os.close(handle)


def at_random(path: str, seconds: float, write: bool) -> float:
    """Operations of 4 KiB a second, past the cache (O_DIRECT), by several threads."""
    counts = [0] * THREADS
    blocks = os.stat(path).st_size // BLOCK
    start = time.monotonic()

    def work(number: int) -> None:
        place = random.Random(number)  # noqa: S311 - the same places in every folder
        buffer = mmap.mmap(-1, BLOCK)
        buffer.write(os.urandom(BLOCK))
        handle = os.open(path, os.O_RDWR | os.O_DIRECT)
        while not counts[number] or time.monotonic() - start < seconds:  # once, however slow
            offset = place.randrange(blocks) * BLOCK
            (os.pwritev if write else os.preadv)(handle, [buffer], offset)
            counts[number] += 1
        os.close(handle)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - start)


def ask(path: str) -> None:
    """stat that asks the server, whatever the client remembers."""
    answer = ctypes.create_string_buffer(256)
    if _libc.statx(_AT_FDCWD, path.encode(), _FORCE_SYNC, _BASIC, answer):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def create(paths: list[str]) -> None:
    for path in paths:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def each(work: Callable[[str], None], paths: list[str]) -> Callable[[], None]:
    def run() -> None:
        for path in paths:
            work(path)

    return run


def measures(megabytes: int, seconds: float) -> dict[str, Callable[[str], float]]:
    """Name, and what measures it in a folder; in this order, for some need what others left there."""

    def file(home: str) -> str:
        return os.path.join(home, "file")

    def paths(home: str) -> list[str]:
        return [os.path.join(home, str(number)) for number in range(FILES)]

    return {
        "write_MBps": lambda home: rate(megabytes, lambda: stream_out(file(home), megabytes)),
        "read_MBps": lambda home: rate(megabytes, lambda: stream_in(file(home))),
        "random_read_IOPS": lambda home: at_random(file(home), seconds, write=False),
        "random_write_IOPS": lambda home: at_random(file(home), seconds, write=True),
        "create_per_s": lambda home: rate(FILES, lambda: create(paths(home))),
        "stat_per_s": lambda home: rate(FILES, each(ask, paths(home))),
        "unlink_per_s": lambda home: rate(FILES, each(os.unlink, paths(home))),
    }


def compare(rounds: int, megabytes: int, seconds: float, folders: list[str]) -> None:
    """Each measure is taken in all folders right after each other, and another folder begins each round: what the
    machine does besides meets all alike. The folders are mounts of one file system; each round every one of them works
    in another of its directories, for XFS keeps these apart and some places are faster than others."""
    homes = [f"load-{number}" for number in range(len(folders))]
    for home in homes:
        os.mkdir(os.path.join(folders[0], home))
    for number in range(rounds):
        turn = number % len(folders)
        home = dict(zip(folders, homes[number // len(folders) % len(homes) :] + homes, strict=False))
        found: dict[str, dict[str, float]] = {folder: {} for folder in folders}
        for name, measured in measures(megabytes, seconds).items():
            for folder in folders[turn:] + folders[:turn]:
                found[folder][name] = measured(os.path.join(folder, home[folder]))
        for folder, figures in found.items():
            say(json.dumps({"folder": folder, **figures}))
    for home in homes:
        os.unlink(os.path.join(folders[0], home, "file"))
        os.rmdir(os.path.join(folders[0], home))


def grow(folder: str) -> None:
    """`size BYTES` at each change of size, and a second later `stall SECONDS`: the longest write since the last one."""
    longest = [0.0]

    def write() -> None:
        handle = os.open(os.path.join(folder, "writer"), os.O_CREAT | os.O_WRONLY, 0o644)
        while True:
            start = time.monotonic()
            os.pwrite(handle, bytes(BLOCK), 0)
            os.fsync(handle)
            longest[0] = max(longest[0], time.monotonic() - start)
            time.sleep(0.005)

    threading.Thread(target=write, daemon=True).start()
    seen = 0
    while True:
        found = os.statvfs(folder)
        if (size := found.f_frsize * found.f_blocks) != seen:
            say("size", size)
            time.sleep(1)  # what the growth does to the writer right afterwards counts too
            say("stall", f"{longest[0]:.3f}")
            longest[0], seen = 0.0, size
        time.sleep(0.02)


def say(*words: object) -> None:
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def main(argv: list[str]) -> None:
    role, *rest = argv
    if role == "compare":
        compare(int(rest[0]), int(rest[1]), float(rest[2]), rest[3:])
    elif role == "grow":
        grow(rest[0])
    else:
        stream_out(os.path.join(rest[0], "filling"), int(rest[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
