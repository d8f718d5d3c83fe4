"""`python -m bench.object.paired [ROUNDS [FILES [LIST...]]]`: rows of names, moorfs and s3fs in turns on one engine;
medians and ratios.

Two mounts on a machine that others use see the same weather only when they take turns: each round measures both, the
one that was second goes first in the next.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import s3engine

from bench.object import __main__ as rows
from bench.object import names
from bench.object.peers import Mounted

DEFAULTS = (5, 300, 1000, 10000)
SIDES = ("moorfs", "s3fs")


def seed(engine: s3engine.Engine, rounds: int, lists: Sequence[int]) -> str:
    """A bucket with a folder for each `ls` of each round. Objects are made as the engine keeps them, by their first:
    ten thousand puts take longer than all that is measured."""
    bucket = engine.bucket()
    engine.s3.put_object(Bucket=bucket, Key="seeded/one", Body=b"")
    home = engine.home / "data" / bucket / "seeded"
    kept = {name: os.getxattr(home / "one", name) for name in os.listxattr(home / "one")}
    for count in lists:
        for folder in (f"l{count}-{number}{which}" for number in range(rounds) for which in (0, 1)):
            (home / folder).mkdir()
            for number in range(count):
                _make(home / folder / str(number), kept)
    return bucket


def _make(path: Path, kept: dict[str, bytes]) -> None:
    path.touch()
    for name, value in kept.items():
        os.setxattr(path, name, value)


def one_round(mounted: Mounted, number: int, files: int, lists: Sequence[int]) -> dict[str, float]:
    program = Path(names.__file__).read_text()
    argv = ["nsenter", "--mount", f"--target={mounted.pid}", sys.executable, "-IS", "-c", program]
    argv += [mounted.folder, *map(str, (number, files, *lists))]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=900, check=False)
    assert said.returncode == 0, said.stderr[-2000:]
    return dict(json.loads(said.stdout))


def measure(home: Path, rounds: int, files: int, lists: Sequence[int]) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with s3engine.running(home / "engine") as engine:
        ways = rows.mountings(engine, home)
        with (
            ways["moorfs"](seed(engine, rounds, lists), "") as ours,
            ways["s3fs"](seed(engine, rounds, lists), "") as theirs,
        ):
            mounts = dict(zip(SIDES, (ours, theirs), strict=True))
            for number in range(rounds):
                for side in SIDES[:: 1 if number % 2 else -1]:
                    found[side].append(one_round(mounts[side], number, files, lists))
                    print(f"· round {number}, {side}: {found[side][-1]}", file=sys.stderr, flush=True)
            print({side: mounts[side].cost() for side in SIDES}, file=sys.stderr)
    return found


def medians(found: dict[str, list[dict[str, float]]]) -> dict[str, tuple[float, float, float]]:
    """For each row: moorfs, s3fs, and the median of the rounds' ratios (more is better for moorfs)."""
    result: dict[str, tuple[float, float, float]] = {}
    for row in found["moorfs"][0]:
        mine, other = ([each[row] for each in found[side]] for side in SIDES)
        ratios = [b / a if row.endswith("ms") else a / b for a, b in zip(mine, other, strict=True)]
        result[row] = (statistics.median(mine), statistics.median(other), round(statistics.median(ratios), 2))
    return result


def main(rounds: int, files: int, *lists: int) -> None:
    with tempfile.TemporaryDirectory(prefix="moorage-bench-") as folder:
        found = measure(Path(folder), rounds, files, lists)
    print(f"{'row':24} {'moorfs':>10} {'s3fs':>10} {'ratio':>6}")
    for row, (ours, theirs, ratio) in medians(found).items():
        print(f"{row:24} {ours:10.1f} {theirs:10.1f} {ratio:6.2f}")


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    main(*(given if len(given) > 2 else [*given, *DEFAULTS[len(given) :]]))
