"""The crash checker of object volumes: whole files, acknowledged when close(2) has returned. One file, run in a pod.

    write DIR [PAUSE]   files into DIR until SIGTERM, 64 names in turn; an acknowledgement on stdout after each close
    read DIR            tells what is in each file

Each file holds one record, whose number tells its name and every byte. They are written in the ways that programs have:
over what is there, with fsync before close, as a new file that is renamed over the old one, and by append to an emptied
one. Lines of the story are those of harness.crash, which harness.story judges:

    start T | ack NUMBER T | error NUMBER ERRNO WORDS | end T
"""

import hashlib
import os
import signal
import struct
import sys
import threading
import time
from types import FrameType

NAMES = 64
HEAD = struct.Struct(">8sQI")
MAGIC = b"objects\n"
WAYS = 4


def size(number: int) -> int:
    """Bytes of a record: some small, some of several hundred KiB."""
    return 100 + (number * 7919) % 5000 if number % 16 else 300_000 + number % 1000


def record(number: int) -> bytes:
    head = HEAD.pack(MAGIC, number, number % NAMES)
    length = size(number) - 32
    body = (head + hashlib.sha256(head).digest() * (length // 32 + 1))[:length]
    return body + hashlib.sha256(body).digest()


def number_of(data: bytes) -> int | None:
    """The number of a whole record; None if it is not whole."""
    if len(data) < HEAD.size + 32 or hashlib.sha256(data[:-32]).digest() != data[-32:]:
        return None
    magic, number, _ = HEAD.unpack_from(data)
    return number if magic == MAGIC and len(data) == size(number) else None


def place(number: int) -> tuple[int, int]:
    """File and slot, as harness.story wants them: each file has one slot."""
    return number % NAMES, 0


def say(*words: object) -> None:
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def store(folder: str, number: int) -> None:
    """Raises OSError; what it has returned from is stored."""
    path, data, way = os.path.join(folder, f"f{number % NAMES:02}"), record(number), number // NAMES % WAYS
    target = f"{path}.new" if way == 2 else path
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | (os.O_APPEND if way == 3 else 0)
    handle = os.open(target, flags, 0o644)
    try:
        for start in range(0, len(data), 70_000):
            os.write(handle, data[start : start + 70_000])
        if way == 1:
            os.fsync(handle)
    finally:
        os.close(handle)  # an error of close is the caller's
    if way == 2:
        os.rename(target, path)


def write(folder: str, pause: float) -> None:
    stop = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    say("start", time.monotonic())
    number = 0
    while not stop.is_set():
        try:
            store(folder, number)
            say("ack", number, f"{time.monotonic():.4f}")
        except OSError as error:
            say("error", number, error.errno, error.strerror)
            stop.wait(0.2)
        number += 1
        stop.wait(pause)
    say("end", time.monotonic())


def read(folder: str) -> None:
    """Tell what is in each file: `FILE 0 NUMBER`, `... torn` or `... empty`."""
    for file in range(NAMES):
        try:
            with open(os.path.join(folder, f"f{file:02}"), "rb") as stream:
                data = stream.read()
        except FileNotFoundError:
            continue
        number = number_of(data)
        print(file, 0, number if number is not None else "torn" if data else "empty")


def leave(_: int, __: FrameType | None) -> None:
    os._exit(0)


def main(argv: list[str]) -> None:
    role, folder, *rest = argv
    if role == "read":
        return read(folder)
    write(folder, float(rest[0]) if rest else 0.02)
    signal.signal(signal.SIGTERM, leave)
    while True:  # the pod stays, so that its log can be read
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])
