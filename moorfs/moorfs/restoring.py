"""What is found again: open files and clean marks at a takeover, unsaved bytes at the next mount of the same cache."""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from moorage.errors import InUse, InvalidInput, NotFound, Retry
from moorfs.blocks import Blocks
from moorfs.content import Content
from moorfs.dirty import Clean
from moorfs.fetch import Streamed, known_blocks, remove
from moorfs.homes import held
from moorfs.lost import LostNode
from moorfs.means import Means
from moorfs.partial import Partial
from moorfs.ports import FileError, FileNode, Handle, Mark
from moorfs.saving import NOTHING
from moorfs.unsaved import Ledger, Unsaved
from moorfs.whole import Whole

if TYPE_CHECKING:
    from moorfs.cache import Cache

LOST = "lost-"
"""Names of records whose bytes no node of this mount has."""


# At a takeover


def restore(
    cache: "Cache", node: Callable[[int], FileNode | None], handles: Iterable[Handle], marks: Iterable[Mark]
) -> None:
    known = {mark.node: mark for mark in marks}
    opened: dict[int, list[Handle]] = {}
    for handle in handles:
        opened.setdefault(handle.node, []).append(handle)
    for number in opened.keys() | _found(cache.folder):
        found = node(number)
        if found is None:
            remove(cache.means.path_of(number), cache.means.path_of(number) + ".map")
            continue
        _restore_file(cache, cache.of(found), opened.get(number, []), known.get(number))


def _found(folder: str) -> set[int]:
    """Nodes that have cache files."""
    return {int(name.partition(".")[0], 16) for name in os.listdir(f"{folder}/data")}


def _restore_file(cache: "Cache", file: Content, handles: list[Handle], mark: Mark | None) -> None:
    record = cache.ledger.get(file.name)
    file.body = _body_here(cache.means, file.node, mark)
    file.etag = file.body.blocks.etag if isinstance(file.body, Partial) else (mark.etag if mark else "")
    file.conflict = record is not None and record.conflict
    if file.body is None and handles:  # it was streamed; nothing is asked here: the engine may be down
        file.body = Streamed(cache.means, file.node, file.etag, None)
    if file.body is None:
        return
    if isinstance(file.body, Partial):  # stat(2) of an open, clean file shows these; the state log does not tell them
        file.node.etag, file.node.size = file.etag, file.body.size
    for handle in handles:
        file.handles.restore(handle, file.body)
    if isinstance(file.body, Whole) and not file.handles.writers and (record is None or not record.error):
        file.body.mapped = bool(record)
        file.saving.after_last_writer(file.body)
    if not handles:
        _rest_again(cache, file)


def _rest_again(cache: "Cache", file: Content) -> None:
    """Nobody has it open. What is dirty was so when the process before died: it is stored soon."""
    if file.node.gone:
        file.drop()
    elif not file.conflict and (cache.ledger.get(file.name) or (file.body and file.body.is_changed)):
        file.pending = True
        cache.keeper.soon(file)
    elif file.conflict:
        file.pending = True
    file.rest()


def _body_here(means: Means, node: FileNode, mark: Mark | None) -> Whole | Partial | None:
    path = means.path_of(node.id)
    remove(path + ".get")
    if not os.path.exists(path):
        return None
    blocks = known_blocks(path)
    if blocks:
        return Partial(means, node, path, blocks)
    return Whole(means, path, Clean(mark.stamp) if mark and mark.stamp != NOTHING else None)


# Unsaved bytes


def record_of(file: Content, error: FileError) -> Unsaved:
    found = file.body.local() if file.body else None
    node = file.node
    mtime = found.mtime if found else node.mtime
    return Unsaved(
        name=file.name,
        key=node.key,
        node=node.id,
        etag=file.etag,
        metadata=dict(node.metadata(mtime)),
        size=found.size if found else 0,
        mtime=mtime,
        since=time.time(),
        error=error.strerror or "",
        errno=error.errno or 0,
        conflict=file.conflict,
        writer=file.writer,
    )


