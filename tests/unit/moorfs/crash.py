"""Writers on a mount whose server and engine die at random moments; all that was promised is read back by S3.

    python -m crash [--seconds 600] [--seed N] [--server] [--old]

Each writer has files of its own, and a diary outside of the mount: a line before each change, of what shall be stored,
and one when the call that promises it has returned. While nobody serves the mount, each object is what was promised
last, or what the unfinished change was to make, or empty while a file that was opened with O_TRUNC is not closed yet.
`--server`: without passthrough. `--old`: as on kernels before 6.9, where the mount dies with its server and another
one is mounted.
"""

import argparse
import contextlib
import hashlib
import json
import mmap
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compare import Fetch, fetcher
from fusemount import Job, Mount, make
from partserver import COMMAND
from s3engine import Engine, running

WRITERS, NAMES = 4, 6
SIZES = (0, 1, 100, 4096, 70_000, 70_000, 1_500_000, 12_000_000)
PIECE = 300_000
MULTIPART = 5 << 20
State = dict[str, str | None]
EMPTY = b""


def digest(data: bytes | None) -> str | None:
    return None if data is None else f"{len(data)}:{hashlib.sha256(data).hexdigest()[:16]}"


class Diary:
    """Of one writer: what it is about to change, and that this was promised. Names to digests; None: no such file."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def intend(self, changes: State) -> None:
        os.write(self._fd, json.dumps(changes).encode() + b"\n")

    def promised(self) -> None:
        os.write(self._fd, b"true\n")

    def emptied(self, name: str) -> None:
        """It is being opened with O_TRUNC: from now on, and until its close is promised, it may be empty."""
        os.write(self._fd, json.dumps(name).encode() + b"\n")


def read(path: Path) -> tuple[State, State, str]:
    """What was promised, and what was under way at the end of the diary; the file that may be empty, if any."""
    kept: State = {}
    pending: State = {}
    emptied = ""
    for line in path.read_bytes().splitlines() if path.exists() else ():
        said = json.loads(line)
        if said is True:
            kept, pending, emptied = {**kept, **pending}, {}, ""
        elif isinstance(said, str):
            emptied = said
        else:
            pending = said
    return kept, pending, emptied


@dataclass
class Writer:
    """Changes files at random until `stop` is there; gives how often it did what. `prefix`: its names begin so."""

    prefix: str
    diary: Path
    stop: Path
    seed: str
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    counts: Counter[str] = field(default_factory=Counter[str])

    def run(self) -> Counter[str]:
        dice, self.notes = random.Random(self.seed), Diary(self.diary)  # noqa: S311
        verbs = [self._put, self._put, self._append, self._patch, self._map, self._truncate, self._rename, self._unlink]
        os.makedirs(self.prefix, exist_ok=True)
        while not self.stop.exists():
            verb = dice.choice(verbs)
            name = f"{self.prefix}/{dice.randrange(NAMES)}"
            if name not in self.files and verb != self._put:
                continue
            self.counts[verb.__name__.strip("_")] += 1
            verb(name, dice)
            self._look(name)
        return self.counts

    def _look(self, name: str) -> None:
        """It reads what it wrote."""
        try:
            found: bytes | None = Path(name).read_bytes()
        except FileNotFoundError:
            found = None
        assert digest(found) == digest(self.files.get(name)), f"{name}: {self.counts}"

    def _changed(self, work: Callable[[], object], changes: dict[str, bytes | None]) -> None:
        """`work` returns when the changes are promised."""
        self.notes.intend({name: digest(data) for name, data in changes.items()})
        work()
        self.notes.promised()
        for name, data in changes.items():
            self.files.pop(name, None)
            if data is not None:
                self.files[name] = data

    def _put(self, name: str, dice: random.Random) -> None:
        data = dice.randbytes(dice.choice(SIZES))
        self.notes.emptied(name)
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for place in range(0, len(data), PIECE):
            os.write(file, data[place : place + PIECE])
        self._changed(lambda: os.close(file), {name: data})

    def _append(self, name: str, dice: random.Random) -> None:
        file = os.open(name, os.O_WRONLY | os.O_APPEND)
        for _ in range(dice.randrange(1, 4)):
            data = dice.randbytes(dice.choice((3, 5000)))
            os.write(file, data)
            self._changed(lambda: os.fsync(file), {name: self.files[name] + data})
        os.close(file)

    def _patch(self, name: str, dice: random.Random) -> None:
        data = bytearray(self.files[name])
        file = os.open(name, os.O_RDWR)
        for _ in range(dice.randrange(4)):
            place, piece = dice.randrange(len(data) + 10), dice.randbytes(dice.choice((1, 5000)))
            data += bytes(max(place - len(data), 0))
            data[place : place + len(piece)] = piece
            os.pwrite(file, piece, place)
        self._changed(lambda: os.close(file), {name: bytes(data)})

    def _map(self, name: str, dice: random.Random) -> None:
        data = bytearray(self.files[name])
        if not data:
            return
        file = os.open(name, os.O_RDWR)
        with mmap.mmap(file, 0) as mapped:
            place = dice.randrange(len(data))
            mapped[place] = data[place] = dice.randrange(256)
            self._changed(mapped.flush, {name: bytes(data)})
        os.close(file)

    def _truncate(self, name: str, dice: random.Random) -> None:
        size = dice.choice((0, dice.randrange(100_000)))
        self._changed(lambda: os.truncate(name, size), {name: self.files[name][:size].ljust(size, b"\0")})

    def _rename(self, name: str, dice: random.Random) -> None:
        new = f"{self.prefix}/{dice.randrange(NAMES)}"
        if new != name:
            self._changed(lambda: os.rename(name, new), {name: None, new: self.files[name]})

    def _unlink(self, name: str, dice: random.Random) -> None:
        self._changed(lambda: os.unlink(name), {name: None})


def judge(diary: Path, fetch: Fetch, ended: bool = False) -> int:
    """Compare each object of a writer with its diary, while nobody serves; how many there were. `ended`: nothing was
    under way. AssertionError names what is lost."""
    kept, pending, emptied = read(diary)
    assert not (ended and (pending or emptied)), f"{diary.name}: the writer ended within {pending} {emptied}"
    found = {name: digest(fetch(name)) for name in kept.keys() | pending.keys()}
    for name, stored in found.items():
        good = {kept.get(name), pending.get(name, kept.get(name)), *((digest(EMPTY),) if name == emptied else ())}
        assert stored in good, f"{name} is {stored}; promised {kept.get(name)}, under way {pending}"
    moved = [name for name, data in pending.items() if data is not None]
    if len(pending) == 2 and moved:  # a rename: one of both names has the bytes
        assert pending[moved[0]] in found.values(), f"neither of {list(pending)} has {pending[moved[0]]}"
    return len(found)


@dataclass
class Storm:
    """`old`: no passthrough, nothing is sent again."""

    home: Path
    engine: Engine
    seed: int
    passthrough: bool = True
    old: bool = False
    counts: Counter[str] = field(default_factory=Counter[str])
    logs: str = ""

    def run(self, seconds: float) -> Counter[str]:
        """How often what was done; AssertionError with the seed when something was lost, or a writer saw an error."""
        self._dice = random.Random(self.seed)  # noqa: S311
        self._bucket = self.engine.bucket()
        self._fetch = fetcher(self.engine, self._bucket)
        self._stop = self.home / "stop"
        self._diaries: list[Path] = []
        try:
            self._mount, self._jobs = self._begin()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(self._dice.uniform(0.02, 1.2))
                self._strike()
            self._finish()
        except BaseException as error:
            raise AssertionError(f"seed {self.seed}: {error!r}; {self.counts}") from error
        finally:
            self._mount.close()
            self.logs += self._mount.log
        return self.counts

    def _begin(self) -> tuple[Mount, "list[Job[Counter[str]]]"]:
        turn = self.counts["mounts"]
        self.counts["mounts"] += 1
        home = self.home / f"mount-{turn}"
        more: dict[str, Any] = {"multipart_from": MULTIPART, "part_size": MULTIPART, "cache": str(self.home / "cache")}
        direct = self.passthrough and not self.old
        settings = make(home, self.engine, self._bucket, passthrough=direct, resend=not self.old, **more)
        mount = self._mount = Mount(home, settings, COMMAND)
        mount.mount()
        mount.start()
        return mount, [mount.begin(self._writer(turn, number).run) for number in range(WRITERS)]

    def _writer(self, turn: int, number: int) -> Writer:
        prefix = f"{turn}-{number}"
        self._diaries.append(self.home / f"diary-{prefix}")
        return Writer(prefix, self._diaries[-1], self._stop, f"{self.seed} {prefix}")

    def _strike(self) -> None:
        for job in self._jobs:
            if not job.running:
                job.result()  # its error
        verbs = [self._once] * 4 if self.old else [self._once] * 4 + [self._twice] * 2
        verb = self._dice.choice([*verbs, self._engine, self._both])
        self.counts[verb.__name__.strip("_")] += 1
        verb()

    def _once(self) -> None:
        self._mount.kill()
        self._judged()
        self._again()

    def _twice(self) -> None:
        """The one who takes over dies as well."""
        self._mount.kill()
        self._mount.start(takeover=True, ready=False)
        time.sleep(self._dice.uniform(0, 0.5))
        self._mount.kill()
        self._judged()
        self._again()

    def _engine(self) -> None:
        self.engine.stop()
        time.sleep(self._dice.uniform(0, 1))
        self.engine.start()

    def _both(self) -> None:
        self._mount.kill()
        self.engine.restart()
        self._judged()
        self._again()

    def _judged(self) -> None:
        self.counts["objects"] += sum(judge(diary, self._fetch) for diary in self._diaries)

    def _again(self) -> None:
        if not self.old:
            self._mount.start(takeover=True)
            return
        self._mount.start(takeover=True, ready=False)
        assert self._mount.server
        assert self._mount.server.wait(30) == 3
        self._mount.abort()
        for job in self._jobs:
            with contextlib.suppress(OSError):  # that is how these kernels' mounts end
                self.counts.update(job.result())
        self._judged()
        self._mount.close()
        self.logs += self._mount.log
        self._mount, self._jobs = self._begin()

    def _finish(self) -> None:
        self._stop.touch()
        for job in self._jobs:
            self.counts.update(job.result(120))
        self._mount.kill()
        self.counts["objects"] += sum(judge(each, self._fetch, ended=not self.old) for each in self._diaries)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--server", action="store_true")
    parser.add_argument("--old", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="moorfs-crash-") as name, running(Path(name) / "engine") as engine:
        storm = Storm(Path(name), engine, given.seed, not given.server, given.old)
        try:
            counts = storm.run(given.seconds)
        except BaseException:
            print(storm.logs[-8000:])
            words = " --server" * given.server + " --old" * given.old
            print(f"repeat it by: python -m crash --seed {given.seed} --seconds {given.seconds:.0f}{words}")
            raise
        print(f"seed {given.seed}: nothing lost; " + ", ".join(f"{n} {c}" for n, c in sorted(counts.items())))


if __name__ == "__main__":
    main()
