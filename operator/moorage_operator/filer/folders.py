"""Folders of volumes on the mounted export: look, plan, act, until nothing is left to do."""

import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from moorage import filer, filerplan, folder
from moorage.errors import AlreadyExists, InvalidInput, Retry
from moorage.filer import Action, Around, Found, Plan, Seen, Wanted
from moorage.folder import FolderRecord
from moorage_operator.filer import beneath
from moorage_operator.filer.home import STAGED, TRASH, Home
from moorage_operator.filer.removal import remove

log = logging.getLogger(__name__)

_ROUNDS = 8  # an archive takes four; one more shows that nothing is left
_SLICE = 2.0  # seconds of removal after which others have their turn
_DEFAULT_MODE = 0o777


class FolderExists(AlreadyExists):
    """Something lies where the folder shall be, and stays."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The last look and the plan then. `unfinished`: more is to be removed, call again."""

    seen: Seen
    plan: Plan
    unfinished: bool = False


class Folders:
    """Blocking; called in threads. One at a time takes, names or lets go of a folder; removal goes on beside."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, beneath.LISTABLE)
        self.home = Home(self._root)
        self._taking = threading.Lock()

    def close(self) -> None:
        self.home.close()
        os.close(self._root)

    def space(self) -> tuple[int, int]:
        """Total and free bytes of the filer's file system."""
        figures = os.fstatvfs(self._root)
        return figures.f_blocks * figures.f_frsize, figures.f_bavail * figures.f_frsize

    def settle(self, id: str, wanted: Wanted | None, around: Callable[[], Around]) -> Outcome:
        """Act until nothing is left to do, or until what is removed has had its slice of time."""
        note = ""
        for _ in range(_ROUNDS):
            with self._taking:
                step = around()
                seen = self.observe(id, wanted, step)
                plan = filerplan.plan(wanted, seen, step)
                note = plan.note or note
                if not plan.actions:
                    return Outcome(seen, replace(plan, note=note))
                left = self._act(plan.actions)
            if left and not remove(self.home.folder, f"{TRASH}/{id}", time.monotonic() + _SLICE):
                return Outcome(seen, replace(plan, note=note), unfinished=True)
        raise Retry(f"folder of share {id} does not settle")

    def observe(self, id: str, wanted: Wanted | None, around: Around) -> Seen:
        record = self.home.records.get(id)
        where = record.folder if record else ""
        if not record and wanted:
            with suppress(InvalidInput):  # the plan says so
                where = filer.target(wanted, around.engine)
        return Seen(
            record=record,
            found=self._look(where) if where else Found.nothing,
            staged=self._in_home(STAGED, id),
            trashed=self._in_home(TRASH, id),
        )

    def _look(self, where: str) -> Found:
        try:
            with beneath.opened(self._root, where, beneath.HANDLE):
                return Found.folder
        except FileNotFoundError:
            return Found.nothing
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EXDEV, errno.ENOTDIR):
                return Found.other
            raise

    def _in_home(self, place: str, id: str) -> bool:
        with beneath.opened(self.home.folder, place) as above:
            return beneath.exists(above, id)

    def _act(self, actions: tuple[Action, ...]) -> bool:
        """Whether a removal is left: it needs no lock, and what follows it is planned again."""
        for action in actions:
            if isinstance(action, filer.Empty):
                if self._in_home(TRASH, action.id):
                    return True
                continue
            self._apply(action)
            log.info("done: %s", action)
        return False

    def _apply(self, action: Action) -> None:
        """Each action states an end, and may be repeated after a crash anywhere."""
        match action:
            case filer.Stage(wanted):
                self._stage(wanted)
            case filer.Write(record):
                self.home.write(record)
            case filer.Publish(record):
                self._publish(record)
            case filer.Adopt(record, source):
                self.home.adopt(record, source)
            case filer.SetAside(record):
                self._move_in(record.folder, STAGED, record.id)
            case filer.NameArchive(record):
                self.home.write(record.model_copy(update={"folder": self._free_name(record)}))
            case filer.Trash(id, where, staged):
                self._trash(id, where, staged)
            case filer.Forget(id):
                self.home.forget(id)
            case filer.Empty():
                return

    def _stage(self, wanted: Wanted) -> None:
        root = wanted.root
        with beneath.opened(self.home.folder, STAGED) as above:
            with suppress(FileExistsError):
                os.mkdir(wanted.id, mode=0o700, dir_fd=above)
            with beneath.opened(above, wanted.id) as made:
                if root:
                    os.fchown(made, root.uid, root.gid)
                os.fchmod(made, int(root.mode, 8) if root else _DEFAULT_MODE)

    def _publish(self, record: FolderRecord) -> None:
        beneath.make_parents(self._root, record.folder)
        with beneath.opened(self.home.folder, STAGED) as staged, beneath.parent(self._root, record.folder) as place:
            above, name = place
            if beneath.exists(above, name):
                raise FolderExists(f"folder {record.folder} exists on the filer: move it away")
            os.rename(record.id, name, src_dir_fd=staged, dst_dir_fd=above)

    def _move_in(self, where: str, place: str, id: str) -> None:
        with beneath.opened(self.home.folder, place) as inner, beneath.parent(self._root, where) as outer:
            above, name = outer
            with suppress(FileNotFoundError):
                os.rename(name, id, src_dir_fd=above, dst_dir_fd=inner)

    def _trash(self, id: str, where: str, staged: bool) -> None:
        if not staged:
            self._move_in(where, TRASH, id)
            return
        with beneath.opened(self.home.folder, STAGED) as out, beneath.opened(self.home.folder, TRASH) as into:
            os.rename(id, id, src_dir_fd=out, dst_dir_fd=into)

    def _free_name(self, record: FolderRecord) -> str:
        plain, longer = folder.archive_names(record)
        taken = self._look(plain) is not Found.nothing
        others = folder.overlapping(plain, self.home.records.values(), record.id)
        return longer if taken or others else plain
