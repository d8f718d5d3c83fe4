"""Random operations on files of a mount and on the same files of a local disk, compared at every step.

    python -m compare [--seconds 600] [--seed N] [--kills] [--server]

`--kills`: the server is killed about every second, and another takes over. `--server`: without passthrough. At each
close and fsync the object is read back with boto3 and compared as well.
"""

import argparse
import contextlib
import errno
import hashlib
import itertools
import mmap
import os
import random
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusemount import Mount, make
from s3engine import Engine, running

NAMES = ("a", "b", "c", "d/e", "d/f")
Fetch = Callable[[str], bytes | None]


@dataclass
class Pair:
    """A name opened on both sides."""

    name: str
    ours: int
    theirs: int
    writable: bool
    gone: bool = False


@dataclass
class Comparer:
    """`mount` and `local` are folders, empty at first; `fetch` reads an object, None when there is none."""

    mount: Path
    local: Path
    fetch: Fetch
    seed: int
    most: int = 200_000  # bytes of a file
    said: deque[str] = field(default_factory=lambda: deque[str](maxlen=60))
    counts: Counter[str] = field(default_factory=Counter[str])
    step: int = 0
    pairs: list[Pair] = field(default_factory=list[Pair])

    def run(self, seconds: float = 1e9, steps: Iterable[int] | None = None) -> Counter[str]:
        """How often each operation was done; AssertionError with the last operations at the first difference.

        Every step has dice of its own: given some `steps`, only these are done, to find those that matter.
        """
        dice, end, verbs = random.Random(self.seed), time.monotonic() + seconds, self._verbs()  # noqa: S311
        for side in (self.mount, self.local):
            (side / "d").mkdir(exist_ok=True)
        try:
            for step in itertools.count() if steps is None else steps:
                if time.monotonic() > end:
                    break
                dice, self.step = random.Random(f"{self.seed} {step}"), step  # noqa: S311
                verb = dice.choice(verbs)
                self.counts[verb.__name__.strip("_")] += 1
                verb(dice)
            while self.pairs:
                self._close(dice)
            self._whole()
        except (AssertionError, OSError) as error:
            raise AssertionError(f"seed {self.seed} step {self.step}: {error!r}\n" + "\n".join(self.said)) from error
        return self.counts

    def _verbs(self) -> list[Callable[[random.Random], None]]:
        often = [self._pwrite, self._pread] * 4 + [self._open] * 3 + [self._close] * 2
        return [
            *often, self._append, self._truncate, self._ftruncate, self._map, self._fsync, self._rename, self._unlink,
            self._stat, self._read, self._chmod, self._utime, self._list, self._duplicate,
        ]  # fmt: skip

    def _both(self, said: str, ours: Callable[[], Any], theirs: Callable[[], Any]) -> Any:
        """Both sides do it; what they return, or the errors that they get, are equal."""
        self.said.append(said)
        results: list[Any] = []
        for work in (ours, theirs):
            try:
                results.append(work())
            except OSError as error:
                results.append(errno.errorcode.get(error.errno or 0))
        one, other = (hashlib.sha1(each).hexdigest() if isinstance(each, bytes) else each for each in results)  # noqa: S324
        assert one == other, f"{said}: {_short(results[0])} on the mount, {_short(results[1])} on the local disk"
        return results[0]

    def _paths(self, said: str, work: Callable[[Path], Any]) -> Any:
        return self._both(said, lambda: work(self.mount), lambda: work(self.local))

    def _pick(self, dice: random.Random, writable: bool = False) -> Pair | None:
        found = [each for each in self.pairs if each.writable or not writable]
        return dice.choice(found) if found else None

    def _open(self, dice: random.Random) -> None:
        if len(self.pairs) >= 6:
            return
        name, flags = dice.choice(NAMES), dice.choice((os.O_RDWR | os.O_CREAT, os.O_RDWR, os.O_RDONLY))
        flags |= dice.choice((0, 0, 0, os.O_TRUNC if flags & os.O_RDWR else 0))
        opened: list[int] = []

        def work(side: Path) -> bool:
            opened.append(os.open(side / name, flags, 0o644))
            return True

        if self._paths(f"open {name} {flags:o}", work) is True:
            self.pairs.append(Pair(name, opened[0], opened[1], bool(flags & os.O_RDWR)))

    def _close(self, dice: random.Random) -> None:
        if pair := self._pick(dice):
            self.pairs.remove(pair)
            self._both(f"close {pair.name}", lambda: os.close(pair.ours), lambda: os.close(pair.theirs))
            self._object(pair)

    def _duplicate(self, dice: random.Random) -> None:
        if pair := self._pick(dice):
            self._both(f"dup {pair.name}", lambda: os.close(os.dup(pair.ours)), lambda: os.close(os.dup(pair.theirs)))
            self._object(pair)

    def _fsync(self, dice: random.Random) -> None:
        if pair := self._pick(dice, writable=True):
            self._both(f"fsync {pair.name}", lambda: os.fsync(pair.ours), lambda: os.fsync(pair.theirs))
            self._object(pair)

    def _object(self, pair: Pair) -> None:
        """What a writer has closed or synced is stored."""
        if pair.writable and not pair.gone:
            stored, wanted = self.fetch(pair.name), (self.local / pair.name).read_bytes()
            self.counts["objects"] += 1
            assert stored == wanted, f"the object {pair.name} is {_short(stored)}, should be {_short(wanted)}"

    def _pwrite(self, dice: random.Random) -> None:
        if pair := self._pick(dice, writable=True):
            place, data = self._place(dice), dice.randbytes(dice.choice((1, 100, 4096, 20_000)))
            self._both(
                f"pwrite {pair.name} {len(data)} at {place}",
                lambda: os.pwrite(pair.ours, data, place), lambda: os.pwrite(pair.theirs, data, place),
            )  # fmt: skip

    def _pread(self, dice: random.Random) -> None:
        if pair := self._pick(dice):
            place, size = self._place(dice), dice.choice((1, 5000, 70_000))
            self._both(
                f"pread {pair.name} {size} at {place}",
                lambda: os.pread(pair.ours, size, place), lambda: os.pread(pair.theirs, size, place),
            )  # fmt: skip

    def _map(self, dice: random.Random) -> None:
        pair = self._pick(dice, writable=True)
        size = os.fstat(pair.theirs).st_size if pair else 0
        if not pair or not size:
            return
        place, data = dice.randrange(size), dice.randbytes(300)

        def work(file: int) -> int:
            with mmap.mmap(file, size) as mapped:
                piece = data[: size - place]
                mapped[place : place + len(piece)] = piece
                mapped.flush()
            return len(piece)

        self._both(f"map {pair.name} at {place} of {size}", lambda: work(pair.ours), lambda: work(pair.theirs))

    def _append(self, dice: random.Random) -> None:
        name, data = dice.choice(NAMES), dice.randbytes(dice.choice((3, 5000)))

        def work(side: Path) -> int:
            file = os.open(side / name, os.O_WRONLY | os.O_APPEND)
            try:
                return os.write(file, data)
            finally:
                os.close(file)

        if self._paths(f"append {name} {len(data)}", work) == len(data):
            self._object(Pair(name, -1, -1, writable=True))

    def _truncate(self, dice: random.Random) -> None:
        name, size = dice.choice(NAMES), self._place(dice)
        self._paths(f"truncate {name} to {size}", lambda side: os.truncate(side / name, size))

    def _ftruncate(self, dice: random.Random) -> None:
        if pair := self._pick(dice, writable=True):
            size = self._place(dice)
            self._both(
                f"ftruncate {pair.name} to {size}",
                lambda: os.ftruncate(pair.ours, size), lambda: os.ftruncate(pair.theirs, size),
            )  # fmt: skip

    def _rename(self, dice: random.Random) -> None:
        old, new = dice.sample(NAMES, 2)
        if self._paths(f"rename {old} {new}", lambda side: os.rename(side / old, side / new)) is None:
            for pair in self.pairs:
                pair.gone = pair.gone or pair.name == new
                pair.name = new if pair.name == old and not pair.gone else pair.name

    def _unlink(self, dice: random.Random) -> None:
        name = dice.choice(NAMES)
        if self._paths(f"unlink {name}", lambda side: os.unlink(side / name)) is None:
            for pair in self.pairs:
                pair.gone = pair.gone or pair.name == name

    def _stat(self, dice: random.Random) -> None:
        name = dice.choice(NAMES)
        self._paths(f"stat {name}", lambda side: _told(os.stat(side / name)))

    def _chmod(self, dice: random.Random) -> None:
        name, mode = dice.choice(NAMES), dice.choice((0o600, 0o644, 0o755))
        self._paths(f"chmod {name} {mode:o}", lambda side: os.chmod(side / name, mode))

    def _utime(self, dice: random.Random) -> None:
        name, when = dice.choice(NAMES), dice.randrange(1 << 60)

        def work(side: Path) -> int:
            os.utime(side / name, ns=(when, when))
            return os.stat(side / name).st_mtime_ns

        self._paths(f"utime {name} {when}", work)

    def _read(self, dice: random.Random) -> None:
        name = dice.choice(NAMES)
        self._paths(f"read {name}", lambda side: (side / name).read_bytes())

    def _list(self, dice: random.Random) -> None:
        where = dice.choice((".", "d"))
        self._paths(f"list {where}", lambda side: sorted(os.listdir(side / where)))

    def _place(self, dice: random.Random) -> int:
        return dice.choice((0, dice.randrange(5000), dice.randrange(self.most)))

    def _whole(self) -> None:
        for name in NAMES:
            self._paths(f"read {name} at the end", lambda side: (side / name).read_bytes())  # noqa: B023
            with contextlib.suppress(FileNotFoundError):
                wanted = (self.local / name).read_bytes()
                assert self.fetch(name) == wanted, f"the object {name} at the end"


