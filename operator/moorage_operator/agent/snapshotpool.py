"""Snapshots on the pool: `snapshots/<id>/{image,snapshot.json}`."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from moorage import imagesize
from moorage.record import SnapshotRecord
from moorage.snapshotshare import WantedSnapshot
from moorage_operator.agent import extents, reflink
from moorage_operator.agent.files import sync_file, sync_folder
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.records import Records

LOOK = 20.0  # seconds for the extents of one image


class SnapshotPool:
    """Blocking; called in threads, for one snapshot by one thread at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._root = pool.snapshots
        self._records = Records(pool.snapshots, "snapshot.json", SnapshotRecord)

    def ids(self) -> set[str]:
        return self._records.ids()

    def image(self, snapshot_id: str) -> Path:
        return self._root / snapshot_id / "image"

    def image_bytes(self, snapshot_id: str) -> int:
        try:
            return self.image(snapshot_id).stat().st_size
        except FileNotFoundError:
            return 0

    def record(self, snapshot_id: str) -> SnapshotRecord | None:
        return self._records.written(snapshot_id)

    def unfinished(self, snapshot_id: str) -> bool:
        return (self._root / snapshot_id).exists() and not self.record(snapshot_id)

    def take(self, wanted: WantedSnapshot, mount_point: Path, size: int) -> None:
        """Share the volume's blocks, at one moment, with all in them that was written before this call.

        No freeze: what is written meanwhile waits in the kernel, and nothing is left behind when we die. The record
        comes last; what a crash left without one is no snapshot, and made again. Raises NoCapacity when the pool
        could not give a volume that was reserved a fresh block for each one shared.
        """
        if self.record(wanted.id):
            return
        source, image = self._pool.image(wanted.volume_id), self.image(wanted.id)
        fresh = image.with_name("image.tmp")
        image.parent.mkdir(mode=0o700, exist_ok=True)
        for leftover in (fresh, image):
            leftover.unlink(missing_ok=True)
        reflink.sync_file_system(mount_point)
        volume = self._pool.record(wanted.volume_id)
        taken = self._share(source, fresh, sparse=volume is not None and volume.sparse)
        sync_file(fresh)
        fresh.rename(image)
        sync_folder(image.parent)
        sync_folder(self._root)
        record = SnapshotRecord(
            id=wanted.id,
            namespace=wanted.namespace,
            name=wanted.name,
            uid=wanted.uid,
            volume_id=wanted.volume_id,
            volume_name=wanted.volume_name,
            size=size,
            taken=taken.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        )
        self._records.save(record)

    def _share(self, source: Path, fresh: Path, sparse: bool) -> datetime:
        """The moment. Writers go on between the look and the sharing, so the promise is checked once more after it."""
        room = self._pool.room
        try:
            own = 0 if sparse else extents.look(source, LOOK, sync=True).own
            with room.promise(imagesize.copies_bytes(own)) as promise:
                taken = datetime.now(UTC)
                reflink.clone_file(source, fresh)
                with room.taking:
                    room.renew(source)
                    promise.bytes = 0
                    room.check(0)
        except BaseException:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
        return taken

    def ensure_absent(self, snapshot_id: str) -> None:
        """Image first: while the record stands, the snapshot is not taken again."""
        self.image(snapshot_id).unlink(missing_ok=True)
        self._records.remove(snapshot_id)
