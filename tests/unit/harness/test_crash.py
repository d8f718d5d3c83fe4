"""The crash checker's program: it finds what we break, and nothing where nothing is broken."""

from __future__ import annotations

import fcntl
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import crash
from harness.checker import report
from harness.story import Findings, Story, contents, judge

PROGRAM = Path(crash.__file__).read_text()
TOLD = 60  # records


def place_of(number: int) -> tuple[str, int]:
    file, slot = crash.place(number)
    return crash.FILES[file][0], slot * crash.SIZE


def overwrite(folder: Path, number: int, data: bytes, at: int = 0) -> None:
    """Bytes into the slot of a record."""
    name, start = place_of(number)
    with (folder / name).open("r+b") as file:
        file.seek(start + at)
        file.write(data)


def verify(folder: Path, told: list[str]) -> Findings:
    """What is found in the folder, read by the program as in a pod."""
    heard = Story()
    for line in told:
        heard.hear(line)
    done = subprocess.run(
        [sys.executable, "-IS", "-c", PROGRAM, "read", folder], capture_output=True, check=True, text=True
    )
    return judge(heard, contents(done.stdout.splitlines()))


def story(acknowledged: int, *more: str) -> list[str]:
    acks = [f"ack {number} {number / 10}" for number in range(acknowledged)]
    return ["start 0", *acks, *more, f"end {acknowledged / 10}"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a writer leaves that was told of 60 records."""
    for name, _ in crash.FILES:
        (tmp_path / name).touch()
    for number in range(TOLD):
        overwrite(tmp_path, number, crash.record(number))
    return tmp_path


def newest(name: str, before: int = TOLD) -> int:
    """The last record that went into a file."""
    return max(number for number in range(before) if place_of(number)[0] == name)


def test_nothing_is_found_where_nothing_is_broken(folder: Path) -> None:
    found = verify(folder, story(TOLD))

    assert found == Findings(acknowledged=TOLD)


@pytest.mark.parametrize("name", ["log", "ring", "pair"])
def test_a_slot_of_zeros_is_a_lost_record(folder: Path, name: str) -> None:
    overwrite(folder, newest(name), bytes(crash.SIZE))

    assert verify(folder, story(TOLD)).lost == [newest(name)]


def test_an_older_record_in_its_slot_is_a_lost_record(folder: Path) -> None:
    number = newest("pair")
    overwrite(folder, number, crash.record(number - 2 * len(crash.FILES)))

    assert verify(folder, story(TOLD)).lost == [number]


def test_a_shorter_file_has_lost_its_end(folder: Path) -> None:
    os.truncate(folder / "log", (folder / "log").stat().st_size - 2 * crash.SIZE)

    assert verify(folder, story(TOLD)).lost == [newest("log") - len(crash.FILES), newest("log")]


def test_a_missing_file_has_lost_all(folder: Path) -> None:
    (folder / "ring").unlink()

    assert len(verify(folder, story(TOLD)).lost) == TOLD // len(crash.FILES)


@pytest.mark.parametrize("at", [0, 9, 100, 4096, crash.SIZE - 1])
def test_one_wrong_byte_anywhere_makes_a_record_torn(folder: Path, at: int) -> None:
    number = newest("log")
    overwrite(folder, number, b"\xff", at)

    assert verify(folder, story(TOLD)).torn == [number]


def test_half_a_record_at_the_end_is_torn(folder: Path) -> None:
    os.truncate(folder / "log", (folder / "log").stat().st_size - 100)

    assert verify(folder, story(TOLD)).torn == [newest("log")]


def test_a_whole_record_of_another_place_is_misplaced(folder: Path) -> None:
    overwrite(folder, newest("log"), crash.record(newest("ring")))

    assert verify(folder, story(TOLD)).misplaced == [newest("log")]


def test_a_record_that_was_never_begun_is_misplaced(folder: Path) -> None:
    later = newest("pair") + 20 * 2 * len(crash.FILES)
    overwrite(folder, newest("pair"), crash.record(later))

    assert verify(folder, story(TOLD)).misplaced == [newest("pair")]


@pytest.mark.parametrize("data", [crash.record(TOLD), crash.record(TOLD)[:3000] + bytes(2000)])
def test_a_record_that_was_begun_and_not_acknowledged_may_be_there_in_part(folder: Path, data: bytes) -> None:
    """Number 60 is the next after the last that was acknowledged."""
    overwrite(folder, TOLD, data)

    assert verify(folder, story(TOLD)) == Findings(acknowledged=TOLD)


def test_what_failed_may_be_there_or_not_and_is_told(folder: Path) -> None:
    lines = story(TOLD, f"error {TOLD} 5 Input/output error", f"ack {TOLD + 1} 7")
    overwrite(folder, TOLD + 1, crash.record(TOLD + 1))

    found = verify(folder, lines)

    assert found == Findings(acknowledged=TOLD + 1)
    assert report("\n".join(lines), "", "").errors == (f"{TOLD} 5 Input/output error",)


def test_the_longest_stall_is_told_and_a_writer_without_an_end_hung() -> None:
    lines = ["start 10", "ack 0 10.5", "ack 1 14.0", "ack 2 14.1", "lock 14.2"]

    assert report("\n".join([*lines, "end 15"]), "rival", "").longest_stall == 3.5
    assert report("\n".join(lines), "rival", "").longest_stall == math.inf


@pytest.mark.parametrize(
    ("told", "rival", "kept"),
    [
        ("start 0\nlock 1\nend 2", "rival", True),
        ("start 0\nend 2", "rival", False),
        ("start 0\nlock 1\nlost 5 Input/output error\nend 2", "rival", False),
        ("start 0\nlock 1\nend 2", "rival\ntaken 1.5", False),
    ],
)
def test_the_lock_is_kept_when_its_holder_has_it_and_the_rival_never_gets_it(told: str, rival: str, kept: bool) -> None:
    seen = report(told, rival, "")

    assert (seen.lock_kept, seen.sound) == (kept, kept)


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Start]:
    """Starts the program as a pod does, from its text."""
    started: list[subprocess.Popen[str]] = []

    def start(role: str, *rest: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-IS", "-c", PROGRAM, role, str(tmp_path), *rest]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def until(process: subprocess.Popen[str], word: str, count: int = 1) -> list[str]:
    """Lines up to the one that begins with the word for the count-th time."""
    assert process.stdout is not None
    lines: list[str] = []
    while sum(line.startswith(word) for line in lines) < count:
        line = process.stdout.readline()
        assert line, f"the program ended: {lines[-3:]}"
        lines.append(line)
    return lines


def test_a_real_run_is_sound_and_its_lock_refused_to_the_rival(tmp_path: Path, program: Start) -> None:
    writer = program("write", "0")
    told = until(writer, "lock")
    rival = program("rival")
    until(rival, "rival")
    told += until(writer, "lock", 3)  # three times as long as the rival waits between two tries
    writer.send_signal(signal.SIGTERM)
    told += until(writer, "end")
    rival.kill()

    found, _ = program("read").communicate(timeout=60)
    seen = report("".join(told), rival.communicate()[0], found)

    assert seen.acknowledged > 20
    assert seen.sound, seen
    assert seen.longest_stall < math.inf


def test_the_rival_of_a_dead_holder_gets_the_lock_and_leaves_its_mark(tmp_path: Path, program: Start) -> None:
    holder = program("write")
    until(holder, "lock")
    rival = program("rival")
    until(rival, "rival")

    holder.kill()

    until(rival, "taken")
    assert (tmp_path / crash.LOCK).read_bytes().startswith(crash.THEIRS)


def test_a_holder_that_sees_anothers_mark_says_so(tmp_path: Path, program: Start) -> None:
    holder = program("write")
    until(holder, "lock")

    with (tmp_path / crash.LOCK).open("r+b") as file:
        file.write(crash.THEIRS)

    assert "rival!" in until(holder, "lost")[-1]


def test_a_lock_that_is_taken_already_is_told(tmp_path: Path, program: Start) -> None:
    with (tmp_path / crash.LOCK).open("w+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)

        assert until(program("write"), "lost")[-1].split()[1] in ("11", "13")


def test_a_volume_that_cannot_be_written_gives_errors_and_no_acknowledgements(tmp_path: Path, program: Start) -> None:
    for name, _ in crash.FILES:
        (tmp_path / name).mkdir()

    told = until(program("write"), "error", 3)

    assert not [line for line in told if line.startswith("ack")]
    assert "Is a directory" in told[-1]


def test_a_later_run_in_the_same_folder_is_judged_by_its_own_story(tmp_path: Path, program: Start) -> None:
    for _ in range(2):
        writer = program("write", "0")
        told = until(writer, "ack", 30)
        writer.send_signal(signal.SIGTERM)
        told += until(writer, "end")
        writer.kill()
        writer.wait(10)

    found = verify(tmp_path, told)

    assert (found.lost, found.torn) == ([], [])
