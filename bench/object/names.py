"""What is measured of names in a mounted bucket, one round. One file of the standard library, run in the mount's
namespace, like load.py.

    names.py FOLDER ROUND COUNT LIST...     prints {"row": figure, ...}: rates per second, times in ms

COUNT files are made (by eight workers twice as many). `seeded/l<LIST>-<round>0` and `...1` are folders of so many
objects each, which no mount has seen yet.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

DATA = os.urandom(4096)


def timed(work: Callable[[], object]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def write_file(path: str) -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(DATA)


def each(work: Callable[[str], object], names: Sequence[str], workers: int) -> float:
    with ThreadPoolExecutor(workers) as pool:
        return round(len(names) / timed(lambda: list(pool.map(work, names))), 1)


def files(folder: str, workers: int, count: int) -> dict[str, float]:
    os.mkdir(folder)
    names = [f"{folder}/{number}" for number in range(count)]
    found = {f"create {workers}": each(write_file, names, workers)}
    time.sleep(2)  # longer than names and attributes are believed
    found[f"stat {workers}"] = each(os.stat, names, workers)
    found[f"unlink {workers}"] = each(os.unlink, names, workers)
    return found


def lists(folder: str, which: str, counts: Sequence[int]) -> dict[str, float]:
    """`ls` and `ls -l` of folders of their own, each twice."""
    found: dict[str, float] = {}
    for count in counts:
        for options, name in (((), "ls"), (("-l",), "ls -l")):
            argv = ["/usr/bin/ls", *options, f"{folder}/seeded/l{count}-{which}{len(options)}"]
            for state in ("cold", "warm"):
                seconds = timed(lambda argv=argv: subprocess.run(argv, stdout=subprocess.DEVNULL, check=True))
                found[f"{name} {count} {state} ms"] = round(seconds * 1000, 1)
    return found


def main(folder: str, which: str, count: int, counts: Sequence[int]) -> None:
    found: dict[str, float] = {}
    for workers in (1, 8):
        found |= files(f"{folder}/round-{which}-{workers}", workers, count * (1 if workers == 1 else 2))
    print(json.dumps(found | lists(folder, which, counts)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), [int(each) for each in sys.argv[4:]])
