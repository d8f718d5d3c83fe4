"""Random operations on files of a mount and on the same files of a local disk, compared at every step.

    python -m compare [--seconds 600] [--each 60] [--seed N] [--kills] [--server] [--old] [--parts]

`--kills`: the server is killed about every second, and another takes over. `--server`: without passthrough. `--old`:
as on kernels before 6.9, where with `--kills` each server hands over to the next. `--parts`: bigger files, in parts. At
each close and fsync the object is read back with boto3 and compared as well. Every `--each` seconds a new mount and the
next seed begin; what is printed at a difference repeats it.
"""

import argparse
import contextlib
import ctypes
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
from partserver import COMMAND
from s3engine import Engine, running

NAMES = ("a", "b", "c", "d/e", "d/f", "g/e")
FOLDERS = ("d", "g")
LINK = "l"
PUNCH, ZERO, KEEP = 2, 16, 1  # modes of fallocate(2)
_libc = ctypes.CDLL(None, use_errno=True)
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
            (side / FOLDERS[0]).mkdir(exist_ok=True)
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
            self._stat, self._read, self._chmod, self._utime, self._list, self._duplicate, self._allocate, self._folder,
            self._link,
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
        name, flags = dice.choice(NAMES), dice.choice((os.O_RDWR, os.O_WRONLY, os.O_WRONLY, os.O_RDONLY))
        if flags != os.O_RDONLY:
            flags |= dice.choice((os.O_CREAT, os.O_CREAT, 0)) | dice.choice((0, 0, 0, os.O_TRUNC, os.O_APPEND))
        opened: list[int] = []

        def work(side: Path) -> bool:
            opened.append(os.open(side / name, flags, 0o644))
            return True

        if self._paths(f"open {name} {flags:o}", work) is True:
            self.pairs.append(Pair(name, opened[0], opened[1], bool(flags & os.O_ACCMODE)))

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

    def _folder(self, dice: random.Random) -> None:
        old, new = dice.sample(FOLDERS, 2)
        work = dice.choice((self._make, self._remove, self._move, self._move))
        work(old, new)

    def _make(self, name: str, _: str) -> None:
        self._paths(f"mkdir {name}", lambda side: os.mkdir(side / name))

    def _remove(self, name: str, _: str) -> None:
        self._paths(f"rmdir {name}", lambda side: os.rmdir(side / name))

    def _move(self, old: str, new: str) -> None:
        if self._paths(f"rename {old} {new}", lambda side: os.rename(side / old, side / new)) is None:
            for pair in self.pairs:
                if pair.name.startswith(f"{old}/") and not pair.gone:
                    pair.name = f"{new}/{pair.name.removeprefix(f'{old}/')}"

    def _link(self, dice: random.Random) -> None:
        target = dice.choice(NAMES)
        work: Callable[[Path], Any] = dice.choice(
            (
                lambda side: os.symlink(target, side / LINK), lambda side: os.unlink(side / LINK),
                lambda side: os.readlink(side / LINK), lambda side: (side / LINK).read_bytes(),
            )
        )  # fmt: skip
        self._paths(f"symbolic link to {target}", work)

    def _allocate(self, dice: random.Random) -> None:
        if pair := self._pick(dice, writable=True):
            mode, place = dice.choice((0, KEEP, PUNCH | KEEP, ZERO, ZERO | KEEP)), self._place(dice)
            size = dice.randrange(1, 50_000)
            self._both(
                f"fallocate {pair.name} mode {mode}, {size} at {place}",
                lambda: _fallocate(pair.ours, mode, place, size), lambda: _fallocate(pair.theirs, mode, place, size),
            )  # fmt: skip

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
        where = dice.choice((".", *FOLDERS))
        self._paths(f"list {where}", lambda side: sorted(os.listdir(side / where)))

    def _place(self, dice: random.Random) -> int:
        return dice.choice((0, dice.randrange(5000), dice.randrange(self.most)))

    def _whole(self) -> None:
        for name in NAMES:
            self._paths(f"read {name} at the end", lambda side: (side / name).read_bytes())  # noqa: B023
            with contextlib.suppress(FileNotFoundError):
                wanted = (self.local / name).read_bytes()
                assert self.fetch(name) == wanted, f"the object {name} at the end"


def _fallocate(file: int, mode: int, place: int, size: int) -> None:
    """fallocate(2); Python has only that of POSIX."""
    if _libc.fallocate(file, mode, ctypes.c_int64(place), ctypes.c_int64(size)):
        raise OSError(ctypes.get_errno(), "fallocate")


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
            _follow(mount)
            deaths += 1
    counts = job.result(seconds + 60)
    counts["deaths"] = deaths
    return counts


def _follow(mount: Mount) -> None:
    """Another server: after a death where the kernel sends requests again, else after a handover."""
    if mount.settings.resend:
        return mount.replace()
    assert mount.ask("handover")["finished"] is True
    assert mount.server
    assert mount.server.wait(30) == 4
    return mount.start(takeover=True)


@dataclass(frozen=True)
class Road:
    """How files are served, and whether servers die meanwhile."""

    kills: bool
    server: bool
    old: bool
    parts: bool

    def run(self, home: Path, seed: int, seconds: float) -> Counter[str]:
        with running(home / "engine") as engine:
            part = {"multipart_from": 5 << 20, "part_size": 5 << 20} if self.parts else {}
            direct = not (self.server or self.old)
            settings = make(
                home / "a", engine, engine.bucket(), passthrough=direct, resend=not self.old, log_level="INFO", **part
            )
            mount = Mount(home / "a", settings)
            mount.command = COMMAND if self.parts else mount.command
            try:
                mount.mount()
                mount.start()
                most = 12 << 20 if self.parts else 200_000
                counts = compared(mount, engine, home / "local", seed, seconds, 1.0 if self.kills else None, most=most)
                assert "Traceback" not in mount.log, "moorfs met a mistake of its own"
                return counts
            except BaseException:
                print(mount.log[-6000:])
                raise
            finally:
                mount.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--each", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    roads = ("kills", "server", "old", "parts")
    for each in roads:
        parser.add_argument(f"--{each}", action="store_true")
    given = parser.parse_args()
    road, end = Road(**{each: getattr(given, each) for each in roads}), time.monotonic() + given.seconds
    words = "".join(f" --{each}" for each in roads if getattr(given, each))
    for seed in itertools.count(given.seed):
        seconds = min(given.each, end - time.monotonic())
        if seconds < 1:
            return
        with tempfile.TemporaryDirectory(prefix="moorfs-compare-") as home:
            try:
                counts = road.run(Path(home), seed, seconds)
            except BaseException:
                print(f"seed {seed}: repeat it by: python -m compare --seed {seed} --seconds {given.each:.0f}{words}")
                raise
        said = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        print(f"seed {seed}{words}: no difference; {said}", flush=True)


if __name__ == "__main__":
    main()
