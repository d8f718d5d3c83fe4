"""Records of bytes that the engine does not have: read again whatever version wrote them."""

import json
from pathlib import Path

from moorfs.unsaved import Ledger, Unsaved

RECORD = Unsaved("a", "run1/model", 7, "etag", {"mode": "33188"}, 5, 1, 2.0, "refused", 13)


def test_a_record_is_found_again(tmp_path: Path) -> None:
    kept = Ledger(str(tmp_path)).keep(RECORD, lambda: None)

    assert Ledger(str(tmp_path)).all() == [kept]


def test_a_record_of_a_later_version_is_not_thrown_away(tmp_path: Path) -> None:
    kept = Ledger(str(tmp_path)).keep(RECORD, lambda: None)
    (file,) = tmp_path.glob("*.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "urgency": "high"}))

    assert Ledger(str(tmp_path)).all() == [kept]


def test_what_is_no_record_is_removed(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"name": "half", "ke')

    assert Ledger(str(tmp_path)).all() == []
    assert list(tmp_path.iterdir()) == []
