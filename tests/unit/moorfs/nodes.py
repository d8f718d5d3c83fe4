"""Random operations on two mounts of one bucket, as on two nodes, and on a local disk, compared at every step.

    python -m nodes [--seconds 600] [--each 60] [--seed N] [--believe 60] [--kills]

`--kills`: each second one of the two servers is killed, and another takes over.
Before it goes to the other mount it waits until what that one knows is believed no longer: then all is seen that was
closed here. `--believe`: how long listings believe modes and owners (`metadata_ttl`).
"""

import argparse
import itertools
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from compare import NAMES, Comparer, Pair, fetcher
from fusemount import Mount, make
from s3engine import Engine, running

TTL = 0.1


@dataclass
class Nodes(Comparer):
    """`sides`: where the bucket is mounted. Files are open for one operation only: two writers would conflict."""

    sides: tuple[Path, ...] = ()

    def run(self, seconds: float = 1e9, steps: Iterable[int] | None = None) -> Counter[str]:
        return super().run(seconds, self._turns(seconds) if steps is None else steps)

    def _turns(self, seconds: float) -> Iterable[int]:
        """The steps, each on the mount that its dice say."""
        end = time.monotonic() + seconds
        for step in itertools.count():
            if time.monotonic() > end:
                return
            side = random.Random(f"{self.seed} side {step}").choice(self.sides)  # noqa: S311
            if side != self.mount:
                time.sleep(1.5 * TTL)
                self.mount = side
                self.said.append(f"on {side}:")
            yield step

    def _verbs(self) -> list[Callable[[random.Random], None]]:
        return [
            self._put, self._put, self._put, self._append, self._append, self._truncate, self._rename, self._unlink,
            self._stat, self._read, self._chmod, self._utime, self._list, self._folder, self._link,
        ]  # fmt: skip

    def _put(self, dice: random.Random) -> None:
        name, data = dice.choice(NAMES), dice.randbytes(dice.choice((0, 3, 5000, 70_000)))
        if self._paths(f"put {name} {len(data)}", lambda side: (side / name).write_bytes(data)) == len(data):
            self._object(Pair(name, -1, -1, writable=True))


def compared(
    home: Path, engine: Engine, seed: int, seconds: float, believe: float = TTL, kills: bool = False
) -> Counter[str]:
    """AssertionError with the seed and the last operations at the first difference."""
    bucket, local = engine.bucket(), home / "local"
    local.mkdir()
    with ExitStack() as stack:
        mounts = [_mounted(home / name, engine, bucket, believe, stack) for name in ("a", "b")]
        sides = tuple(each.files for each in mounts)

        def work() -> Counter[str]:
            return Nodes(sides[0], local, fetcher(engine, bucket), seed, sides=sides).run(seconds)

        try:
            job = mounts[0].begin(work)
            for mount in itertools.cycle(mounts if kills else ()):
                time.sleep(1)
                if not job.running:
                    break
                mount.replace()
            return job.result(seconds + 60)
        except BaseException:
            print(*(each.log[-3000:] for each in mounts), sep="\n")
            raise


def _mounted(home: Path, engine: Engine, bucket: str, believe: float, stack: ExitStack) -> Mount:
    direct = home.name == "a"
    made = Mount(home, make(home, engine, bucket, ttl=TTL, metadata_ttl=believe, passthrough=direct, log_level="INFO"))
    stack.callback(made.close)
    made.mount()
    made.start()
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--each", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--believe", type=float, default=TTL)
    parser.add_argument("--kills", action="store_true")
    given = parser.parse_args()
    end = time.monotonic() + given.seconds
    for seed in itertools.count(given.seed):
        seconds = min(given.each, end - time.monotonic())
        if seconds < 1:
            return
        with tempfile.TemporaryDirectory(prefix="moorfs-nodes-") as name, running(Path(name) / "engine") as engine:
            counts = compared(Path(name), engine, seed, seconds, given.believe, given.kills)
        said = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        print(f"seed {seed}: two nodes, no difference; {said}", flush=True)


if __name__ == "__main__":
    main()
