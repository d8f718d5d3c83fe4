"""What the POSIX suites say becomes cases, and cases a page that explains each that did not pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from posixsuite.outcome import Case, Reason, Unfinished, fsx, load_reasons, pjdfstest, reason_for, unexplained
from posixsuite.page import OBJECT, VOLUMES, page

SAID = """\
chmod::ctime::regular                                                         ok
unlink::erofs_named                                                      skipped
\tRemounts (allow_remount) are not allowed in the configuration file
unlink::open_file_not_freed                                               FAILED
\tassertion `left == right` failed
  left: 1
 right: 0
mkdir::mode                                                                   ok

Summary: 1 failed, 1 skipped, 2 passed, 0 expected failures, 4 total
Error: Some tests have failed
"""
LINKS = Reason("failed", "^unlink::open", "NFS keeps it", ("shared",))


def test_each_line_becomes_a_case_with_what_was_said_of_it() -> None:
    cases = pjdfstest("shared", SAID)

    assert [(case.name, case.state) for case in cases] == [
        ("chmod::ctime::regular", "passed"),
        ("unlink::erofs_named", "skipped"),
        ("unlink::open_file_not_freed", "failed"),
        ("mkdir::mode", "passed"),
    ]
    assert cases[2].message == "assertion `left == right` failed left: 1 right: 0"


@pytest.mark.parametrize("said", ["", SAID.replace("4 total", "5 total"), SAID.partition("Summary")[0]])
def test_an_output_that_ends_early_is_no_result(said: str) -> None:
    with pytest.raises(Unfinished):
        pjdfstest("shared", said)


def test_a_subject_that_ends_the_program_is_a_failed_case() -> None:
    cases = pjdfstest("s3fs", SAID.partition("Summary")[0], died="unlink::died")

    assert [(case.name, case.state) for case in cases[-2:]] == [("mkdir::mode", "passed"), ("unlink::died", "failed")]


def test_fsx_passes_only_by_its_last_word() -> None:
    good = fsx("shared", 1, 5000, "All operations completed A-OK!\n")
    bad = fsx("shared", 2, 5000, "miscompare: offset= 0x1000\n")

    assert (good.state, good.name, bad.state) == ("passed", "seed 1, 5000 operations", "failed")
    assert "miscompare" in bad.message


def test_a_reason_holds_for_its_state_and_places_only() -> None:
    failed = Case("shared", "pjdfstest", "unlink::open_file_not_freed", "failed")
    elsewhere = Case("plain XFS", "pjdfstest", "unlink::open_file_not_freed", "failed")

    assert reason_for(failed, [LINKS]) is LINKS
    assert unexplained([failed, elsewhere], [LINKS]) == [elsewhere]


def test_the_page_tells_counts_and_why_and_what_nobody_knows() -> None:
    cases = [*pjdfstest("shared", SAID), Case("shared", "fsx", "seed 1, 9 operations", "failed", "miscompare")]

    text = page(VOLUMES, cases, [LINKS])

    assert "| shared | 2 | 1 | 1 |" in text
    assert "| shared | `unlink::open_file_not_freed` | NFS keeps it |" in text
    assert "**no reason is known**: miscompare" in text


def test_object_volumes_have_a_page_of_their_own() -> None:
    cases = [Case("moorfs", "pjdfstest", "link::nlink", "passed"), Case("s3fs", "pjdfstest", "link::nlink", "failed")]

    text = page(OBJECT, cases, [])

    assert text.startswith("# POSIX on object volumes")
    assert "| moorfs | 1 | 0 | 0 |\n| s3fs | 0 | 1 | 0 |" in text


def test_the_reasons_of_the_file_are_whole() -> None:
    reasons = load_reasons()

    assert {reason.state for reason in reasons} == {"failed", "skipped"}
    assert all(len(reason.why) > 40 for reason in reasons)
    assert (Path(__file__).parents[3] / "docs/posix.md").is_file()
