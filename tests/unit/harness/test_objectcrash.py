"""The crash checker of object volumes, on a folder of this machine: what it writes is whole, what is spoilt is seen."""

import subprocess
import sys
from pathlib import Path

from harness import objectcrash
from harness.story import Story, contents, judge


def written(folder: Path, count: int) -> Story:
    story = Story()
    for number in range(count):
        objectcrash.store(str(folder), number)
        story.hear(f"ack {number} {number}.0")
    return story


def seen(folder: Path) -> dict[tuple[int, int], int | str]:
    argv = [sys.executable, objectcrash.__file__, "read", str(folder)]
    return contents(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines())


def test_what_was_acknowledged_is_found_in_every_way_of_writing(tmp_path: Path) -> None:
    count = objectcrash.NAMES * objectcrash.WAYS + 5
    story = written(tmp_path, count)

    found = judge(story, seen(tmp_path), objectcrash.place)

    assert found.acknowledged == count and found.wrong() == {"lost": [], "torn": [], "misplaced": []}


def test_lost_torn_and_older_files_are_found(tmp_path: Path) -> None:
    story = written(tmp_path, 80)
    (tmp_path / "f20").unlink()
    (tmp_path / "f21").write_bytes(objectcrash.record(21)[:-1])
    (tmp_path / "f03").write_bytes(objectcrash.record(3))  # 67 was acknowledged after it
    (tmp_path / "f22").write_bytes(objectcrash.record(23))

    found = judge(story, seen(tmp_path), objectcrash.place)

    assert sorted(found.lost) == [20, 67]
    assert found.torn == [21] and found.misplaced == [22]


def test_a_file_of_which_nobody_was_told_may_be_old_or_new(tmp_path: Path) -> None:
    story = written(tmp_path, 64)
    story.hear("error 64 5 Input/output error")

    older = judge(story, seen(tmp_path), objectcrash.place).wrong()
    (tmp_path / "f00").write_bytes(objectcrash.record(64))
    newer = judge(story, seen(tmp_path), objectcrash.place).wrong()

    assert older == newer == {"lost": [], "torn": [], "misplaced": []}
