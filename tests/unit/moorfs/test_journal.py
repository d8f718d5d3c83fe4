"""The state log: what was written is read again, damage is told apart, and compaction loses nothing."""

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from moorage.errors import InvalidInput
from moorfs.filelog import JournalFileLog
from moorfs.journal import Journal, replay
from moorfs.ports import Handle, Mark, Stamp
from moorfs.records import (
    Answered,
    Changed,
    Clean,
    Forgotten,
    Intent,
    Made,
    Moved,
    Opened,
    Record,
    Released,
    Settled,
    Unlinked,
    sealed,
)

ALL: list[Record] = [
    Made(2, 1, "naïve \n name", 0o100644, 1000, 100, 1_700_000_000_123_456_789, 0),
    Moved(2, 1, "new"),
    Changed(2, 0o100600, 1, 2, 3),
    Opened(7, 2, os.O_RDWR, True, 3),
    Answered(1 << 62, 7),
    Clean(2, '"abc"', 1, 2, 3),
    Intent(1, 2, "a/b", "a/c", False, 0, 1, "c"),
    Settled(1),
    Released(7),
    Unlinked(2),
    Forgotten(2),
]


def test_every_kind_of_record_is_read_as_it_was_written(tmp_path: Path):
    journal = Journal(tmp_path / "state.log")
    for record in ALL:
        journal.write(record)
    journal.close()

    assert replay(tmp_path / "state.log") == (ALL, 0)


def test_no_log_is_an_empty_one(tmp_path: Path):
    assert replay(tmp_path / "state.log") == ([], 0)


def test_a_log_goes_on_where_the_process_before_left_it(tmp_path: Path):
    Journal(tmp_path / "state.log").write(ALL[0])
    Journal(tmp_path / "state.log").write(ALL[1], sync=True)

    assert replay(tmp_path / "state.log") == (ALL[:2], 0)


def test_a_torn_end_is_counted_and_the_next_process_writes_whole_lines_again(tmp_path: Path):
    path = tmp_path / "state.log"
    Journal(path).write_all(ALL[:3])
    os.truncate(path, path.stat().st_size - 5)
    Journal(path).write(ALL[3])

    assert replay(path) == ([*ALL[:2], ALL[3]], 1)


def test_a_damaged_line_in_the_middle_is_left_out(tmp_path: Path):
    path = tmp_path / "state.log"
    Journal(path).write_all(ALL[:3])
    text = path.read_bytes()
    path.write_bytes(text.replace(b'"new"', b'"nEw"'))

    assert replay(path) == ([ALL[0], ALL[2]], 1)


@pytest.mark.parametrize("first", [sealed(["moorfs", 99]), b"something else\n"])
def test_a_log_that_this_version_does_not_know_is_refused(tmp_path: Path, first: bytes):
    (tmp_path / "state.log").write_bytes(first)

    with pytest.raises(InvalidInput, match="mount anew"):
        replay(tmp_path / "state.log")


def test_compaction_keeps_what_is_live_and_what_is_written_meanwhile(tmp_path: Path):
    path = tmp_path / "state.log"
    journal = Journal(path)
    journal.write_all(ALL)

    def live(records: Iterable[Record]) -> list[Record]:
        kept = [r for r in records if isinstance(r, Clean)]
        journal.write(Released(99))
        return kept

    journal.compact(live)
    journal.write(Forgotten(5))

    assert replay(path) == ([ALL[5], Released(99), Forgotten(5)], 0)
    assert journal.size == path.stat().st_size
    assert [p.name for p in tmp_path.iterdir()] == ["state.log"]


def test_a_failed_compaction_leaves_the_log_as_it_was(tmp_path: Path):
    path = tmp_path / "state.log"
    journal = Journal(path)
    journal.write_all(ALL)

    def live(records: Iterable[Record]) -> list[Record]:
        raise MemoryError

    with pytest.raises(MemoryError):
        journal.compact(live)
    journal.write(Forgotten(5))

    assert replay(path) == ([*ALL, Forgotten(5)], 0)
    assert [p.name for p in tmp_path.iterdir()] == ["state.log"]


def test_compaction_is_due_at_four_times_the_live_size(tmp_path: Path):
    journal = Journal(tmp_path / "state.log", least=1000)
    journal.write_all([ALL[0]] * 20)
    assert journal.due
    journal.compact(lambda records: list(records))
    assert not journal.due
    size = journal.size
    while not journal.due:
        journal.write(Released(1))

    assert size * 4 <= journal.size < size * 4 + 100


def test_lines_of_many_threads_are_whole(tmp_path: Path):
    path = tmp_path / "state.log"
    journal = Journal(path)

    def work(first: int) -> None:
        for number in range(first, first + 200):
            journal.write(Released(number))

    threads = [threading.Thread(target=work, args=(1000 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    journal.compact(lambda records: list(records))
    for thread in threads:
        thread.join()

    records, damaged = replay(path)
    assert damaged == 0
    assert set(records) == {Released(1000 * k + n) for k in range(4) for n in range(200)}


def test_a_hundred_thousand_nodes_are_read_in_seconds(tmp_path: Path):
    journal = Journal(tmp_path / "state.log")
    journal.write_all([Made(n, 1, f"name-{n:06d}.bin", 0o100644, 0, 0, 1 << 60, 0) for n in range(100_000)])

    began = time.process_time()
    records, damaged = replay(tmp_path / "state.log")
    took = time.process_time() - began

    assert (len(records), damaged) == (100_000, 0)
    assert took < 5  # one, on an idle machine


def test_the_files_lines_are_records(tmp_path: Path):
    log = JournalFileLog(Journal(tmp_path / "state.log"))
    log.opened(Handle(7, 2, os.O_RDWR, True, 3))
    log.clean(Mark(2, "e", Stamp(1, 2, 3)))
    log.released(7)

    assert replay(tmp_path / "state.log")[0] == [
        Opened(7, 2, os.O_RDWR, True, 3),
        Clean(2, "e", 1, 2, 3),
        Released(7),
    ]
