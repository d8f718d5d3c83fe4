"""The crash checker's program. It runs in a pod as one file of the standard library, and is a module to its tests.

    write DIR [PAUSE]   records into DIR until SIGTERM; an acknowledgement on stdout after each fsync; holds a lock
    rival DIR           tries to get that lock, and must not
    read DIR            tells what is in each slot; harness.story compares it with what `write` told

A record's number tells its file, its slot and every byte of it. What is acknowledged is told on stdout, that is,
outside of the volume, so that a volume that forgets cannot forget that too. Lines of the story:

    start T | ack NUMBER T | error NUMBER ERRNO WORDS | lock T | lost WORDS | end T      T: seconds of one clock
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import struct
import sys
import threading
import time
from contextlib import suppress
from types import FrameType

SIZE = 5000  # bytes of a record; no multiple of a page, so that many records span two
HEAD = struct.Struct(">8sQII")
MAGIC = b"moorage\n"
# Name and number of slots of each file, written in turn. `log` is appended for a long time before it wraps. `pair` is
# opened anew for each record: a server that has just come back grants what was open before what is new.
FILES = (("log", 8192), ("ring", 64), ("pair", 2))
ANEW = "pair"
LOCK = "lock"
MINE, THEIRS = b"holder\n", b"rival!\n"
BEAT = 0.25  # seconds between two looks at the lock


def place(number: int) -> tuple[int, int]:
    """File and slot of a record."""
    file, turn = number % len(FILES), number // len(FILES)
    return file, turn % FILES[file][1]


def record(number: int) -> bytes:
    """All bytes of a record: head, filling, SHA-256 of both."""
    file, slot = place(number)
    head = HEAD.pack(MAGIC, number, file, slot)
    filling = hashlib.sha256(head).digest() * (SIZE // 32)
    body = (head + filling)[: SIZE - 32]
    return body + hashlib.sha256(body).digest()


def number_of(data: bytes) -> int | None:
    """The number of a whole record; None if it is not whole."""
    if len(data) != SIZE or hashlib.sha256(data[:-32]).digest() != data[-32:]:
        return None
    magic, number, _, _ = HEAD.unpack_from(data)
    return number if magic == MAGIC else None


def say(*words: object) -> None:
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


class Writer:
    """Writes records one after the other; after an error it opens the files anew and goes on with the next."""

    def __init__(self, folder: str, pause: float) -> None:
        self._folder = folder
        self._pause = pause
        self._open: dict[int, int] = {}
        self._stop = threading.Event()

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        threading.Thread(target=hold, args=(self._folder, self._stop), daemon=True).start()
        say("start", time.monotonic())
        number = 0
        while not self._stop.is_set():
            try:
                self._write(number)
                say("ack", number, f"{time.monotonic():.4f}")
            except OSError as error:
                say("error", number, error.errno, error.strerror)
                self._close()
                self._stop.wait(0.2)
            number += 1
            self._stop.wait(self._pause)
        say("end", time.monotonic())

    def _end(self, _: int, __: FrameType | None) -> None:
        self._stop.set()

    def _close(self) -> None:
        for handle in self._open.values():
            with suppress(OSError):
                os.close(handle)
        self._open.clear()

    def _write(self, number: int) -> None:
        file, slot = place(number)
        if file not in self._open:
            path = os.path.join(self._folder, FILES[file][0])
            self._open[file] = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        data = record(number)
        written = os.pwrite(self._open[file], data, slot * SIZE)
        if written != SIZE:
            raise OSError(0, f"a short write: {written} of {SIZE} bytes")
        os.fsync(self._open[file])
        if FILES[file][0] == ANEW:
            os.close(self._open.pop(file))


def hold(folder: str, stop: threading.Event) -> None:
    """Take the lock and look, until told to stop, whether it is still ours.

    The kernel's NFS client answers a write through a descriptor whose lock the server forgot with EIO; and who takes
    the lock (the rival) leaves its mark in the file.
    """
    try:
        handle = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, len(MINE))
        os.pwrite(handle, MINE, 0)
        while not stop.wait(BEAT):
            os.pwrite(handle, MINE, 64)
            os.fsync(handle)
            if (seen := os.pread(handle, len(MINE), 0)) != MINE:
                say("lost", f"another holder's mark: {seen!r}")
                return
            say("lock", f"{time.monotonic():.4f}")
    except OSError as error:
        say("lost", error.errno, error.strerror)


def rival(folder: str) -> None:
    """Try to get the holder's lock, without waiting, until it is granted; then leave a mark and say `taken`."""
    path = os.path.join(folder, LOCK)
    say("rival")
    while True:
        time.sleep(BEAT)
        try:
            if steal(path):
                say("taken", time.monotonic())
                return
        except (BlockingIOError, FileNotFoundError):  # it is held, or the holder has not begun
            continue
        except OSError as error:
            say("trouble", error.errno, error.strerror)


def steal(path: str) -> bool:
    """True if the lock was granted while the holder's mark is in the file; it is let go of again at once."""
    handle = os.open(path, os.O_RDWR)
    try:
        if os.pread(handle, len(MINE), 0) != MINE:
            return False
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, len(MINE))
        os.pwrite(handle, THEIRS, 0)
        os.fsync(handle)
        return True
    finally:
        os.close(handle)


def read(folder: str) -> None:
    """Tell what is in each slot, past this node's own cache: `FILE SLOT NUMBER`, `... torn` or `... empty`."""
    for file, (name, slots) in enumerate(FILES):
        try:
            handle = os.open(os.path.join(folder, name), os.O_RDONLY)
        except FileNotFoundError:
            continue
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        for slot in range(slots):
            data = os.pread(handle, SIZE, slot * SIZE)
            if not data:
                break
            number = number_of(data)
            print(file, slot, number if number is not None else "torn" if data.strip(b"\0") else "empty")
        os.close(handle)


def leave(_: int, __: FrameType | None) -> None:
    os._exit(0)


def stay() -> None:
    """The pod stays, so that its log can be read and commands can run in it; the next SIGTERM ends it."""
    signal.signal(signal.SIGTERM, leave)
    while True:
        signal.pause()


def main(argv: list[str]) -> None:
    role, folder, *rest = argv
    if role == "write":
        Writer(folder, float(rest[0]) if rest else 0.02).run()
        stay()
    elif role == "rival":
        signal.signal(signal.SIGTERM, leave)
        rival(folder)
        stay()
    else:
        read(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
