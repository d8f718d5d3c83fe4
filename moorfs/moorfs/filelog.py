"""The journal as the files know it: the `FileLog` of ports.py."""

from moorfs.journal import Journal
from moorfs.ports import Handle, Mark
from moorfs.records import Clean, Opened, Released


class JournalFileLog:
    """Handles and clean marks, written as lines of the state log. Raises OSError when the disk is full."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def opened(self, handle: Handle) -> None:
        self._journal.write(Opened(handle.number, handle.node, handle.flags, handle.direct, handle.backing))

    def released(self, handle: int) -> None:
        self._journal.write(Released(handle))

    def clean(self, mark: Mark) -> None:
        self._journal.write(Clean(mark.node, mark.etag, mark.stamp.size, mark.stamp.mtime, mark.stamp.ctime))
