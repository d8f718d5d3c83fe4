"""Random deaths of the server and the engine under several writers, for a short time; `python -m crash` for long."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3engine
from crash import Diary, Storm, digest, judge, read

SECONDS = float(os.environ.get("MOORFS_CRASH_SECONDS", "8"))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[s3engine.Engine]:
    """One that dies."""
    with s3engine.running(tmp_path / "engine") as found:
        yield found


@pytest.mark.parametrize("road", ["passthrough", "server", "old"])
def test_nothing_that_was_promised_is_lost(engine: s3engine.Engine, tmp_path: Path, road: str) -> None:
    storm = Storm(tmp_path, engine, seed=1, passthrough=road == "passthrough", old=road == "old")

    counts = storm.run(SECONDS)

    assert counts["objects"] > 0
    assert "Traceback" not in storm.logs


def test_a_diary_tells_what_was_promised_and_what_was_under_way(tmp_path: Path) -> None:
    diary = Diary(tmp_path / "diary")
    diary.intend({"a": "1"})
    diary.promised()
    diary.intend({"a": "2"})

    assert read(tmp_path / "diary") == ({"a": "1"}, {"a": "2"}, "")


@pytest.mark.parametrize(("stored", "lost"), [(b"one", False), (b"two", False), (b"three", True), (None, True)])
def test_the_judge_finds_what_is_lost(tmp_path: Path, stored: bytes | None, lost: bool) -> None:
    diary = Diary(tmp_path / "diary")
    diary.intend({"a": digest(b"one")})
    diary.promised()
    diary.intend({"a": digest(b"two")})

    def found() -> bool:
        try:
            judge(tmp_path / "diary", lambda name: stored)
        except AssertionError:
            return True
        return False

    assert found() is lost


@pytest.mark.parametrize(("told", "lost"), [(("a",), False), (("b",), True), ((), True)])
def test_only_a_file_that_is_being_written_anew_may_be_empty(tmp_path: Path, told: tuple[str, ...], lost: bool) -> None:
    diary = Diary(tmp_path / "diary")
    diary.intend({"a": digest(b"one")})
    diary.promised()
    for name in told:
        diary.emptied(name)

    def judged() -> bool:
        try:
            judge(tmp_path / "diary", lambda name: b"")
        except AssertionError:
            return False
        return True

    assert judged() is not lost


def test_the_judge_misses_the_bytes_of_a_rename_that_lost_them(tmp_path: Path) -> None:
    diary = Diary(tmp_path / "diary")
    diary.intend({"a": digest(b"one")})
    diary.promised()
    diary.intend({"a": None, "b": digest(b"one")})

    with pytest.raises(AssertionError, match="neither"):
        judge(tmp_path / "diary", lambda name: None)
