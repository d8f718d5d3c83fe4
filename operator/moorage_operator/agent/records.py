"""What is written of each share or snapshot on a pool: one JSON file in a folder of its id."""

import shutil
from pathlib import Path
from typing import Any, Generic, TypeVar

from moorage.record import Record, SnapshotRecord
from moorage_operator.agent.files import sync_folder, write_durably

AnyRecord = TypeVar("AnyRecord", Record, SnapshotRecord)


class Records(Generic[AnyRecord]):
    """Of one kind, as `<root>/<id>/<name>`. Blocking."""

    def __init__(self, root: Path, name: str, kind: type[AnyRecord]) -> None:
        self._root = root
        self._name = name
        self._kind = kind

    def ids(self) -> set[str]:
        """Of all folders, with and without a record."""
        return {entry.name for entry in self._root.iterdir() if entry.is_dir()}

    def get(self, id: str) -> AnyRecord | None:
        """The folder's name is the id, whatever the file says: an adoption moves the folder first."""
        found = self.written(id)
        return found.model_copy(update={"id": id}) if found and found.id != id else found

    def written(self, id: str) -> AnyRecord | None:
        """As the file says."""
        try:
            return self._kind.model_validate_json((self._root / id / self._name).read_text())
        except FileNotFoundError:
            return None

    def all(self) -> tuple[AnyRecord, ...]:
        found = (self.get(id) for id in sorted(self.ids()))
        return tuple(record for record in found if record)

    def save(self, record: AnyRecord) -> None:
        """Into its folder, which must be there."""
        write_durably(self._root / record.id / self._name, record.model_dump_json(by_alias=True, indent=2) + "\n")

    def amend(self, id: str, **changes: Any) -> None:
        """Write what differs; nothing where there is no record."""
        record = self.get(id)
        amended = record.model_copy(update=changes) if record else None
        if amended and amended != record:
            self.save(amended)

    def remove(self, id: str) -> None:
        """The record, then all else in its folder."""
        (self._root / id / self._name).unlink(missing_ok=True)
        shutil.rmtree(self._root / id, ignore_errors=True)
        sync_folder(self._root)
