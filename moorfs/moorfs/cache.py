"""The cache of a mount: the `Files` of ports.py.

data/N, data/N.map     bytes of node N (hex); with a map only some blocks
unsaved/NAME.json      what the engine does not have though it was closed, see `unsaved`
unsaved/NAME[.map]     its bytes, if no node of this mount has them
uploads/*              multipart uploads under way, see `unfinished`
writer                 names this mount, see `saving.TAG`
"""

import itertools
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from moorfs import restoring
from moorfs.content import Content
from moorfs.copies import Copies
from moorfs.dirty import is_fine
from moorfs.evict import Shelf, used
from moorfs.keeper import Keeper
from moorfs.mapping import is_seen
from moorfs.means import Means, log
from moorfs.ports import Backing, Condition, FileError, FileLog, FileNode, Handle, Mark, ObjectStore
from moorfs.settings import Settings
from moorfs.transfer.workers import Workers
from moorfs.unfinished import abort_earlier
from moorfs.unsaved import Ledger, Unsaved

_RESERVE = 256 << 20
"""Bytes of the disk that clean files leave free, or a twentieth of a small disk."""


class Cache:
    """One for a mount. With `takeover` what is in the folder is the state of the process before, and `restore` follows;
    else only unsaved bytes of earlier mounts are kept."""

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        journal: FileLog,
        wait: Callable[[], None],
        backing: Backing | None = None,
        takeover: bool = False,
    ) -> None:
        self.folder = settings.cache
        os.makedirs(f"{self.folder}/data", exist_ok=True)
        self.shelf = Shelf(settings.cache_size)
        self.means = Means(
            store=store,
            log=journal,
            settings=settings,
            wait=wait,
            backing=backing,
            fine=is_fine(self.folder),
            mapped_seen=is_seen(self.folder),
            make_room=self.shelf.make_room,
            up=Workers(settings.transfers, wait),
        )
        self.ledger = Ledger(f"{self.folder}/unsaved")
        self._contents: dict[int, Content] = {}
        self.lost: list[Content] = []
        self.keeper = Keeper(self._tick)
        abort_earlier(store, self.means.up, self.means.uploads)
        if not takeover:
            self._begin_anew()
        self.means.writer = _writer(f"{self.folder}/writer")
        self._find_lost()
        self.keeper.start()

    # Files

    def of(self, node: FileNode) -> Content:
        found = self._contents.get(node.id)
        if found is None:
            found = self._contents.setdefault(node.id, Content(self.means, node, self))
        return found

    def forget(self, node: FileNode) -> None:
        file = self._contents.get(node.id)
        if file is None:
            return
        with file.lock:
            if file.handles or file.is_dirty or file.saving.pins:
                return
            self._contents.pop(node.id, None)
            self.shelf.take(file)
            file.drop()

    def restore(self, node: Callable[[int], FileNode | None], handles: Iterable[Handle], marks: Iterable[Mark]) -> None:
        handles = list(handles)
        last = max((handle.number for handle in handles), default=0)
        self.means.numbers = itertools.count(last + 1)
        restoring.restore(self, node, handles, marks)

    def copy(self, source: str, target: str, size: int, match: str | None, onto: Condition) -> str:
        return Copies(self.means).copy(source, target, size, match, onto)

    def room(self) -> tuple[int, int]:
        disk = os.statvfs(self.folder)
        return disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize

    def settle(self, seconds: float) -> Sequence[str]:
        until = time.monotonic() + seconds
        dirty = [file for file in [*self.known(), *self.lost] if file.is_dirty and not file.conflict]
        self.keeper.run_all(dirty, until - time.monotonic())
        late = {file.node.key for file in dirty if file.is_dirty}
        return sorted(late | {record.key for record in self.ledger.all()})

    def figures(self) -> Mapping[str, float]:
        unsaved = self.ledger.all()
        disk, free = self.room()
        return {
            "open_files": sum(1 for file in self.known() if file.handles),
            "unsaved_files": len(unsaved),
            "unsaved_bytes": sum(record.size for record in unsaved),
            "cache_files": len(self.shelf),
            "cache_bytes": self.shelf.bytes,
            "cache_disk_bytes": disk,
            "cache_disk_free_bytes": free,
            "passthrough": float(self.means.backing is not None),
            **self.means.counts,
        }

    # Beside Files: what the control socket tells and does

    def unsaved(self) -> list[Unsaved]:
        """What the engine does not have though its writer has closed it, oldest first."""
        return self.ledger.all()

    def retry(self, name: str, key: str | None = None) -> None:
        """Store unsaved bytes now; of a conflict under another key, which must be free. Raises MoorageError."""
        restoring.retry(self, name, key)

    def discard(self, name: str) -> None:
        """Give up bytes of a conflict or of an earlier mount. Raises MoorageError."""
        restoring.discard(self, name)

    def known(self) -> list[Content]:
        """The files of this mount that were ever opened."""
        return list(self._contents.values())

    def close(self) -> None:
        """No thread of ours goes on; nothing is stored."""
        self.keeper.stop()
        self.means.close()

    # Watcher

    def opened(self, file: Content) -> None:
        self.shelf.take(file)
        if self.means.settings.early and file.handles.direct and file.handles.writers:
            self.keeper.follow(file)

    def closed(self, file: Content) -> None:
        path = self.means.path_of(file.node.id)
        size = used(path, path + ".map") if not file.pending else 0
        if size:
            self.shelf.put(file, size)
            if self.shelf.is_over:
                self.shelf.trim()
        elif not file.pending:
            self.shelf.take(file)

    def failed(self, file: Content, error: FileError) -> None:
        self.means.wait()
        self._note(file, error, file.body.sync if file.body else None)
        if file.conflict:
            self.keeper.forget(file)
        else:
            self.keeper.failed(file)

    def later(self, file: Content) -> None:
        self._note(file, FileError(0, ""), None)
        if file.saving.watching:
            self.keeper.watch(file)
        else:
            self.keeper.soon(file)

    def saved(self, file: Content) -> None:
        self.keeper.forget(file)
        if not file.saving.watching:
            self.ledger.drop(file.name)

    def aside(self, file: Content) -> None:
        restoring.set_aside(self, file)

    def _note(self, file: Content, error: FileError, sync: Callable[[], None] | None) -> None:
        record = restoring.record_of(file, error)
        try:
            self.ledger.keep(record, sync)
        except OSError as problem:
            log.error("%s: unsaved, and that cannot be noted: %s", record.key, problem)

    def _tick(self) -> None:
        """Clean files go before the disk is full."""
        total, free = self.room()
        lack = min(_RESERVE, total // 20) - free
        if lack > 0:
            self.shelf.free(lack)

    # The folder

    def _begin_anew(self) -> None:
        for record in self.ledger.all():
            restoring.adopt(self.folder, self.ledger, record)
        if not self.means.settings.read_only:
            restoring.inherit(self.folder, self.ledger, self.means.settings.inherits.splitlines())
        shutil.rmtree(f"{self.folder}/data")
        os.makedirs(f"{self.folder}/data")
        Path(f"{self.folder}/writer").unlink(missing_ok=True)

    def _find_lost(self) -> None:
        for record in self.ledger.all():
            if record.name.startswith(restoring.LOST):
                self.add_lost(record)

    def add_lost(self, record: Unsaved) -> None:
        file = restoring.lost_content(self, record)
        if file is None:
            self.ledger.drop(record.name)
            return
        self.lost.append(file)
        if not file.conflict:
            self.keeper.soon(file)


def _writer(path: str) -> str:
    with suppress(FileNotFoundError):
        return Path(path).read_text(encoding="ascii")
    made = uuid.uuid4().hex
    Path(path).write_text(made, encoding="ascii")
    return made
