"""`python -m bench.object`: rows of object mounts into build/bench.json. Needs root, /dev/fuse and Debian's mirror.

Every mount gets a bucket of its own with the same objects in it. What moorfs does in its own mount is measured with the
settings of a volume that says nothing.
"""

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import fault
import fusemount
import s3engine

from bench import record
from bench.object import bare, load
from bench.object.peers import PROGRAMS, Mounted, peer
from bench.record import Figures

Mounting = Callable[[str, str], AbstractContextManager[Mounted]]  # bucket and endpoint to a mount
STEPS = ("big", "small", "listing", "scattered")


def seed(engine: s3engine.Engine) -> str:
    """A bucket with what the steps read: one big object, small ones, and two folders with many."""
    bucket = engine.bucket()
    bare.put_many(engine, bucket, {"seeded/big": load.PAGE * load.BIG})
    small = {f"seeded/s1/{number}": load.PAGE[:4096] for number in range(load.SMALL)}
    small |= {f"seeded/s8/{number}": load.PAGE[:4096] for number in range(2 * load.SMALL)}
    for count in (1000, 10000):
        small |= {f"seeded/l{count}/{number}": b"" for number in range(count)}
    bare.put_many(engine, bucket, small)
    return bucket


@contextmanager
def moorfs(engine: s3engine.Engine, home: Path, bucket: str, endpoint: str) -> Generator[fusemount.Mount]:
    more = {"endpoint": endpoint} if endpoint else {}
    mount = fusemount.Mount(home, fusemount.make(home, engine, bucket, log_level="WARNING", **more))
    mount.mount()
    try:
        mount.start()
        yield mount
    finally:
        mount.close()
        shutil.rmtree(home, ignore_errors=True)


def mountings(engine: s3engine.Engine, home: Path) -> Mapping[str, Mounting]:
    @contextmanager
    def ours(bucket: str, endpoint: str) -> Generator[Mounted]:
        with moorfs(engine, home / "moorfs", bucket, endpoint) as mount:
            assert mount.server
            yield Served(mount)

    def theirs(command: str) -> Mounting:
        return lambda bucket, endpoint: peer(command, engine, bucket, endpoint)

    return {"moorfs": ours, **{name: theirs(command) for name, command in PROGRAMS.items()}}


class Served(Mounted):
    """Our mount: the namespace is its keeper's, the costs are those of the server."""

    def __init__(self, mount: fusemount.Mount) -> None:
        super().__init__(mount.namespace, str(mount.home / "mnt"))
        self.__dict__["_mount"] = mount

    def cost(self) -> dict[str, float]:
        server = self.__dict__["_mount"].server
        return Mounted(server.pid, "").cost()


def measure(mounting: Mounting, engine: s3engine.Engine) -> dict[str, float]:
    with mounting(seed(engine), "") as mounted:
        figures = mounted.load(*STEPS)
        figures |= mounted.cost()
    return figures | {"S3 calls of touch": calls_of_touch(mounting, engine)}


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
    for kills, name in ((0, "undisturbed"), (2, "killed twice")):
        with moorfs(engine, home / "stall", seed(engine), "") as mount:
            threads = [threading.Timer(1 + 1.5 * number, mount.replace) for number in range(kills)]
            for thread in threads:
                thread.start()
            (figure,) = Served(mount).load("stall").values()
            for thread in threads:
                thread.join()
            found[f"{name} ms"] = figure
    return found


def main() -> None:
    rows: Figures = {}
    with tempfile.TemporaryDirectory(prefix="moorage-bench-") as folder:
        home = Path(folder)
        with s3engine.running(home / "engine") as engine:
            for name, mounting in mountings(engine, home).items():
                print(f"· object mount: {name}", file=sys.stderr, flush=True)
                keep(rows, f"object mount: {name}", measure(mounting, engine))
            print("· bare S3, takeover", file=sys.stderr, flush=True)
            keep(rows, "bare S3 (boto3)", bare.measure(engine))
            keep(rows, "moorfs killed: longest pause", takeover(engine, home))
    ours, theirs = rows["object mount: moorfs"], rows["object mount: s3fs"]
    keep(rows, "moorfs : s3fs (more is better for moorfs)", shares(ours, theirs))


def keep(rows: Figures, name: str, figures: Mapping[str, float | str]) -> None:
    """Each row as soon as it is known: a later one may fail."""
    rows[name] = dict(figures)
    record.add({name: rows[name]})
    record.table({name: rows[name]})


def shares(ours: Mapping[str, float | str], theirs: Mapping[str, float | str]) -> dict[str, float | str]:
    """How many times better: rates as they are, times, memory and calls the other way round."""
    found: dict[str, float | str] = {}
    for name, value in ours.items():
        less = name.endswith((" ms", "MiB", " s")) or name.startswith("S3 calls")
        mine, other = float(value), float(theirs[name])
        found[name] = round((other / mine if less else mine / other) if mine and other else 0.0, 2)
    return found


if __name__ == "__main__":
    main()
