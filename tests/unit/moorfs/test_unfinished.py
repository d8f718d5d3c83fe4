"""Uploads in parts that a crash cut off leave nothing in the bucket once the volume is served again."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from datafakes import MIB, FakeNode, Rig, until

from moorfs.ports import StoreError

NEW = os.O_WRONLY | os.O_CREAT
SIZE = 40 * MIB


class Killed(BaseException):
    """The process is no more: nothing of it handles this."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, multipart_from=16 * MIB, early=False)
    yield made
    made.cache.close()


def notes(rig: Rig) -> list[str]:
    """The engine's name of each upload, and its key."""
    return [os.readlink(each) for each in Path(rig.settings.cache, "uploads").iterdir()]


def written(rig: Rig) -> tuple[FakeNode, int]:
    node = rig.node("a")
    file = rig.cache.of(node)
    handle = file.create(NEW).handle
    file.write(handle, 0, memoryview(os.urandom(SIZE)))
    return node, handle


def cut_off(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeNode, int, str]:
    """A file whose ordinary upload was under way when its process was killed."""
    node, handle = written(rig)

    def killed(key: str, metadata: object) -> object:
        made = begin(key, metadata)
        monkeypatch.setattr(type(made), "part", _die)
        monkeypatch.setattr(type(made), "abort", _die)
        return made

    begin: Callable[..., object] = rig.store.begin
    monkeypatch.setattr(rig.store, "begin", killed)
    with pytest.raises(Killed):
        rig.cache.of(node).flush(handle)
    monkeypatch.undo()
    (upload,) = rig.store.uploads
    return node, handle, upload


def _die(*_: object) -> None:
    raise Killed


def test_an_upload_is_noted_while_it_lasts_and_no_longer(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    node, handle = written(rig)
    seen: list[list[str]] = []
    rig.store.failing = lambda: seen.append(notes(rig)) or StoreError(errno.EIO, "once more")
    with pytest.raises(OSError, match="once more"):
        rig.cache.of(node).flush(handle)
    refused = notes(rig)

    rig.store.failing = None
    rig.cache.of(node).flush(handle)

    assert seen[0] and seen[0][0].endswith("\na")
    assert refused == notes(rig) == []
    assert len(rig.store.body("a")) == SIZE


@pytest.mark.parametrize("how", ["takeover", "new mount"])
def test_after_a_crash_the_upload_is_aborted(rig: Rig, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    _, _, upload = cut_off(rig, monkeypatch)
    assert notes(rig) == [f"{upload}\na"]

    (rig.crash if how == "takeover" else rig.remount)()

    until(lambda: not rig.store.uploads and not notes(rig))


def test_a_takeover_stores_the_file_from_its_beginning(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    node, handle, _ = cut_off(rig, monkeypatch)

    rig.crash()
    rig.cache.of(node).flush(handle)

    assert len(rig.store.body("a")) == SIZE
    until(lambda: not rig.store.uploads and not notes(rig))


def test_what_cannot_be_aborted_now_is_tried_by_the_next_start(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, upload = cut_off(rig, monkeypatch)
    tried: list[str] = []

    def down(key: str, upload: str) -> None:
        tried.append(upload)
        raise StoreError(errno.EIO, "no answer")

    with monkeypatch.context() as patch:
        patch.setattr(rig.store, "resume", down)
        rig.crash()
        until(lambda: tried == [upload])
        assert notes(rig)

    rig.crash()

    until(lambda: not rig.store.uploads and not notes(rig))


def test_what_is_no_note_hinders_nobody(rig: Rig) -> None:
    Path(rig.settings.cache, "uploads", "file").write_text("x")

    rig.crash()

    node, handle = written(rig)
    rig.cache.of(node).flush(handle)
    assert len(rig.store.body("a")) == SIZE
