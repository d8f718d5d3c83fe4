"""What is measured in a mounted bucket. One file of the standard library, run in the mount's namespace.

    load.py FOLDER STEP...      each step prints one line of JSON, {"row": figure, ...}

Rates are per second, streams in MB/s (10^6 bytes), times in ms. `seeded` is a folder of objects that were put by an S3
tool, so no mount has seen them yet.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

MIB = 2**20
BIG = 256  # MiB
SMALL = 300  # files for one worker; twice as many for eight
PAGE = os.urandom(MIB)


def drop_caches() -> None:
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def timed(work: Callable[[], object]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def write_file(path: str, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(data)


def stream_out(path: str, megabytes: int) -> None:
    with open(path, "wb", buffering=0) as file:
        for _ in range(megabytes):
            file.write(PAGE)


def stream_in(path: str) -> int:
    total, buffer = 0, bytearray(MIB)
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total += count
    return total


def rate(path: str) -> float:
    size = os.stat(path).st_size
    return round(size / timed(lambda: stream_in(path)) / 1e6, 1)


def each(work: Callable[[str], object], names: Sequence[str], workers: int = 1) -> float:
    """How many names a second."""
    with ThreadPoolExecutor(workers) as pool:
        return round(len(names) / timed(lambda: list(pool.map(work, names))), 1)


def write(folder: str) -> dict[str, float]:
    """A stream into a new file. It ends when close(2) has returned."""
    drop_caches()
    return {"write": round(BIG * MIB / timed(lambda: stream_out(f"{folder}/big", BIG)) / 1e6, 1)}


def read(folder: str) -> dict[str, float]:
    """Streams out of an object that the mount has not seen yet."""
    drop_caches()
    found = {"cold read": rate(f"{folder}/seeded/big"), "second read": rate(f"{folder}/seeded/big")}
    drop_caches()
    found["warm read, page cache dropped"] = rate(f"{folder}/seeded/big")
    found["re-read"] = max(rate(f"{folder}/seeded/big") for _ in range(2))
    return found


def small(folder: str) -> dict[str, float]:
    """4 KiB files, with one worker and with eight."""
    found: dict[str, float] = {}
    for workers, count in ((1, SMALL), (8, 2 * SMALL)):
        home, data = f"{folder}/small{workers}", PAGE[:4096]
        os.mkdir(home)
        names = [f"{home}/{number}" for number in range(count)]
        seeded = [f"{folder}/seeded/s{workers}/{number}" for number in range(count)]
        found[f"create {workers}"] = each(lambda name, data=data: write_file(name, data), names, workers)
        found[f"cold open+read {workers}"] = each(stream_in, seeded, workers)
        found[f"warm open+read {workers}"] = each(stream_in, seeded, workers)
        time.sleep(2)  # longer than names and attributes are believed
        found[f"stat {workers}"] = each(os.stat, names, workers)
        found[f"unlink {workers}"] = each(os.unlink, names, workers)
    return found


def listing(folder: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for count in (1000, 10000):
        for state in ("cold", "warm"):
            argv = ["/usr/bin/ls", "-l", f"{folder}/seeded/l{count}"]
            seconds = timed(lambda argv=argv: subprocess.run(argv, stdout=subprocess.DEVNULL, check=True))
            found[f"ls -l {count} {state} ms"] = round(seconds * 1000, 1)
    return found


def _for_a_second(work: Callable[[], object]) -> float:
    count, end = 0, time.monotonic() + 1
    while time.monotonic() < end:
        work()
        count += 1
    return float(count)


def scattered(folder: str) -> dict[str, float]:
    """4 KiB at random places of an open file of 64 MiB, for a second each; and the close that stores it. 0: refused."""
    path = f"{folder}/random"
    stream_out(path, 64)
    handle = os.open(path, os.O_RDWR)
    pages, place = 64 * 256, random.Random(1)  # noqa: S311 - places, no secrets
    data = PAGE[:4096]
    works: dict[str, Callable[[], object]] = {
        "random read": lambda: os.pread(handle, 4096, place.randrange(pages) * 4096),
        "random write": lambda: os.pwrite(handle, data, place.randrange(pages) * 4096),
    }
    found: dict[str, float] = {}
    for name, work in works.items():
        try:
            found[name] = _for_a_second(work)
        except OSError:  # rclone without a cache
            found[name] = 0.0
    with suppress(OSError):
        found["close of it ms"] = round(timed(lambda: os.close(handle)) * 1000, 1)
    return found


def touch(folder: str) -> dict[str, float]:
    subprocess.run(["/usr/bin/touch", f"{folder}/touched-{os.getpid()}"], check=True)
    return {}


def stall(folder: str) -> dict[str, float]:
    """The longest pause of a writer and reader of an open file, for four seconds."""
    stream_out(f"{folder}/stall", 8)
    handle, longest, end = os.open(f"{folder}/stall", os.O_RDWR), 0.0, time.monotonic() + 4
    while time.monotonic() < end:
        longest = max(longest, timed(lambda: (os.pwrite(handle, PAGE[:4096], 0), os.pread(handle, 4096, 4096))))
        longest = max(longest, timed(lambda: stream_in(f"{folder}/seeded/s1/0")))
    os.close(handle)
    return {"longest pause ms": round(longest * 1000, 1)}


STEPS = {step.__name__: step for step in (write, read, scattered, small, listing, touch, stall)}


def main(folder: str, steps: Sequence[str]) -> None:
    for step in steps:
        print(json.dumps(STEPS[step](folder)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
