"""What people are told of files that their bucket does not have."""

import json
from dataclasses import asdict

import pytest

from moorage.unsaved import Unsaved, parsed, sentence, told

RECORD = Unsaved("a", "run1/model", 7, "etag", {"mode": "33188"}, 5, 1, 1_700_000_000.0, "Permission denied", 13)


def test_a_sentence_names_count_age_and_the_first_files() -> None:
    listed = [told(RECORD), told(RECORD) | {"key": "b", "conflict": True}, told(RECORD) | {"key": "c", "error": ""}]
    assert sentence(5, 42, listed) == (
        "5 files (42 bytes) are on this node only: the bucket did not take them yet, the oldest since 2023-11-14T22:13Z"
        ": run1/model (Permission denied), b (somebody else wrote it meanwhile), c and 2 more"
    )


def test_nothing_unsaved_is_no_sentence() -> None:
    assert sentence(0, 0, []) == ""


def test_what_is_only_counted_is_only_counted() -> None:
    assert sentence(2, 9, []) == "2 files (9 bytes) are on this node only: the bucket did not take them yet"


def test_an_odd_name_breaks_no_line_and_a_long_one_is_cut() -> None:
    found = sentence(1, 1, [told(RECORD) | {"key": "x" * 500 + "/odd\nname"}])
    assert "\n" not in found and "/odd?name (" in found and len(found) < 300


@pytest.mark.parametrize("data", [b"", b'{"name": "half', b"[]", b"7", b'{"name": "alone"}'])
def test_what_is_no_record_is_none(data: bytes) -> None:
    assert parsed(data, "boot") is None


@pytest.mark.parametrize(("boot", "believed"), [("", True), ("this", True), ("another", False)])
def test_bytes_that_were_not_synced_are_believed_in_their_boot(boot: str, believed: bool) -> None:
    data = json.dumps({**asdict(RECORD), "boot": boot, "later": "more"}).encode()
    assert (parsed(data, "this") is not None) is believed