def adopt(folder: str, ledger: Ledger, record: Unsaved) -> None:
    """At a new mount: bytes that a node of the mount before had are nobody's now."""
    if record.name.startswith(LOST):
        return
    _move(f"{folder}/data/{record.node:x}", folder, ledger, record, ledger)


def set_aside(cache: "Cache", file: Content) -> None:
    """Bytes of a conflict, which their node gives up."""
    record = cache.ledger.get(file.name)
    if record is not None:
        path = cache.means.path_of(file.node.id)
        cache.add_lost(_move(path, cache.folder, cache.ledger, record, cache.ledger))


def inherit(folder: str, ledger: Ledger, homes: Iterable[str]) -> None:
    """At a new mount: what other mounts of the volume left unsaved, those that are over for good, is ours."""
    for home in homes:
        if os.path.realpath(home) == os.path.realpath(folder) or not (lock := held(home)):
            continue
        with lock:
            left = Ledger(f"{home}/unsaved")
            for record in left.all():
                own = f"unsaved/{record.name}" if record.name.startswith(LOST) else f"data/{record.node:x}"
                _move(f"{home}/{own}", folder, ledger, record, left)


def _move(path: str, folder: str, ledger: Ledger, record: Unsaved, source: Ledger) -> Unsaved:
    """The bytes and their record are nobody's from now on. A crash leaves both whole, here or there."""
    moved = replace(record, name=f"{LOST}{time.time_ns():x}")
    there = f"{folder}/unsaved/{moved.name}"
    ledger.add(moved)
    if os.path.exists(path + ".map"):
        os.link(path + ".map", there + ".map")
    if os.path.exists(path):
        os.rename(path, there)
    source.drop(record.name)
    remove(path + ".map")
    return moved


def lost_content(cache: "Cache", record: Unsaved) -> Content | None:
    """None: the bytes are not there."""
    path = f"{cache.folder}/unsaved/{record.name}"
    if not os.path.exists(path):
        return None
    node = LostNode(record)
    file = Content(cache.means, node, cache, record.name, record.writer)
    if os.path.exists(path + ".map"):
        file.body = Partial(cache.means, node, path, Blocks(path + ".map"))
    else:
        file.body = Whole(cache.means, path)
    file.etag, file.conflict, file.pending = record.etag, record.conflict, True
    return file


def retry(cache: "Cache", name: str, key: str | None) -> None:
    """Raises MoorageError: NotFound, InvalidInput without a key after a conflict, Retry when it fails again."""
    file = _unsaved(cache, name)
    lost = isinstance(file.node, LostNode)
    if key and not lost:
        raise InvalidInput(f"{name} belongs to a file of this mount: it is stored under its own key {file.node.key}")
    if file.conflict and not key:
        raise InvalidInput(f"{name}: somebody else wrote {file.node.key} meanwhile; give another key")
    if key and isinstance(file.node, LostNode):
        file.node.key, file.etag, file.conflict = key, "", False
    try:
        file.store()
    except FileError as error:
        raise Retry(f"{file.node.key} is still not stored: {error.strerror}") from None
    if lost:
        cache.lost.remove(file)


def discard(cache: "Cache", name: str) -> None:
    """Raises MoorageError: NotFound, InUse for bytes that a file of this mount shows."""
    file = _unsaved(cache, name)
    if file not in cache.lost:
        raise InUse(f"{name} belongs to a file of this mount: remove {file.node.key} instead")
    cache.lost.remove(file)
    cache.keeper.forget(file)
    file.drop()
    cache.ledger.drop(name)


def _unsaved(cache: "Cache", name: str) -> Content:
    for file in (*cache.lost, *cache.known()):
        if file.name == name and file.pending:
            return file
    raise NotFound(f"nothing unsaved is named {name}")
