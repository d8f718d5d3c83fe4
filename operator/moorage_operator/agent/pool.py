"""The pool volume: `pool.json`, `lock`, `spare`, `recovery/`, `volumes/<id>/{image,share.json}`, and `snapshots/`."""

import fcntl
import os
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from moorage import imagesize
from moorage.errors import InUse, Retry
from moorage.model import Squash
from moorage.record import PoolState, Record
from moorage.share import Wanted
from moorage_operator.agent import loop, reflink
from moorage_operator.agent.allocation import allocate, has_holes, refill
from moorage_operator.agent.files import sync_file, sync_folder
from moorage_operator.agent.format import make_file_system
from moorage_operator.agent.ledger import Ledger
from moorage_operator.agent.records import Records
from moorage_operator.agent.room import Room
from moorage_operator.agent.spare import Spare


class Pool:
    """Blocking; called in threads. One thread at a time takes space (`room.taking`) or export ids."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.volumes = root / "volumes"
        self.snapshots = root / "snapshots"
        self.recovery = root / "recovery"
        self.room = Room(root, self._images, self.shares_blocks)
        self.spare = Spare(root)
        self.clones = False
        self._records = Records(self.volumes, "share.json", Record)
        self._ledger = Ledger(root / "pool.json")
        self._taking = threading.Lock()
        self._held: IO[str] | None = None

    def open(self) -> None:
        """Lock the pool and read its state; raises InUse when another server has it, NotOffered when it is newer."""
        self.volumes.mkdir(parents=True, exist_ok=True)
        self.snapshots.mkdir(exist_ok=True)
        self.recovery.mkdir(exist_ok=True)
        self._held = (self.root / "lock").open("a")
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUse(f"another server holds the pool {self.root}: two servers would destroy its data") from error
        self._ledger.open()
        self.clones = reflink.offered(self.root)

    def close(self) -> None:
        if self._held:
            self._held.close()
            self._held = None

    @property
    def state(self) -> PoolState:
        return self._ledger.state

    def keep_clients(self, clients: tuple[str, ...]) -> None:
        """Remember node addresses, so that a restart can export before the API server answers."""
        with self._taking:
            self._ledger.keep_clients(clients)

    def ids(self) -> set[str]:
        return self._records.ids()

    def record(self, volume_id: str) -> Record | None:
        return self._records.get(volume_id)

    def records(self) -> tuple[Record, ...]:
        return self._records.all()

    def image(self, volume_id: str) -> Path:
        return self.volumes / volume_id / "image"

    def image_bytes(self, volume_id: str) -> int:
        try:
            return self.image(volume_id).stat().st_size
        except FileNotFoundError:
            return 0

    @contextmanager
    def attached(self, volume_id: str) -> Generator[Path]:
        """A block device with the image, for as long as the context or a mount holds it."""
        with loop.attached(self.image(volume_id)) as device:
            yield device

    def resized(self, device_number: int) -> None:
        """Let the device of a mounted image see that the image has grown."""
        loop.refresh_size(device_number)

    def growth(self, size: int) -> tuple[str, ...]:
        """How xfs_growfs is told to make a file system as large as its image, of `size` bytes."""
        return ("-d",)

    def unfinished(self, volume_id: str) -> bool:
        """Whether an image was begun and not finished."""
        return self.image(volume_id).with_name("image.tmp").exists()

    def allocated_bytes(self, volume_id: str) -> int:
        """What the image takes on the pool."""
        return self.image(volume_id).stat().st_blocks * 512

    def space(self) -> tuple[int, int]:
        """Bytes of the pool's file system, and those of them that are free and not promised."""
        total, free = self.room.space()
        return total, max(0, free)

    def shares_blocks(self) -> bool:
        """Whether any image may share blocks with another file."""
        return any(self.snapshots.iterdir()) or any(record.source for record in self.records())

    def ensure_image(self, wanted: Wanted) -> None:
        """A formatted image and its record.

        The record comes last: an image without one was never mounted, a record without an image means lost data.
        """
        image = self.image(wanted.id)
        if not image.exists():
            self._make_image(image, wanted)
        self._ensure_record(wanted)

    def _ensure_record(self, wanted: Wanted) -> None:
        with self._taking:
            if not self.record(wanted.id):
                self.save_record(wanted.new_record(self._next_export_id(), self._is_sparse(wanted)))

    def adopt(self, wanted: Wanted, source_id: str) -> None:
        """The share `source_id`, image and record, becomes that of `wanted`; the image is not touched.

        One rename moves both, and is the moment when it is adopted: a crash before it leaves the share as it was, one
        after it leaves it under the new id with the old owner, who is written over when this is called again. Raises
        Retry when another volume was faster. The export id is a new one: who still has handles of the old export
        must not write through them.
        """
        with self._taking:
            if source_id != wanted.id:
                self._move(source_id, wanted.id)
            found = self._records.written(wanted.id)
            if not found or (found.id, found.uid) == (wanted.id, wanted.uid):
                return
            self.save_record(wanted.taken_over(found, self._next_export_id()))

    def _move(self, source_id: str, volume_id: str) -> None:
        try:
            (self.volumes / source_id).rename(self.volumes / volume_id)
        except FileNotFoundError as error:
            raise Retry(f"share {source_id} was taken over by another volume just now") from error
        sync_folder(self.volumes)

    def enlarge(self, volume_id: str, size: int) -> None:
        """Make the image `size` bytes long: reserved, or, where it was never reserved, sparse."""
        record, image = self.record(volume_id), self.image(volume_id)
        if not record or not record.sparse:
            self.reserve(volume_id, size)
        elif image.stat().st_size < size:
            self.room.check(imagesize.LOG_BYTES)
            os.truncate(image, size)

    def reserve(self, volume_id: str, size: int) -> None:
        """Make the image `size` bytes long with every block taken on the pool, or leave it as it was."""
        image = self.image(volume_id)
        before = image.stat()
        if before.st_size < size:
            with self.room.taking:
                # Copies of shared blocks that are not on the disk yet count as blocks, too.
                self.room.check(size - min(before.st_size, before.st_blocks * 512))
                allocate(image, size, back_to=before.st_size)

    def ensure_reserved(self) -> None:
        """Take again what a trim from outside gave away of reserved images; raises NoCapacity when it is gone.

        A node whose /etc/fstab is empty trims by its own timer all that is mounted, local volumes too.
        """
        for record in self.records():
            if not record.sparse:
                with suppress(FileNotFoundError), self.room.taking:  # it may be removed just now
                    refill(self.image(record.id))

    def ensure_spare(self) -> None:
        """Room for mounting volumes, kept on a pool where any takes room as it is filled."""
        if any(record.sparse for record in self.records()):
            self.spare.ensure()
        else:
            self.spare.ensure_absent()

    def save_record(self, record: Record) -> None:
        self._records.save(record)

    def note_size(self, volume_id: str, size: int) -> None:
        """Keep in the record what the share was last grown to."""
        self._records.amend(volume_id, size=size)

    def ensure_retained(self, volume_id: str, retained: bool) -> None:
        """Kept on the pool and out of service, also after a restart; or back in service."""
        self._records.amend(volume_id, retained=retained)

    def ensure_squash(self, volume_id: str, squash: Squash) -> None:
        self._records.amend(volume_id, squash=squash)

    def ensure_absent(self, volume_id: str) -> None:
        """Image first: while the record stands, no empty image is ever made in its place."""
        self._remove_image(volume_id)
        self._records.remove(volume_id)

    def _remove_image(self, volume_id: str) -> None:
        self.image(volume_id).unlink(missing_ok=True)

    def _is_sparse(self, wanted: Wanted) -> bool:
        """Whether its image takes room as it is filled; a clone's has no holes, and takes it for copies."""
        return has_holes(self.image(wanted.id)) or (wanted.sparse and wanted.source is not None)

    def _next_export_id(self) -> int:
        return self._ledger.next_export_id({record.export_id for record in self.records()})

    def _make_image(self, image: Path, wanted: Wanted) -> None:
        target, fresh = imagesize.image_bytes(wanted.size), image.with_name("image.tmp")
        fresh.unlink(missing_ok=True)
        with self.room.taking:
            self.room.check(imagesize.LOG_BYTES if wanted.sparse else target)
            image.parent.mkdir(exist_ok=True)
            fresh.touch(mode=0o600)
            if wanted.sparse:
                self.spare.ensure()
                os.truncate(fresh, target)
            else:
                allocate(fresh, target, back_to=None)
        make_file_system(fresh, wanted.root, image.parent)
        sync_file(fresh)
        fresh.rename(image)
        sync_folder(image.parent)
        sync_folder(self.volumes)

    def _images(self) -> Iterable[Path]:
        """Those whose writers were promised room. A record that is not there yet is one of them."""
        sparse = {record.id for record in self.records() if record.sparse}
        return (image for volume_id in self.ids() - sparse if (image := self.image(volume_id)).exists())
