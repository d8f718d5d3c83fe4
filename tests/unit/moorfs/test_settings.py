"""The files that the mounter writes: refusals say what is wrong, and no secret is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from moorage.errors import InvalidInput
from moorfs import settings
from moorfs.__main__ import main

GOOD: dict[str, Any] = {
    "endpoint": "https://s3.example", "bucket": "b", "keyFile": "/k", "cache": "/c", "socket": "/s",
}  # fmt: skip


def _load(tmp_path: Path, **more: Any) -> settings.Settings:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({key: value for key, value in {**GOOD, **more}.items() if value != "absent"}))
    return settings.load(str(path))


def test_defaults_and_what_is_given(tmp_path: Path) -> None:
    found = _load(tmp_path, ttl=3, uid=7, prefix="a/b/", readOnly=True)

    assert (found.ttl, found.uid, found.gid, found.prefix, found.read_only) == (3, 7, None, "a/b/", True)
    assert (found.passthrough, found.writeback, found.down_seconds) == (True, False, None)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    wanted = settings.Settings("http://h:1", "b", "/k", "/c", "/s", gid=5, down_seconds=2.5)
    settings.save(wanted, str(tmp_path / "config.json"))

    assert settings.load(str(tmp_path / "config.json")) == wanted


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"bukcet": "b"}, "no such setting: bukcet"),
        ({"bucket": "absent"}, "missing: bucket"),
        ({"ttl": "1"}, "ttl must be of type float"),
        ({"uid": True}, "uid must be of type int"),
        ({"readOnly": 1}, "readOnly must be of type bool"),
        ({"endpoint": "s3.example"}, "does not begin with http"),
        ({"prefix": "/a/"}, "must not begin with '/'"),
        ({"prefix": "a"}, "must not begin with '/', and must end with it"),
        ({"cache": ""}, "cache must be given"),
        ({"socket": "/" + "s" * 107}, "longer than 107 bytes"),
        ({"threads": 0}, "threads must be at least 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        _load(tmp_path, **more)


@pytest.mark.parametrize(
    "argv", [[], ["--fd", "x", "--config", "y"], ["--fd", "0"], ["--fd", "0", "--config", "/none"]]
)
def test_a_wrong_command_line_ends_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err.startswith("moorfs: ")
