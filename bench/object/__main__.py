"""`python -m bench.object`: rows of object mounts into build/bench.json. Needs root, /dev/fuse and Debian's mirror.

`--part` (again and again) takes some of the parts, `--only` some of the mounts, `--rounds` other than the usual number.
All mounts are of one bucket of one engine, turn about; each round mounts anew, so caches begin empty.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import fault
import s3engine

from bench import record
from bench.object import bare, load, rounds, seeding
from bench.object.mounts import OURS, Mounting, Served, moorfs, mountings
from bench.object.rounds import Row

BARE = "bare"
TITLES = {"rclone-cached": "rclone, cached (close is not stored)", "rclone": "rclone, not cached"}


@dataclass(frozen=True)
class Part:
    """Steps of the load program; what they read; how often; and the engine itself, by tool."""

    steps: Sequence[str]
    seeds: Mapping[str, bytes]
    rounds: int
    bare: Callable[[s3engine.Engine, str], dict[str, dict[str, float]]] | None = None


BIG = {f"{seeding.SEEDED}big": load.PAGE * load.BIG}
PARTS = {
    "data": Part(("write", "read", "scattered"), BIG, 5, bare.data),
    "small": Part(("small",), seeding.SMALL, 3, bare.small),
    "listing": Part(("listing",), seeding.LISTED, 3),
}


def measure(part: Part, engine: s3engine.Engine, home: Path, wanted: Sequence[str], times: int) -> rounds.Rounds:
    found: dict[str, list[Row]] = defaultdict(list)
    bucket, store = seeding.bucket_with(engine, home, part.seeds)
    made = {name: mounting for name, mounting in mountings(engine, home).items() if name in wanted}
    for number in range(times):
        for name, mounting in made.items():
            print(f"· {name}, {number + 1} of {times}", file=sys.stderr, flush=True)
            with mounting(bucket, "") as mounted:
                found[name].append({**mounted.load(*part.steps), **mounted.cost()})
            seeding.tidy(store)
        if BARE in wanted and part.bare:
            for tool, row in part.bare(engine, bucket).items():
                found[f"{BARE} S3 ({tool})"].append(row)
            seeding.tidy(store)
    store.delete_many(list(part.seeds))
    return found


def keep(part: str, found: rounds.Rounds) -> None:
    """Medians, and ours beside each other's."""
    rows: record.Figures = {f"object {part}, {TITLES.get(name, name)}": rounds.medians(found[name]) for name in found}
    for name in found:
        if OURS in found and name != OURS:
            rows[f"object {part}, moorfs : {TITLES.get(name, name)}"] = rounds.shares(found[OURS], found[name])
    record.add(rows)
    record.table(rows)


def calls_of_touch(mounting: Mounting, engine: s3engine.Engine) -> float:
    """Of one new file, in a folder that nobody has looked into."""
    with fault.before(engine.port) as proxy, mounting(engine.bucket(), proxy.endpoint) as mounted:
        time.sleep(2)
        before = sum(proxy.count().values())
        mounted.load("touch")
        time.sleep(1)
        return float(sum(proxy.count().values()) - before)


def takeover(engine: s3engine.Engine, home: Path) -> dict[str, float]:
    """The longest pause of a reader and writer, without a kill and with two."""
    found: dict[str, float] = {}
    bucket, _ = seeding.bucket_with(engine, home, seeding.SMALL)
    for kills, name in ((0, "undisturbed"), (2, "killed twice")):
        with moorfs(engine, home / "stall", bucket, "") as mount:
            with ThreadPoolExecutor(1) as pool:
                stalled = pool.submit(Served(mount).load, "stall")
                for _ in range(kills):  # by this thread: a server ends with the thread that began it
                    time.sleep(1)
                    mount.replace()
                (figure,) = stalled.result().values()
            found[f"{name} ms"] = figure
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.object", description=__doc__)
    names = [OURS, "s3fs", *TITLES, BARE]
    parts = [*PARTS, "touch", "takeover"]
    parser.add_argument("--part", action="append", choices=parts, dest="parts", default=None)
    parser.add_argument("--only", action="append", choices=names, dest="mounts", default=None)
    parser.add_argument("--rounds", type=int, default=0)
    given = parser.parse_args()
    given.parts, given.mounts = given.parts or parts, given.mounts or names
    return given


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="moorage-bench-") as folder:
        home = Path(folder)
        with s3engine.running(home / "engine") as engine:
            for name, part in PARTS.items():
                if name in given.parts:
                    keep(name, measure(part, engine, home, given.mounts, given.rounds or part.rounds))
            if "touch" in given.parts:
                made = {name: each for name, each in mountings(engine, home).items() if name in given.mounts}
                calls = {name: [{"S3 calls of touch": calls_of_touch(each, engine)}] for name, each in made.items()}
                keep("touch", calls)
            if "takeover" in given.parts:
                rows: record.Figures = {"moorfs killed: longest pause": dict(takeover(engine, home))}
                record.add(rows)
                record.table(rows)


if __name__ == "__main__":
    main()
