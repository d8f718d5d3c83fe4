"""Bytes of an earlier mount that the engine never got: stored under their key as soon as it takes them."""

from collections.abc import Mapping

from moorfs.lead import Courteous
from moorfs.unsaved import Unsaved


class LostNode:
    """The `FileNode` of bytes that have no node any more. Once stored it is gone, and its cache file with it."""

    def __init__(self, record: Unsaved) -> None:
        self._record = record
        self.id = 0
        self.etag = record.etag
        self.size = record.size
        self.mtime = record.mtime
        self.gone = False
        self.lock = Courteous(lambda: None)
        self.key = record.key

    def metadata(self, mtime: int) -> Mapping[str, str]:
        return self._record.metadata

    def stored(self, etag: str, size: int, mtime: int) -> None:
        self.gone = True
