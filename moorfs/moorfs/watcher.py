"""What the files of a cache tell it."""

from typing import TYPE_CHECKING, Protocol

from moorfs.ports import FileError

if TYPE_CHECKING:
    from moorfs.content import Content


class Watcher(Protocol):
    """What the cache wants to know of its files. All are called with the file's own lock held or not: they take none
    of a file's locks."""

    def opened(self, file: "Content") -> None:
        """It may not be evicted now."""
        ...

    def closed(self, file: "Content") -> None:
        """The last handle went."""
        ...

    def failed(self, file: "Content", error: FileError) -> None:
        """Its bytes could not be stored; they are `pending`."""
        ...

    def saved(self, file: "Content") -> None: ...
    def aside(self, file: "Content") -> None:
        """Take its cache file, and keep it under the name of nobody."""
        ...

    def later(self, file: "Content") -> None:
        """It is to be stored, but nobody waits for that (writeback, a mapping that outlives the last close)."""
        ...