def _told(found: os.stat_result) -> tuple[int, ...]:
    return found.st_mode, found.st_size, found.st_nlink


def _short(value: object) -> str:
    return f"{len(value)} bytes {value[:16]!r}" if isinstance(value, bytes) else repr(value)


def fetcher(engine: Engine, bucket: str) -> Fetch:
    """Reads objects; made in the process that uses it."""
    s3: Any = engine.s3

    def fetch(key: str) -> bytes | None:
        try:
            return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        except s3.exceptions.NoSuchKey:
            return None

    return fetch


def compared(
    mount: Mount, engine: Engine, local: Path, seed: int, seconds: float, kills: float | None = None, **more: Any
) -> Counter[str]:
    """Compare in a child, whose working directory is the mount; with `kills`, kill the server every so many seconds."""
    local.mkdir(parents=True)

    def work() -> Counter[str]:
        fetch = fetcher(engine, mount.settings.bucket)
        return Comparer(Path("."), local, fetch, seed, **more).run(seconds)

    job, deaths = mount.begin(work), 0
    while kills and job.running:
        time.sleep(kills)
        if job.running:
            mount.replace()
            deaths += 1
    counts = job.result(seconds + 60)
    counts["deaths"] = deaths
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--kills", action="store_true")
    parser.add_argument("--server", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="moorfs-compare-") as home, running(Path(home) / "engine") as engine:
        settings = make(Path(home) / "a", engine, engine.bucket(), passthrough=not given.server, log_level="INFO")
        mount = Mount(Path(home) / "a", settings)
        try:
            mount.mount()
            mount.start()
            kills = 1.0 if given.kills else None
            counts = compared(mount, engine, Path(home) / "local", given.seed, given.seconds, kills)
            print(f"seed {given.seed}: no difference; " + ", ".join(f"{n} {c}" for n, c in sorted(counts.items())))
        except BaseException:
            print(mount.log[-6000:])
            raise
        finally:
            mount.close()


if __name__ == "__main__":
    main()
